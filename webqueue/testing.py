"""For users' own tests: a queue in memory that runs when it is told to, on a clock that stands still.

    def test_a_welcome_is_sent(outbox):
        with jobs.testing() as queue:
            sign_up("ada@example.org")            # pushes welcome
            assert ["done"] == [job.state for job in queue.drain()]
            queue.clock.advance(86_400)           # what was scheduled for tomorrow is due
            queue.drain()

As a pytest fixture, in ``conftest.py``: ``queue = webqueue.testing.fixture(jobs)``.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from webqueue.engine import Engine, wall_clock
from webqueue.handlers import Handlers
from webqueue.settings import Settings
from webqueue.views import JobView


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self._now = wall_clock()

    def __call__(self) -> int:
        """µs since 1970."""
        return self._now

    def advance(self, seconds: float) -> None:
        """So much time passes, at once."""
        self._now += round(seconds * 1e6)


class TestQueue:
    """A queue in memory without consumers: jobs wait until :meth:`drain` runs them, in the calling thread."""

    __test__ = False  # pytest: no class of tests

    def __init__(
        self, handlers: Handlers, run_in: Callable[[], AbstractContextManager[Any]] = nullcontext, **settings: Any
    ) -> None:
        self.clock = Clock()
        read = Settings.read({"store": "memory:", "consumers": 0, **settings}, {}, {})
        self.engine = Engine(read, handlers, run_in, clock=self.clock)

    def __enter__(self) -> "TestQueue":
        self.engine.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.stop(grace=0)

    def drain(self, most: int = 10_000) -> list[JobView]:
        """Run what may run by now, and what that pushes, until nothing is left (or *most* have run). Those that ran.

        A job that failed and is to be tried again is scheduled: advance the clock, and drain again.
        """
        return [JobView(job) for job in self.engine.run_waiting(most)]

    def jobs(self, **filter: Any) -> list[JobView]:
        """All jobs that match ``state``, ``kind``, ``queue``; the oldest first."""
        return [JobView(job) for job in reversed(self.engine.jobs(**filter, limit=1_000_000).items)]


class _HasTesting(Protocol):
    def testing(self) -> AbstractContextManager[TestQueue]: ...


def fixture(jobs: _HasTesting) -> Any:
    """A pytest fixture that gives each test a TestQueue in the place of *jobs*' real queue."""
    import pytest  # here alone: whoever has no tests has no pytest

    @pytest.fixture
    def queue() -> Iterator[TestQueue]:
        with jobs.testing() as made:
            yield made

    return queue
