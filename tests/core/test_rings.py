"""The rings of GET /charts: exact to the second by a moved clock, bounded, and percentiles within their error."""

import math
from collections import Counter
from collections.abc import Iterator

import pytest

from webqueue.engine import Engine
from webqueue.handlers import Handlers
from webqueue.job import Job
from webqueue.rings import BOUNDS, ERROR, LENGTHS, SAMPLED, Ring, Seen, percentiles
from webqueue.settings import Settings

NOTHING = Seen(0, 0, 0, 0, 0)


def test_steps_are_closed_late_and_right() -> None:
    """What stood after the last change stood at the end of each step since."""
    ring = Ring(1, 300, 1_000, NOTHING)
    ring.turn(1_003, Seen(3, 1, 0, 2, 1))

    figures = [step.figures[:5] for step in ring.since(0)]
    assert [(3, 1, 0, 2, 1), (0, 0, 0, 2, 1), (0, 0, 0, 2, 1)] == figures
    assert [1_001, 1_002] == [step.at for step in ring.since(1_000)]


@pytest.mark.parametrize(("seconds", "length"), LENGTHS.items())
def test_a_ring_is_bounded(seconds: int, length: int) -> None:
    """However long nothing happens it holds its newest steps, and takes no longer for it."""
    ring = Ring(seconds, length, 0, NOTHING)
    ring.turn(10**9 * seconds, NOTHING)

    at = [step.at for step in ring.since(-1)]
    assert (length, (10**9 - 1) * seconds) == (len(at), at[-1])


@pytest.mark.parametrize("scale", [20.0, 1e3, 1e6, 1e9])
def test_percentiles_are_within_their_error(scale: float) -> None:
    """Whatever the times are."""
    times = sorted(scale * (1 + number / 7) for number in range(1_000))
    buckets = Counter(next(i for i, bound in enumerate(BOUNDS) if time <= bound) for time in times)

    for percent, found in zip((50, 95, 99), percentiles(buckets), strict=True):
        true = times[math.ceil(10 * percent) - 1] / 1e6
        assert found is not None
        assert abs(found - true) <= true * (ERROR + 0.006)  # told in three digits


SECOND = 1_000_000
BEGIN = 1_000_000_000 * SECOND
"""µs at which the tests' stores are opened: the beginning of a step of either length."""


class Counted:
    """An engine without consumers, and its clock."""

    def __init__(self) -> None:
        self.now = BEGIN
        handlers = Handlers()
        handlers.register(self._run, kind="echo", max_attempts=1)
        handlers.register(self._run, kind="again", max_attempts=2)
        self.engine = Engine(Settings(store="memory:", queues="default=0"), handlers, clock=lambda: self.now)
        self.raises = False

    def _run(self) -> None:
        self.now += SECOND // 2
        if self.raises:
            raise RuntimeError("on purpose")

    def push(self, number: int = 1, kind: str = "echo") -> None:
        self.engine.push_many([{"kind": kind}] * number)

    def claim(self) -> Job:
        job = self.engine._store.claim_now("default")
        assert job is not None
        return job

    def run(self) -> None:
        """The next job, in half a second."""
        self.engine._store.finish(self.engine._executor.run(self.claim()))

    def after(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    def told(self, *names: str, step: int = 1, since: int = 0) -> list[tuple[object, ...]]:
        """The steps that are over: their figures of these names."""
        body = self.engine.charts(step, since)
        return list(zip(*(body[name] for name in names), strict=True))


@pytest.fixture
def counted() -> Iterator[Counted]:
    """A store in memory that was just opened."""
    made = Counted()
    made.engine.start()
    yield made
    made.engine.stop(0)


def near(seconds: float) -> object:
    """As exact as a percentile is."""
    return pytest.approx(seconds, rel=ERROR + 0.006)


def test_each_step_tells_what_happened_in_it(counted: Counted) -> None:
    """Counts in the second in which they came, depth as it stood at its end, times in that in which they were known."""
    counted.push(3)
    counted.after(2)
    counted.claim()
    counted.after(1)

    assert [(3, 0, 3, 0), (0, 0, 3, 0), (0, 0, 2, 1)] == counted.told("pushed", "done", "todo", "running")
    assert [(None,), (None,), (near(2),)] == counted.told("wait_p50")


def test_a_step_begins_with_its_second(counted: Counted) -> None:
    """What came a microsecond before belongs to the one before, what came at its first to it."""
    counted.after(0.999999)
    counted.push()
    counted.after(0.000001)
    counted.push(2)
    counted.after(1)

    assert [(BEGIN // SECOND, 1, 1), (BEGIN // SECOND + 1, 2, 3)] == counted.told("at", "pushed", "todo")


def test_ten_seconds_are_one_step_of_the_hour(counted: Counted) -> None:
    """Counts are a second's there too, and the step that is not over is not told."""
    counted.push(3)
    counted.after(9)
    counted.push(2)
    assert [] == counted.told("pushed", step=10)
    counted.after(1)

    assert [(0.5, 5)] == counted.told("pushed", "todo", step=10)


@pytest.mark.parametrize(("kind", "ended"), [("echo", (0, 1)), ("again", (0, 0))])
def test_an_attempt_that_failed_took_its_time_too(counted: Counted, kind: str, ended: tuple[int, int]) -> None:
    """Whether the job is over by it or is to be tried again."""
    counted.raises = True
    counted.push(kind=kind)
    counted.run()
    counted.after(1)

    assert [(*ended, near(0.5))] == counted.told("done", "failed", "run_p99")


def test_a_job_that_is_cancelled_while_it_waits_took_no_time(counted: Counted) -> None:
    """Not even where an attempt had ended before."""
    counted.raises = True
    counted.push(kind="again")
    counted.run()
    counted.after(1)
    counted.engine.cancel(1)
    counted.after(1)

    assert [(near(0.5),), (None,)] == counted.told("run_p50")


def test_a_sampled_job_counts_for_those_that_are_left_out(counted: Counted) -> None:
    """From the 1,001st of a second on every other is timed, and has twice the weight: the median is that of all."""
    short, long = 2 * SAMPLED + 1, 3 * SAMPLED
    counted.push(short + long)
    counted.after(1)
    for _ in range(short):
        counted.claim()
    counted.after(0.9)
    for _ in range(long):
        counted.claim()
    counted.after(0.1)

    assert (near(1.9),) == counted.told("wait_p50")[-1]


def test_every_job_is_timed_again_once_there_are_few(counted: Counted) -> None:
    """The sampling of a busy second ends with it, if not at once."""
    counted.push(2 * SAMPLED + 2)
    for _ in range(2 * SAMPLED + 2):
        counted.claim()
    for _ in range(2):
        counted.after(1)
        counted.push(2)
        for _ in range(2):
            counted.claim()
    counted.after(1)

    assert 3 == sum(told is not None for (told,) in counted.told("wait_p50"))


def test_open_means_that_more_is_to_come(counted: Counted) -> None:
    """Of the step that is not over; of one in which nothing happened nothing is."""
    assert not counted.engine.charts(1)["open"]
    counted.push()
    assert counted.engine.charts(1)["open"]
    counted.after(1)
    assert not counted.engine.charts(1)["open"]


def test_a_clock_set_back_far_begins_anew(counted: Counted) -> None:
    """What lies in the future is gone, and whoever asks from there on gets all that there is."""
    counted.push()
    counted.after(100)
    assert 100 == len(counted.told("at"))
    counted.after(-50)
    counted.push()
    counted.after(1)

    assert [(BEGIN // SECOND + 50, 1)] == counted.told("at", "pushed", since=BEGIN // SECOND + 99)


def test_a_clock_set_back_a_little_goes_on(counted: Counted) -> None:
    """Its steps stay, and what comes meanwhile belongs to the newest."""
    counted.after(20)
    assert 20 == len(counted.told("at"))
    counted.after(-5)
    counted.push()
    counted.after(6)

    assert (BEGIN // SECOND + 20, 1) == counted.told("at", "pushed")[-1]
