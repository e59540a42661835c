"""What all tests share: patience, an engine on each store, and handlers that wait until they are let go."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from webqueue.engine import Engine
from webqueue.handlers import Handlers
from webqueue.settings import Settings

PATIENCE = 10.0
"""Seconds that a test waits for what should happen at once."""


@dataclass
class Gate:
    """A handler that tells when it was entered, and stays inside until it is opened."""

    entered: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def __call__(self, **_: Any) -> str:
        self.entered.set()
        assert self.opened.wait(PATIENCE), "the gate was never opened"
        return "through"


@pytest.fixture(name="gate")
def _gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.fixture(name="ran")
def _ran() -> "queue.SimpleQueue[Any]":
    """What the ``echo`` handler was given, in order."""
    return queue.SimpleQueue()


@pytest.fixture(name="handlers")
def _handlers(gate: Gate, ran: "queue.SimpleQueue[Any]") -> Handlers:
    """``echo`` (anything), ``add`` (two integers), ``boom`` (raises) and ``gate`` (waits)."""
    handlers = Handlers()

    def echo(**payload: Any) -> Any:
        ran.put(payload)
        return payload

    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    def boom(message: str = "no") -> None:
        raise ValueError(message)

    handlers.register(echo)
    handlers.register(add)
    handlers.register(boom, max_attempts=1)
    handlers.register(gate, kind="gate")
    return handlers


@pytest.fixture(name="store_url", params=["memory", "sqlite"])
def _store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of store in turn."""
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/jobs.db"


MakeEngine = Callable[..., Engine]


@pytest.fixture(name="make_engine")
def _make_engine(handlers: Handlers, store_url: str, gate: Gate) -> Iterator[MakeEngine]:
    """Makes engines on the store in turn, started unless told otherwise; all are stopped at the end."""
    made: list[Engine] = []

    def make(*, start: bool = True, clock: Callable[[], int] | None = None, **settings: Any) -> Engine:
        more = {"clock": clock} if clock is not None else {}
        engine = Engine(Settings.read({"store": store_url, **settings}, {}, {}), handlers, **more)
        made.append(engine)
        if start:
            engine.start()
        return engine

    yield make
    gate.opened.set()
    for engine in made:
        engine.stop(grace=PATIENCE)


@pytest.fixture(name="engine")
def _engine(make_engine: MakeEngine) -> Engine:
    """A started engine with one consumer."""
    return make_engine()
