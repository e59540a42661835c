"""How long jobs take, and when a waiting one will start."""

import pytest

from webqueue.estimate import Pace


def _pace(*measured: tuple[str, float]) -> Pace:
    pace = Pace()
    for kind, seconds in measured:
        pace.ended(kind, seconds)
    return pace


def test_nothing_measured_nothing_estimated() -> None:
    """Where a kind that waits was never measured, or nobody would run it, there is no estimate."""
    assert Pace().mean({"echo": 1}) is None
    assert Pace().outlook(1, {"echo": 2}, []).starts_in(2) is None
    assert _pace(("echo", 1.0)).outlook(0, {"echo": 1}, []).starts_in(1) is None


def test_a_free_consumer_takes_it_at_once() -> None:
    """As many as there are free consumers start now, whatever is known."""
    assert [0.0, 0.0] == [Pace().outlook(3, {"echo": 2}, [("nap", 1.0)]).starts_in(position) for position in (1, 2)]


def test_behind_what_runs_and_what_waits() -> None:
    """It starts when what runs has ended, and what waits before it has run, shared among the consumers."""
    pace = _pace(("echo", 2.0))

    outlook = pace.outlook(1, {"echo": 9}, [("echo", 0.5)])
    assert [1.5, 3.5, 9.5] == [outlook.starts_in(position) for position in (1, 2, 5)]
    assert 4.5 == pace.outlook(2, {"echo": 9}, [("echo", 0.5), ("echo", 0.5)]).starts_in(4)
    assert 0.0 == pace.outlook(1, {"echo": 1}, [("echo", 7.0)]).starts_in(1)


def test_kinds_are_weighted_by_what_waits() -> None:
    """A quick kind says nothing of a slow one."""
    pace = _pace(("quick", 0.0), ("slow", 10.0))

    assert (10.0, 5.0, 0.0) == (pace.mean({"slow": 4}), pace.mean({"slow": 4, "quick": 4}), pace.mean({"quick": 1}))


def test_a_kind_that_has_not_ended_yet() -> None:
    """Of a kind that only runs so far, it is known how long it has been running: as much again is to come."""
    assert 6.0 == Pace().mean({"sleep": 3}, [("sleep", 6.0), ("sleep", 2.0)])
    assert 12.0 == Pace().outlook(1, {"sleep": 3}, [("sleep", 6.0)]).starts_in(2)


def test_the_average_moves() -> None:
    """New measurements count for a tenth each."""
    assert pytest.approx(1.9) == _pace(("echo", 1.0), ("echo", 10.0)).mean({"echo": 1})
    assert pytest.approx(3.0, rel=0.01) == _pace(("echo", 1.0), *[("echo", 3.0)] * 100).mean({"echo": 1})
