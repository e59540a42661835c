"""What the store tests share: a store on a bench, with clocks and timers that only move when a test moves them."""

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from webqueue.feed import Feed
from webqueue.job import Failure, Job, State
from webqueue.limits import Limit
from webqueue.stores.base import Outcome, Pushed
from webqueue.stores.local import LocalStore
from webqueue.stores.memory import MemoryTables
from webqueue.stores.owner import Owner
from webqueue.stores.recorder import Recorder
from webqueue.stores.sqlite import SqliteTables
from webqueue.stores.upkeep import Retention
from webqueue.timers import Alarm

PATIENCE = 10.0
KINDS = ("echo", "add", "gate")
BROKEN = Failure("ValueError", "no", "Traceback ...")


class Clock:
    """µs since 1970, moved by hand."""

    def __init__(self, now: int = 1_700_000_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        """So many seconds later."""
        self.now += round(seconds * 1e6)


class HandTimers:
    """Timers that ring when a test says so; their time is the clock's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.alarms: list[tuple[int, Alarm]] = []

    def start(self) -> None:
        """See Timers."""

    def stop(self) -> None:
        """See Timers."""

    def after(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """See Timers."""
        alarm = Alarm(seconds, call)
        self.alarms.append((self._clock() + round(max(seconds, 0) * 1e6), alarm))
        return alarm

    def ring(self) -> int:
        """Ring all that is due now; returns how many rang."""
        due = [alarm for when, alarm in self.alarms if when <= self._clock() and not alarm.cancelled]
        self.alarms = [(when, alarm) for when, alarm in self.alarms if when > self._clock() and not alarm.cancelled]
        for alarm in due:
            alarm.call()
        return len(due)


def draft(kind: str = "echo", *, payload: bytes = b"{}", queue: str = "default", priority: int = 0, **more: Any) -> Job:
    """A push that was found fit."""
    fields: dict[str, Any] = {"state": State.TODO, "place": 0, "max_attempts": 3, "created_at": 0, **more}
    if fields.get("run_at") is not None and "state" not in more:
        fields["state"] = State.SCHEDULED
    return Job(id=0, kind=kind, payload=payload, queue=queue, priority=priority, **fields)


class Bench:
    """One store, in memory (*folder* is None) or in an SQLite file."""

    def __init__(
        self,
        folder: Path | None,
        *,
        window: int = 4,
        groups: Sequence[str] = ("default",),
        limits: dict[str, Limit] | None = None,
        max_todo: int = 1_000_000,
        retention: Retention = Retention(),  # noqa: B008 - immutable
        slots: int = 4,
        flushed: bool = False,
    ) -> None:
        self.folder = folder
        self.clock = Clock()
        self._options: dict[str, Any] = {
            "groups": groups,
            "limits": limits,
            "max_todo": max_todo,
            "retention": retention,
        }
        self._window = window
        self._slots = slots
        self._flushed = flushed
        self._hands = ThreadPoolExecutor(8, thread_name_prefix="bench")
        self.open()

    @property
    def path(self) -> Path:
        """The store's file."""
        assert self.folder is not None
        return self.folder / "jobs.db"

    def open(self) -> None:
        """Open the store (again)."""
        self.feed = Feed()
        self.timers = HandTimers(self.clock)
        common: dict[str, Any] = {
            "feed": self.feed,
            "timers": self.timers,
            "clock": self.clock,
            "kinds": KINDS,
            **self._options,
        }
        if self.folder is None:
            self.store = LocalStore(MemoryTables(), window=2**62, **common)
        else:
            self.store = LocalStore(
                SqliteTables(self.path, flushed=self._flushed),
                owner=Owner(self.path),
                recorder=Recorder(self.path.with_name("jobs.db.flight"), self._slots),
                durable=True,
                window=self._window,
                **common,
            )
        self.store.open()
        self.settle()

    def reopen(self) -> None:
        """Close it in peace, and open it again."""
        self.store.close()
        self.open()

    def crash(self, folder: Path) -> None:
        """As after ``kill -9``: what is on the disk right now is opened, elsewhere; nothing was closed before."""
        assert self.folder is not None
        folder.mkdir()
        for suffix in ("", "-wal", ".flight"):
            shutil.copy(self.path.with_name("jobs.db" + suffix), folder)
        self.store.close()
        self.folder = folder
        self.open()

    def close(self) -> None:
        """The end."""
        self.store.close()
        self._hands.shutdown()

    # -- verbs, each waited for ------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Return once all that was told to the store so far has been decided."""
        for _ in range(4):  # a decision may ask for another one (a refill, say)
            self.store.resume("a queue that never is")

    def until_writable(self) -> None:
        """Return once the store has found out by itself that it can be written."""
        pause = threading.Event()
        for _ in range(int(PATIENCE * 100)):
            if self.store.writable:
                return
            pause.wait(0.01)
        pytest.fail("it never tried again")

    def push(self, *drafts: Job) -> list[Job]:
        """Push jobs that must be accepted."""
        answers = self.store.push(drafts)
        assert all(isinstance(answer, Pushed) for answer in answers), answers
        return [answer.job for answer in answers if isinstance(answer, Pushed)]

    def later(self, call: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Call it in another thread."""
        return self._hands.submit(call, *args)

    def claim(self, group: str = "default", slot: int = 0) -> Job:
        """Claim the next job; there must be one."""
        job = self.later(self.store.claim, group, slot).result(PATIENCE)
        assert job is not None
        return job

    def idle(self, group: str = "default") -> bool:
        """Whether there is nothing to claim."""
        with self.store.board.lock:
            return self.store.board.claim(group, self.clock()) is None

    def end(self, claimed: Job, after: Job, slot: int = 0) -> None:
        """Report how an attempt ended, and see it written."""
        self.store.finish(Outcome(claimed, after))
        self.store.landed(slot)
        self.settle()

    def complete(self, claimed: Job, slot: int = 0) -> None:
        """It is done."""
        self.end(claimed, claimed.complete(self.clock(), b'"ok"'), slot)

    def fail(self, claimed: Job, slot: int = 0) -> None:
        """It failed for good."""
        self.end(claimed, claimed.fail(self.clock(), BROKEN), slot)

    def reschedule(self, claimed: Job, seconds: float, slot: int = 0) -> None:
        """It failed and is due again."""
        self.end(claimed, claimed.reschedule(self.clock(), BROKEN, self.clock() + round(seconds * 1e6)), slot)

    def pass_time(self, seconds: float) -> None:
        """So many seconds pass; what is due rings."""
        self.clock.advance(seconds)
        while self.timers.ring():
            self.settle()

    def drain(self) -> list[int]:
        """Claim and complete all there is, with one consumer; the ids in order."""
        ids = []
        while self.store.board.todo.length("default"):
            job = self.claim()
            ids.append(job.id)
            self.complete(job)
        return ids

    @contextmanager
    def in_one_batch(self) -> Iterator[Callable[..., "Future[Any]"]]:
        """What is called with the yielded function goes into one commit, in this order."""
        journal, tables = self.store._journal, self.store.tables
        if self.folder is None:  # there each change is one batch
            yield lambda call, *args: _called(call, *args)
            return
        entered, opened = threading.Event(), threading.Event()
        put, write, queued = journal._put, tables.write, threading.Semaphore(0)

        def held(batch: Any, totals: Any) -> None:
            entered.set()
            assert opened.wait(PATIENCE)
            write(batch, totals)

        def noted(ticket: Any) -> None:
            put(ticket)
            queued.release()

        def ask(call: Callable[..., Any], *args: Any) -> "Future[Any]":
            future = self.later(call, *args)
            assert queued.acquire(timeout=PATIENCE)
            asked.append(future)
            return future

        asked: list[Future[Any]] = []
        tables.write = held
        first = self.later(self.store.pause, "a queue that holds the writer", None)
        assert entered.wait(PATIENCE)
        tables.write, journal._put = write, noted
        try:
            yield ask
        finally:
            del journal._put, tables.write
            opened.set()
            first.result(PATIENCE)
            wait(asked, PATIENCE)


def _called(call: Callable[..., Any], *args: Any) -> "Future[Any]":
    future: Future[Any] = Future()
    try:
        future.set_result(call(*args))
    except Exception as error:  # noqa: BLE001 - the caller asks the future for it
        future.set_exception(error)
    return future
