"""What a child of the nursery does while its disk fills up and is freed again."""

import contextlib
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.faults.ledger import Ledger
from tests.faults.nursery import Ready
from tests.faults.rounds import engine_on, noting, push
from webqueue.engine import Engine
from webqueue.errors import DiskFull, StoreError
from webqueue.job import State
from webqueue.stores.journal import PROBE

PUSHERS: Final = 3
FILLER: Final = "x" * 2_000
PATIENCE: Final = 10.0


class Space:
    """A tmpfs that a large file fills but for *left* bytes."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "filler"

    def fill(self, left: int) -> None:
        """Only *left* bytes are free now."""
        with self._file.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while (free := _free(self._file.parent) - left) > 0:
                file.write(bytes(min(free, 65536)))

    def free(self) -> None:
        """There is room again."""
        self._file.unlink()


class Limit:
    """A limit to the size of files (RLIMIT_FSIZE), for who may not mount: no file of this process grows past *left*."""

    def __init__(self, _: Path) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self, left: int) -> None:
        """No file may be longer than *left* bytes."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (left, self._before[1]))

    def free(self) -> None:
        """There is no limit again."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


MEDIA: Final = {"tmpfs": Space, "limit": Limit}


class Tally:
    """Counts what became of pushes; who waits for a number is woken."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._counts = {True: 0, False: 0}

    def add(self, accepted: bool) -> None:
        """One more."""
        with self._changed:
            self._counts[accepted] += 1
            self._changed.notify_all()

    def wait_for_more(self, accepted: bool, number: int) -> None:
        """Return when so many more were accepted (or refused)."""
        with self._changed:
            goal = self._counts[accepted] + number
            done = self._changed.wait_for(lambda: self._counts[accepted] >= goal, PATIENCE)
            assert done, f"{'accepted' if accepted else 'refused'}: {self._counts[accepted]} of {goal}"


def full(ready: Ready, store: str, ledger_path: str, medium: str, left: int) -> None:
    """Push without a pause while the disk fills up and is freed; note how long it takes until all is well again."""
    ledger, space = Ledger(Path(ledger_path)), MEDIA[medium](Path(store).parent)
    with _running(store, ledger) as (engine, opened):
        gate = push(engine, ledger, "gate", "gate")
        assert gate is not None
        with _pushed_at(engine, ledger) as tally:
            tally.wait_for_more(True, 30)
            space.fill(left)
            tally.wait_for_more(False, 3)
            opened.set()  # it ends while its end can't be written
            tally.wait_for_more(False, 3)
            assert not engine.job(gate).finished
            began = time.monotonic()
            space.free()
            tally.wait_for_more(True, 1)
            ledger.note("accepts again", time.monotonic() - began)
            ledger.note("gate", engine.wait(gate, PATIENCE).state, time.monotonic() - began)
            tally.wait_for_more(True, 10)
            assert [] == engine.ready()
    ready()


def nearly_full(ready: Ready, store: str, ledger_path: str) -> None:
    """With little room left pushes are refused, without a pause, and yet what runs comes to its end."""
    ledger, space = Ledger(Path(ledger_path)), Space(Path(store).parent)
    with _running(store, ledger) as (engine, opened):
        gate = push(engine, ledger, "gate", "gate")
        assert gate is not None
        with _pushed_at(engine, ledger) as tally:
            tally.wait_for_more(True, 10)
            space.fill(2 * 2**20)
            tally.wait_for_more(False, 50)
            began = time.monotonic()
            opened.set()
            ledger.note("gate", engine.wait(gate, PATIENCE).state, time.monotonic() - began)
            tally.wait_for_more(False, 50)
            waiting = engine.overview()["counts"][State.TODO]
            ledger.note("waiting", waiting)
            space.free()
            tally.wait_for_more(True, 10)
    ready()


def refused_once(ready: Ready, store: str, ledger_path: str) -> None:
    """What nobody repeats is refused on a full disk; meanwhile a rate would let the next job start."""
    ledger, space = Ledger(Path(ledger_path)), Space(Path(store).parent)
    with _running(store, ledger) as (engine, _):
        held = [push(engine, ledger, f"paced.{number}", "paced") for number in range(2)]
        space.fill(0)
        with contextlib.suppress(DiskFull):
            engine.pause(why="x" * 2_000_000)
            raise AssertionError("it was not full")
        engine.feed.wait(engine.feed.seq, 4 * PROBE)
        ledger.note("still", engine.ready(), engine.job(held[1] or 0).state)
        space.free()
        began = time.monotonic()
        while engine.ready() and time.monotonic() - began < PATIENCE:
            engine.feed.wait(engine.feed.seq, 0.05)
        ledger.note("ready", time.monotonic() - began, engine.wait(held[1] or 0, PATIENCE).state)
    ready()


def start_when_full(ready: Ready, store: str, ledger_path: str) -> None:
    """Start on a disk without any room: a clear error; with room again the same engine starts."""
    space = Space(Path(store).parent)
    space.fill(0)
    engine = engine_on(store, noting(Ledger(Path(ledger_path))))
    try:
        engine.start()
    except StoreError as error:
        Ledger(Path(ledger_path)).note("start", str(error))
    space.free()
    engine.start()
    engine.stop()
    ready()


@contextlib.contextmanager
def _running(store: str, ledger: Ledger) -> Iterator[tuple[Engine, threading.Event]]:
    """A running engine, and what opens the gate of the handler ``gate``."""
    handlers, opened = noting(ledger), threading.Event()
    handlers.register(lambda token: opened.wait(PATIENCE), kind="gate")
    handlers.register(lambda token: None, kind="paced", rate="1/s")
    engine = engine_on(store, handlers)
    engine.start()
    try:
        yield engine, opened
    finally:
        began = time.monotonic()
        engine.stop(PATIENCE)
        ledger.note("stop", time.monotonic() - began)


@contextlib.contextmanager
def _pushed_at(engine: Engine, ledger: Ledger) -> Iterator[Tally]:
    """Threads push all the while."""
    tally, over = Tally(), threading.Event()

    def pusher(thread: int) -> None:
        number = 0
        while not over.is_set():
            number += 1
            began = time.monotonic()
            tally.add(push(engine, ledger, f"{thread}.{number}", filler=FILLER) is not None)
            ledger.note("took", time.monotonic() - began)

    threads = [threading.Thread(target=pusher, args=(thread,), daemon=True) for thread in range(PUSHERS)]
    for thread in threads:
        thread.start()
    try:
        yield tally
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)


def _free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


Round = Callable[..., None]
