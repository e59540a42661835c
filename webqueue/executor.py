"""One attempt, from the handler's call to the report of how it ended."""

import ctypes
import json
import logging
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from webqueue import context, strictjson
from webqueue.errors import Cancelled, Retry, TimedOut
from webqueue.estimate import Pace
from webqueue.handlers import Handler, Handlers
from webqueue.job import Failure, Job
from webqueue.stores.base import Outcome
from webqueue.timers import Timers

log = logging.getLogger("webqueue")

MAX_RESULT: Final = 2**20
"""Bytes of a result as JSON."""
MAX_TRACEBACK: Final = 8_000
MAX_MESSAGE: Final = 2_000


class NotJSONResult(Exception):
    """What a handler returned can't be written as JSON."""


class Executor:
    """Runs attempts, each in its consumer's thread; knows all that run. Lives as long as its engine."""

    def __init__(
        self,
        handlers: Handlers,
        reports: context.Reports,
        timers: Timers,
        pace: Pace,
        clock: Callable[[], int],
        run_in: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._handlers = handlers
        self._reports = reports
        self._timers = timers
        self._pace = pace
        self._clock = clock
        self._run_in = run_in
        self._runs: dict[int, context.Run] = {}  # one key a running job; single dict operations are atomic

    def run(self, job: Job) -> Outcome:
        """Call the handler of *job*, which was claimed by the calling thread. Never raises."""
        handler = self._handlers.get(job.kind)
        if handler is None:  # the store holds such jobs back; a handler can't vanish while the engine runs
            return Outcome(job, job.fail(self._clock(), Failure("NoHandler", f"No handler of kind {job.kind!r}.", "")))
        run = self._runs[job.id] = context.Run(job, self._reports, self._clock)
        try:
            after = self._attempt(handler, run)
        finally:
            del self._runs[job.id]
        self._pace.ended(job, time.monotonic() - run.started)
        return Outcome(job, after)

    def ask_to_stop(self, id: int) -> None:
        """The job of this id is no longer wanted: its handler sees it at its next look."""
        run = self._runs.get(id)
        if run is not None:
            run.cancelled = True

    def overdue(self, id: int) -> bool:
        """Whether the handler of this job runs past its timeout."""
        run = self._runs.get(id)
        return run is not None and run.overdue

    def _attempt(self, handler: Handler[..., Any], run: context.Run) -> Job:
        """The job as the attempt leaves it."""
        alarm = None
        try:
            try:
                if run.job.timeout is not None:
                    alarm = self._timers.after(run.job.timeout, lambda: _overdue(run))
                result = self._call(handler, run)
            finally:
                _end(run)
        except BaseException as error:  # SystemExit too: a handler must not take the consumer with it
            _end(run)
            return self._failed(handler, run, error)
        finally:
            if alarm is not None:
                alarm.cancel()
        return run.job.complete(self._clock(), result)

    def _call(self, handler: Handler[..., Any], run: context.Run) -> bytes:
        token = context.enter(run)
        try:
            with self._run_in():
                return _as_json(handler.function(**_arguments(handler, run.job)))
        finally:
            context.leave(token)

    def _failed(self, handler: Handler[..., Any], run: context.Run, error: BaseException) -> Job:
        job, now = run.job, self._clock()
        if run.cancelled or isinstance(error, Cancelled):
            return job.cancel(now)
        failure, outcome = _failure(error, job), "timeout" if isinstance(error, TimedOut) else "failed"
        if job.attempt >= job.max_attempts or not _worth_another(handler, error):
            return job.fail(now, failure, outcome)
        delay = error.after if isinstance(error, Retry) else handler.backoff.delay(job.attempt)
        return job.reschedule(now, failure, now + round(delay * 1e6), outcome)


def _arguments(handler: Handler[..., Any], job: Job) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(job.payload)
    if handler.schema is None:
        return payload
    loaded: dict[str, Any] = handler.schema.load(payload)
    return loaded


def _as_json(value: object) -> bytes:
    try:
        result = strictjson.dump(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJSONResult(f"The handler's result can't be written as JSON: {error}") from None
    if len(result) > MAX_RESULT:
        raise NotJSONResult(f"The handler's result has {len(result):,} bytes as JSON, {MAX_RESULT:,} are kept at most.")
    return result


def _worth_another(handler: Handler[..., Any], error: BaseException) -> bool:
    if isinstance(error, NotJSONResult):
        return False
    return isinstance(error, Retry | TimedOut) or handler.may_retry(error)


def _failure(error: BaseException, job: Job) -> Failure:
    text = "".join(traceback.format_exception(error))
    shown = text if len(text) <= MAX_TRACEBACK else "…" + text[-MAX_TRACEBACK:]
    if isinstance(error, TimedOut):
        return Failure("Timeout", f"It ran longer than {job.timeout:g} s.", _clean(shown))
    if isinstance(error, NotJSONResult):
        return Failure("NotJSON", _clean(str(error)[:MAX_MESSAGE]), "")
    return Failure(type(error).__name__, _clean(_message(error)[:MAX_MESSAGE]), _clean(shown))


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        log.exception("An exception of a handler can't be written as text")
        return "(its text can't be had)"


def _clean(text: str) -> str:
    """*text* without lone surrogates, which no client could read."""
    return text.encode(errors="replace").decode()


# A thread can't be killed, but it can be made to raise: PyThreadState_SetAsyncExc, at the next bytecode it runs.
_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in.argtypes = [ctypes.c_ulong, ctypes.py_object]


def _overdue(run: context.Run) -> None:
    """The deadline has passed: raise TimedOut in the handler. While C code holds on, the job is merely overdue."""
    with run.lock:
        if not run.ended:
            run.overdue = True
            _raise_in(run.thread, ctypes.py_object(TimedOut))


def _end(run: context.Run) -> None:
    """From here on nothing may be raised in this thread on account of *run*; twice is fine."""
    with run.lock:
        if run.overdue and not run.ended and threading.get_ident() == run.thread:
            _raise_in(run.thread, ctypes.py_object())  # NULL takes back what was not yet raised
        run.ended = True
