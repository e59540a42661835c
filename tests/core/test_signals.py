"""Hooks: they hear of each step, after it is durable, and can hurt nobody."""

import logging
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import PATIENCE, MakeEngine
from webqueue import signals
from webqueue.engine import Engine


class Ear:
    """Hears all signals."""

    def __init__(self) -> None:
        self.heard: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def __call__(self, sender: object, job: Any) -> None:
        self.heard.put((job.state, job))

    def states(self, number: int) -> list[str]:
        return [self.heard.get(timeout=PATIENCE)[0] for _ in range(number)]


@pytest.fixture(name="ear")
def _ear() -> Iterator[Ear]:
    ear = Ear()
    for signal in signals.BY_STATE.values():
        signal.connect(ear)
    yield ear
    for signal in signals.BY_STATE.values():
        signal.disconnect(ear)


def _push(engine: Engine, kind: str = "echo", **more: Any) -> Any:
    return engine.push({"kind": kind, **more}).job


def test_each_step_is_told_in_order(engine: Engine, ear: Ear) -> None:
    """From the push to its end, whichever that is."""
    engine.wait(_push(engine).id, PATIENCE)
    assert ["todo", "running", "done"] == ear.states(3)
    engine.wait(_push(engine, "boom").id, PATIENCE)
    assert ["todo", "running", "failed"] == ear.states(3)
    engine.cancel(_push(engine, delay=60).id)
    assert ["scheduled", "cancelled"] == ear.states(2)


def test_a_receiver_that_raises_hurts_nobody(engine: Engine, ear: Ear, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the job nor the other receivers; it is logged."""

    def broken(sender: object, job: Any) -> None:
        raise RuntimeError("a broken hook")

    with signals.job_started.connected_to(broken), caplog.at_level(logging.ERROR, "webqueue"):
        job = engine.wait(_push(engine).id, PATIENCE)
        assert ["todo", "running", "done"] == ear.states(3)
    assert "done" == job.state
    assert "a broken hook" in caplog.text


def test_a_receiver_may_push(engine: Engine, ear: Ear) -> None:
    """It is called without any lock of ours."""

    def push_another(sender: Engine, job: Any) -> None:
        if job.kind == "add":
            _push(sender, payload={"after": job.id})

    with signals.job_done.connected_to(push_another, sender=engine):
        _push(engine, "add", payload={"a": 1, "b": 1})
        assert ["todo", "running", "done"] * 2 == ear.states(6)


def test_only_the_engine_that_is_meant(make_engine: MakeEngine, tmp_path: Any) -> None:
    """A receiver may be connected to one sender."""
    one, other = make_engine(store="memory:"), make_engine(store="memory:")
    heard: queue.SimpleQueue[int] = queue.SimpleQueue()

    def hear(sender: object, job: Any) -> None:
        heard.put(job.id)

    with signals.job_done.connected_to(hear, sender=other):
        one.wait(_push(one).id, PATIENCE)
        other.wait(_push(other).id, PATIENCE)
        other.wait(_push(other).id, PATIENCE)
        assert [1, 2] == [heard.get(timeout=PATIENCE) for _ in range(2)]
    assert heard.empty()


def test_no_thread_where_nobody_listens(engine: Engine) -> None:
    """An unused feature costs nothing."""
    engine.wait(_push(engine).id, PATIENCE)
    assert "webqueue-signals" not in {thread.name for thread in threading.enumerate()}


def test_steps_beyond_what_a_slow_receiver_can_take_are_left_out(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Jobs never wait for hooks."""
    monkeypatch.setattr(signals, "MOST", 2)
    opened = threading.Event()

    def slow(sender: object, job: Any) -> None:
        opened.wait(PATIENCE)

    with signals.job_done.connected_to(slow), caplog.at_level(logging.WARNING, "webqueue"):
        for _ in range(6):
            assert "done" == engine.wait(_push(engine).id, PATIENCE).state
        opened.set()
    assert "was left out" in caplog.text
