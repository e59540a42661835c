"""What one commit writes: gathered by the store's decisions, in their order."""

from collections import Counter
from collections.abc import Callable

from webqueue.job import Job, LogLine, Rejection, State

CountKey = tuple[str, str, int, State]
"""(queue, kind, priority, state)"""


class Pause:
    """Since when (µs since 1970), why and by whom a queue is paused."""

    __slots__ = ("at", "who", "why")

    def __init__(self, at: int, why: str | None, who: str | None = None) -> None:
        self.at = at
        self.why = why
        self.who = who


def stored(job: Job) -> CountKey:
    """Under which count the tables keep *job*: a claim is not written, so what runs is still todo there."""
    state = State.TODO if job.state is State.RUNNING else job.state
    return (job.queue, job.kind, job.priority, state)


class Numbers:
    """Gives out ids and places, each ascending by one. Used by whoever decides, one at a time."""

    def __init__(self) -> None:
        self.next_id = 1
        self.next_place = 1

    def id(self) -> int:
        """The next id."""
        self.next_id += 1
        return self.next_id - 1

    def place(self) -> int:
        """The next place at the tail of todo."""
        self.next_place += 1
        return self.next_place - 1


class Batch:
    """The changes of one transaction. Lives until they are published."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        """The newest row of each job that took a step."""
        self.steps: list[tuple[Job | None, Job]] = []
        """(before, after), in order."""
        self.forgotten: dict[int, Job] = {}
        self.rejections: list[Rejection] = []
        self.rejected = 0
        """So many pushes were refused: at least as many as rejections are to be written."""
        self.lines: list[tuple[int, LogLine]] = []
        self.pauses: dict[str, Pause | None] = {}
        """By queue ("" is the whole of it); None: resumed."""
        self.accepted = 0
        """So many jobs are new."""
        self.new_todo = 0
        """So many of them go straight to todo."""
        self.followers: list[Job] = []
        """Those of them that come after others."""
        self.new_bytes = 0
        """So long are their payloads."""
        self.marks: dict[str, int] = {}
        """Up to when (µs) each recurring rule was done."""
        self.unique: dict[str, int] = {}
        self.idempotent: dict[str, int] = {}
        self.probe = False
        """Write it even where it holds nothing: to see whether that works again."""
        self.undo: list[Callable[[], None]] = []
        """What to take back in memory if the commit fails."""

    def step(self, before: Job | None, after: Job) -> Job:
        """*before* (None: it is new) became *after*."""
        self.steps.append((before, after))
        self.jobs[after.id] = after
        if before is None:
            self._count_new(after)
        if after.unique_key is not None and not after.finished:
            self.unique[after.unique_key] = after.id
        return after

    def _count_new(self, job: Job) -> None:
        self.accepted += 1
        self.new_todo += job.state is State.TODO
        self.new_bytes += len(job.payload)
        if job.after:
            self.followers.append(job)
        if job.idempotency is not None:
            self.idempotent[job.idempotency[0]] = job.id

    def forget(self, job: Job) -> None:
        """*job* is to be deleted."""
        self.forgotten[job.id] = job
        self.jobs.pop(job.id, None)

    def counts(self) -> Counter[CountKey]:
        """By how much each stored count changes; zeros are left out."""
        changes: Counter[CountKey] = Counter()
        for before, after in self.steps:
            if before is not None:
                changes[stored(before)] -= 1
            changes[stored(after)] += 1
        for job in self.forgotten.values():
            changes[stored(job)] -= 1
        return Counter({key: change for key, change in changes.items() if change})

    def __bool__(self) -> bool:
        return bool(
            self.steps or self.forgotten or self.rejections or self.lines or self.pauses or self.marks or self.probe
        )
