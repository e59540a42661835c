"""The job and its state machine. No other module decides which state follows which.

push ──► scheduled ──due──► todo ──claim──► running ──complete──► done
  │          ▲               ▲ ▲               │
  └──────────┼───────────────┘ ├────release────┤
             └──────reschedule─┼───────────────┤
                               │               ├────fail────► failed
                               └─────retry─────┼─────────────── │
cancel: scheduled, todo, running ──────────────┴────────► cancelled (retry: ──► todo)
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from webqueue.errors import ChangedMeanwhile, StateConflict

MAX_CRASHES: Final = 3
"""A job that was running in so many process deaths is failed as ``Crashed``."""
KEPT_ATTEMPTS: Final = 100
"""So many ended attempts are kept of a job; older ones are dropped."""


class State(enum.StrEnum):
    """Where a job stands. The last three are *finished*."""

    SCHEDULED = "scheduled"
    TODO = "todo"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    __hash__ = str.__hash__  # Enum's own is written in Python, and sets ask for it at each step


FINISHED: Final = frozenset({State.DONE, State.FAILED, State.CANCELLED})
WAITING: Final = frozenset({State.SCHEDULED, State.TODO})

TRANSITIONS: Final[Mapping[str, tuple[frozenset[State], State]]] = {
    "due": (frozenset({State.SCHEDULED}), State.TODO),
    "claim": (frozenset({State.TODO}), State.RUNNING),
    "complete": (frozenset({State.RUNNING}), State.DONE),
    "fail": (frozenset({State.RUNNING, State.TODO}), State.FAILED),
    "reschedule": (frozenset({State.RUNNING}), State.SCHEDULED),
    "release": (frozenset({State.RUNNING, State.TODO}), State.TODO),
    "cancel": (frozenset({State.SCHEDULED, State.TODO, State.RUNNING}), State.CANCELLED),
    "retry": (frozenset({State.FAILED, State.CANCELLED}), State.TODO),
}
"""verb -> (states it may start from, state it leads to). The diagrams are compared with this table."""


class Failure(NamedTuple):
    """Why an attempt failed: the exception's class name, its text, its traceback (capped)."""

    type: str
    message: str
    traceback: str


class Attempt(NamedTuple):
    """One ended run of a handler. Times in µs since 1970; ``outcome``: done, failed, cancelled or timeout."""

    attempt: int
    started_at: int
    ended_at: int
    outcome: str
    error: Failure | None


class Progress(NamedTuple):
    """How far a handler says it is: ``fraction`` within 0..1."""

    fraction: float
    message: str


class Standing(NamedTuple):
    """What of a job depends on others and on the moment; known only to whoever looks at the whole queue.

    ``position`` among those who wait (1 = next), ``starts_in`` estimated seconds, ``waiting_for`` why it may not start
    yet, ``overdue`` whether its handler runs past its timeout.
    """

    position: int | None = None
    starts_in: float | None = None
    waiting_for: str | None = None
    overdue: bool = False


@dataclass(frozen=True, eq=False)
class Job:
    """One accepted request to run a handler on a payload; immutable, each step makes a new one.

    Times are whole microseconds since 1970 (UTC), None where they have not come yet. ``payload`` and ``result`` are
    JSON texts: a queued job costs bytes, not objects. Jobs of one queue and priority run by ascending ``place``.
    """

    id: int
    kind: str
    payload: bytes
    queue: str
    priority: int
    state: State
    place: int
    max_attempts: int
    created_at: int
    timeout: float | None = None
    unique_key: str | None = None
    run_at: int | None = None
    attempt: int = 0
    crashes: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    revision: int = 1
    result: bytes | None = None
    error: Failure | None = None
    history: tuple[Attempt, ...] = ()
    progress: Progress | None = None
    after: tuple[int, ...] = ()
    """The jobs whose end it waits for, by their ids."""
    idempotency: tuple[str, bytes] | None = field(default=None, repr=False)
    """The Idempotency-Key and the digest of the body that came with it."""
    standing: Standing = field(default=Standing(), repr=False)

    def accepted(self, id: int, place: int, now: int) -> "Job":
        """A draft becomes a job: the *id*-th, at *place* in todo, at *now*."""
        return self.replaced(id=id, place=place, created_at=now)

    @property
    def finished(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.state in FINISHED

    @property
    def follows(self) -> bool:
        """Whether it waits for the end of others rather than for a time."""
        return self.state is State.SCHEDULED and self.run_at is None

    def still(self, revision: int | None, verb: str) -> "Job":
        """Itself, for *verb*, at the *revision* that somebody saw (None: at any). Raises ChangedMeanwhile."""
        if revision is not None and revision != self.revision:
            raise ChangedMeanwhile(verb, self.id, self.state, self.revision)
        return self

    def due(self, place: int) -> "Job":
        """Its time has come, or those that it waits for are done: to the tail of todo, at *place*."""
        return self._step("due", place=place)

    def claim(self, now: int) -> "Job":
        """A consumer takes it at *now*: the next attempt begins."""
        return self._step("claim", attempt=self.attempt + 1, started_at=now, progress=None)

    def complete(self, now: int, result: bytes) -> "Job":
        """Its handler returned *result* (a JSON text)."""
        return self._end("complete", now, "done", None, result=result)

    def fail(self, now: int, error: Failure, outcome: str = "failed") -> "Job":
        """Its last attempt failed."""
        return self._end("fail", now, outcome, error)

    def reschedule(self, now: int, error: Failure, run_at: int, outcome: str = "failed") -> "Job":
        """An attempt failed; the next one is due at *run_at*."""
        history = self._with_attempt(now, outcome, error)
        return self._step("reschedule", run_at=run_at, error=error, history=history, progress=None)

    def release(self) -> "Job":
        """Interrupted: back to where it stood, the attempt is taken back."""
        return self._step("release", attempt=self.attempt - 1, started_at=None, progress=None)

    def crash(self, now: int) -> "Job":
        """The process died while it ran (as stored it is still todo): put back, or failed at the third time."""
        crashes = self.crashes + 1
        if crashes < MAX_CRASHES:
            return self._step("release", crashes=crashes)
        error = Failure("Crashed", f"It was running when the process died, {crashes} times.", "")
        return self._step("fail", crashes=crashes, error=error, finished_at=now)

    def cancel(self, now: int) -> "Job":
        """Nobody wants it any more."""
        if self.state is State.RUNNING:
            return self._end("cancel", now, "cancelled", None)
        return self._step("cancel", finished_at=now)

    def heard(self, states: Mapping[int, State], now: int, next_place: Callable[[], int]) -> "Job":
        """Those that it comes after are in these states: all are done, one of them never will be, or it still waits."""
        lost = next((id for id, state in states.items() if state in (State.FAILED, State.CANCELLED)), None)
        if lost is not None:
            ended = "was cancelled" if states[lost] is State.CANCELLED else "failed"
            why = f"Job {lost}, after which it was to run, {ended}."
            return self._step("cancel", finished_at=now, error=Failure("DependencyFailed", why, ""))
        return self.due(next_place()) if all(state is State.DONE for state in states.values()) else self

    def retry(self, now: int, place: int) -> "Job":
        """By hand: to the tail of todo, counted from the first attempt again; the history and the last error stay."""
        return self._step(
            "retry", place=place, run_at=now, attempt=0, crashes=0, started_at=None, finished_at=None
        )

    def seen(self, standing: Standing) -> "Job":
        """The same job, with what the moment adds to it."""
        return self.replaced(standing=standing)

    def with_progress(self, progress: Progress) -> "Job":
        """The same step of the same job, further on (progress moves no revision)."""
        return self.replaced(progress=progress)

    def _end(self, verb: str, now: int, outcome: str, error: Failure | None, **changes: Any) -> "Job":
        history = self._with_attempt(now, outcome, error)
        return self._step(verb, finished_at=now, error=error, history=history, progress=None, **changes)

    def _with_attempt(self, now: int, outcome: str, error: Failure | None) -> tuple[Attempt, ...]:
        ended = Attempt(self.attempt, self.started_at or now, now, outcome, error)
        return (ended, *self.history[: KEPT_ATTEMPTS - 1])

    def _step(self, verb: str, **changes: Any) -> "Job":
        allowed, after = TRANSITIONS[verb]
        if self.state not in allowed:
            raise StateConflict(verb, self.state)
        return self.replaced(state=after, revision=self.revision + 1, **changes)

    def replaced(self, **changes: Any) -> "Job":
        """A copy with other values in some fields; it knows nothing of states: that is what the verbs above are for.

        Copying the dict takes a third of the time of ``dataclasses.replace``, which calls ``__init__`` field by field.
        """
        copy = object.__new__(Job)
        copy.__dict__.update(self.__dict__, **changes)
        return copy


@dataclass(frozen=True, slots=True)
class Rejection:
    """The record of an unfit push. ``payload`` is a redacted, capped JSON text, None where there was none."""

    id: int
    at: int
    kind: str | None
    reason: str
    errors: Mapping[str, Any]
    payload: bytes | None = None


class LogLine(NamedTuple):
    """One line that a handler logged, at *at* µs since 1970; ``level`` is Python's name in lower case."""

    at: int
    level: str
    message: str


CANCELLED_BY: Final = "cancelled by "
"""How the line begins by which a job's log says who cancelled it."""
