"""The contract of a store: the verbs that move jobs, one sentence each.

A store moves jobs; which state follows which is decided in ``job.py`` alone. *Written first, seen second*: nobody, not
even a reader, learns of a step that could still fail. Verbs that write return when what they wrote is durable, and
raise ``StoreUnavailable`` or ``DiskFull`` when it was not written.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from webqueue.job import Job, LogLine, Progress, Rejection
from webqueue.stores.tables import Filter


class Pushed(NamedTuple):
    """An accepted push: ``fresh`` where it made a new job, ``duplicate`` where an active one had its unique_key."""

    job: Job
    fresh: bool = True
    duplicate: bool = False


class NoRoom(NamedTuple):
    """A push that found todo full."""

    most: int


class Outcome(NamedTuple):
    """How an attempt ended: what the claimed job became."""

    claimed: Job
    after: Job


class Page(NamedTuple):
    """Some of many: ``next`` is the cursor of the following page, None at the end.

    ``searched`` is told where the page may be short because only so many were looked at: the rest lies behind ``next``.
    """

    items: list[Any]
    next: int | None
    searched: int | None = None


class Snapshot(NamedTuple):
    """All that a newcomer is shown, as it stood at change number ``seq``."""

    seq: int
    counts: dict[str, int]
    paused: bool
    paused_queues: dict[str, dict[str, Any]]
    todo: list[Job]
    scheduled: list[Job]
    running: list[Job]
    finished: list[Job]
    rejections: list[Rejection]


class Store(Protocol):
    """Keeps jobs and moves them."""

    def open(self) -> None:
        """Own the store and put back what a crash interrupted. Raises StoreError."""
        ...

    def close(self) -> None:
        """Release what still runs to where it stood, write what waits, let go. Twice is fine."""
        ...

    def push(self, drafts: Sequence[Job]) -> list[Pushed | NoRoom | Exception]:
        """Accept new jobs in this order, all in one flush; for each what became of it (KeyReused for a reused key)."""
        ...

    def claim(self, group: str, slot: int) -> Job | None:
        """Wait for the head of *group*'s todo and take it: it is running. None when the store closes."""
        ...

    def finish(self, outcome: Outcome) -> None:
        """Report how an attempt ended; returns at once. A report of a claim that no longer stands changes nothing."""
        ...

    def release(self, claimed: Job) -> None:
        """Put an interrupted job back to where it stood; its attempt is taken back."""
        ...

    def unwanted(self, id: int) -> bool:
        """Whether this running job was asked to stop."""
        ...

    # The four that follow take the *revision* at which the caller saw the job, and raise ChangedMeanwhile where it has
    # moved on since; None is for whoever means the job as it is. It is decided in the same moment as the step itself.

    def cancel(self, id: int, revision: int | None = None, *, who: str | None = None, why: str | None = None) -> Job:
        """Cancel a waiting job. JobNotFound, StateConflict.

        A running one is returned as it is: it must be asked to stop, and does not come back. Where it is known *who*
        wants that the job's log says so, and *why*.
        """
        ...

    def retry(self, id: int, revision: int | None = None) -> Job:
        """Put a failed or cancelled job at the tail of todo. JobNotFound, StateConflict."""
        ...

    def run_now(self, id: int, revision: int | None = None) -> Job:
        """Put a scheduled job at the tail of todo. JobNotFound, StateConflict."""
        ...

    def forget(self, id: int, revision: int | None = None) -> None:
        """Delete a finished job and all that belongs to it. JobNotFound, StateConflict."""
        ...

    def pause(self, queue: str, why: str | None, who: str | None = None) -> None:
        """Nothing of *queue* ("" is all) starts any more: *who* wants that, and *why*."""
        ...

    def resume(self, queue: str) -> None:
        """It starts again."""
        ...

    def reject(self, rejection: Rejection) -> None:
        """Keep the record of an unfit push; returns at once."""
        ...

    def progress(self, claimed: Job, progress: Progress) -> None:
        """A running job got further; told, never written."""
        ...

    def log(self, id: int, lines: Sequence[LogLine]) -> None:
        """Keep what a running job logged; returns at once."""
        ...

    def get(self, id: int) -> Job:
        """The job as it stands. Raises JobNotFound."""
        ...

    def page(self, filter: Filter, before: int | None, limit: int) -> Page:
        """Jobs that match, newest first."""
        ...

    def snapshot(self) -> Snapshot:
        """All that a newcomer is shown."""
        ...
