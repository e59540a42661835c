"""One attempt, however its handler ends."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import pytest
from marshmallow import Schema, fields

from webqueue import context
from webqueue.attempt import MAX_MESSAGE, MAX_RESULT, MAX_TRACEBACK
from webqueue.context import MAX_LINES, current_job
from webqueue.errors import TEN_YEARS, Cancelled, Retry
from webqueue.estimate import Pace
from webqueue.executor import Executor
from webqueue.handlers import Handlers
from webqueue.job import Failure, Job, LogLine, Progress, State
from webqueue.meters import Meters
from webqueue.timers import Timers

PATIENCE = 10.0
NOW = 1_700_000_000_000_000


class Reports:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.progressed: list[Progress] = []
        self.lines: list[LogLine] = []
        self.asked: set[int] = set()

    def progress(self, claimed: Job, progress: Progress) -> None:
        self.progressed.append(progress)

    def log(self, id: int, lines: Sequence[LogLine]) -> None:
        self.lines += lines

    def unwanted(self, id: int) -> bool:
        return id in self.asked


class Stand:
    """An executor with handlers of one's own."""

    def __init__(self, timers: Timers) -> None:
        self.handlers, self.reports, self.timers = Handlers(), Reports(), timers
        self.run_in: Callable[[], Any] = nullcontext
        self.executor = Executor(
            self.handlers, self.reports, timers, Pace(), Meters(), lambda: NOW, lambda: self.run_in()
        )
        self.hands = ThreadPoolExecutor(2)

    def job(self, function: Callable[..., Any], payload: Any = None, **options: Any) -> Job:
        """A claimed job of a handler of its own."""
        handler = self.handlers.register(function, kind=f"k{len(self.handlers)}", **options)
        return Job(
            7, handler.kind, json.dumps(payload or {}).encode(), "default", 0, State.TODO, 1, handler.max_attempts, 0,
            timeout=handler.timeout,
        ).claim(5)  # fmt: skip

    def run(self, function: Callable[..., Any], payload: Any = None, **options: Any) -> Job:
        """What the job has become."""
        return self.executor.run(self.job(function, payload, **options)).after

    def start(self, job: Job) -> "Future[Job]":
        """Run it in another thread."""
        return self.hands.submit(lambda: self.executor.run(job).after)


@pytest.fixture(name="stand")
def _stand() -> Iterator[Stand]:
    timers = Timers()
    timers.start()
    stand = Stand(timers)
    yield stand
    stand.hands.shutdown()
    timers.stop()


def _error(job: Job) -> Failure:
    assert job.error is not None
    return job.error


def test_result(stand: Stand) -> None:
    """What the handler returns is the result, as JSON; None is null."""

    def add(a: int, b: int) -> dict[str, int]:
        return {"sum": a + b}

    job = stand.run(add, {"a": 1, "b": 2})
    assert (State.DONE, b'{"sum":3}', NOW) == (job.state, job.result, job.finished_at)
    assert b"null" == stand.run(lambda: None).result


def test_the_schema_fills_in_defaults(stand: Stand) -> None:
    """The handler gets what the schema loaded."""

    class Resize(Schema):
        width = fields.Integer(load_default=200)

    assert b"200" == stand.run(lambda width: width, schema=Resize).result


def _raiser(error: BaseException) -> Callable[[], None]:
    def handler() -> None:
        raise error

    return handler


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), StopIteration()]
)
def test_whatever_is_raised_is_a_failure(stand: Stand, error: BaseException) -> None:
    """An exception, even one that ends threads or processes, ends the attempt alone."""
    job = stand.run(_raiser(error), max_attempts=1)

    assert (State.FAILED, type(error).__name__, str(error)) == (job.state, _error(job).type, _error(job).message)
    assert "raise error" in _error(job).traceback
    assert "failed" == job.history[0].outcome


def test_a_failure_with_attempts_left_is_rescheduled(stand: Stand) -> None:
    """The next attempt is due after the backoff: a second, give or take a tenth."""
    job = stand.run(_raiser(ValueError("no")))

    assert State.SCHEDULED == job.state
    assert NOW + 900_000 <= (job.run_at or 0) <= NOW + 1_100_000


def test_retry_on_and_give_up_on(stand: Stand) -> None:
    """Only what is worth it is tried again."""
    assert State.FAILED == stand.run(_raiser(ValueError()), retry_on=OSError).state
    assert State.SCHEDULED == stand.run(_raiser(FileNotFoundError()), retry_on=OSError).state
    assert State.FAILED == stand.run(_raiser(FileNotFoundError()), retry_on=OSError, give_up_on=FileNotFoundError).state
    assert State.FAILED == stand.run(_raiser(SystemExit())).state


@pytest.mark.parametrize(
    ("after", "seconds"), [(60, 60), (0, 0), (-5, 0), (0.5, 0.5), (1e30, TEN_YEARS), (float("inf"), TEN_YEARS)]
)
def test_retry_asks_for_a_time(stand: Stand, after: float, seconds: float) -> None:
    """``Retry`` says when, in spite of ``give_up_on``; whatever number it says can be kept."""
    job = stand.run(_raiser(Retry(after)), give_up_on=Exception)

    assert (State.SCHEDULED, NOW + round(seconds * 1e6)) == (job.state, job.run_at)


def test_retry_needs_an_attempt(stand: Stand) -> None:
    """The last attempt fails even so."""
    assert State.FAILED == stand.run(_raiser(Retry(1)), max_attempts=1).state


@pytest.mark.parametrize("after", ["soon", None, float("nan")])
def test_retry_without_a_number_is_a_failure_like_others(stand: Stand, after: Any) -> None:
    """A ``Retry`` that makes no sense fails where it is written, and takes nothing else with it."""

    def handler() -> None:
        raise Retry(after)

    job = stand.run(handler)
    assert State.SCHEDULED == job.state
    assert _error(job).type in ("TypeError", "ValueError")


@pytest.mark.parametrize(
    "value",
    [float("nan"), [float("inf")], {1, 2}, object(), b"x", "\ud800", {(1,): 2}, "x" * MAX_RESULT],
    ids=lambda v: repr(v)[:20],
)
def test_a_result_that_is_not_json_fails_at_once(stand: Stand, value: Any) -> None:
    """NaN, sets, lone surrogates, too large a result: failed without another attempt, as ``NotJSON``."""
    job = stand.run(lambda: value)

    assert (State.FAILED, "NotJSON") == (job.state, _error(job).type)


def test_a_result_without_an_end(stand: Stand) -> None:
    """A circle, and a hundred thousand levels, are not JSON either."""
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    assert ["NotJSON", "NotJSON"] == [_error(stand.run(lambda value=value: value)).type for value in (circle, deep)]  # type: ignore[misc]


def test_the_largest_result(stand: Stand) -> None:
    """A result of exactly the largest size is kept."""
    assert MAX_RESULT == len(stand.run(lambda: "x" * (MAX_RESULT - 2)).result or b"")


def test_an_exception_without_words(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    """An exception whose ``__str__`` raises is a failure like others."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("never")

    with caplog.at_level(logging.ERROR, "webqueue"):
        job = stand.run(_raiser(MuteError()), max_attempts=1)
    assert (State.FAILED, "MuteError") == (job.state, _error(job).type)
    assert _error(job).message


def test_errors_are_capped_and_readable(stand: Stand) -> None:
    """Long messages and tracebacks are cut, lone surrogates replaced."""
    job = stand.run(_raiser(ValueError("\ud800" + "x" * 100_000)), max_attempts=1)

    assert len(_error(job).message) <= MAX_MESSAGE
    assert len(_error(job).traceback) <= MAX_TRACEBACK + 1
    json.dumps(_error(job), ensure_ascii=False).encode()


def test_deep_recursion(stand: Stand) -> None:
    """A handler that never returns from itself."""

    def handler() -> None:
        handler()

    assert "RecursionError" == _error(stand.run(handler, max_attempts=1)).type


# -- timeouts ---------------------------------------------------------------------------------------------------------


def _spin() -> None:
    while True:
        pass


def test_timeout_is_raised_in_the_handler(stand: Stand) -> None:
    """A handler that computes past its timeout is ended, and cleans up; it is tried again while it has attempts."""
    cleaned = threading.Event()

    def handler() -> None:
        try:
            _spin()
        finally:
            cleaned.set()

    job = stand.run(handler, timeout=0.05, max_attempts=1)
    assert (State.FAILED, "Timeout", "timeout") == (job.state, _error(job).type, job.history[0].outcome)
    assert "0.05 s" in _error(job).message
    assert cleaned.is_set()
    assert (State.SCHEDULED, "timeout") == ((job := stand.run(handler, timeout=0.05)).state, job.history[0].outcome)


def test_a_swallowed_timeout(stand: Stand) -> None:
    """A handler that catches everything ends as it likes, but only once is anything raised in it."""

    def handler() -> str:
        with suppress(BaseException):  # as bad handlers do
            _spin()
        return "ended"

    assert b'"ended"' == stand.run(handler, timeout=0.05).result


def test_overdue_while_it_can_not_be_interrupted(stand: Stand) -> None:
    """A handler that waits in C is overdue, and says so; what it returns in the end is late."""
    gate = threading.Event()
    job = stand.job(lambda: gate.wait(PATIENCE), timeout=0.02, max_attempts=1)
    future = stand.start(job)
    while not stand.executor.overdue(7):
        assert not future.done()
        threading.Event().wait(0.005)
    gate.set()

    assert (State.FAILED, "timeout") == ((after := future.result(PATIENCE)).state, after.history[0].outcome)
    assert not stand.executor.overdue(7)


def test_a_timeout_never_hits_the_next_job(stand: Stand) -> None:
    """However close a job's end is to its timeout, nothing is raised later: neither in the consumer nor in the next."""

    def close_call(seconds: float) -> str:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pass
        return "ok"

    def innocent() -> str:
        return "".join(str(i % 10) for i in range(200))

    states = set()
    inner = stand.job(innocent)
    for number in range(120):
        seconds = 0.002 + (number % 20 - 10) * 0.00005
        handler = stand.job(close_call, {"seconds": seconds}, timeout=0.002, max_attempts=1)
        states.add(stand.executor.run(handler).after.state)
        assert State.DONE == stand.executor.run(inner).after.state
        "".join(str(i % 10) for i in range(200))
    assert states <= {State.DONE, State.FAILED}
    assert {} == stand.executor._runs


def test_a_job_in_time_leaves_no_alarm(stand: Stand) -> None:
    """Its timeout's alarm is cancelled when it ends."""
    stand.run(lambda: None, timeout=1000)

    assert all(entry[2].cancelled for entry in stand.timers._heap)


# -- cancelling -------------------------------------------------------------------------------------------------------


def test_cancel_by_check(stand: Stand) -> None:
    """A handler that looks sees that it was asked to stop, and the job is cancelled."""
    entered, gate = threading.Event(), threading.Event()

    def handler() -> None:
        current_job.check()
        entered.set()
        gate.wait(PATIENCE)
        assert current_job.cancelled
        current_job.check()
        pytest.fail("it went on")

    future = stand.start(stand.job(handler))
    assert entered.wait(PATIENCE)
    stand.executor.ask_to_stop(7)
    gate.set()

    assert (State.CANCELLED, "cancelled", None) == (
        (job := future.result(PATIENCE)).state, job.history[0].outcome, job.error,
    )  # fmt: skip


def test_cancelled_before_it_began(stand: Stand) -> None:
    """A cancel between the claim and the handler's start is seen by the handler's first look."""
    stand.reports.asked.add(7)

    assert State.CANCELLED == stand.run(lambda: current_job.check()).state


def test_a_cancelled_handler_that_ends_by_itself(stand: Stand) -> None:
    """Asked to stop, it may still be done; an error is taken for the end that was asked for; ``Cancelled`` always."""
    stand.reports.asked.add(7)
    assert State.DONE == stand.run(lambda: "ready").state
    assert State.CANCELLED == stand.run(_raiser(ValueError())).state
    stand.reports.asked.clear()
    assert State.CANCELLED == stand.run(_raiser(Cancelled())).state


def test_asking_nobody(stand: Stand) -> None:
    """Asking a job that does not run does nothing."""
    stand.executor.ask_to_stop(99)
    assert not stand.executor.overdue(99)


# -- current_job ------------------------------------------------------------------------------------------------------


def test_current_job(stand: Stand) -> None:
    """Inside a handler it is the job; outside an error says so, but progress, log and check pass."""

    def handler() -> list[Any]:
        current_job.progress(2, "far")
        current_job.progress(-1)
        current_job.log("hello \ud800")
        return [current_job.id, current_job.kind, current_job.attempt, current_job.cancelled]

    assert b'[7,"k0",1,false]' == stand.run(handler).result
    assert [Progress(1.0, "far"), Progress(0.0, "")] == stand.reports.progressed
    assert [("info", "hello ?", NOW)] == [(line.level, line.message, line.at) for line in stand.reports.lines]
    with pytest.raises(RuntimeError, match="no current job"):
        _ = current_job.id
    current_job.progress(0.5)
    current_job.log("nobody")
    current_job.check()
    assert not current_job.cancelled


def test_current_job_ends_with_the_handler(stand: Stand) -> None:
    """However the handler ends, afterwards there is no current job."""
    for handler in (lambda: None, _raiser(ValueError()), _raiser(SystemExit())):
        stand.run(handler)
        with pytest.raises(RuntimeError):
            _ = current_job.id


def test_log_lines_are_bounded(stand: Stand) -> None:
    """So many lines of an attempt are kept; the last says that there were more."""

    def handler() -> None:
        for number in range(MAX_LINES + 50):
            current_job.log(number)

    stand.run(handler)
    assert MAX_LINES == len(stand.reports.lines)
    assert "not kept" in stand.reports.lines[-1].message


def test_logging_reaches_the_job(stand: Stand) -> None:
    """What the handler logs by ``logging`` is kept, with its level."""
    context.capture_logging()

    def handler() -> None:
        logging.getLogger("shop").warning("low on %s", "ink")
        logging.getLogger("webqueue").warning("of webqueue itself")

    stand.run(handler)
    logging.getLogger("shop").warning("outside")
    assert [("warning", "low on ink")] == [(line.level, line.message) for line in stand.reports.lines]


def test_handlers_run_in_a_context(stand: Stand) -> None:
    """The context is entered around each handler, in its thread, and left however it ends; its errors are failures."""
    seen: list[str] = []

    @contextmanager
    def app_context() -> Iterator[None]:
        seen.append("in")
        try:
            yield
        finally:
            seen.append("out")

    stand.run_in = app_context
    stand.run(lambda: seen.append("handler"))
    stand.run(_raiser(SystemExit()))
    assert ["in", "handler", "out", "in", "out"] == seen

    def broken() -> Any:
        raise OSError("no context")

    stand.run_in = broken
    assert "OSError" == _error(stand.run(lambda: None, max_attempts=1)).type


def test_a_payload_that_no_longer_fits(stand: Stand) -> None:
    """A stored payload that its schema does not take (any more) is a failure."""

    def handler(a: int) -> None:
        pass

    assert (State.FAILED, "ValidationError") == (
        (job := stand.run(handler, {"b": 1}, max_attempts=1)).state, _error(job).type,
    )  # fmt: skip


def test_a_kind_without_a_handler(stand: Stand) -> None:
    """A job whose kind nobody serves is failed, not lost."""
    job = Job(1, "gone", b"{}", "default", 0, State.TODO, 1, 3, 0).claim(1)

    assert (State.FAILED, "NoHandler") == ((after := stand.executor.run(job).after).state, _error(after).type)
