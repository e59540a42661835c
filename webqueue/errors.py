"""Every error that webqueue raises on purpose, one root.

    WebqueueError
    ├── SettingsError            a setting, or a handler's registration, makes no sense
    ├── Outdated                 a package that webqueue stands on is too old to be safe
    ├── Rejected                 a push is unfit: nothing was queued
    │   └── QueueFull            ... because todo holds ``max_todo`` jobs
    ├── KeyReused                one Idempotency-Key, two different bodies
    ├── JobNotFound              no job has this id (any more)
    ├── StateConflict            the job's state does not allow this step
    │   └── ChangedMeanwhile     ... or it is no longer at the revision that the caller saw
    ├── Unavailable              not now: repeat it later
    │   ├── Draining             the process is shutting down
    │   ├── NotRunning           the engine was not started in this process
    │   ├── StoreUnavailable     the store can't be written at the moment
    │   └── DiskFull             the store's disk is (nearly) full
    └── StoreError               the store can't be opened
        ├── StoreBusy            another process owns it
        └── StoreUnfit           it is not a file that webqueue may use

What a *user's* code raises to say something to webqueue: ``Unfit`` (in a check at the door), ``Retry`` and
``Cancelled`` (in a handler). They are signals rather than errors of webqueue's own, so they stand beside the tree.
"""

from collections.abc import Mapping
from typing import Any, Final

Errors = Mapping[str, Any]
TEN_YEARS: Final = 10 * 366 * 86_400
"""Seconds: nothing is due later than that."""


class WebqueueError(Exception):
    """The root of the tree. ``str(error)`` is one line that says what to do."""


class SettingsError(WebqueueError):
    """A setting, or a handler's registration, makes no sense."""


class Outdated(WebqueueError):
    """A package that webqueue stands on is too old to be safe: see webqueue.floors."""


class Rejected(WebqueueError):
    """A push is unfit: nothing was queued.

    Attributes:
        id: the number of the rejection, as in ``GET /rejections``.
        errors: messages by field, nested as the push is: ``{"payload": {"url": ["Not a valid URL."]}}``.
    """

    def __init__(self, id: int, errors: Errors, reason: str = "The push is unfit.") -> None:
        super().__init__(f"{reason} {dict(errors)}")
        self.id = id
        self.errors = dict(errors)
        self.reason = reason


class QueueFull(Rejected):
    """Todo holds ``max_todo`` jobs; ``retry_after`` is the estimated number of seconds until there is room."""

    def __init__(self, id: int, errors: Errors, reason: str, retry_after: int) -> None:
        super().__init__(id, errors, reason)
        self.retry_after = retry_after


class KeyReused(WebqueueError):
    """The same Idempotency-Key came with another body."""


class JobNotFound(WebqueueError):
    """No job has this id (any more)."""

    def __init__(self, id: int) -> None:
        super().__init__(f"There is no job {id}: it never was, or it has been forgotten.")


class StateConflict(WebqueueError):
    """The job's state does not allow this step."""

    def __init__(self, verb: str, state: str, said: str = "") -> None:
        super().__init__(said or f"A job that is {state} can't be moved by {verb!r}.")
        self.verb = verb
        self.state = state


class ChangedMeanwhile(StateConflict):
    """The job is no longer at the revision that the caller saw: nothing was done to it."""

    def __init__(self, verb: str, id: int, state: str, revision: int) -> None:
        super().__init__(verb, state, f"Job {id} is {state} by now, at revision {revision}.")
        self.revision = revision


class Unavailable(WebqueueError):
    """Not now. ``retry_after`` is the number of seconds after which a repetition makes sense."""

    retry_after = 5


class Draining(Unavailable):
    """The process is shutting down: push to its successor."""


class NotRunning(Unavailable):
    """The engine was not started in this process (it was forked, or it has been stopped)."""


class StoreUnavailable(Unavailable):
    """The store can't be written at the moment."""


class DiskFull(Unavailable):
    """The store's disk is full, or nearly so."""

    retry_after = 30


class StoreError(WebqueueError):
    """The store can't be opened."""


class StoreBusy(StoreError):
    """Another process owns the store."""


class StoreUnfit(StoreError):
    """What lies at the store's address is not a file that webqueue may use."""


class Unfit(Exception):
    """Raised by a handler's own check at the door: ``raise Unfit({"url": ["not one of ours"]})``."""

    def __init__(self, errors: Errors | str) -> None:
        super().__init__(errors)
        self.errors: dict[str, Any] = {"_schema": [errors]} if isinstance(errors, str) else dict(errors)


class Retry(Exception):
    """Raised by a handler to be run again ``after`` so many seconds (while it has attempts left)."""

    def __init__(self, after: float, message: str = "The handler asked to be run again.") -> None:
        super().__init__(message)
        if after != after:  # only NaN
            raise ValueError("Retry(after=...) is a number of seconds, not NaN.")
        self.after = min(max(0.0, after), TEN_YEARS)


class Cancelled(BaseException):
    """Raised inside a handler whose job was cancelled, by ``current_job.check()``."""


class TimedOut(BaseException):
    """Raised inside a handler that ran past its timeout."""
