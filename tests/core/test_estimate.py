"""How long jobs take, and when a waiting one will start."""

import pytest

from webqueue.estimate import Pace
from webqueue.job import Job, State

JOB = Job(1, "echo", b"{}", "default", 0, State.RUNNING, 1, 3, 0)


def _pace(*seconds: float) -> Pace:
    pace = Pace()
    for one in seconds:
        pace.ended(JOB, one)
    return pace


def test_nothing_measured_nothing_estimated() -> None:
    """Before the first job has ended, or without consumers, there is no estimate."""
    assert (None, None) == (Pace().starts_in(1, 1, 0), Pace().seconds(1))
    assert (None, None) == (_pace(1.0).starts_in(1, 0, 0), _pace(1.0).seconds(0))


def test_starts_in() -> None:
    """The next starts at once where a consumer is free, else when half a job has passed; others after those before."""
    pace = _pace(2.0)

    assert [0.0, 1.0, 3.0, 9.0] == [pace.starts_in(*one) for one in ((1, 1, 0), (1, 1, 1), (2, 1, 1), (5, 1, 1))]
    assert 4.5 == pace.starts_in(5, 2, 2)
    assert (2.0, 0.5) == (pace.seconds(1), pace.seconds(4))


def test_the_average_moves() -> None:
    """New measurements count for a tenth each."""
    assert pytest.approx(1.9) == _pace(1.0, 10.0).seconds(1)
    assert pytest.approx(3.0, rel=0.01) == _pace(1.0, *[3.0] * 100).seconds(1)
