"""A job's life in words."""

from dataclasses import replace
from typing import Any

import pytest

from webqueue.job import Attempt, Job, LogLine, State
from webqueue.timeline import SHOWN, cancelled_by, steps, took

MS = 1_000
SECOND = 1_000_000


@pytest.mark.parametrize(
    ("span", "words"),
    [(0, "0 ms"), (-5, "0 ms"), (999 * MS, "999 ms"), (SECOND, "1.0 s"), (1_550 * MS, "1.6 s"), (10 * SECOND, "10 s"),
     (59 * SECOND, "59 s"), (200 * SECOND, "3 min 20 s"), (600 * SECOND, "10 min"), (7_500 * SECOND, "2 h 5 min"),
     (4 * 86_400 * SECOND, "4 d")],
)  # fmt: skip
def test_spans(span: int, words: str) -> None:
    """From milliseconds to days, two units at most; none is below zero."""
    assert words == took(7, 7 + span)


def job(state: State, **more: Any) -> Job:
    """One that was pushed at second 1."""
    made = Job(
        id=1, kind="echo", payload=b"{}", queue="default", priority=0, state=state, place=1, max_attempts=3,
        created_at=SECOND, run_at=SECOND,
    )  # fmt: skip
    return replace(made, **more)


def attempt(number: int, started: int, ended: int) -> Attempt:
    """One that failed, from second to second."""
    return Attempt(number, started * SECOND, ended * SECOND, "failed", None)


TWO = (attempt(2, 8, 11), attempt(1, 3, 4))
"""Newest first, as a job has them."""


def test_each_attempt_with_how_long_it_waited_and_ran() -> None:
    """And the whole at the end."""
    failed = job(State.FAILED, attempt=2, history=TWO, started_at=8 * SECOND, finished_at=11 * SECOND)
    assert [
        ("pushed", 1, "", "ago"),
        ("attempt 1", 3, "waited 2.0 s, ran 1.0 s: failed", "ago"),
        ("attempt 2", 8, "waited 4.0 s, ran 3.0 s: failed", "ago"),
        ("failed", 11, "10 s in all", "ago"),
    ] == [(name, at // SECOND, words, told_as) for name, at, words, told_as in steps(failed)]


@pytest.mark.parametrize(
    ("made", "last"),
    [
        (job(State.TODO), ("waits since", 1, "", "since")),
        (job(State.TODO, history=TWO), ("waits since", 11, "", "since")),
        (job(State.TODO, history=TWO, run_at=20 * SECOND), ("waits since", 20, "", "since")),
        (job(State.SCHEDULED, run_at=60 * SECOND), ("due", 60, "", "until")),
        (job(State.SCHEDULED, run_at=None), ("pushed", 1, "", "ago")),
        (job(State.RUNNING, attempt=1, started_at=3 * SECOND), ("attempt 1", 3, "waited 2.0 s, runs", "since")),
        (job(State.CANCELLED, finished_at=4 * SECOND), ("cancelled", 4, "3.0 s in all", "ago")),
    ],
)
def test_where_it_stands(made: Job, last: tuple[str, int, str, str]) -> None:
    """The last step: waiting, due, running, over; who waits for other jobs has none."""
    name, at, words, told_as = steps(made)[-1]
    assert last == (name, at // SECOND, words, told_as)


def test_the_newest_attempts_are_told() -> None:
    """Of very many ones."""
    history = tuple(attempt(number, number * 2, number * 2 + 1) for number in range(30, 0, -1))
    names = [step.name for step in steps(job(State.TODO, history=history))]
    assert ["pushed", *(f"attempt {number}" for number in range(31 - SHOWN, 31)), "waits since"] == names


def lines(*told: tuple[int, str]) -> list[LogLine]:
    """A log: second and message."""
    return [LogLine(at * SECOND, "info", message) for at, message in told]


CANCELLED = job(State.CANCELLED, finished_at=9 * SECOND)
RUNNING = job(State.RUNNING, started_at=5 * SECOND)


@pytest.mark.parametrize(
    ("made", "log", "words"),
    [
        (CANCELLED, lines((9, "cancelled by ada: a mistake")), "cancelled by ada: a mistake"),
        (CANCELLED, lines((3, "cancelled by ada")), ""),
        (CANCELLED, lines((3, "cancelled by ada"), (9, "cancelled by eve")), "cancelled by eve"),
        (CANCELLED, [], ""),
        (RUNNING, lines((5, "begun"), (6, "cancelled by ada"), (7, "on its way out")), "cancelled by ada"),
        (RUNNING, lines((3, "cancelled by ada")), ""),
        (job(State.DONE, started_at=5, finished_at=9 * SECOND), lines((6, "cancelled by ada")), ""),
    ],
)
def test_who_cancelled_it(made: Job, log: list[LogLine], words: str) -> None:
    """What was said before a retry counts no more; nor what a job that ended all the same was asked."""
    assert words == cancelled_by(made, log)
