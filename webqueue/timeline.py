"""What became of a job, step by step, for people. Its twin in the browser is static/js/timeline.js."""

from collections.abc import Iterable
from typing import NamedTuple

from webqueue.job import CANCELLED_BY, Job, LogLine, State

SHOWN = 10
"""So many of the newest attempts are told."""


class Step(NamedTuple):
    """One step: its *name*, when it began (µs since 1970), and what took how long until it ended (words, or none).

    The moment is told *as* an age ("ago"), as a span that goes on ("since"), or as one still to come ("until").
    """

    name: str
    at: int
    words: str = ""
    told_as: str = "ago"


def took(start: int, end: int) -> str:
    """The span between two moments (µs) in words: 12 ms, 1.5 s, 3 min 20 s, 2 h 5 min, 4 d.

    Counted between whole milliseconds, since clients are told no finer ones.
    """
    ms = max(0, end // 1000 - start // 1000)
    if ms < 10_000:
        return f"{ms} ms" if ms < 1000 else f"{ms / 1000:.1f} s"
    seconds = round(ms / 1000)
    if seconds < 3600:
        minutes, rest = divmod(seconds, 60)
        return f"{rest} s" if not minutes else f"{minutes} min {rest} s" if minutes < 10 else f"{minutes} min"
    hours, rest = divmod(seconds, 3600)
    return f"{hours} h {rest // 60} min" if hours < 24 else f"{hours // 24} d"


def steps(job: Job) -> list[Step]:
    """Pushed, each attempt with how long it waited and ran, and where it stands now, in order."""
    told = [Step("pushed", job.created_at)]
    since = job.created_at
    for one in reversed(job.history[:SHOWN]):
        words = f"waited {took(since, one.started_at)}, ran {took(one.started_at, one.ended_at)}: {one.outcome}"
        told.append(Step(f"attempt {one.attempt}", one.started_at, words))
        since = one.ended_at
    return [*told, *_now(job, since)]


def _now(job: Job, since: int) -> list[Step]:
    """What it does since its last step, if it is not waiting for others."""
    if job.state is State.RUNNING and job.started_at is not None:
        words = f"waited {took(since, job.started_at)}, runs"
        return [Step(f"attempt {job.attempt}", job.started_at, words, "since")]
    if job.state is State.SCHEDULED:
        return [] if job.run_at is None else [Step("due", job.run_at, told_as="until")]
    if job.finished and job.finished_at is not None:
        return [Step(job.state.value, job.finished_at, f"{took(job.created_at, job.finished_at)} in all")]
    return [Step("waits since", max(since, job.run_at or 0), told_as="since")]


def cancelled_by(job: Job, lines: Iterable[LogLine]) -> str:
    """Who cancelled it, or asked it to stop, since it last began, as the store noted it in its log; or nothing."""
    if job.state not in (State.CANCELLED, State.RUNNING):
        return ""
    since = job.started_at or job.finished_at or 0  # what was said before a retry counts no more
    return next((one.message for one in reversed([*lines]) if _tells_who(one) and one.at >= since), "")


def _tells_who(line: LogLine) -> bool:
    return line.message.startswith(CANCELLED_BY)
