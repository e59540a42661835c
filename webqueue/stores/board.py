"""What moves, in memory, under one lock: the state that consumers claim from and that everybody is told of."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from webqueue.feed import Feed
from webqueue.job import Job, Rejection, State
from webqueue.limits import Limit
from webqueue.queues import MOST_PARKED, Lane, RunningQueue, TodoQueue, Window, due_key
from webqueue.stores.batch import Batch, Numbers, Pause
from webqueue.stores.counts import Counts, Rates
from webqueue.stores.links import Followers
from webqueue.stores.tables import Loaded, Totals

ALL: Final = ""
"""Stands for the whole queue where a queue's name is asked for."""


class Board:
    """Todo, scheduled and running jobs, counts, pauses and limits, with the Conditions that consumers wait on.

    Everything but ``lock`` and ``conditions`` is guarded by ``lock``; methods expect their caller to hold it, except
    where they say otherwise. No foreign code runs under it, and nothing is written.
    """

    def __init__(
        self, feed: Feed, groups: Collection[str], kinds: Collection[str], limits: Mapping[str, Limit], window: int
    ) -> None:
        self.lock = threading.RLock()
        self.conditions = {group: threading.Condition(self.lock) for group in groups}
        self.feed = feed
        self.todo = TodoQueue(groups, window)
        self.due = Window(due_key, window)
        self.running = RunningQueue()
        self.followers = Followers()
        self.counts = Counts()
        self.rates = Rates()
        self.totals = Totals()
        self.pauses: dict[str, Pause] = {}
        self.marks: dict[str, int] = {}
        self.rejections: deque[Rejection] = deque(maxlen=100)
        self.before: Callable[[Sequence[Job], int | None], None] | None = None
        """Called (quick, under the lock) with the jobs that took a step, and when (µs, None: just now), before totals
        and counts tell of it."""
        self._running_keys: Counter[tuple[str, str | None]] = Counter()
        """How many run of each limited kind, and of each of its keys where it has any."""
        self._kinds = kinds
        self._limits = limits

    def load(self, loaded: Loaded) -> None:
        """Take over what the tables hold; the windows are yet to be filled (each lane's bound is below everything)."""
        self.totals = loaded.totals
        self.pauses = dict(loaded.pauses)
        self.marks = dict(loaded.marks)
        self.rejections.extend(loaded.rejections)
        for id, after in loaded.followers.items():
            self.followers.add(id, after)
        for (queue, kind, priority, state), number in loaded.counts.items():
            self.counts.add(queue, kind, state, number)
            if state is State.TODO:
                lane = self.todo.lane(queue, kind)
                lane.bound = (-(2**63), 0)
                self.todo.count(lane.group, priority, number)
            elif state is State.SCHEDULED:
                self.due.bound = (-(2**63), 0)

    # -- claiming ------------------------------------------------------------------------------------------------

    def claim(self, group: str, now: int) -> Job | None:
        """The head of *group*'s todo runs from *now* (µs) on; None where nothing may start."""
        if ALL in self.pauses:
            return None
        job = self.todo.take(group, self._blocked, self._held)
        if job is None:
            return None
        running = job.claim(now)
        if self.before is not None:
            self.before((running,), now)
        limit = self._limits.get(job.kind)
        if limit is not None:
            limit.started(time.monotonic())
            self._running_keys[job.kind, limit.key_of(job.payload)] += 1
        self.running.put(running)
        self.counts.move(job, running)
        self.feed.publish((running,))
        return running

    def next_start(self, group: str) -> float | None:
        """Seconds until a rate lets a waiting job of *group* start; None where no rate holds one back."""
        now = time.monotonic()
        waits = [
            limit.wait(now)
            for lane in self.todo.lanes()
            if lane.group == group and len(lane) and (limit := self._limits.get(lane.kind))
        ]
        return min((wait for wait in waits if wait > 0), default=None)

    def waiting_for(self, job: Job) -> str | None:
        """Why this job may not start yet though a consumer were free and its time had come."""
        if job.follows:
            return "it comes after " + _named(job.after)
        if job.state is not State.TODO:
            return None
        for queue in (ALL, job.queue):
            if queue in self.pauses:
                why = self.pauses[queue].why
                return "the queue is paused" + (f": {why}" if why else "")
        if job.kind not in self._kinds:
            return "no handler of this kind is registered"
        limit = self._limits.get(job.kind)
        if limit is None:
            return None
        key = limit.key_of(job.payload)
        return limit.reason(self._running_keys[job.kind, key], time.monotonic(), key)

    def _blocked(self, lane: Lane) -> bool:
        if lane.queue in self.pauses or lane.kind not in self._kinds:
            return True
        limit = self._limits.get(lane.kind)
        if limit is None:
            return False
        full = lane.parked >= MOST_PARKED if limit.key else limit.full(self._running_keys[lane.kind, None])
        return full or limit.wait(time.monotonic()) > 0

    def _held(self, job: Job) -> str | None:
        """The key of *job*, where there is no room for one more of it."""
        limit = self._limits.get(job.kind)
        if limit is None or limit.key is None:
            return None
        key = limit.key_of(job.payload)
        return key if limit.full(self._running_keys[job.kind, key]) else None

    # -- what is committed becomes visible ------------------------------------------------------------------------

    def totals_after(self, batch: Batch, numbers: Numbers) -> Totals:
        """The totals as they will be once *batch* is committed."""
        now = self.totals
        ends = [after.state for _, after in batch.steps if after.finished]
        return Totals(
            now.accepted + batch.accepted,
            now.done + ends.count(State.DONE),
            now.failed + ends.count(State.FAILED),
            now.cancelled + ends.count(State.CANCELLED),
            now.rejected + batch.rejected,
            numbers.next_id,
            numbers.next_place,
        )

    def publish(self, batch: Batch, totals: Totals) -> None:
        """*batch* is committed: it becomes visible, and those who wait for it are woken. Takes the lock itself."""
        with self.lock:
            jobs = [after for _, after in batch.steps]
            if self.before is not None:
                self.before(jobs, None)
            accepted = totals.accepted - self.totals.accepted
            self.totals = totals
            for before, after in batch.steps:
                self._move(before, after)
            self.followers.publish(batch)
            self._put_all(batch.jobs.values())  # where they stand after all their steps
            for job in batch.forgotten.values():
                self.counts.add(job.queue, job.kind, job.state, -1)
            for queue, pause in batch.pauses.items():
                self._pause(queue, pause)
            self.marks.update(batch.marks)
            self.rates.add(accepted, sum(job.finished for job in jobs))
            self.feed.publish(jobs, [*batch.forgotten, *(0 for _ in batch.pauses)])
            for rejection in batch.rejections:
                self.rejections.append(rejection)
                self.feed.reject(rejection)

    def put(self, job: Job) -> None:
        """*job* waits in the place that its state says."""
        if job.state is State.TODO:
            self.conditions[self.todo.put(job)].notify()
        elif job.state is State.SCHEDULED and not job.follows:
            self.due.put(job)

    def _put_all(self, jobs: Iterable[Job]) -> None:
        """As :meth:`put`, with one call for all that one group should hear of."""
        woken: dict[str, int] = {}
        for job in jobs:
            if job.state is State.TODO:
                group = self.todo.put(job)
                woken[group] = woken.get(group, 0) + 1
            else:
                self.put(job)
        for group, number in woken.items():
            self.conditions[group].notify(number)

    def withdraw(self, job: Job) -> None:
        """*job*, which waits, does so no more: nobody can claim it while its next step is being written."""
        if job.state is not State.TODO:
            self.due.discard(job.id)
            return
        self.todo.discard(job)
        limit = self._limits.get(job.kind)
        key = limit.key_of(job.payload) if limit is not None else None
        if key is not None:  # there may have been room for it: then there is for the next one
            self.todo.unpark(job.kind, key)
            self.wake_all()

    def wake_all(self) -> None:
        """Whatever held jobs back may have changed: every consumer looks again."""
        for condition in self.conditions.values():
            condition.notify_all()

    def _move(self, before: Job | None, after: Job) -> None:
        self.counts.move(before, after)
        if before is not None and before.state is State.RUNNING:
            self.running.take(before)
            limit = self._limits.get(before.kind)
            if limit is not None:
                self._make_room(before.kind, limit.key_of(before.payload))

    def _make_room(self, kind: str, key: str | None) -> None:
        """One job less runs of a limited kind: others may start."""
        self._running_keys[kind, key] -= 1
        if not self._running_keys[kind, key]:
            del self._running_keys[kind, key]
        if key is not None:
            self.todo.unpark(kind, key)
        self.wake_all()

    def _pause(self, queue: str, pause: Pause | None) -> None:
        if pause is None:
            self.pauses.pop(queue, None)
            self.wake_all()
        else:
            self.pauses[queue] = pause


def _named(ids: tuple[int, ...]) -> str:
    """``job 3``, ``jobs 3, 4``, ``jobs 3, 4, 5 and 7 more``."""
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return f"job{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids[:3]))}{more}"
