"""``current_job``: what a handler may ask and tell while it runs."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol

from webqueue.errors import Cancelled
from webqueue.job import Job, LogLine, Progress

MAX_LINE: Final = 4_000
"""Characters of a log line; the rest is cut."""
MAX_LINES: Final = 10_000
"""Log lines that an attempt may keep."""


class Reports(Protocol):
    """Where a run reports to: a store."""

    def progress(self, claimed: Job, progress: Progress) -> None:
        """It got further."""
        ...

    def log(self, id: int, lines: Sequence[LogLine]) -> None:
        """It logged something."""
        ...

    def unwanted(self, id: int) -> bool:
        """Whether it was asked to stop."""
        ...

    def results(self, job: Job) -> list[Any]:
        """What those returned that *job* comes after, in its order; None for one that has been forgotten."""
        ...


class Run:
    """One attempt while it runs. Made by the executor; used by the handler's thread, and by whoever stops it."""

    __slots__ = (
        "_clock", "_lines", "_reports", "cancelled", "ended", "job", "lock", "on_stop", "overdue", "started", "thread"
    )  # fmt: skip

    def __init__(self, job: Job, reports: Reports, clock: Callable[[], int]) -> None:
        self.job = job
        self.thread = threading.get_ident()
        self.cancelled = False
        self.overdue = False
        self.ended = False
        self.on_stop: Callable[[], object] | None = None
        """Called when it is asked to stop: wakes whoever waits for the process that it runs in."""
        self.lock = threading.Lock()
        """Guards ``ended`` against an exception that is to be raised in the thread."""
        self.started = time.monotonic()
        self._reports = reports
        self._clock = clock
        self._lines = 0

    def ask_to_stop(self) -> None:
        """It is no longer wanted."""
        self.cancelled = True
        on_stop = self.on_stop
        if on_stop is not None:
            on_stop()

    def results(self) -> list[Any]:
        """What those returned that it comes after."""
        return self._reports.results(self.job)

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell how far it is; NaN is 0 (it compares as neither more nor less)."""
        self._reports.progress(self.job, Progress(min(max(0.0, float(fraction)), 1.0), str(message)[:MAX_LINE]))

    def log(self, message: object, level: str = "info") -> None:
        """Keep a line with the job."""
        self._lines += 1
        if self._lines > MAX_LINES:
            return
        text = str(message)[:MAX_LINE] if self._lines < MAX_LINES else "(further lines are not kept)"
        self._reports.log(self.job.id, [LogLine(self._clock(), level, text.encode(errors="replace").decode())])


_current: ContextVar[Run | None] = ContextVar("webqueue_run", default=None)
enter = _current.set
leave = _current.reset


class CurrentJob:
    """The job that the calling handler works on. Outside a handler every use is a RuntimeError.

    So that handlers can be tested as plain functions, ``progress`` and ``log`` do nothing there and ``check`` passes.
    """

    @property
    def id(self) -> int:
        """The same in every attempt."""
        return self._run().job.id

    @property
    def kind(self) -> str:
        """The kind of the job."""
        return self._run().job.kind

    @property
    def attempt(self) -> int:
        """Which attempt this is, counted from 1."""
        return self._run().job.attempt

    @property
    def results(self) -> list[Any]:
        """What those returned that this one comes after, in that order; None for one that has been forgotten."""
        return self._run().results()

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        run = _current.get()
        return run is not None and run.cancelled

    def check(self) -> None:
        """Stop here if it was asked to: raises Cancelled, which webqueue takes for the end of the job."""
        if self.cancelled:
            raise Cancelled

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell how far it is: a fraction within 0..1 and a few words."""
        if run := _current.get():
            run.progress(fraction, message)

    def log(self, message: object) -> None:
        """Keep a line with the job; everything that is sent to ``logging`` meanwhile is kept as well."""
        if run := _current.get():
            run.log(message)

    def _run(self) -> Run:
        run = _current.get()
        if run is None:
            raise RuntimeError("There is no current job: this is only known inside a handler that webqueue runs.")
        return run


current_job = CurrentJob()


def capture_logging() -> None:
    """From now on what is sent to ``logging`` inside a handler reaches its job as well; twice is fine.

    By way of the record factory: a handler on the root logger would switch off the warnings that an application without
    any logging setup sees on stderr, and make its ``logging.basicConfig()`` do nothing.
    """
    make = logging.getLogRecordFactory()
    if getattr(make, "webqueue", False):
        return

    def make_and_keep(*arguments: Any, **more: Any) -> logging.LogRecord:
        record = make(*arguments, **more)
        run = _current.get()
        if run is not None:
            _keep(run, record)
        return record

    make_and_keep.webqueue = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_and_keep)


def _keep(run: Run, record: logging.LogRecord) -> None:
    if not record.name.startswith("webqueue"):
        with contextlib.suppress(TypeError, ValueError):  # arguments that don't fit: logging itself tells of it
            run.log(record.getMessage(), record.levelname.lower())
