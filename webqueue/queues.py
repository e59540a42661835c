"""The two queues of jobs that move, in memory, without I/O: todo and running.

Neither has a lock of its own: both live under the one lock of their store, whose Conditions wake the consumers.
"""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from webqueue.job import Job

WINDOW: Final = 512
"""So many of the next jobs of a lane are held in memory; the rest stays in the store's tables."""

MOST_PARKED: Final = 10_000
"""So many jobs of a lane are looked past at most, while there is no room for their keys."""
MANY_LANES: Final = 1_000
"""Up to so many lanes are kept while they are empty: making one anew costs more than a push may."""

Key = tuple[int, int]


def todo_key(job: Job) -> Key:
    """The order of todo: higher priority first, then the order of acceptance."""
    return (-job.priority, job.place)


def due_key(job: Job) -> Key:
    """The order of what is scheduled: the earliest due time first."""
    return (job.run_at or 0, job.id)


class Window:
    """The first jobs of one order, in memory; those beyond ``bound`` are only in the tables.

    Every job with a key up to ``bound`` is here (all of them where it is None). So a window that runs empty while it
    has a bound is *low*, not empty: it must be refilled before anything can be said of what comes next.
    """

    def __init__(self, key: Callable[[Job], Key], size: int = WINDOW) -> None:
        self.bound: Key | None = None
        self._key = key
        self._size = size
        self._jobs: dict[int, Job] = {}
        self._heap: list[tuple[Key, int, Job]] = []
        self._order = itertools.count()
        """Two entries may stand for one job (the older one was discarded): jobs themselves have no order."""
        self._last: Key = (-(2**63), 0)
        self._in_order = True
        """Whether they came in the order in which they will go, as they do but for priorities and what comes back."""

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    @property
    def low(self) -> bool:
        """Whether the next jobs must be read in from the tables."""
        return self.bound is not None and len(self._jobs) < self._size // 2

    def put(self, job: Job) -> None:
        """*job* takes its place: here, or beyond the bound in the tables."""
        key = self._key(job)
        if self.bound is not None:
            if key > self.bound:
                return
        elif len(self._jobs) >= self._size and key > self._last:
            self.bound = self._last
            return
        self._insert(key, job)
        if len(self._jobs) > 2 * self._size:
            self._shrink()

    def refill(self, jobs: list[Job], bound: Key | None) -> None:
        """The next *jobs* behind the old bound, up to the new one (None: there are no more)."""
        for job in jobs:
            self._insert(self._key(job), job)
        self.bound = bound
        self._last = max(self._last, bound or self._last)

    def first(self, most: int) -> list[Job]:
        """The first *most* jobs that are in memory, in order."""
        if self._in_order:
            return list(itertools.islice(self._jobs.values(), most))
        return heapq.nsmallest(most, self._jobs.values(), key=self._key)

    def head(self) -> Job | None:
        """The next job, left where it is; None also while a bound hides it (see *low*)."""
        heap = self._heap
        while heap:
            job = heap[0][2]
            if self._jobs.get(job.id) is job:
                return job
            heapq.heappop(heap)  # it was discarded
        return None

    def pop(self) -> Job | None:
        """Take the next job out."""
        job = self.head()
        if job is not None:
            heapq.heappop(self._heap)
            del self._jobs[job.id]
        return job

    def discard(self, id: int) -> bool:
        """Take this job out, wherever it stands; False where it is not in memory."""
        return self._jobs.pop(id, None) is not None

    def _insert(self, key: Key, job: Job) -> None:
        self._jobs[job.id] = job
        heapq.heappush(self._heap, (key, next(self._order), job))
        if key > self._last or len(self._jobs) == 1:
            self._last = key
            self._in_order |= len(self._jobs) == 1
        else:
            self._in_order = False

    def _shrink(self) -> None:
        """Leave the later half to the tables: a flood of ever higher priorities must not fill the memory."""
        first = Window.first(self, self._size)  # parked ones stand aside
        self._jobs = {job.id: job for job in first}
        self._in_order = True
        self._heap = [(self._key(job), next(self._order), job) for job in first]
        self.bound = self._last = self._heap[-1][0]


class Lane(Window):
    """The todo jobs of one queue and kind: what one limit or pause can hold back together.

    Those whose key may not start are *parked*, so that they do not stand in the way of those behind them.
    """

    def __init__(self, queue: str, kind: str, group: str, size: int = WINDOW) -> None:
        super().__init__(todo_key, size)
        self.queue = queue
        self.kind = kind
        self.group = group
        self._parked: dict[int, Job] = {}
        self._by_key: defaultdict[str, list[tuple[Key, int, Job]]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._jobs) + len(self._parked)

    def __iter__(self) -> Iterator[Job]:
        return itertools.chain(self._jobs.values(), self._parked.values())

    @property
    def parked(self) -> int:
        """How many are."""
        return len(self._parked)

    def discard(self, id: int) -> bool:
        """See Window."""
        return self._parked.pop(id, None) is not None or super().discard(id)

    def first(self, most: int) -> list[Job]:
        """See Window; the parked ones among them."""
        first = super().first(most)
        return sorted([*first, *self._parked.values()], key=todo_key)[:most] if self._parked else first

    def refill(self, jobs: list[Job], bound: Key | None) -> None:
        """See Window."""
        super().refill([job for job in jobs if job.id not in self._parked], bound)

    def park(self, key: str) -> None:
        """The head waits aside until there is room for its *key*."""
        job = self.pop()
        if job is not None:
            self._parked[job.id] = job
            heapq.heappush(self._by_key[key], (todo_key(job), next(self._order), job))

    def unpark(self, key: str) -> None:
        """There is room for one more of *key*: the first one that waits for it takes its place again.

        Beyond the bound that is in the tables: from there it comes in its turn.
        """
        heap = self._by_key.get(key, [])
        while heap:
            place, _, job = heapq.heappop(heap)
            if self._parked.get(job.id) is job:
                del self._parked[job.id]
                if self.bound is None or place <= self.bound:
                    self._insert(place, job)
                break
        if not heap:
            self._by_key.pop(key, None)


class TodoQueue:
    """The todo jobs, next first, for each group of consumers.

    A *group* is a queue with consumers of its own; queues that nobody listed share those of ``default``.
    """

    def __init__(self, groups: Iterable[str], window: int = WINDOW) -> None:
        self._groups = frozenset(groups)
        self._window = window
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._heads: dict[str, list[tuple[Key, int, Lane]]] = {group: [] for group in self._groups}
        self._waiting: dict[str, dict[int, int]] = {group: {} for group in self._groups}
        self.parking: set[Lane] = set()
        """The lanes in which jobs are parked, or were."""
        self.total = 0
        """How many wait in all; one number, so that it may be read without the lock."""

    def group_of(self, queue: str) -> str:
        """Whose consumers serve *queue*."""
        return queue if queue in self._groups else "default"

    def lanes(self) -> Iterable[Lane]:
        """All lanes that hold or held a job."""
        return self._lanes.values()

    def lane(self, queue: str, kind: str) -> Lane:
        """The lane of this queue and kind, made where there is none yet."""
        lane = self._lanes.get((queue, kind))
        if lane is None:
            lane = self._lanes[queue, kind] = Lane(queue, kind, self.group_of(queue), self._window)
        return lane

    def find(self, queue: str, kind: str) -> Lane | None:
        """The lane of this queue and kind, if there is one."""
        return self._lanes.get((queue, kind))

    def _retire(self, lane: Lane) -> None:
        """Forget an empty lane where there are many: anybody may invent names of queues."""
        if len(self._lanes) > MANY_LANES and not len(lane) and lane.bound is None:
            self._lanes.pop((lane.queue, lane.kind), None)

    def put(self, job: Job) -> str:
        """*job* takes its place. Returns the group whose consumers should hear of it."""
        lane = self.lane(job.queue, job.kind)
        self.count(lane.group, job.priority, 1)
        lane.put(job)
        if lane.head() is job:
            self.advertise(lane)
        return lane.group

    def advertise(self, lane: Lane) -> None:
        """Let the group know the head of *lane*. An entry whose head has changed since is skipped when it is met."""
        head = lane.head()
        if head is not None:
            heapq.heappush(self._heads[lane.group], (todo_key(head), head.id, lane))

    def take(
        self, group: str, blocked: Callable[[Lane], bool], held: Callable[[Job], str | None] = lambda job: None
    ) -> Job | None:
        """Take out the next job of *group* whose lane is not *blocked*; None where there is none in memory.

        One for whose key there is no room is parked; *held* tells that key.
        """
        heads, aside, job = self._heads[group], [], None
        while heads and job is None:
            entry = heapq.heappop(heads)
            _, id, lane = entry
            head = lane.head()
            if head is None or head.id != id:
                continue
            if blocked(lane):
                aside.append(entry)
                continue
            key = held(head)
            if key is None:
                job = lane.pop()
            else:
                lane.park(key)
                self.parking.add(lane)
            self.advertise(lane)
            self._retire(lane)
        for entry in aside:
            heapq.heappush(heads, entry)
        if job is not None:
            self.count(group, job.priority, -1)
        return job

    def unpark(self, kind: str, key: str) -> None:
        """There is room for one more job of this kind and key."""
        for lane in list(self.parking):
            if lane.kind == kind:
                lane.unpark(key)
                self.advertise(lane)
            if not lane.parked and not lane.low:
                self.parking.discard(lane)

    def discard(self, job: Job) -> None:
        """*job* no longer waits (cancelled)."""
        lane = self.lane(job.queue, job.kind)
        self.count(lane.group, job.priority, -1)
        if lane.discard(job.id):
            self.advertise(lane)
        self._retire(lane)

    def count(self, group: str, priority: int, change: int) -> None:
        """So many more jobs of this priority wait, in memory or in the tables."""
        self.total += change
        waiting = self._waiting[group]
        waiting[priority] = waiting.get(priority, 0) + change
        if not waiting[priority]:
            del waiting[priority]

    def length(self, group: str, at_least: int | None = None) -> int:
        """How many wait in *group*, of a priority of *at_least* (all where None)."""
        waiting = self._waiting[group]
        return sum(number for priority, number in waiting.items() if at_least is None or priority >= at_least)

    def ordered(self, group: str, most: int) -> list[Job]:
        """The next *most* jobs of *group* that are in memory, first first."""
        return _first(most, (lane for lane in self._lanes.values() if lane.group == group))

    def next(self, most: int) -> list[Job]:
        """The next *most* jobs of all groups that are in memory, first first."""
        return _first(most, self._lanes.values())


def _first(most: int, lanes: Iterable[Lane]) -> list[Job]:
    firsts = [first for lane in lanes if (first := lane.first(most))]
    return firsts[0] if len(firsts) == 1 else sorted(itertools.chain(*firsts), key=todo_key)[:most]


class RunningQueue:
    """The jobs that were claimed and whose end is not yet committed, in order of their claim."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self.unwanted: set[int] = set()
        """Those that were asked to stop."""

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def get(self, id: int) -> Job | None:
        """The running job, None where it does not run."""
        return self._jobs.get(id)

    def put(self, job: Job) -> None:
        """A consumer has claimed *job*."""
        self._jobs[job.id] = job

    def replace(self, job: Job) -> None:
        """The same step of the same job, with news of its progress."""
        self._jobs[job.id] = job

    def take(self, job: Job) -> None:
        """*job* runs no more."""
        del self._jobs[job.id]
        self.unwanted.discard(job.id)

    def holds(self, claimed: Job) -> bool:
        """Whether this very claim still stands: the fence against late reports of an older attempt."""
        job = self._jobs.get(claimed.id)
        return job is not None and job.revision == claimed.revision
