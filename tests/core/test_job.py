"""The state machine of a job, against its table."""

import itertools
from collections.abc import Callable

import pytest

from webqueue.errors import StateConflict
from webqueue.job import (
    FINISHED,
    KEPT_ATTEMPTS,
    MAX_CRASHES,
    TRANSITIONS,
    WAITING,
    Attempt,
    Failure,
    Job,
    Progress,
    State,
)

ERROR = Failure("ValueError", "no", "Traceback")
VERBS: dict[str, Callable[[Job], Job]] = {
    "due": lambda job: job.due(9),
    "claim": lambda job: job.claim(10),
    "complete": lambda job: job.complete(20, b"1"),
    "fail": lambda job: job.fail(20, ERROR),
    "reschedule": lambda job: job.reschedule(20, ERROR, 30),
    "release": lambda job: job.release(),
    "cancel": lambda job: job.cancel(20),
    "retry": lambda job: job.retry(20, 9),
}


def _job(state: State = State.TODO, **more: object) -> Job:
    fields = {
        "id": 7, "kind": "echo", "payload": b"{}", "queue": "default", "priority": 0, "place": 1, "max_attempts": 3,
    }  # fmt: skip
    return Job(state=state, created_at=1, **(fields | more))  # type: ignore[arg-type]


def _running() -> Job:
    return _job().claim(10)


@pytest.mark.parametrize(("verb", "state"), list(itertools.product(TRANSITIONS, State)))
def test_every_step_is_that_of_the_table(verb: str, state: State) -> None:
    """A legal step leads where the table says, one revision on; an illegal one raises and changes nothing."""
    allowed, after = TRANSITIONS[verb]
    job = _job(state, attempt=1)
    before = dict(vars(job))

    if state in allowed:
        stepped = VERBS[verb](job)
        assert (after, job.revision + 1) == (stepped.state, stepped.revision)
    else:
        with pytest.raises(StateConflict) as raised:
            VERBS[verb](job)
        assert (verb, state) == (raised.value.verb, raised.value.state)
    assert before == vars(job)


def test_the_table_names_every_verb_and_state() -> None:
    """Each verb of the table exists, each state can be reached but ``scheduled`` and ``todo``, where jobs begin too."""
    assert set(VERBS) == set(TRANSITIONS)
    assert set(State) == {after for _, after in TRANSITIONS.values()}
    assert set(State) == FINISHED | WAITING | {State.RUNNING}


@pytest.mark.parametrize("state", sorted(State))
def test_finished(state: State) -> None:
    """Done, failed and cancelled are finished."""
    assert (state in ("done", "failed", "cancelled")) == _job(state).finished


def test_claim_begins_an_attempt() -> None:
    """A claim counts the attempt, notes when it began, and drops the old progress."""
    job = _job(progress=Progress(0.5, "old")).claim(10)

    assert (1, 10, None) == (job.attempt, job.started_at, job.progress)


def test_complete_keeps_the_result_and_clears_the_error() -> None:
    """Once done, there is a result, no error, and an attempt more in the history."""
    job = _job(error=ERROR).claim(10).complete(20, b"[1]")

    assert (b"[1]", None, 20, (Attempt(1, 10, 20, "done", None),)) == (
        job.result, job.error, job.finished_at, job.history,
    )  # fmt: skip


@pytest.mark.parametrize("outcome", ["failed", "timeout"])
def test_fail_keeps_the_error(outcome: str) -> None:
    """A failed job has its error, and the history says how its attempt ended."""
    job = _running().fail(20, ERROR, outcome)

    assert (ERROR, 20, (Attempt(1, 10, 20, outcome, ERROR),)) == (job.error, job.finished_at, job.history)


def test_reschedule_keeps_the_attempt() -> None:
    """A rescheduled job is due later, not finished, and its next attempt is counted on; newest first in the history."""
    job = _running().reschedule(20, ERROR, 99, "timeout")
    assert (99, None, ERROR, 1) == (job.run_at, job.finished_at, job.error, job.attempt)

    again = job.due(5).claim(100).fail(120, ERROR)
    assert [(2, "failed"), (1, "timeout")] == [(one.attempt, one.outcome) for one in again.history]


def test_release_takes_the_attempt_back() -> None:
    """An interrupted attempt was none: not counted, not in the history, at the same place."""
    job = _running().release()

    assert (0, (), 1, None, 0) == (job.attempt, job.history, job.place, job.started_at, job.crashes)


def test_crash_is_charged_and_the_third_is_the_last() -> None:
    """A job that was running in three process deaths is failed as ``Crashed``; until then it is put back."""
    job = _job()
    for number in range(1, MAX_CRASHES):
        job = job.crash(50)
        assert (State.TODO, number, 0, 1, ()) == (job.state, job.crashes, job.attempt, job.place, job.history)
    job = job.crash(60)

    assert (State.FAILED, 3, "Crashed", 60) == (job.state, job.crashes, job.error and job.error.type, job.finished_at)
    assert 1 + MAX_CRASHES == job.revision


def test_cancel_of_a_running_job_ends_its_attempt() -> None:
    """Cancelled while it ran: the attempt is in the history; while it waited: there was none."""
    assert [("cancelled", 20)] == [(one.outcome, one.ended_at) for one in _running().cancel(20).history]
    assert () == _job().cancel(20).history


def test_retry_starts_anew_and_keeps_the_history() -> None:
    """By hand: attempts and crashes are forgotten; the last error stays until it is done, and so does the history."""
    job = _job(crashes=2).claim(10).fail(20, ERROR).retry(30, 8)

    assert (0, 0, ERROR, None, None, 8, 30, 1) == (
        job.attempt, job.crashes, job.error, job.started_at, job.finished_at, job.place, job.run_at, len(job.history),
    )  # fmt: skip


def test_history_is_bounded() -> None:
    """So many attempts are kept, the newest."""
    job = _job(max_attempts=1000)
    for number in range(KEPT_ATTEMPTS + 5):
        job = job.claim(number).reschedule(number, ERROR, number).due(number)

    assert (KEPT_ATTEMPTS, KEPT_ATTEMPTS + 5) == (len(job.history), job.history[0].attempt)


def test_progress_moves_no_revision() -> None:
    """Progress is news of the same step."""
    job = _running()

    assert job.revision == job.with_progress(Progress(0.5, "")).revision


def test_states_are_their_names() -> None:
    """A state is equal to its name, and hashes like it."""
    assert all(state == state.value and hash(state) == hash(state.value) for state in State)
