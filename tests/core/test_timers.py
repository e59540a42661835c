"""The one thread that waits until something is due."""

import logging
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from webqueue.timers import SWEEP, Timers

PATIENCE = 10.0


@pytest.fixture(name="timers")
def _timers() -> Iterator[Timers]:
    timers = Timers()
    timers.start()
    yield timers
    timers.stop()


def test_alarms_ring_in_order_and_never_early(timers: Timers) -> None:
    """Whatever the order in which they were set, alarms ring when they are due, the earliest first."""
    rang: queue.SimpleQueue[tuple[float, float]] = queue.SimpleQueue()
    start = time.monotonic()
    for delay in (0.15, 0.05, 0.1, 0.0, -1.0):
        timers.after(delay, lambda delay=delay: rang.put((delay, time.monotonic() - start)))  # type: ignore[misc]
    order = [rang.get(timeout=PATIENCE) for _ in range(5)]

    assert {0.0, -1.0} == {order[0][0], order[1][0]}
    assert [0.05, 0.1, 0.15] == [delay for delay, _ in order[2:]]
    assert all(max(delay, 0) <= at for delay, at in order)


def test_an_earlier_alarm_is_heard_while_waiting_for_a_later_one(timers: Timers) -> None:
    """The thread that waits for a late alarm is woken for an early one."""
    rang = threading.Event()
    timers.after(1000, lambda: None)
    timers.after(0.01, rang.set)

    assert rang.wait(PATIENCE)


def test_a_cancelled_alarm_does_not_ring(timers: Timers) -> None:
    """Cancelled in time, it does not ring; the next one does; what it would have called is let go."""
    rang = threading.Event()
    alarm = timers.after(0.02, lambda: pytest.fail("rang"))
    timers.after(0.05, rang.set)
    alarm.cancel()

    assert rang.wait(PATIENCE)


def test_a_broken_alarm_does_not_stop_the_others(timers: Timers, caplog: pytest.LogCaptureFixture) -> None:
    """What an alarm raises is logged, and the next one rings."""
    rang = threading.Event()

    def broken() -> None:
        raise ValueError("no")

    with caplog.at_level(logging.ERROR, "webqueue"):
        timers.after(0, broken)
        timers.after(0.01, rang.set)
        assert rang.wait(PATIENCE)
    assert "An alarm failed" in caplog.text


def test_alarms_set_by_alarms(timers: Timers) -> None:
    """An alarm may set the next one."""
    rang = threading.Event()
    timers.after(0, lambda: timers.after(0.01, rang.set) and None)

    assert rang.wait(PATIENCE)


def test_very_late_alarms_harm_nobody(timers: Timers) -> None:
    """An alarm later than a Condition can wait for (keep_days=1000000, say) does not kill the thread."""
    rang = threading.Event()
    timers.after(1e15, lambda: None)
    timers.after(float("inf"), lambda: None)
    timers.after(0.01, rang.set)
    assert rang.wait(PATIENCE)

    rang.clear()
    timers.after(0.01, rang.set)
    assert rang.wait(PATIENCE)


def test_cancelled_alarms_do_not_pile_up(timers: Timers) -> None:
    """A million jobs that end long before their timeouts leave no million alarms behind."""
    for _ in range(20 * SWEEP):
        timers.after(10**6, lambda: None).cancel()
    live = [timers.after(10**6, lambda: None) for _ in range(10)]

    assert len(timers._heap) <= 2 * SWEEP
    assert set(live) <= {entry[2] for entry in timers._heap}


def test_start_and_stop_twice() -> None:
    """Both bear being called twice, and a stopped one can start again."""
    timers = Timers()
    timers.stop()
    for _ in range(2):
        timers.start()
        timers.start()
        rang = threading.Event()
        timers.after(0, rang.set)
        assert rang.wait(PATIENCE)
        timers.stop()
        timers.stop()


def test_stop_from_an_alarm() -> None:
    """Whoever stops it in an alarm does not wait for itself."""
    timers = Timers()
    timers.start()
    stopped = threading.Event()

    def stop() -> None:
        timers.stop()
        stopped.set()

    timers.after(0, stop)
    assert stopped.wait(PATIENCE)


def test_idle_timers_do_not_wake(timers: Timers, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing is due, the thread's wait does not return, not even now and then."""
    woke: list[Any] = []
    wait = timers._changed.wait

    def counted(timeout: float | None = None) -> bool:
        answer = wait(timeout)
        woke.append(timeout)
        return answer

    monkeypatch.setattr(timers._changed, "wait", counted)
    rang = threading.Event()
    timers.after(0.01, rang.set)  # it goes through the counted wait from here on
    assert rang.wait(PATIENCE)
    timers.after(1000, lambda: None)
    before = len(woke)
    threading.Event().wait(1.0)

    assert before + 1 >= len(woke)
