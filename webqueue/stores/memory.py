"""Tables in memory, gone with the process: for tests, and for jobs that may be."""

import threading
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from webqueue.job import Job, LogLine, Rejection, State
from webqueue.queues import Key, due_key, todo_key
from webqueue.stores.batch import Batch
from webqueue.stores.tables import (
    GROUPED,
    KEPT_REJECTIONS,
    SEARCHED,
    FailureGroup,
    Filter,
    Loaded,
    Totals,
    group_failures,
    matches,
)


class MemoryTables:
    """See Tables. One lock guards all; jobs stand in the order of their ids, finished ones in that of their end."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._jobs: dict[int, Job] = {}
        self._finished: dict[int, None] = {}
        self._unique: dict[str, int] = {}
        self._idempotent: dict[str, int] = {}
        self._lines: defaultdict[int, list[LogLine]] = defaultdict(list)
        self._rejections: deque[Rejection] = deque(maxlen=KEPT_REJECTIONS)

    def open(self) -> Loaded:
        """An empty store."""
        return Loaded()

    def close(self) -> None:
        """There is nothing to let go of."""

    def forget_connection(self) -> None:
        """There is none."""

    def write(self, batch: Batch, totals: Totals) -> None:
        """See Tables; it can't fail."""
        with self._lock:
            for job in batch.jobs.values():
                self._put(job)
            for job in batch.forgotten.values():
                self._remove(job)
            for id, line in batch.lines:
                self._lines[id].append(line)
            self._rejections.extend(batch.rejections)

    def check_room(self, size: int) -> None:
        """See Tables; there is no disk."""

    def get(self, id: int) -> Job | None:
        """See Tables."""
        return self._jobs.get(id)

    def get_many(self, ids: Collection[int]) -> list[Job]:
        """See Tables."""
        return [job for id in ids if (job := self._jobs.get(id))]

    def todo_after(self, queue: str, kind: str, after: Key, limit: int) -> list[Job]:
        """See Tables."""
        found = self._select(Filter(State.TODO, kind, queue))
        return sorted((job for job in found if todo_key(job) > after), key=todo_key)[:limit]

    def scheduled_after(self, after: Key, limit: int) -> list[Job]:
        """See Tables."""
        found = self._select(Filter(State.SCHEDULED))
        return sorted((job for job in found if not job.follows and due_key(job) > after), key=due_key)[:limit]

    def active_with_key(self, unique_key: str) -> int | None:
        """See Tables."""
        return self._unique.get(unique_key)

    def with_idempotency_key(self, key: str) -> int | None:
        """See Tables."""
        return self._idempotent.get(key)

    def floor(self, filter: Filter, before: int | None) -> int | None:
        """See Tables."""
        among = self._select(Filter(filter.ordered_state), newest_first=True)
        below = (job.id for job in among if before is None or job.id < before)
        return next(islice(below, SEARCHED, None), None)

    def page(self, filter: Filter, before: int | None, limit: int, floor: int | None = None) -> list[Job]:
        """See Tables."""
        found = self._select(filter, newest_first=True, above=floor)
        return list(islice((job for job in found if before is None or job.id < before), limit))

    def matching(self, filter: Filter, limit: int) -> tuple[int, list[int]]:
        """See Tables."""
        floor = self.floor(filter, None) if filter.deep else None
        ids = [job.id for job in self._select(filter, above=floor)]
        return len(ids), ids[:limit]

    def failures(self, since: int) -> list[FailureGroup]:
        """See Tables."""
        with self._lock:
            finished = [self._jobs[id] for id in reversed(self._finished)]
        failed = (job for job in finished if matches(job, Filter(State.FAILED, since=since)))
        rows = ((job.id, job.kind, job.error.type if job.error else None, job.finished_at or 0) for job in failed)
        return group_failures(islice(rows, GROUPED))

    def newest_finished(self, limit: int) -> list[Job]:
        """See Tables."""
        with self._lock:
            ids = [id for id, _ in zip(reversed(self._finished), range(limit), strict=False)]
            return [self._jobs[id] for id in ids]

    def oldest_finished(self, limit: int) -> list[Job]:
        """See Tables."""
        with self._lock:
            ids = [id for id, _ in zip(self._finished, range(limit), strict=False)]
            return [self._jobs[id] for id in ids]

    def log(self, id: int, after: int, limit: int) -> Sequence[tuple[int, LogLine]]:
        """See Tables."""
        lines = self._lines.get(id, [])[after : after + limit]
        return list(enumerate(lines, after + 1))

    def rejections(self, before: int | None, limit: int) -> list[Rejection]:
        """See Tables."""
        with self._lock:
            found = [one for one in reversed(self._rejections) if before is None or one.id < before]
        return found[:limit]

    def size(self) -> int | None:
        """No disk."""
        return None

    def disk(self) -> None:
        """No disk."""

    def _put(self, job: Job) -> None:
        self._jobs[job.id] = job
        if job.finished:
            self._finished[job.id] = None
        else:
            self._finished.pop(job.id, None)
        if job.unique_key is not None:
            self._claim_key(job, job.unique_key)
        if job.idempotency is not None:
            self._idempotent[job.idempotency[0]] = job.id

    def _claim_key(self, job: Job, key: str) -> None:
        if not job.finished:
            self._unique[key] = job.id
        elif self._unique.get(key) == job.id:
            del self._unique[key]

    def _remove(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        self._finished.pop(job.id, None)
        self._lines.pop(job.id, None)
        if job.idempotency is not None:
            self._idempotent.pop(job.idempotency[0], None)

    def _select(self, filter: Filter, *, newest_first: bool = False, above: int | None = None) -> Iterator[Job]:
        with self._lock:
            jobs = list(self._jobs.values())
        within = (job for job in (reversed(jobs) if newest_first else jobs) if above is None or job.id > above)
        return (job for job in within if matches(job, filter))
