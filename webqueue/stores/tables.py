"""What a local store asks of the tables that keep its rows: plain reads, and one write that is all or nothing."""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from webqueue.job import Job, LogLine, Rejection, State
from webqueue.queues import Key
from webqueue.stores.batch import Batch, CountKey, Pause
from webqueue.strictjson import dump

SEARCHED: Final = 20_000
"""So many jobs are looked at, one by one, for one page of a search."""
GROUPED: Final = 10_000
"""So many failed jobs are looked at for their groups."""
KEPT_REJECTIONS: Final = 1_000
"""So many rejections are kept, the newest."""


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
    """Which jobs are meant; None is any. ``error`` is the type of the job's error; ``text`` is somewhere in the job.

    ``since`` (µs): it finished then or later. ``payload``: (path, value) pairs, see ``found_at``.
    """

    state: str | None = None
    kind: str | None = None
    queue: str | None = None
    error: str | None = None
    text: str | None = None
    since: int | None = None
    payload: tuple[tuple[str, str], ...] = ()

    @property
    def looks(self) -> bool:
        """Whether the jobs of its state must be looked at one by one."""
        return self._replace(state=None) != Filter()

    @property
    def deep(self) -> bool:
        """Whether it looks into what is long."""
        return self.text is not None or bool(self.payload)

    @property
    def ordered_state(self) -> str | None:
        """The state whose jobs are at hand in the order of their ids; None: only all jobs are."""
        return None if self.state == State.TODO else self.state


class FailureGroup(NamedTuple):
    """Jobs of one kind that failed with one type of error; times in µs, ``newest`` is the id of the last one."""

    kind: str
    error: str | None
    number: int
    first: int
    last: int
    newest: int


def group_failures(rows: Iterable[tuple[int, str, str | None, int]]) -> list[FailureGroup]:
    """The groups of (id, kind, error type, when it failed), which come newest first; the greatest group first."""
    groups: dict[tuple[str, str | None], FailureGroup] = {}
    for id, kind, error, at in rows:
        known = groups.get((kind, error)) or FailureGroup(kind, error, 0, at, at, id)
        groups[kind, error] = known._replace(number=known.number + 1, first=at)
    return sorted(groups.values(), key=lambda group: (-group.number, group.kind, group.error or ""))


_STEP = re.compile(r'([^.\[\]"\\]+)((?:\[[0-9]{1,9}\])*)')


def steps(path: str) -> list[str | int]:
    """The keys and indices of a path as ``customer.orders[0].id``. Raises ValueError where it is none."""
    found: list[str | int] = []
    for part in path.split("."):
        match = _STEP.fullmatch(part)
        if match is None:
            raise ValueError(f"{path} is no path")
        found += [match[1], *map(int, re.findall("[0-9]+", match[2]))]
    return found


def found_at(payload: bytes, path: str, value: str) -> bool:
    """Whether *value* stands at *path*: as a text, or as the JSON that it is (``null`` where there is nothing)."""
    place: Any = json.loads(payload)
    for step in steps(path):
        known = isinstance(place, dict) if isinstance(step, str) else isinstance(place, list) and step < len(place)
        place = (place.get(step) if isinstance(step, str) else place[step]) if known else None
    return dump(place) in (value.encode(), dump(value))


def matches(job: Job, filter: Filter) -> bool:
    """Whether *filter* means *job*; the same that the tables' SQL says."""
    return (
        (filter.state is None or job.state == filter.state)
        and (filter.kind is None or job.kind == filter.kind)
        and (filter.queue is None or job.queue == filter.queue)
        and (filter.error is None or (job.error is not None and job.error.type == filter.error))
        and (filter.since is None or (job.finished_at is not None and job.finished_at >= filter.since))
        and (filter.text is None or filter.text.lower() in _text(job))
        and all(found_at(job.payload, path, value) for path, value in filter.payload)
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


class Disk(NamedTuple):
    """Bytes that are *free* on it, and bytes of the *log* that is written ahead of the file."""

    free: int
    log: int


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

    def floor(self, filter: Filter, before: int | None) -> int | None:
        """The first id below *before* that is too far down to be looked at: SEARCHED jobs of the state lie between.

        None where so many do not.
        """
        ...

    def page(self, filter: Filter, before: int | None, limit: int, floor: int | None = None) -> list[Job]:
        """The newest rows that match, with ids below *before* and above *floor*."""
        ...

    def matching(self, filter: Filter, limit: int) -> tuple[int, list[int]]:
        """How many match in all, and the ids of the oldest *limit* of them; of a deep filter, above its floor."""
        ...

    def failures(self, since: int) -> list[FailureGroup]:
        """Groups, the greatest first, of the last GROUPED jobs that failed at *since* (µs) or later."""
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

    def disk(self) -> Disk | None:
        """How it looks around the rows; None where there is no disk, or it can't be looked at."""
        ...
