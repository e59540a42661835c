"""What users test their own handlers with."""

from webqueue.handlers import Handlers
from webqueue.testing import TestQueue


def _queue(**settings: object) -> tuple[TestQueue, list[str]]:
    handlers, ran = Handlers(), []
    queue = TestQueue(handlers, **settings)

    def first() -> str:
        ran.append("first")
        queue.engine.push({"kind": "second"})
        return "one"

    def second() -> None:
        ran.append("second")

    def flaky() -> None:
        ran.append("flaky")
        if ran.count("flaky") < 2:
            raise OSError("not yet")

    for function in (first, second, flaky):
        handlers.register(function)
    return queue, ran


def test_nothing_runs_before_drain() -> None:
    """Jobs wait until they are drained; then they run, and so does what they push."""
    queue, ran = _queue()
    with queue:
        queue.engine.push({"kind": "first"})
        assert [] == ran
        assert [("first", "one"), ("second", None)] == [(job.kind, job.result) for job in queue.drain()]
    assert ["first", "second"] == ran


def test_the_clock_stands_still() -> None:
    """What is due later runs only when the clock has been advanced; so does the next attempt after a failure."""
    queue, ran = _queue()
    with queue:
        queue.engine.push({"kind": "second", "delay": 86_400})
        queue.engine.push({"kind": "flaky"})
        assert ["scheduled"] == [job.state for job in queue.drain()]
        assert [] == queue.drain()
        queue.clock.advance(10)
        assert ["done"] == [job.state for job in queue.drain()]
        queue.clock.advance(86_400)
        assert ["second"] == [job.kind for job in queue.drain()]
        assert ["second", "flaky"] == [job.kind for job in queue.jobs()]
    assert ["flaky", "flaky", "second"] == ran
