"""What the children of the nursery do: rounds that are killed, and rounds that see what is left."""

import fcntl
import gc
import itertools
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from tests.faults.ledger import Ledger
from tests.faults.nursery import PATIENCE, Ready
from webqueue.context import current_job
from webqueue.engine import Engine
from webqueue.errors import NotRunning, Unavailable
from webqueue.handlers import Handlers
from webqueue.settings import Settings
from webqueue.stores.recorder import Recorder

PUSHERS: Final = 4
MANY: Final = 10
"""Jobs that one ``push_many`` brings."""


def engine_on(store: str, handlers: Handlers, **settings: Any) -> Engine:
    """An engine on the file at *store* (``?sync=normal`` may follow), not yet started."""
    return Engine(Settings.read({"store": f"sqlite:///{store}", **settings}, {}, {}), handlers)


def noting(ledger: Ledger, locks: Path | None = None) -> Handlers:
    """``work`` notes its start and end, and whether it ran beside itself; ``poison`` kills its process."""
    handlers = Handlers()

    def work(token: str = "", seconds: float = 0.0, filler: str = "") -> None:
        with _alone(ledger, locks, current_job.id):
            ledger.note("start", current_job.id, current_job.attempt, os.getpid())
            threading.Event().wait(seconds)
            ledger.note("end", current_job.id, current_job.attempt, os.getpid())

    def poison(token: str = "") -> None:
        ledger.note("start", current_job.id, current_job.attempt, os.getpid())
        os.kill(os.getpid(), signal.SIGKILL)

    handlers.register(work)
    handlers.register(poison)
    return handlers


class _alone:  # noqa: N801 - a context manager
    """Holds a lock that the kernel drops when the process dies; notes ``beside`` where another run holds it."""

    def __init__(self, ledger: Ledger, locks: Path | None, id: int) -> None:
        self._ledger, self._locks, self._id = ledger, locks, id

    def __enter__(self) -> None:
        self._descriptor = os.open(self._locks / str(self._id), os.O_RDWR | os.O_CREAT) if self._locks else None
        if self._descriptor is not None:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._ledger.note("beside", self._id, os.getpid())

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def push(engine: Engine, ledger: Ledger, token: str, kind: str = "work", **payload: Any) -> int | None:
    """One push with its notes; its id, None where it was refused."""
    ledger.note("attempt", token)
    try:
        id = engine.push({"kind": kind, "payload": {"token": token, **payload}}).job.id
    except Unavailable as error:
        ledger.note("refused", token, type(error).__name__)
        return None
    ledger.note("ack", token, id)
    return id


def push_many(engine: Engine, ledger: Ledger, tokens: list[str]) -> None:
    """Many pushes in one flush, with their notes."""
    for token in tokens:
        ledger.note("attempt", token)
    answers = engine.push_many([{"kind": "work", "payload": {"token": token}} for token in tokens])
    for token, answer in zip(tokens, answers, strict=True):
        ledger.note("ack", token, answer.job.id)  # type: ignore[union-attr]


def push_load(ready: Ready, store: str, ledger_path: str, name: str, early: bool) -> None:
    """Push from PUSHERS threads, and in bulk from one more, until killed. *early*: it may be killed while it starts."""
    ledger = Ledger(Path(ledger_path))
    if early:
        ready()
    began = time.monotonic()
    engine = engine_on(store, noting(ledger), consumers=0)
    engine.start()

    def pusher(thread: int) -> None:
        for number in itertools.count():
            if push(engine, ledger, f"{name}.{thread}.{number}") and not number:
                ledger.note("again", time.monotonic() - began)
            if not number:
                ready()

    threads = [threading.Thread(target=pusher, args=(thread,), daemon=True) for thread in range(PUSHERS)]
    threads.append(threading.Thread(target=_push_in_bulk, args=(engine, ledger, name), daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _push_in_bulk(engine: Engine, ledger: Ledger, name: str) -> None:
    for number in itertools.count():
        push_many(engine, ledger, [f"{name}.bulk.{number}.{one}" for one in range(MANY)])


def run_until_killed(ready: Ready, store: str, ledger_path: str, locks: str, consumers: int) -> None:
    """Start *consumers* and let them run what waits; ends when nothing waits any more."""
    ready()
    run_out(lambda: None, store, ledger_path, locks, consumers)


def run_out(ready: Ready, store: str, ledger_path: str, locks: str, consumers: int) -> None:
    """Run all that waits, then stop."""
    ledger = Ledger(Path(ledger_path))
    engine = engine_on(store, noting(ledger, Path(locks)), consumers=consumers)
    engine.start()
    ready()
    seq = 0
    while any(engine.overview()["counts"][state] for state in ("todo", "running", "scheduled")):
        seq = engine.feed.seq
        engine.feed.wait(seq, 0.5)
    engine.stop()


def push_plan(ready: Ready, store: str, ledger_path: str, plan: list[list[Any]]) -> None:
    """Push (kind, token, payload) in this order, run nothing, and stop."""
    ledger = Ledger(Path(ledger_path))
    engine = engine_on(store, noting(ledger), consumers=0)
    engine.start()
    ready()
    for kind, token, payload in plan:
        push(engine, ledger, token, kind, **payload)
    engine.stop()


def start_only(ready: Ready, store: str) -> None:
    """Start without consumers and stop: what the last death left behind is put right, and nothing is run."""
    ready()
    engine = engine_on(store, noting(Ledger(Path(os.devnull))), consumers=0)
    engine.start()
    engine.stop()


def die_once_recovered(ready: Ready, store: str) -> None:
    """Die as soon as the crashes that the last death meant are committed, before the flight recorder is cleared."""
    Recorder.clear = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    start_only(ready, store)


def die_before_child(ready: Ready, store: str, ledger_path: str) -> None:
    """Fork under load; the child says what a push to its copy gives, and lives on; the parent is killed."""
    ledger = Ledger(Path(ledger_path))
    engine = engine_on(store, noting(ledger), consumers=0)
    engine.start()
    for number in range(20):
        push(engine, ledger, f"before.{number}")
    told, tell = os.pipe()
    if os.fork() == 0:
        signal.alarm(PATIENCE)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        ledger.note("child", os.getpid(), _refusal(engine))
        os.write(tell, b".")
        while True:
            signal.pause()
    os.read(told, 1)
    ready()  # or the nursery would wait for the child, which holds the other end of its pipe
    os.kill(os.getpid(), signal.SIGKILL)


def fork_under_load(ready: Ready, store: str, ledger_path: str, forks: int) -> None:
    """Push from threads, and fork meanwhile; each child drops its copy and exits, with all that Python does then."""
    ledger = Ledger(Path(ledger_path))
    engine = engine_on(store, noting(ledger))
    engine.start()
    over = threading.Event()

    def pusher(thread: int) -> None:
        for number in itertools.count():
            if over.is_set():
                return
            push(engine, ledger, f"{thread}.{number}")

    threads = [threading.Thread(target=pusher, args=(thread,)) for thread in range(PUSHERS)]
    for thread in threads:
        thread.start()
    for _ in range(forks):
        pid = os.fork()
        if pid == 0:
            refusal = _refusal(engine)
            engine.stop()
            del engine
            gc.collect()
            os._exit(0 if "post_fork" in refusal else 1)
        ledger.note("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    over.set()
    for thread in threads:
        thread.join()
    engine.stop()
    ready()


def _refusal(engine: Engine) -> str:
    try:
        engine.push({"kind": "work"})
    except NotRunning as error:
        return str(error)
    return "accepted"
