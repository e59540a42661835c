"""Jobs that come after others, on every kind of store."""

from pathlib import Path

import pytest

from tests.stores.conftest import MakeBench
from tests.stores.kit import PATIENCE, Bench, draft
from webqueue.errors import StoreUnavailable, Unfit
from webqueue.job import Job, State
from webqueue.stores.base import Outcome, Pushed


def _after(*jobs: Job) -> Job:
    return draft(state=State.SCHEDULED, after=tuple(job.id for job in jobs))


def _states(bench: Bench, *jobs: Job) -> list[State]:
    return [bench.store.get(job.id).state for job in jobs]


def _is_clean(bench: Bench) -> bool:
    followers = bench.store.board.followers
    return not followers.first(1) and not followers._of


def test_it_waits_for_all_and_then_goes_to_the_tail(bench: Bench) -> None:
    """Neither the first end nor any time moves it; the last one does, behind what waits already."""
    first, second = bench.push(draft(), draft())
    (last,) = bench.push(_after(first, second))
    assert (State.SCHEDULED, True, None) == (last.state, last.follows, last.run_at)

    bench.complete(bench.claim())
    bench.pass_time(10**9)
    assert [State.SCHEDULED] == _states(bench, last)

    bench.push(draft())
    running = bench.claim()
    assert second.id == running.id
    bench.complete(running)
    assert [State.TODO] == _states(bench, last)
    assert [4, last.id] == bench.drain()
    assert _is_clean(bench)


def test_what_is_done_already_is_not_waited_for(bench: Bench) -> None:
    """Its answer says todo at once."""
    (first,) = bench.push(draft())
    bench.complete(bench.claim())
    (last,) = bench.push(_after(first))
    assert State.TODO == last.state
    assert [last.id] == bench.drain()
    assert _is_clean(bench)


def test_who_follows_a_failed_one_is_cancelled_and_so_is_who_follows_that(bench: Bench) -> None:
    """With a reason that names the job, in one step, also where it is pushed too late."""
    (first,) = bench.push(draft())
    (second,) = bench.push(_after(first))
    (third,) = bench.push(_after(second))
    bench.fail(bench.claim())
    assert [State.CANCELLED, State.CANCELLED] == _states(bench, second, third)
    error = bench.store.get(second.id).error
    assert error is not None
    assert ("DependencyFailed", f"Job {first.id}, after which it was to run, failed.") == (error.type, error.message)
    assert "cancelled" in str(bench.store.get(third.id).error)
    (late,) = bench.push(_after(first))
    assert State.CANCELLED == late.state
    assert {"failed": 1, "cancelled": 3} == _some_counts(bench)
    assert _is_clean(bench)


def _some_counts(bench: Bench) -> dict[str, int]:
    with bench.store.board.lock:
        return {state: number for state, number in bench.store.board.counts.by_state().items() if number}


def test_a_retry_of_the_one_before_is_still_waited_for(bench: Bench) -> None:
    """An attempt that failed and is due again is no end."""
    (first,) = bench.push(draft())
    (last,) = bench.push(_after(first))
    bench.reschedule(bench.claim(), 5)
    assert [State.SCHEDULED, State.SCHEDULED] == _states(bench, first, last)
    bench.pass_time(5)
    bench.complete(bench.claim())
    assert [State.TODO] == _states(bench, last)


def test_cancelling_either_end(bench: Bench) -> None:
    """Who waits can be cancelled by itself; cancelling whom it waits for cancels it, too."""
    first, other = bench.push(draft(), draft())
    (alone,) = bench.push(_after(other))
    (last,) = bench.push(_after(first))
    bench.store.cancel(alone.id)
    assert [State.TODO, State.CANCELLED] == _states(bench, other, alone)
    bench.store.cancel(first.id)
    assert [State.CANCELLED, State.CANCELLED] == _states(bench, first, last)
    assert [other.id] == bench.drain()
    assert _is_clean(bench)


def test_run_now_waits_no_longer_and_a_retry_does_not_wait_again(bench: Bench) -> None:
    """By hand it goes to todo, whatever it came after."""
    (first,) = bench.push(draft())
    (hurried,) = bench.push(_after(first))
    (cancelled,) = bench.push(_after(first))
    bench.store.run_now(hurried.id)
    bench.store.cancel(cancelled.id)
    bench.store.retry(cancelled.id)
    assert [first.id, hurried.id, cancelled.id] == bench.drain()
    assert _is_clean(bench)


def test_nothing_comes_after_a_job_that_is_not_there(bench: Bench) -> None:
    """It is unfit, with a message beside the very id; the rest of its batch is accepted."""
    (first,) = bench.push(draft())
    strange = draft(state=State.SCHEDULED, after=(first.id, 99))
    answers = bench.store.push([strange, draft()])
    assert isinstance(answers[0], Unfit)
    assert {"after": {1: ["There is no job 99."]}} == answers[0].errors
    assert isinstance(answers[1], Pushed)


def test_a_push_and_the_end_that_it_waits_for_in_one_batch(bench: Bench) -> None:
    """Whichever comes first, it is not forgotten."""
    (first,) = bench.push(draft())
    running = bench.claim()
    with bench.in_one_batch() as ask:
        before = ask(bench.store.push, [_after(first)])
        ask(bench.store.finish, _done(bench, running))
        behind = ask(bench.store.push, [_after(first)])
    bench.settle()
    jobs = [answers.result(PATIENCE)[0].job for answers in (before, behind)]
    assert [State.TODO, State.TODO] == _states(bench, *jobs)
    assert [2, 3] == sorted(bench.drain())
    assert _is_clean(bench)


def _done(bench: Bench, running: Job) -> object:
    return Outcome(running, running.complete(bench.clock(), b"1"))


def test_the_results_of_those_before(bench: Bench) -> None:
    """In the order of ``after``; None for one that has been forgotten."""
    first, second = bench.push(draft(), draft())
    (last,) = bench.push(_after(second, first))
    bench.complete(bench.claim())
    running = bench.claim()
    bench.end(running, running.complete(bench.clock(), b'{"n":2}'))
    assert [{"n": 2}, "ok"] == bench.store.results(last)
    bench.store.forget(first.id)
    assert [{"n": 2}, None] == bench.store.results(last)


def test_a_snapshot_shows_them_behind_those_that_have_a_time(bench: Bench) -> None:
    """They are scheduled, and counted as such."""
    (first,) = bench.push(draft())
    (last,) = bench.push(_after(first))
    (timed,) = bench.push(draft(state=State.SCHEDULED, run_at=bench.clock() + 5_000_000))
    snapshot = bench.store.snapshot()
    assert [timed.id, last.id] == [job.id for job in snapshot.scheduled]
    assert 2 == snapshot.counts["scheduled"]
    assert "it comes after job 1" == bench.store.board.waiting_for(last)


def test_a_forgotten_failure_was_a_failure(bench: Bench) -> None:
    """Where a job fails and is deleted in one batch, who comes after it is cancelled all the same."""
    (first,) = bench.push(draft())
    (last,) = bench.push(_after(first))
    with bench.in_one_batch() as ask:
        ask(bench.store.cancel, first.id)
        ask(bench.store.forget, first.id)
    bench.settle()
    assert [State.CANCELLED] == _states(bench, last)


def test_who_waits_is_still_waiting_after_a_restart(make_sqlite: MakeBench) -> None:
    """All of ``after`` is read back."""
    bench = make_sqlite()
    first, second = bench.push(draft(), draft())
    (last,) = bench.push(_after(first, second))
    bench.complete(bench.claim())
    bench.reopen()
    assert vars(last) == vars(bench.store.get(last.id))
    bench.complete(bench.claim())
    assert [State.TODO] == _states(bench, last)


def test_a_crash_leaves_the_end_and_what_follows_together(make_sqlite: MakeBench, tmp_path: Path) -> None:
    """What is on the disk is both or neither."""
    bench = make_sqlite()
    (first,) = bench.push(draft())
    (last,) = bench.push(_after(first))
    bench.complete(bench.claim())
    bench.crash(tmp_path / "after")
    assert [State.DONE, State.TODO] == _states(bench, first, last)
    assert [last.id] == bench.drain()


def test_a_write_that_fails_moves_nobody(make_sqlite: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cancel is refused, and who comes after still waits for the job; a second try reaches both."""
    bench = make_sqlite()
    (first,) = bench.push(draft())
    (last,) = bench.push(_after(first))
    with monkeypatch.context() as patch:
        patch.setattr(bench.store.tables, "write", _unwritable)
        with pytest.raises(StoreUnavailable):
            bench.store.cancel(first.id)
    assert [State.TODO, State.SCHEDULED] == _states(bench, first, last)
    bench.until_writable()
    bench.store.cancel(first.id)
    assert [State.CANCELLED, State.CANCELLED] == _states(bench, first, last)


def _unwritable(*_: object) -> None:
    raise StoreUnavailable("It can't be written.")


def test_many_follow_one_and_one_follows_many(bench: Bench) -> None:
    """No end is lost where many meet."""
    (first,) = bench.push(draft())
    crowd = bench.push(*[_after(first)] * 200)
    (last,) = bench.push(_after(*crowd))
    bench.complete(bench.claim())
    assert [job.id for job in crowd] == bench.drain()[:200]
    assert [State.DONE] == _states(bench, last)
    assert _is_clean(bench)
