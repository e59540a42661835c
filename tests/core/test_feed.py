"""What changed, in order, without holes; and whoever waits for it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from webqueue.feed import KEPT, MOST_LINES, MOST_REJECTIONS, Feed
from webqueue.job import Job, LogLine, Progress, Rejection, State

PATIENCE = 10.0


def _job(id: int, state: State = State.TODO) -> Job:
    return Job(id, "echo", b"{}", "default", 0, state, id, 3, 0)


def _waits(feed: Feed, seq: int | None, tell: Callable[[], Any]) -> bool:
    """Whether *tell* ends a wait for what comes after *seq*."""
    with ThreadPoolExecutor(1) as hands:
        entered = threading.Event()
        original = feed._news.wait

        def wait(timeout: float | None = None) -> bool:
            entered.set()
            return original(timeout)

        feed._news.wait = wait  # type: ignore[method-assign]
        waiting = hands.submit(feed.wait, seq, PATIENCE)
        assert entered.wait(PATIENCE)
        tell()
        return waiting.result(PATIENCE)


def test_numbers_have_no_holes() -> None:
    """Each step, each forgotten job, each pause and each rejection is one change more."""
    feed = Feed()
    feed.publish([_job(1), _job(2)], [7, 0])
    feed.reject(Rejection(3, 0, None, "", {}))

    assert 5 == feed.seq
    assert ({1, 2, 7, 0, -3}, 5) == feed.since(0)
    assert ({0, -3}, 5) == feed.since(3)
    assert (set(), 5) == feed.since(5)


@pytest.mark.parametrize("seq", [-1, 6, 10**9])
def test_numbers_never_given_out(seq: int) -> None:
    """A number that this epoch never gave out is not known."""
    feed = Feed()
    feed.publish([_job(1)] * 5)

    assert None is feed.since(seq)


def test_only_the_last_changes_are_kept() -> None:
    """Who missed more than is kept is told so, not given a part."""
    feed = Feed()
    feed.publish([_job(id) for id in range(1, KEPT + 11)])

    assert None is feed.since(9)
    ids, seq = feed.since(10) or (set(), 0)
    assert (KEPT, KEPT + 10, 11) == (len(ids), seq, min(ids))


def test_epochs_differ() -> None:
    """Each start has an epoch of its own."""
    assert Feed().epoch != Feed().epoch


def test_wait_returns_at_once_for_old_news() -> None:
    """Who has missed something does not wait."""
    feed = Feed()
    feed.publish([_job(1)])

    assert feed.wait(0, PATIENCE)
    assert not feed.wait(1, 0.01)


@pytest.mark.parametrize(
    "tell",
    [
        lambda feed: feed.publish([_job(1)]),
        lambda feed: feed.publish([], [4]),
        lambda feed: feed.reject(Rejection(1, 0, None, "", {})),
        lambda feed: feed.progress(_job(1, State.RUNNING).with_progress(Progress(0.5, ""))),
        lambda feed: feed.poke(),
        lambda feed: feed.close(),
    ],
    ids=["step", "forgotten", "rejection", "progress", "poke", "close"],
)
def test_news_end_a_wait(tell: Callable[[Feed], Any]) -> None:
    """Each kind of news, a poke and the end wake who waits."""
    feed = Feed()

    assert _waits(feed, 0, lambda: tell(feed))


def test_log_lines_of_followed_jobs_end_a_wait() -> None:
    """A log line does, where the job is followed."""
    feed = Feed()
    feed.follow(1)

    assert _waits(feed, 0, lambda: feed.logged(1, [LogLine(1, "info", "x")]))


def test_where_nobody_listens_only_a_poke_counts() -> None:
    """A wait for nobody gathers nothing and is ended by a poke alone."""
    feed = Feed()

    def tell() -> None:
        feed.publish([_job(1)])
        feed.reject(Rejection(1, 0, None, "", {}))
        feed.progress(_job(1).with_progress(Progress(0.5, "")))
        assert not feed._poked
        feed.poke()

    assert _waits(feed, None, tell)
    assert ([], {}) == (feed.take_rejections(), feed.take_progress())


def test_a_poke_wakes_once() -> None:
    """A poke ends one wait, also one that begins after it."""
    feed = Feed()
    feed.poke()

    assert feed.wait(0, PATIENCE)
    assert not feed.wait(0, 0.01)


def test_closed_for_good() -> None:
    """A closed feed never makes anybody wait."""
    feed = Feed()
    feed.close()

    assert feed.wait(0)
    assert feed.wait(0)


def test_followed_jobs_are_told_step_by_step() -> None:
    """Of a followed job every step and line comes, in order; of others nothing; progress only at its newest."""
    feed = Feed()
    feed.listen()
    feed.follow(1)
    running = _job(1, State.RUNNING)
    feed.publish([_job(1), _job(2)])
    feed.logged(1, [LogLine(1, "info", "a")])
    feed.logged(2, [LogLine(1, "info", "b")])
    feed.progress(running.with_progress(Progress(0.1, "")))
    feed.progress(running.with_progress(Progress(0.2, "")))
    feed.publish([_job(1, State.DONE)])
    told = feed.take_followed()

    assert [(1, State.TODO, 0), (1, None, 1), (1, State.DONE, 0), (1, State.RUNNING, 0)] == [
        (id, job and job.state, len(lines)) for id, job, lines in told
    ]
    assert [] == feed.take_followed()
    assert {1: Progress(0.2, "")} == feed.take_progress()
    assert {} == feed.take_progress()


def test_follow_is_counted() -> None:
    """Of two followers one may leave."""
    feed = Feed()
    feed.follow(1)
    feed.follow(1)
    feed.unfollow(1)
    feed.publish([_job(1)])
    assert 1 == len(feed.take_followed())
    feed.unfollow(1)
    feed.publish([_job(1)])
    assert [] == feed.take_followed()


def test_memory_is_bounded() -> None:
    """Rejections and log lines that nobody takes do not pile up."""
    feed = Feed()
    feed.listen()
    feed.follow(1)
    for number in range(1, 5000):
        feed.reject(Rejection(number, 0, None, "", {}))
        feed.logged(1, [LogLine(number, "info", "x")])

    assert [4999, MOST_REJECTIONS] == [(taken := feed.take_rejections())[-1].id, len(taken)]
    assert len(feed.take_followed()) <= MOST_LINES


def test_whoever_waits_for_an_end_is_called() -> None:
    """The call comes when the job has finished, whichever way, not before, and not after it was taken back."""
    feed = Feed()
    called: list[int] = []
    calls = [lambda number=number: called.append(number) for number in range(3)]  # type: ignore[misc]
    for call in calls:
        feed.on_finish(1, call)
    feed.off_finish(1, calls[1])
    feed.publish([_job(1, State.RUNNING), _job(2, State.DONE)])
    assert [] == called
    feed.publish([_job(1, State.CANCELLED)])
    assert [0, 2] == called
    for call in calls:
        feed.off_finish(1, call)
    assert {} == feed._finished
