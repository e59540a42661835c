"""Both stores against a model in plain Python, by Hypothesis: any order of verbs, due times, crashes, new starts."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.stores.kit import Bench, draft
from webqueue.errors import JobNotFound, KeyReused, StateConflict, WebqueueError
from webqueue.job import MAX_CRASHES, Job
from webqueue.stores.base import NoRoom, Outcome, Pushed
from webqueue.stores.tables import Filter

MAX_TODO = 12
QUEUES = ("default", "mail", "other")
KINDS = ("echo", "add")


@dataclass
class Model:
    """What a job must look like."""

    id: int
    kind: str
    queue: str
    priority: int
    place: int
    state: str
    run_at: int | None
    unique_key: str | None
    idempotency: tuple[str, bytes] | None
    revision: int = 1
    attempt: int = 0
    crashes: int = 0
    history: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def step(self, state: str) -> None:
        self.state, self.revision = state, self.revision + 1


class Stores(RuleBasedStateMachine):
    """Each rule does the same to the store and to the model; the invariants compare all there is to see."""

    on_disk = True

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        place = Path(self.folder.name) if self.on_disk else None
        self.bench = Bench(place, window=4, groups=("default", "mail"), max_todo=MAX_TODO, slots=4)
        self.jobs: dict[int, Model] = {}
        self.claims: dict[int, Job] = {}  # slot -> claimed
        self.old: list[Job] = []  # claims that stand no more
        self.place, self.crashed = 0, 0
        self.pauses: set[str] = set()
        self.next_id = 1

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.close()
            self.folder.cleanup()

    # -- pushing -----------------------------------------------------------------------------------------------------

    @rule(
        pushes=st.lists(
            st.fixed_dictionaries(
                {
                    "kind": st.sampled_from(KINDS),
                    "queue": st.sampled_from(QUEUES),
                    "priority": st.sampled_from([0, 0, 0, 1, -1]),
                    "unique_key": st.sampled_from([None, None, None, "u", "v"]),
                    "key": st.sampled_from([None, None, None, ("k", b"1"), ("k", b"2"), ("l", b"1")]),
                    "delay": st.sampled_from([None, None, None, 1, 2, 3, 50]),
                }
            ),
            min_size=1,
            max_size=7,
        )
    )
    def push(self, pushes: list[dict[str, Any]]) -> None:
        now = self.bench.clock()
        drafts = [
            draft(
                one["kind"], queue=one["queue"], priority=one["priority"], unique_key=one["unique_key"],
                idempotency=one["key"], run_at=None if one["delay"] is None else now + one["delay"] * 10**6,
            )
            for one in pushes
        ]  # fmt: skip
        answers = self.bench.store.push(drafts)
        assert [self._expected(one) for one in drafts] == [_seen(answer) for answer in answers]

    def _expected(self, one: Job) -> object:
        if one.idempotency is not None:
            twin = self._first(lambda job: job.idempotency is not None and job.idempotency[0] == one.idempotency[0])
            if twin is not None:
                return (twin.id, False, False) if twin.idempotency == one.idempotency else KeyReused
        if one.unique_key is not None:
            twin = self._first(lambda job: job.unique_key == one.unique_key and not job.finished)
            if twin is not None:
                return (twin.id, False, True)
        if one.run_at is None and len(self._in("todo")) >= MAX_TODO:
            return NoRoom
        job = Model(
            self.next_id, one.kind, one.queue, one.priority, self._next_place(), one.state, one.run_at, one.unique_key,
            one.idempotency,
        )  # fmt: skip
        self.jobs[job.id] = job
        self.next_id += 1
        return (job.id, True, False)

    # -- running -------------------------------------------------------------------------------------------------------

    @rule(group=st.sampled_from(["default", "default", "mail"]))
    @precondition(lambda self: len(self.claims) < 3)
    def claim(self, group: str) -> None:
        expected = self._head(group)
        if expected is None:
            assert self.bench.idle(group)
            return
        slot = min({0, 1, 2} - self.claims.keys())
        claimed = self.bench.claim(group, slot)
        expected.step("running")
        expected.attempt += 1
        assert (expected.id, expected.attempt, expected.revision) == (claimed.id, claimed.attempt, claimed.revision)
        self.claims[slot] = claimed

    @rule(data=st.data(), how=st.sampled_from(["done", "failed", "cancelled", "scheduled", "released"]))
    @precondition(lambda self: self.claims)
    def end(self, data: st.DataObject, how: str) -> None:
        slot = data.draw(st.sampled_from(sorted(self.claims)))
        claimed = self.claims.pop(slot)
        self.old.append(claimed)
        job, now = self.jobs[claimed.id], self.bench.clock()
        if how == "done":
            self.bench.complete(claimed, slot)
        elif how == "failed":
            self.bench.fail(claimed, slot)
        elif how == "cancelled":
            self.bench.end(claimed, claimed.cancel(now), slot)
        elif how == "scheduled":
            self.bench.reschedule(claimed, 2, slot)
            job.run_at = now + 2 * 10**6
        else:
            self.bench.store.release(claimed)
            self.bench.store.landed(slot)
            self.bench.settle()
            job.attempt -= 1
            job.step("todo")
            return
        job.step(how)
        job.history.insert(0, "failed" if how == "scheduled" else how)

    @rule(data=st.data())
    @precondition(lambda self: self.old)
    def report_late(self, data: st.DataObject) -> None:
        claimed = data.draw(st.sampled_from(self.old))
        before = self.bench.store.late
        self.bench.store.finish(Outcome(claimed, claimed.complete(self.bench.clock(), b'"late"')))
        self.bench.settle()
        assert before + 1 == self.bench.store.late

    # -- steering ------------------------------------------------------------------------------------------------------

    @rule(data=st.data())
    @precondition(lambda self: self.jobs)
    def cancel(self, data: st.DataObject) -> None:
        job = self._some(data)
        if job is None or job.finished:
            self._refuses(self.bench.store.cancel, job)
        elif job.state != "running":  # asking one that runs would decide how its failure ends
            assert "cancelled" == self.bench.store.cancel(job.id).state
            job.step("cancelled")

    @rule(data=st.data())
    @precondition(lambda self: self.jobs)
    def retry(self, data: st.DataObject) -> None:
        job = self._some(data)
        twin = job and job.unique_key and self._first(lambda one: one.unique_key == job.unique_key and not one.finished)
        if job is None or job.state not in ("failed", "cancelled") or twin:
            self._refuses(self.bench.store.retry, job)
            return
        self.bench.store.retry(job.id)
        self._again(job)

    @rule(data=st.data())
    @precondition(lambda self: self.jobs)
    def run_now(self, data: st.DataObject) -> None:
        job = self._some(data)
        if job is None or job.state != "scheduled":
            self._refuses(self.bench.store.run_now, job)
            return
        self.bench.store.run_now(job.id)
        job.place = self._next_place()
        job.step("todo")

    @rule(data=st.data())
    @precondition(lambda self: self.jobs)
    def forget(self, data: st.DataObject) -> None:
        job = self._some(data)
        if job is None or not job.finished:
            self._refuses(self.bench.store.forget, job)
            return
        self.bench.store.forget(job.id)
        del self.jobs[job.id]

    @rule(kind=st.sampled_from([None, *KINDS]), queue=st.sampled_from([None, *QUEUES]), limit=st.integers(1, 9))
    def cancel_all(self, kind: str | None, queue: str | None, limit: int) -> None:
        found = [
            job for job in self._in("todo", "scheduled") if kind in (None, job.kind) and queue in (None, job.queue)
        ]
        for state in ("todo", "scheduled"):
            chosen = [job for job in found if job.state == state]
            matched, done = self.bench.store.cancel_all(Filter(state, kind, queue), limit)
            assert (len(chosen), [job.id for job in chosen[:limit]]) == (matched, [job.id for job in done])
            for job in chosen[:limit]:
                job.step("cancelled")

    @rule(limit=st.integers(1, 9))
    def retry_all(self, limit: int) -> None:
        found = [job for job in self._in("failed") if job.unique_key is None]
        keyed = [job for job in self._in("failed") if job.unique_key is not None]
        if keyed:
            return  # who comes back of those with one key depends on the order: told by retry()
        assert (len(found), min(limit, len(found))) == (
            (answer := self.bench.store.retry_all(Filter("failed"), limit))[0], len(answer[1]),
        )  # fmt: skip
        for job in found[:limit]:
            self._again(job)

    @rule(queue=st.sampled_from(["", *QUEUES]))
    def pause(self, queue: str) -> None:
        self.bench.store.pause(queue, None)
        self.pauses.add(queue)

    @rule(queue=st.sampled_from(["", *QUEUES]))
    def resume(self, queue: str) -> None:
        self.bench.store.resume(queue)
        self.pauses.discard(queue)

    # -- time, and its end ---------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 2, 60]))
    def time_passes(self, seconds: int) -> None:
        self.bench.pass_time(seconds)
        self._due()

    @rule()
    def reopen(self) -> None:
        if self.on_disk:
            self.bench.reopen()
            self._interrupted(charged=False)

    @rule()
    def crash(self) -> None:
        if self.on_disk:
            self.crashed += 1
            self.bench.crash(Path(self.folder.name) / f"crash{self.crashed}")
            self._interrupted(charged=True)

    # -- what must always hold -----------------------------------------------------------------------------------------

    @invariant()
    def all_jobs_are_as_they_should_be(self) -> None:
        if not hasattr(self, "bench"):
            return
        found = self.bench.store.page(Filter(), None, 1000).items
        assert [self._view(self.jobs[id]) for id in sorted(self.jobs, reverse=True)] == [_view(job) for job in found]
        for job in found:
            assert _view(job) == _view(self.bench.store.get(job.id))

    @invariant()
    def counts_are_exact(self) -> None:
        if not hasattr(self, "bench"):
            return
        board = self.bench.store.board
        with board.lock:
            counts = board.counts.by_state()
            waiting = {group: board.todo.length(group) for group in ("default", "mail")}
        assert {state: len(self._in(state)) for state in counts} == counts
        todo = self._in("todo")
        mail = sum(job.queue == "mail" for job in todo)
        assert {"default": len(todo) - mail, "mail": mail} == waiting

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _in(self, *states: str) -> list[Model]:
        return [job for _, job in sorted(self.jobs.items()) if job.state in states]

    def _first(self, wanted: Any) -> Model | None:
        return next((job for job in self.jobs.values() if wanted(job)), None)

    def _some(self, data: st.DataObject) -> Model | None:
        return self.jobs.get(data.draw(st.integers(1, self.next_id)))

    def _next_place(self) -> int:
        self.place += 1
        return self.place

    def _again(self, job: Model) -> None:
        job.place, job.attempt, job.crashes, job.run_at = self._next_place(), 0, 0, self.bench.clock()
        job.step("todo")

    def _refuses(self, verb: Any, job: Model | None) -> None:
        with pytest.raises(JobNotFound if job is None else StateConflict):
            verb(job.id if job is not None else self.next_id + 5)

    def _head(self, group: str) -> Model | None:
        if "" in self.pauses:
            return None
        waiting = [
            job
            for job in self._in("todo")
            if (job.queue == "mail") == (group == "mail") and job.queue not in self.pauses
        ]
        return min(waiting, key=lambda job: (-job.priority, job.place), default=None)

    def _due(self) -> None:
        now = self.bench.clock()
        for job in sorted(self._in("scheduled"), key=lambda job: (job.run_at, job.id)):
            if job.run_at is not None and job.run_at <= now:
                job.place = self._next_place()
                job.step("todo")

    def _interrupted(self, *, charged: bool) -> None:
        for claimed in self.claims.values():
            job = self.jobs[claimed.id]
            job.attempt -= 1
            if charged:  # a claim is not written: as stored it is still todo
                job.crashes += 1
                job.state = "failed" if job.crashes == MAX_CRASHES else "todo"
            else:
                job.step("todo")
        self.claims, self.old = {}, []
        self.bench.pass_time(0)  # what was due meanwhile
        self._due()

    @staticmethod
    def _view(job: Model) -> tuple[Any, ...]:
        return (
            job.id, job.kind, job.queue, job.priority, job.state, job.revision, job.attempt, job.crashes, job.run_at,
            job.unique_key, job.history,
        )  # fmt: skip


def _view(job: Job) -> tuple[Any, ...]:
    return (
        job.id, job.kind, job.queue, job.priority, job.state.value, job.revision, job.attempt, job.crashes, job.run_at,
        job.unique_key, [one.outcome for one in job.history],
    )  # fmt: skip


def _seen(answer: Pushed | NoRoom | Exception) -> object:
    if isinstance(answer, Pushed):
        return (answer.job.id, answer.fresh, answer.duplicate)
    assert isinstance(answer, NoRoom | WebqueueError)
    return type(answer)


class StoresInMemory(Stores):
    on_disk = False


@pytest.mark.parametrize("machine", [StoresInMemory, Stores], ids=["memory", "sqlite"])
def test_stores_do_what_the_model_does(machine: type[Stores]) -> None:
    """Whatever is done in whatever order, a store shows what the model shows, also after crashes and new starts."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
