"""One attempt, from its claim to the report of how it ended: in the consumer's thread, or in a process of its own."""

import ctypes
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from webqueue import context
from webqueue.attempt import Verdict, attempt, judge
from webqueue.errors import TimedOut
from webqueue.estimate import Pace
from webqueue.handlers import Handler, Handlers
from webqueue.job import Failure, Job
from webqueue.meters import Meters
from webqueue.processes import Processes
from webqueue.stores.base import Outcome
from webqueue.timers import Timers
from webqueue.troubles import STUCK

MARGIN: Final = 0.1
"""Seconds by which that is told later than it is so."""


class Executor:
    """Runs attempts, each in its consumer's thread; knows all that run. Lives as long as its engine."""

    def __init__(
        self,
        handlers: Handlers,
        reports: context.Reports,
        timers: Timers,
        pace: Pace,
        meters: Meters,
        clock: Callable[[], int],
        run_in: Callable[[], AbstractContextManager[Any]],
        on_stuck: Callable[[], None] = lambda: None,
    ) -> None:
        self._handlers = handlers
        self._reports = reports
        self._timers = timers
        self._pace = pace
        self._meters = meters
        self._clock = clock
        self._run_in = run_in
        self._on_stuck = on_stuck
        """Called where a job still runs STUCK seconds past its limit."""
        self._processes = Processes()
        self._runs: dict[int, context.Run] = {}  # one key a running job; single dict operations are atomic

    def run(self, job: Job) -> Outcome:
        """Call the handler of *job*, which was claimed by the calling thread. Never raises."""
        handler = self._handlers.get(job.kind)
        if handler is None:  # the store holds such jobs back; a handler can't vanish while the engine runs
            return Outcome(job, job.fail(self._clock(), Failure("NoHandler", f"No handler of kind {job.kind!r}.", "")))
        run = self._runs[job.id] = context.Run(job, self._reports, self._clock)
        if self._reports.unwanted(job.id):  # it was cancelled before there was a run to tell
            run.ask_to_stop()
        try:
            verdict = self._processes.attempt(handler, run) if handler.process else self._attempt(handler, run)
        finally:
            del self._runs[job.id]
        self._measure(job, time.monotonic() - run.started)
        return Outcome(job, self._after(handler, run, verdict))

    def _measure(self, job: Job, seconds: float) -> None:
        self._pace.ended(job.kind, seconds)
        waited = (job.started_at or 0) - max(job.created_at, job.run_at or 0)
        self._meters.ended(job.kind, waited / 1e6, seconds)

    def ask_to_stop(self, id: int) -> None:
        """The job of this id is no longer wanted: its handler sees it at its next look."""
        run = self._runs.get(id)
        if run is not None:
            run.ask_to_stop()

    def overdue(self, id: int) -> bool:
        """Whether the handler of this job runs past its timeout."""
        run = self._runs.get(id)
        return run is not None and run.overdue

    def stuck(self) -> list[tuple[int, str]]:
        """(id, kind) of those that have run past their timeout for STUCK seconds, as nothing can interrupt them."""
        now = time.monotonic()
        late = [run.job for run in list(self._runs.values()) if run.overdue and now - run.started > _limit(run)]
        return [(job.id, job.kind) for job in late]

    def _late(self, run: context.Run) -> None:
        """The deadline has passed. Most end at once; of those that do not it is told a little later."""
        _overdue(run)
        self._timers.after(STUCK + MARGIN, lambda: None if run.ended else self._on_stuck())

    def close(self) -> None:
        """End the processes that still run."""
        self._processes.close()

    def _attempt(self, handler: Handler[..., Any], run: context.Run) -> Verdict:
        """In the calling thread. A timeout is an exception that is raised in it, wherever it is just then."""
        if run.job.timeout is None:
            return attempt(handler, run, self._run_in)
        alarm = None
        try:
            try:
                alarm = self._timers.after(run.job.timeout, lambda: self._late(run))
                return attempt(handler, run, self._run_in)
            finally:
                _end(run)
        except TimedOut as late:  # between the handler's end and ours
            _end(run)
            return judge(handler, run.job, late)
        finally:
            if alarm is not None:
                alarm.cancel()

    def _after(self, handler: Handler[..., Any], run: context.Run, verdict: Verdict) -> Job:
        """What the job becomes."""
        job, now = run.job, self._clock()
        if verdict.result is not None:
            return job.complete(now, verdict.result)
        if run.cancelled or verdict.cancelled or verdict.failure is None:
            return job.cancel(now)
        outcome = "timeout" if verdict.timed_out else "failed"
        if job.attempt >= job.max_attempts or not verdict.worth_another:
            return job.fail(now, verdict.failure, outcome)
        wish = verdict.retry_after
        delay = handler.backoff.delay(job.attempt) if wish is None else wish
        return job.reschedule(now, verdict.failure, now + round(delay * 1e6), outcome)


# A thread can't be killed, but it can be made to raise: PyThreadState_SetAsyncExc, at the next bytecode it runs.
_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in.argtypes = [ctypes.c_ulong, ctypes.py_object]


def _limit(run: context.Run) -> float:
    return (run.job.timeout or 0.0) + STUCK


def _overdue(run: context.Run) -> None:
    """The deadline has passed: raise TimedOut in the handler. While C code holds on, the job is merely overdue."""
    with run.lock:
        if not run.ended:
            run.overdue = True
            _raise_in(run.thread, ctypes.py_object(TimedOut))


def _end(run: context.Run) -> None:
    """From here on nothing is raised in this thread on account of *run*: what is still to be raised is raised here.

    It can't be taken back instead: PyThreadState_SetAsyncExc(NULL) leaves the interpreter's flag set for good, and a
    traced function then never gets past its first instruction (seen with coverage, CPython 3.11).
    """
    with run.lock:
        run.ended = True
    if run.overdue:
        for _ in range(10):  # each jump back is a place where it may be raised
            pass
