"""Jobs, rejections and log lines as clients see them: the shapes of the contract, nowhere else."""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from webqueue.job import Attempt, Failure, Job, LogLine, Progress, Rejection
from webqueue.redaction import preview

View = dict[str, Any]


def iso(at: int | None) -> str | None:
    """µs since 1970 as ISO 8601 in UTC with milliseconds and a Z."""
    if at is None:
        return None
    seconds, micros = divmod(at, 1_000_000)
    return f"{_second(seconds)}.{micros // 1000:03d}Z"


@lru_cache(maxsize=1_000)
def _second(seconds: int) -> str:
    # Kept: what is told together was mostly done together, and this is most of what a row of a frame costs.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def progress_json(progress: Progress | None) -> View | None:
    """``{"fraction", "message"}``, or None."""
    return None if progress is None else progress._asdict()


def error_json(error: Failure | None, *, traceback: bool = True) -> View | None:
    """``{"type", "message", "traceback"}``, or None; in a summary without the traceback."""
    if error is None:
        return None
    return error._asdict() if traceback else {"type": error.type, "message": error.message}


def attempt_json(attempt: Attempt) -> View:
    """One entry of a job's history."""
    return {
        "attempt": attempt.attempt,
        "started_at": iso(attempt.started_at),
        "ended_at": iso(attempt.ended_at),
        "outcome": attempt.outcome,
        "error": error_json(attempt.error),
    }


def log_json(line: LogLine) -> View:
    """``{"at", "level", "message"}``."""
    return {"at": iso(line.at), "level": line.level, "message": line.message}


def rejection_json(rejection: Rejection) -> View:
    """A rejection; its payload is redacted and capped."""
    return {
        "id": rejection.id,
        "at": iso(rejection.at),
        "kind": rejection.kind,
        "reason": rejection.reason,
        "errors": dict(rejection.errors),
        "payload": None if rejection.payload is None else json.loads(rejection.payload),
    }


def job_json(job: Job) -> View:
    """The whole job."""
    return {
        **_common(job),
        "payload": json.loads(job.payload),
        "result": None if job.result is None else json.loads(job.result),
        "error": error_json(job.error),
        "history": [attempt_json(attempt) for attempt in job.history],
    }


def job_summary(job: Job, secret: Collection[str] = ()) -> View:
    """The job in lists: without payload, result, history and traceback, with a preview of the payload."""
    return {
        **_common(job),
        "error": error_json(job.error, traceback=False),
        "preview": preview(job.payload, secret),
    }


def _common(job: Job) -> View:
    standing = job.standing
    return {
        "id": job.id,
        "kind": job.kind,
        "queue": job.queue,
        "priority": job.priority,
        "state": job.state.value,
        "position": standing.position,
        "starts_in": standing.starts_in,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "crashes": job.crashes,
        "timeout": job.timeout,
        "progress": progress_json(job.progress),
        "unique_key": job.unique_key,
        "run_at": iso(job.run_at),
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
        "revision": job.revision,
        "overdue": standing.overdue,
        "waiting_for": standing.waiting_for,
        **({"after": list(job.after)} if job.after else {}),
    }


class JobView:
    """A job as Python code sees it: the fields of its JSON as attributes, as they were when it was looked at."""

    __slots__ = ("_job", "_view")

    def __init__(self, job: Job) -> None:
        self._job = job
        self._view: View | None = None

    def as_json(self) -> View:
        """All fields."""
        if self._view is None:
            self._view = job_json(self._job)
        return self._view

    @property
    def after(self) -> list[int]:
        """The ids of the jobs that it comes after."""
        return list(self._job.after)

    def then(self, handler: Any, /, **payload: Any) -> Any:
        """Push a job of *handler* that runs once this one is done: ``resize.push(url=u).then(notify, to="me")``.

        When this one fails or is cancelled, so is that one. Durable when it returns it; raises Rejected.
        """
        return handler.after(self).push(**payload)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.as_json()[name]
        except KeyError:
            raise AttributeError(f"A job has no {name!r}.") from None

    def __repr__(self) -> str:
        return f"<Job {self._job.id} {self._job.kind} {self._job.state.value}>"
