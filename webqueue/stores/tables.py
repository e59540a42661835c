"""What a local store asks of the tables that keep its rows: plain reads, and one write that is all or nothing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from webqueue.job import Job, LogLine, Rejection
from webqueue.queues import Key
from webqueue.stores.batch import Batch, CountKey, Pause


@dataclass
class Totals:
    """What was counted since the store was made, and the next numbers to give out."""

    accepted: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    rejected: int = 0
    next_id: int = 1
    next_place: int = 1


class Filter(NamedTuple):
    """Which jobs are meant; None is any. ``error`` is the type of the job's error; ``text`` is somewhere in the job."""

    state: str | None = None
    kind: str | None = None
    queue: str | None = None
    error: str | None = None
    text: str | None = None


def matches(job: Job, filter: Filter) -> bool:
    """Whether *filter* means *job*; the same that the tables' SQL says."""
    return (
        (filter.state is None or job.state == filter.state)
        and (filter.kind is None or job.kind == filter.kind)
        and (filter.queue is None or job.queue == filter.queue)
        and (filter.error is None or (job.error is not None and job.error.type == filter.error))
        and (filter.text is None or filter.text.lower() in _text(job))
    )


def _text(job: Job) -> str:
    error = f"{job.error.type}: {job.error.message}" if job.error else ""
    return f"{job.id} {job.kind} {job.unique_key or ''} {error} {job.payload.decode()}".lower()


@dataclass
class Loaded:
    """What a store must know when it opens."""

    totals: Totals = field(default_factory=Totals)
    counts: dict[CountKey, int] = field(default_factory=dict)
    pauses: dict[str, Pause] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    rejections: list[Rejection] = field(default_factory=list)
    """The newest, the oldest first."""
    followers: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Those that wait for others to end: id -> whom they come after."""


class Tables(Protocol):
    """Rows of jobs, log lines, rejections and pauses. What runs is still todo here: a claim is not written.

    ``write`` is called by one thread at a time, reads by any. Reads raise StoreUnavailable where the medium fails.
    """

    def open(self) -> Loaded:
        """Be ready; raises StoreError."""
        ...

    def close(self) -> None:
        """Let go of everything; twice is fine."""
        ...

    def forget_connection(self) -> None:
        """In a forked child: drop what is open without touching what the parent uses."""
        ...

    def write(self, batch: Batch, totals: Totals) -> None:
        """All of *batch*, durably, or nothing: then StoreUnavailable, DiskFull, or ValueError for an unfit row."""
        ...

    def check_room(self, size: int) -> None:
        """Raises DiskFull where so many bytes of payloads would leave too little room for the ends of what runs."""
        ...

    def get(self, id: int) -> Job | None:
        """This job's row."""
        ...

    def get_many(self, ids: Collection[int]) -> list[Job]:
        """The rows of those that are there, in any order."""
        ...

    def todo_after(self, queue: str, kind: str, after: Key, limit: int) -> list[Job]:
        """The next todo rows of a lane behind the key *after*."""
        ...

    def scheduled_after(self, after: Key, limit: int) -> list[Job]:
        """The next scheduled rows behind the key *after*."""
        ...

    def active_with_key(self, unique_key: str) -> int | None:
        """The id of the unfinished job with this key."""
        ...

    def with_idempotency_key(self, key: str) -> int | None:
        """The id of the job that was pushed with this Idempotency-Key."""
        ...

    def page(self, filter: Filter, before: int | None, limit: int) -> list[Job]:
        """The newest rows that match, with ids below *before*."""
        ...

    def matching(self, filter: Filter, limit: int) -> tuple[int, list[int]]:
        """How many match in all, and the ids of the oldest *limit* of them."""
        ...

    def newest_finished(self, limit: int) -> list[Job]:
        """Those that finished last, the last one first."""
        ...

    def oldest_finished(self, limit: int) -> list[Job]:
        """Those that finished first, the first one first."""
        ...

    def log(self, id: int, after: int, limit: int) -> Sequence[tuple[int, LogLine]]:
        """Numbered log lines of a job, oldest first, behind number *after*."""
        ...

    def rejections(self, before: int | None, limit: int) -> list[Rejection]:
        """The newest rejections with ids below *before*."""
        ...

    def size(self) -> int | None:
        """Bytes on disk; None where there is no disk."""
        ...
