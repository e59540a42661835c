"""How many run of each key: never too many, never fewer than may, and always the first of those that may."""

import random

import pytest

from tests.stores.conftest import MakeBench
from tests.stores.kit import Bench, draft
from webqueue.job import Job, State
from webqueue.limits import Limit
from webqueue.queues import todo_key

KEYS = "abcd"


def _keyed(key: str, priority: int = 0, kind: str = "echo", queue: str = "default") -> Job:
    return draft(kind, payload=b'{"to":"%s"}' % key.encode(), priority=priority, queue=queue)


def _bench(make_bench: MakeBench, concurrency: int | None = None) -> Bench:
    limit = Limit.parse(concurrency, None, "to {to}")
    assert limit is not None
    return make_bench(limits={"echo": limit})


def _take(bench: Bench) -> Job | None:
    """What a consumer would get by now."""
    bench.settle()
    with bench.store.board.lock:
        job = bench.store.board.claim("default", bench.clock())
        low = [lane for lane in bench.store.board.todo.lanes() if lane.low]
        for lane in low:
            bench.store._upkeep.refill_lane_if_low(lane)
    return _take(bench) if job is None and low else job


def test_who_waits_for_its_key_blocks_nobody(make_bench: MakeBench) -> None:
    """Also where more of one key wait than a window holds; each says why it waits."""
    bench = _bench(make_bench)
    jobs = bench.push(*[_keyed("a") for _ in range(30)], _keyed("b"))
    first, other = bench.claim(), bench.claim()
    assert [1, 31] == [first.id, other.id]
    assert _take(bench) is None
    assert "1 of to a run already, 1 may" == bench.store.board.waiting_for(jobs[1])
    bench.complete(first)
    assert 2 == bench.claim().id
    assert _take(bench) is None


def test_a_consumer_that_waits_hears_of_room(make_bench: MakeBench) -> None:
    """The end of a job wakes it for the next one of its key."""
    bench = _bench(make_bench)
    bench.push(_keyed("a"), _keyed("a"))
    first = bench.claim()
    waiting = bench.later(bench.store.claim, "default", 1)
    bench.complete(first)
    second = waiting.result(10)
    assert second is not None
    assert 2 == second.id


def test_a_parked_job_can_be_cancelled(make_bench: MakeBench) -> None:
    """It does not come back when there is room."""
    bench = _bench(make_bench)
    bench.push(_keyed("a"), _keyed("a"), _keyed("a"))
    first = bench.claim()
    assert _take(bench) is None
    bench.store.cancel(2)
    bench.complete(first)
    assert 3 == bench.claim().id
    assert not list(bench.store.board.todo.lane("default", "echo"))


class Game:
    """Random moves on a store, beside a plain list of what waits and what runs."""

    def __init__(self, bench: Bench, concurrency: int, seed: int) -> None:
        self.bench, self.concurrency, self.dice = bench, concurrency, random.Random(seed)
        self.waiting: dict[int, Job] = {}
        self.running: dict[int, Job] = {}

    def play(self, moves: int) -> None:
        """So many, then to the end."""
        choices = [self.push, self.claim, self.end, self.release, self.cancel]
        for move in self.dice.choices(choices, [2, 6, 4, 1, 1], k=moves):
            move()
        while self.waiting or self.running:
            self.claim()
            self.end()

    def push(self) -> None:
        number = self.dice.randrange(1, 9)
        drafts = [_keyed(self.dice.choice(KEYS), self.dice.randrange(2)) for _ in range(number)]
        self.waiting |= {job.id: job for job in self.bench.push(*drafts)}

    def claim(self) -> None:
        may = [job for job in self.waiting.values() if self._of_key(job) < self.concurrency]
        expected = min(may, key=todo_key, default=None)
        job = _take(self.bench)
        assert (expected and expected.id) == (job and job.id)
        if job is not None:
            self.running[job.id] = job
            del self.waiting[job.id]

    def _of_key(self, job: Job) -> int:
        return sum(job.payload == one.payload for one in self.running.values())

    def end(self) -> None:
        if job := self._one_of(self.running):
            self.bench.complete(job)

    def release(self) -> None:
        if job := self._one_of(self.running):
            self.bench.store.release(job)
            self.bench.settle()
            self.waiting[job.id] = self.bench.store.get(job.id)

    def cancel(self) -> None:
        if job := self._one_of(self.waiting):
            self.bench.store.cancel(job.id)

    def _one_of(self, jobs: dict[int, Job]) -> Job | None:
        return jobs.pop(self.dice.choice(list(jobs))) if jobs else None


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("concurrency", [1, 2])
def test_always_the_first_that_may(make_bench: MakeBench, seed: int, concurrency: int) -> None:
    """What is claimed is the first in order whose key has room; nothing is, only where none has."""
    bench = _bench(make_bench, concurrency)
    Game(bench, concurrency, seed).play(120)
    board = bench.store.board
    assert not any(lane.parked for lane in board.todo.parking)
    assert not board._running_keys
    assert {State.TODO: 0, State.RUNNING: 0}.items() <= bench.store.snapshot().counts.items()
