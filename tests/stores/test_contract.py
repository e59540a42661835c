"""One suite for every kind of store: all verbs of ``stores/base.py``."""

import pytest

from tests.stores.conftest import MakeBench
from tests.stores.kit import BROKEN, PATIENCE, Bench, draft
from webqueue.errors import JobNotFound, KeyReused, StateConflict
from webqueue.job import Job, LogLine, Progress, Rejection, State
from webqueue.stores.base import NoRoom, Outcome, Pushed
from webqueue.stores.tables import Filter, matches
from webqueue.stores.upkeep import Retention


def _ids(jobs: list[Job]) -> list[int]:
    return [job.id for job in jobs]


# -- pushing -----------------------------------------------------------------------------------------------------


def test_push_numbers_jobs_in_order(bench: Bench) -> None:
    """Accepted jobs get ascending ids, their first revision, and the store's time."""
    jobs = bench.push(draft(), draft(), draft())

    assert [1, 2, 3] == _ids(jobs)
    assert [(State.TODO, 1, 0, bench.clock())] * 3 == [(j.state, j.revision, j.attempt, j.created_at) for j in jobs]
    assert {"scheduled": 0, "todo": 3, "running": 0, "done": 0, "failed": 0, "cancelled": 0} == _counts(bench)


def test_push_of_nothing(bench: Bench) -> None:
    """A push of no jobs is answered with no answers, and changes nothing."""
    before = bench.feed.seq

    assert [] == bench.store.push([])
    assert before == bench.feed.seq


def test_pushed_jobs_are_read_back_as_they_are(bench: Bench) -> None:
    """All that a job holds is there again when it is read."""
    (job,) = bench.push(
        draft(
            payload='{"a":"ä 🎈"}'.encode(), queue="mail", priority=-7, timeout=2.5, max_attempts=9, unique_key="k",
            run_at=5, state=State.TODO, idempotency=("key", b"digest"),
        )
    )  # fmt: skip

    assert vars(job) == vars(bench.store.get(job.id))


def test_full_todo_takes_exactly_max_todo(make_bench: MakeBench) -> None:
    """The push that finds ``max_todo`` jobs in todo is answered NoRoom, alone; a claim makes room for one."""
    bench = make_bench(max_todo=3)

    answers = bench.store.push([draft() for _ in range(5)])
    assert [True, True, True, False, False] == [isinstance(answer, Pushed) for answer in answers]
    assert NoRoom(3) == answers[4]

    bench.claim()
    answers = bench.store.push([draft(), draft()])
    assert [True, False] == [isinstance(answer, Pushed) for answer in answers]


def test_scheduled_jobs_take_no_room(make_bench: MakeBench) -> None:
    """``max_todo`` counts todo, not what is scheduled; a cancelled job makes room."""
    bench = make_bench(max_todo=1)
    bench.push(draft(run_at=bench.clock() + 10**9), draft(), draft(run_at=bench.clock() + 10**9))

    assert [NoRoom(1)] == bench.store.push([draft()])
    bench.store.cancel(2)
    assert [4] == _ids(bench.push(draft()))


def test_idempotency_key_gives_the_first_job_again(bench: Bench) -> None:
    """Same key and body is the same job, whatever became of it; another body is KeyReused; a key dies with its job."""
    same = draft(idempotency=("k", b"one"))
    (job,) = bench.push(same)

    (again,) = bench.store.push([same])
    assert Pushed(job, fresh=False)[1:] == again[1:]
    assert job.id == again.job.id

    (reused,) = bench.store.push([draft(idempotency=("k", b"two"))])
    assert isinstance(reused, KeyReused)

    bench.complete(bench.claim())
    (after,) = bench.store.push([same])
    assert (job.id, State.DONE, False) == (after.job.id, after.job.state, after.fresh)

    bench.store.forget(job.id)
    assert [2] == _ids(bench.push(draft(idempotency=("k", b"two"))))


def test_idempotency_key_twice_in_one_push(bench: Bench) -> None:
    """Two pushes with one key in one flush make one job."""
    first, second = bench.store.push([draft(idempotency=("k", b"1")), draft(idempotency=("k", b"1"))])

    assert (1, True, 1, False) == (first.job.id, first.fresh, second.job.id, second.fresh)


def test_unique_key_gives_the_active_job(bench: Bench) -> None:
    """While a job with the key is scheduled, todo or running, another push means that one; then it makes a new one."""
    keyed = draft(unique_key="k")
    first, twin = bench.store.push([keyed, keyed])
    assert Pushed(first.job, fresh=False, duplicate=True) == twin

    running = bench.claim()
    (twin,) = bench.store.push([keyed])
    assert (1, True, State.RUNNING) == (twin.job.id, twin.duplicate, twin.job.state)

    bench.reschedule(running, 60)
    (twin,) = bench.store.push([keyed])
    assert (1, True, State.SCHEDULED) == (twin.job.id, twin.duplicate, twin.job.state)

    bench.store.cancel(1)
    (fresh,) = bench.store.push([keyed])
    assert (2, True, False) == (fresh.job.id, fresh.fresh, fresh.duplicate)


def test_unique_key_of_a_done_job_is_free(bench: Bench) -> None:
    """A done job holds its key no more."""
    bench.push(draft(unique_key="k"))
    bench.complete(bench.claim())

    assert [2] == _ids(bench.push(draft(unique_key="k")))


# -- claiming and ending -------------------------------------------------------------------------------------------


def test_claims_are_first_in_first_out(bench: Bench) -> None:
    """One consumer gets the jobs of one priority in the order of their acceptance, though windows are small."""
    for _ in range(5):
        bench.push(*[draft() for _ in range(5)])

    assert list(range(1, 26)) == bench.drain()


def test_higher_priorities_go_first(bench: Bench) -> None:
    """Higher priority first; among equals, first in first out, over all kinds and unlisted queues of a group."""
    priorities = [0, 5, -3, 5, 0, 9, -3, 0, 5, 2, 2, 9, 0]
    bench.push(*[draft(("echo", "add")[i % 2], queue=f"q{i % 3}", priority=p) for i, p in enumerate(priorities)])

    expected = [id for id, _ in sorted(enumerate(priorities, 1), key=lambda one: (-one[1], one[0]))]
    assert expected == bench.drain()


def test_groups_have_their_own_jobs(make_bench: MakeBench) -> None:
    """A listed queue is served by its own consumers, all others by those of ``default``."""
    bench = make_bench(groups=("default", "mail"))
    bench.push(draft(queue="mail"), draft(queue="other"), draft(queue="mail"), draft())

    assert [1, 3] == [bench.claim("mail").id, bench.claim("mail").id]
    assert [2, 4] == [bench.claim().id, bench.claim().id]
    assert bench.idle()
    assert bench.idle("mail")


def test_claim_begins_an_attempt(bench: Bench) -> None:
    """A claimed job is running, one attempt and one revision further, and started now."""
    bench.push(draft())
    job = bench.claim()

    assert (State.RUNNING, 1, 2, bench.clock()) == (job.state, job.attempt, job.revision, job.started_at)
    assert State.RUNNING == bench.store.get(1).state
    assert (0, 1) == (_counts(bench)["todo"], _counts(bench)["running"])


def test_claim_waits_for_a_push(bench: Bench) -> None:
    """A claim of an empty queue waits until a job is there."""
    claim = bench.later(bench.store.claim, "default", 0)
    assert not claim.done()

    bench.push(draft())
    assert 1 == claim.result(PATIENCE).id


def test_claim_ends_with_the_store(bench: Bench) -> None:
    """Whoever waits in a claim gets None when the store takes no more claims."""
    claims = [bench.later(bench.store.claim, "default", slot) for slot in range(3)]
    bench.store.stop_claims()

    assert [None] * 3 == [claim.result(PATIENCE) for claim in claims]


def test_complete(bench: Bench) -> None:
    """A completed job is done, with its result, its time and an attempt in its history."""
    bench.push(draft())
    job = bench.claim()
    bench.clock.advance(2)
    bench.complete(job)
    done = bench.store.get(1)

    assert (State.DONE, b'"ok"', bench.clock(), 3) == (done.state, done.result, done.finished_at, done.revision)
    assert [(1, "done", None)] == [(one.attempt, one.outcome, one.error) for one in done.history]
    assert 1 == bench.store.board.totals.done


def test_fail(bench: Bench) -> None:
    """A failed job keeps its error, there and in its history."""
    bench.push(draft())
    bench.fail(bench.claim())
    failed = bench.store.get(1)

    assert (State.FAILED, BROKEN, BROKEN) == (failed.state, failed.error, failed.history[0].error)


def test_reschedule_comes_back_when_due(bench: Bench) -> None:
    """A rescheduled job is scheduled, then, when its time has come, it is claimed as the next attempt."""
    bench.push(draft())
    bench.reschedule(bench.claim(), 5)
    assert State.SCHEDULED == bench.store.get(1).state
    bench.pass_time(4.999999)
    assert bench.idle()
    bench.pass_time(0.000001)

    assert (1, 2) == ((job := bench.claim()).id, job.attempt)


def test_late_report_changes_nothing(bench: Bench) -> None:
    """A report of a claim that no longer stands changes nothing and is counted: after release, and after an end."""
    bench.push(draft())
    old = bench.claim()
    bench.store.release(old)
    bench.settle()
    new = bench.claim()
    assert (1, 1) == (old.attempt, new.attempt)

    bench.end(old, old.complete(bench.clock(), b"1"))
    assert State.RUNNING == bench.store.get(1).state
    bench.end(new, new.complete(bench.clock(), b"2"))
    bench.end(new, new.fail(bench.clock(), BROKEN))

    assert (State.DONE, b"2", 2) == (bench.store.get(1).state, bench.store.get(1).result, bench.store.late)
    assert 1 == len(bench.store.get(1).history)


def test_two_reports_of_one_claim(bench: Bench) -> None:
    """Of two reports of one claim, even in one flush, the first counts."""
    bench.push(draft())
    job = bench.claim()
    bench.store.finish(Outcome(job, job.complete(bench.clock(), b"1")))
    bench.store.finish(Outcome(job, job.complete(bench.clock(), b"2")))
    bench.settle()

    assert (b"1", 1, 1) == (bench.store.get(1).result, bench.store.late, bench.store.board.totals.done)


def test_release_goes_to_the_front(bench: Bench) -> None:
    """A released job stands where it stood, before all that came later, and used no attempt."""
    bench.push(*[draft() for _ in range(12)])
    first = bench.claim()
    second = bench.claim(slot=1)
    bench.store.release(second)
    bench.store.release(first)
    bench.settle()

    assert 0 == bench.store.get(1).attempt
    assert list(range(1, 13)) == bench.drain()


def test_fencing_survives_release_and_small_windows(bench: Bench) -> None:
    """However often a job is released, a report of an older claim never counts, wherever the job was read from."""
    bench.push(*[draft(priority=-1) for _ in range(3)])
    old = bench.claim()
    bench.store.release(old)
    bench.settle()
    bench.push(*[draft() for _ in range(30)])  # it is pushed out of the window
    for _ in range(30):
        bench.complete(bench.claim())
    new = bench.claim()
    assert old.id == new.id

    bench.end(old, old.complete(bench.clock(), b'"old"'))
    assert State.RUNNING == bench.store.get(old.id).state
    assert new.revision > old.revision


# -- steering ------------------------------------------------------------------------------------------------------


def test_cancel_waiting(bench: Bench) -> None:
    """A todo or scheduled job is cancelled at once, and never claimed."""
    bench.push(draft(), draft(run_at=bench.clock() + 1_000_000), draft())

    assert State.CANCELLED == bench.store.cancel(1).state
    assert State.CANCELLED == bench.store.cancel(2).state
    bench.pass_time(2)
    assert [3] == bench.drain()
    assert {"cancelled": 2, "done": 1} == {state: n for state, n in _counts(bench).items() if n}


def test_cancel_running_asks(bench: Bench) -> None:
    """A running job is returned as it is: its handler must be asked."""
    bench.push(draft())
    bench.claim()

    assert State.RUNNING == bench.store.cancel(1).state


def test_cancel_finished_is_a_conflict(bench: Bench) -> None:
    """A finished job can't be cancelled; an unknown one isn't there."""
    bench.push(draft())
    bench.complete(bench.claim())

    with pytest.raises(StateConflict):
        bench.store.cancel(1)
    with pytest.raises(JobNotFound):
        bench.store.cancel(2)


def test_retry(bench: Bench) -> None:
    """A failed or cancelled job goes to the tail of todo and counts its attempts anew."""
    bench.push(draft(), draft())
    bench.fail(bench.claim())
    bench.store.cancel(2)
    bench.push(draft())

    assert [State.TODO, State.TODO] == [bench.store.retry(2).state, bench.store.retry(1).state]
    assert [3, 2, 1] == bench.drain()
    assert [1, 1] == [bench.store.get(1).attempt, len(bench.store.get(1).history) - 1]


def test_retry_conflicts(bench: Bench) -> None:
    """What waits, runs or is done can't be retried; nor can what is not there."""
    bench.push(draft(), draft(run_at=bench.clock() + 10**9))
    for id in (1, 2):
        with pytest.raises(StateConflict):
            bench.store.retry(id)
    job = bench.claim()
    with pytest.raises(StateConflict):
        bench.store.retry(1)
    bench.complete(job)
    with pytest.raises(StateConflict):
        bench.store.retry(1)
    with pytest.raises(JobNotFound):
        bench.store.retry(3)


def test_retry_respects_the_unique_key(bench: Bench) -> None:
    """A job can't come back while another one holds its unique_key."""
    bench.push(draft(unique_key="k"))
    bench.fail(bench.claim())
    bench.push(draft(unique_key="k"))

    with pytest.raises(StateConflict):
        bench.store.retry(1)
    bench.store.cancel(2)
    assert State.TODO == bench.store.retry(1).state


def test_run_now(bench: Bench) -> None:
    """A scheduled job goes to the tail of todo; any other is a conflict."""
    bench.push(draft(run_at=bench.clock() + 10**9), draft())

    assert State.TODO == bench.store.run_now(1).state
    assert [2, 1] == bench.drain()
    with pytest.raises(StateConflict):
        bench.store.run_now(1)


def test_forget(bench: Bench) -> None:
    """A finished job is gone with its log; what is not finished stays."""
    bench.push(draft(), draft())
    job = bench.claim()
    bench.store.log(1, [LogLine(1, "info", "hello")])
    with pytest.raises(StateConflict):
        bench.store.forget(1)
    bench.complete(job)
    bench.store.forget(1)

    for call in (bench.store.get, bench.store.forget, bench.store.cancel, bench.store.retry):
        with pytest.raises(JobNotFound):
            call(1)
    with pytest.raises(JobNotFound):
        bench.store.read_log(1, None, 10)
    with pytest.raises(StateConflict):
        bench.store.forget(2)
    assert [2] == _ids(bench.store.page(Filter(), None, 10).items)
    assert [3] == _ids(bench.push(draft()))


def test_ids_are_never_used_twice(bench: Bench) -> None:
    """Forgetting the newest job does not free its id."""
    bench.push(draft())
    bench.store.cancel(1)
    bench.store.forget(1)

    assert [2] == _ids(bench.push(draft()))


def test_pause_and_resume(make_bench: MakeBench) -> None:
    """A paused queue starts nothing, others do; pushes are accepted; resuming wakes who waits."""
    bench = make_bench(groups=("default", "mail"))
    bench.store.pause("slow", "lunch")
    bench.push(draft(queue="slow"), draft())
    assert 2 == bench.claim().id
    assert bench.idle()
    assert (False, {"slow": {"why": "lunch", "at": bench.clock()}}) == bench.store.paused()

    bench.store.pause("", None)
    bench.push(draft(queue="mail"))
    assert bench.idle("mail")
    claims = [bench.later(bench.store.claim, group, slot) for slot, group in enumerate(("default", "mail"))]
    bench.store.resume("slow")
    assert bench.idle()
    bench.store.resume("")
    assert {1, 3} == {claim.result(PATIENCE).id for claim in claims}
    assert (False, {}) == bench.store.paused()


def test_bulk_cancel_and_retry(bench: Bench) -> None:
    """All that match are counted; the oldest are done first, up to the limit."""
    bench.push(*[draft(("echo", "add")[i % 2]) for i in range(20)])

    matched, done = bench.store.cancel_all(Filter(kind="add"), 4)
    assert (10, [2, 4, 6, 8]) == (matched, _ids(done))
    matched, done = bench.store.cancel_all(Filter(state="todo"), 100)
    assert (16, 16) == (matched, len(done))
    assert bench.idle()
    matched, done = bench.store.retry_all(Filter(state="cancelled"), 7)
    assert (20, list(range(1, 8))) == (matched, _ids(done))
    assert list(range(1, 8)) == bench.drain()


def test_bulk_is_only_counted_with_a_limit_of_0(bench: Bench) -> None:
    """By state, kind and queue as by anything else: the number is the same, and nothing is done."""
    bench.push(*[draft(("echo", "add")[i % 2], queue=("default", "mail")[i % 3 == 0]) for i in range(12)])
    bench.claim()
    for wanted in (Filter(), Filter("todo"), Filter("running"), Filter(kind="add"), Filter("todo", "echo", "mail")):
        every = sum(matches(job, wanted) for job in bench.store.page(Filter(), None, 100).items)
        assert (every, []) == bench.store.cancel_all(wanted, 0)


def test_bulk_by_error_and_running(bench: Bench) -> None:
    """``error`` is the error's type; what runs is counted as running, and only returned to be asked."""
    bench.push(*[draft() for _ in range(4)])
    bench.fail(bench.claim())
    bench.claim()

    assert (1, [1]) == ((found := bench.store.retry_all(Filter(error="ValueError"), 10))[0], _ids(found[1]))
    assert (0, []) == bench.store.retry_all(Filter(error="KeyError"), 10)
    matched, asked = bench.store.cancel_all(Filter(state="running"), 10)
    assert (1, [2]) == (matched, _ids(asked))
    matched, asked = bench.store.cancel_all(Filter(), 10)
    assert (4, [1, 2, 3, 4]) == (matched, _ids(asked))
    assert {"cancelled": 3, "running": 1} == {state: n for state, n in _counts(bench).items() if n}


# -- what is told -----------------------------------------------------------------------------------------------------


def test_progress_is_told_not_written(bench: Bench) -> None:
    """Progress moves neither revision nor seq; a late one is ignored; it is gone when the attempt ends."""
    bench.push(draft())
    job = bench.claim()
    before = bench.feed.seq
    bench.store.progress(job, Progress(0.5, "half"))

    assert (Progress(0.5, "half"), 2, before) == (
        bench.store.get(1).progress, bench.store.get(1).revision, bench.feed.seq,
    )  # fmt: skip
    bench.complete(job)
    bench.store.progress(job, Progress(0.9, "late"))
    assert None is bench.store.get(1).progress


def test_log_pages(bench: Bench) -> None:
    """Log lines are read oldest first, in pages without a gap or a repetition."""
    bench.push(draft(), draft())
    for number in range(7):
        bench.store.log(1, [LogLine(number, "info", str(number))])
        bench.store.log(2, [LogLine(number, "error", "other")])
    bench.settle()

    read, cursor = [], None
    while True:
        page = bench.store.read_log(1, cursor, 3)
        read += [line.message for line in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert [str(number) for number in range(7)] == read
    assert [] == bench.store.read_log(1, 7, 3).items


def test_rejections(bench: Bench) -> None:
    """Rejections are kept, newest first, in pages; ids ascend."""
    for number in range(5):
        id = bench.store.next_rejection()
        bench.store.reject(Rejection(id, number, "echo", "unfit", {"kind": ["no"]}, b'{"a":1}'))
    bench.settle()

    page = bench.store.read_rejections(None, 3)
    assert [5, 4, 3] == [one.id for one in page.items]
    rest = bench.store.read_rejections(page.next, 3)
    assert ([2, 1], None) == ([one.id for one in rest.items], rest.next)
    assert Rejection(5, 4, "echo", "unfit", {"kind": ["no"]}, b'{"a":1}') == page.items[0]
    assert 5 == bench.store.board.totals.rejected


def test_pages_are_keysets(bench: Bench) -> None:
    """Pages are newest first; following the cursors gives every job once, though jobs come and go meanwhile."""
    bench.push(*[draft(("echo", "add")[i % 2], queue=f"q{i % 3}") for i in range(20)])
    for _ in range(3):
        bench.complete(bench.claim())
    running = bench.claim()

    seen, cursor = [], None
    while True:
        page = bench.store.page(Filter(), cursor, 6)
        seen += page.items
        cursor = page.next
        bench.push(draft())
        if cursor is None:
            break
    assert list(range(20, 0, -1)) == _ids(seen)
    assert State.RUNNING == next(job for job in seen if job.id == running.id).state
    assert [running.id] == _ids(bench.store.page(Filter(state="running"), None, 5).items)
    assert [3, 2, 1] == _ids(bench.store.page(Filter(state="done"), None, 5).items)
    assert all(job.kind == "add" for job in bench.store.page(Filter(kind="add"), None, 50).items)
    assert [1] == _ids(bench.store.page(Filter(queue="q0", state="done"), None, 50).items)


def test_page_of_todo_leaves_out_what_runs(bench: Bench) -> None:
    """A page of todo is whole though the oldest of them run, and has no gap at its end."""
    bench.push(*[draft() for _ in range(8)])
    for slot in range(3):
        bench.claim(slot=slot)

    page = bench.store.page(Filter(state="todo"), None, 3)
    rest = bench.store.page(Filter(state="todo"), page.next, 3)
    assert ([8, 7, 6], [5, 4], None) == (_ids(page.items), _ids(rest.items), rest.next)


def test_search(bench: Bench) -> None:
    """A text is found in the payload, the kind and the id; % and _ mean themselves."""
    bench.push(draft(payload=b'{"a":"50%"}'), draft(payload=b'{"a":"5000"}'), draft("add", payload=b'{"a":"x_y"}'))

    assert [1] == _ids(bench.store.page(Filter(text="50%"), None, 9).items)
    assert [3] == _ids(bench.store.page(Filter(text="x_y"), None, 9).items)
    assert [3] == _ids(bench.store.page(Filter(text="ADD"), None, 9).items)
    assert [] == bench.store.page(Filter(text="nowhere"), None, 9).items


def test_snapshot(make_bench: MakeBench) -> None:
    """A snapshot holds the next todo, the next scheduled, what runs, what finished last and the newest rejections."""
    bench = make_bench(window=200)
    scheduled = [draft(run_at=bench.clock() + wait) for wait in (9, 3)]
    bench.push(*[draft(priority=i % 2) for i in range(8)], *scheduled)
    bench.complete(bench.claim())
    bench.fail(bench.claim())
    bench.claim()
    bench.store.reject(Rejection(1, 1, None, "unfit", {}))
    bench.settle()

    taken = bench.store.snapshot()
    assert [8, 1, 3, 5, 7] == _ids(taken.todo)
    assert [10, 9] == _ids(taken.scheduled)
    assert [6] == _ids(taken.running)
    assert [4, 2] == _ids(taken.finished)
    assert [1] == [one.id for one in taken.rejections]
    assert {"scheduled": 2, "todo": 5, "running": 1, "done": 1, "failed": 1, "cancelled": 0} == taken.counts
    assert bench.feed.seq == taken.seq


# -- time -------------------------------------------------------------------------------------------------------------


def test_due_jobs_come_in_order_of_their_time(bench: Bench) -> None:
    """What is due goes to the tail of todo, the earliest first, though far more is scheduled than is in memory."""
    times = [50, 10, 40, 20, 30, 60, 15, 25, 35, 45, 55, 5]
    bench.push(*[draft(run_at=bench.clock() + second * 10**6) for second in times])
    order = [id for _, id in sorted((second, id) for id, second in enumerate(times, 1))]

    bench.pass_time(30)
    assert order[:6] == bench.drain()
    bench.push(draft())
    bench.pass_time(100)
    assert [13, *order[6:]] == bench.drain()


def test_due_alarm_that_rings_early(bench: Bench) -> None:
    """An alarm that rings before the wall clock has come so far (it was set back, or slewed) is set again."""
    bench.push(draft(run_at=bench.clock() + 10_000_000))
    bench.clock.advance(10)
    bench.clock.now, late = bench.clock.now - 1_000_000, bench.clock.now
    alarms, bench.timers.alarms = bench.timers.alarms, []
    for _, alarm in alarms:
        alarm.call()
    bench.settle()
    assert State.SCHEDULED == bench.store.get(1).state

    bench.clock.now = late
    bench.pass_time(0)
    assert State.TODO == bench.store.get(1).state


def test_retention_by_number(make_bench: MakeBench) -> None:
    """Never fewer than ``keep_finished`` stay, at most 20 more; who finished first goes first, with its log."""
    bench = make_bench(retention=Retention(30, 0))
    bench.push(*[draft() for _ in range(120)])
    first = bench.claim()
    for number in range(119):
        bench.complete(bench.claim(slot=1), slot=1)
        assert min(number + 1, 30) <= bench.store.board.counts.finished <= 50
    bench.complete(first)
    bench.settle()

    left = [job.id for job in bench.store.page(Filter(), None, 200).items]
    assert 1 in left, "it finished last"
    assert left == [*range(120, 120 - len(left) + 1, -1), 1]


def test_retention_by_age(make_bench: MakeBench) -> None:
    """What finished longer than ``keep_days`` ago is forgotten, whatever happens or not."""
    bench = make_bench(retention=Retention(100_000, 1.0))
    bench.push(draft(), draft(), draft())
    bench.complete(bench.claim())
    bench.pass_time(3600)
    bench.complete(bench.claim())
    bench.pass_time(86_400 - 3601)
    assert 3 == len(bench.store.page(Filter(), None, 9).items)

    bench.pass_time(1)
    assert [3, 2] == _ids(bench.store.page(Filter(), None, 9).items)
    bench.pass_time(3600)
    assert [3] == _ids(bench.store.page(Filter(), None, 9).items)


def test_retention_by_age_goes_on_after_a_retry(make_bench: MakeBench) -> None:
    """The oldest one was retried meanwhile: the next oldest is still forgotten in its time."""
    bench = make_bench(retention=Retention(100_000, 1.0))
    bench.push(draft(), draft())
    bench.fail(bench.claim())
    bench.pass_time(3600)
    bench.fail(bench.claim())
    bench.store.retry(1)

    bench.pass_time(86_400 - 3600)
    bench.pass_time(3600)
    assert [1] == _ids(bench.store.page(Filter(), None, 9).items)


# -- several in one flush -------------------------------------------------------------------------------------------


def test_retry_and_cancel_in_one_batch(bench: Bench) -> None:
    """A job that is retried and cancelled in one flush is cancelled: nobody claims it."""
    bench.push(draft())
    bench.fail(bench.claim())
    with bench.in_one_batch() as ask:
        retried, cancelled = ask(bench.store.retry, 1), ask(bench.store.cancel, 1)

    assert (State.TODO, State.CANCELLED) == (retried.result(PATIENCE).state, cancelled.result(PATIENCE).state)
    assert bench.idle()
    assert State.CANCELLED == bench.store.get(1).state
    _check_books(bench)


def test_push_and_cancel_in_one_batch(bench: Bench) -> None:
    """Whoever guesses an id and cancels it in the flush of its push has cancelled it."""
    with bench.in_one_batch() as ask:
        pushed, cancelled = ask(bench.store.push, [draft()]), ask(bench.store.cancel, 1)

    assert 1 == pushed.result(PATIENCE)[0].job.id
    assert State.CANCELLED == cancelled.result(PATIENCE).state
    assert bench.idle()
    _check_books(bench)


def test_run_now_and_cancel_in_one_batch(bench: Bench) -> None:
    """A scheduled job that is hastened and cancelled in one flush is cancelled."""
    bench.push(draft(run_at=bench.clock() + 10**9))
    with bench.in_one_batch() as ask:
        ask(bench.store.run_now, 1), ask(bench.store.cancel, 1)

    assert bench.idle()
    assert State.CANCELLED == bench.store.get(1).state
    _check_books(bench)


def test_cancel_and_retry_in_one_batch(bench: Bench) -> None:
    """A job that is cancelled and retried in one flush is todo, once."""
    bench.push(draft(), draft())
    with bench.in_one_batch() as ask:
        ask(bench.store.cancel, 1), ask(bench.store.retry, 1)

    assert [2, 1] == bench.drain()
    _check_books(bench)


def test_push_cancel_forget_in_one_batch(bench: Bench) -> None:
    """A life within one flush leaves nothing behind."""
    with bench.in_one_batch() as ask:
        ask(bench.store.push, [draft(run_at=bench.clock() + 5)]), ask(bench.store.cancel, 1), ask(bench.store.forget, 1)

    bench.pass_time(1)
    assert bench.idle()
    with pytest.raises(JobNotFound):
        bench.store.get(1)
    _check_books(bench)


def test_forget_and_push_with_its_key_in_one_batch(bench: Bench) -> None:
    """An Idempotency-Key is free in the flush that forgets its job."""
    bench.push(draft(idempotency=("k", b"1")))
    bench.store.cancel(1)
    with bench.in_one_batch() as ask:
        ask(bench.store.forget, 1)
        pushed = ask(bench.store.push, [draft(idempotency=("k", b"2"))])

    (answer,) = pushed.result(PATIENCE)
    assert answer.fresh
    (again,) = bench.store.push([draft(idempotency=("k", b"2"))])
    assert (answer.job.id, False) == (again.job.id, again.fresh)
    _check_books(bench)


def test_cancel_of_a_running_job_whose_failure_is_being_written(bench: Bench) -> None:
    """A cancel that comes when the attempt has failed, but before that is seen, keeps it from being run again."""
    bench.push(draft())
    job = bench.claim()
    with bench.in_one_batch() as ask:
        bench.store.finish(Outcome(job, job.reschedule(bench.clock(), BROKEN, bench.clock() + 1_000_000)))
        cancelled = ask(bench.store.cancel, 1) if bench.folder is not None else None

    if cancelled is not None:
        cancelled.result(PATIENCE)
        bench.pass_time(5)
        assert bench.idle()
        assert State.CANCELLED == bench.store.get(1).state
    _check_books(bench)


def _counts(bench: Bench) -> dict[str, int]:
    with bench.store.board.lock:
        return bench.store.board.counts.by_state()


def _check_books(bench: Bench) -> None:
    """The counts are those of the rows, and todo's length is that of its count."""
    jobs = bench.store.page(Filter(), None, 10_000).items
    found = {state.value: sum(job.state is state for job in jobs) for state in State}
    assert found == _counts(bench)
    assert found["todo"] == bench.store.board.todo.length("default")
