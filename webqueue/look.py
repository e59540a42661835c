"""Looks at the whole queue: where a job stands among the others, and the bodies that tell of all of them."""

import itertools
import math
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from webqueue.consumer import Consumer
from webqueue.estimate import Outlook, Pace
from webqueue.executor import Executor
from webqueue.feed import Feed
from webqueue.handlers import Handlers
from webqueue.job import Job, Standing, State
from webqueue.jsonschema import json_schema
from webqueue.meters import Meters, bounded
from webqueue.queues import todo_key
from webqueue.stores.local import LocalStore
from webqueue.views import iso, job_summary, rejection_json

MOST_CHANGED: Final = 500
"""Where more jobs changed, a snapshot is sent instead."""
SCANNED: Final = 2_000
"""Among so many next jobs a position is counted; behind them it is told from its place."""


STALE: Final = 0.1


class Metrics(NamedTuple):
    """What ``GET /metrics`` tells."""

    jobs: dict[tuple[str, str, str], int]
    """By (queue, kind, state), as ``bounded`` makes them."""
    totals: dict[str, int]
    late: int
    meters: Meters
    gauges: list[tuple[str, str, float]]
    """(name, meaning, value)"""


class Look:
    """Reads; changes nothing. Lives as long as its engine."""

    def __init__(
        self,
        store: LocalStore,
        executor: Executor,
        pace: Pace,
        consumers: Sequence[Consumer],
        groups: Mapping[str, int],
        handlers: Handlers,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._board = store.board
        self._executor = executor
        self._pace = pace
        self._consumers = consumers
        self._groups = groups
        self._handlers = handlers
        self._clock = clock
        self._kept: tuple[float, dict[str, Outlook]] = (0.0, {})

    # -- one job -------------------------------------------------------------------------------------------------

    def at(self, job: Job, *, fresh: bool = False, position: int | None = None) -> Job:
        """*job* with its standing; a *fresh* one stands at the tail, which like a known *position* needs no search."""
        if job.state is State.RUNNING:
            return job.seen(Standing(overdue=True)) if self._executor.overdue(job.id) else job
        if job.state is not State.TODO:
            return job.seen(Standing(waiting_for=self._board.waiting_for(job))) if job.follows else job
        with self._board.lock:
            group = self._board.todo.group_of(job.queue)
            if fresh:
                position = self._board.todo.length(group, job.priority)
            elif position is None:
                position = self._position(group, job)
            waiting_for = self._board.waiting_for(job)
        starts_in, position = None, max(1, position)
        if waiting_for is None:
            starts_in = self._outlooks()[group].starts_in(position)
        return job.seen(Standing(position, starts_in, waiting_for))

    def at_all(self, jobs: Iterable[Job]) -> list[Job]:
        """The same for many at once."""
        jobs = list(jobs)
        positions = self._positions() if any(job.state is State.TODO for job in jobs) else {}
        return self._at(jobs, positions)

    def _at(self, jobs: Iterable[Job], positions: Mapping[int, int]) -> list[Job]:
        with self._board.lock:  # once: consumers want it, too, and to wait for it costs more than what is done under it
            return [self.at(job, position=positions.get(job.id)) for job in jobs]

    def _outlooks(self) -> dict[str, Outlook]:
        """By group. Kept for STALE seconds: each push and each row of a list asks for it."""
        now = time.monotonic()
        until, outlooks = self._kept
        if now >= until:
            outlooks = self._look_out()
            self._kept = (now + STALE, outlooks)
        return outlooks

    def _look_out(self) -> dict[str, Outlook]:
        kinds: dict[str, Counter[str]] = {group: Counter() for group in self._groups}
        running: dict[str, list[tuple[str, float]]] = {group: [] for group in self._groups}
        group_of, at = self._board.todo.group_of, self._clock()
        with self._board.lock:
            for (queue, kind, state), number in self._board.counts.by_kind().items():
                if state == State.TODO:
                    kinds[group_of(queue)][kind] += number
            for job in self._board.running:
                running[group_of(job.queue)].append((job.kind, max(0, at - (job.started_at or at)) / 1e6))
        return {
            group: self._pace.outlook(number, kinds[group], running[group]) for group, number in self._groups.items()
        }

    def _position(self, group: str, job: Job) -> int:
        """Counted among the jobs in memory; behind them told from the place (exact while none left from the middle)."""
        key = todo_key(job)
        ahead = self._board.todo.ordered(group, SCANNED)
        if not ahead or key <= todo_key(ahead[-1]):
            return 1 + bisect_left(ahead, key, key=todo_key)
        behind = job.place - ahead[-1].place
        return min(len(ahead) + max(1, behind), self._board.todo.length(group, job.priority))

    def _positions(self) -> dict[int, int]:
        with self._board.lock:
            return self._ranks(job for group in self._groups for job in self._board.todo.ordered(group, SCANNED))

    def _ranks(self, jobs: Iterable[Job]) -> dict[int, int]:
        """{id: position} of the next jobs, of which each group's stand in order."""
        places: defaultdict[str, Iterator[int]] = defaultdict(partial(itertools.count, 1))
        return {job.id: next(places[self._board.todo.group_of(job.queue)]) for job in jobs}

    # -- all -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """The event ``snapshot``, without its epoch."""
        taken = self._store.snapshot()
        return {
            "seq": taken.seq,
            "counts": taken.counts,
            "paused": taken.paused,
            "paused_queues": _pauses(taken.paused_queues),
            # As they stood when it was taken: in a flood they have long gone on.
            "todo": self._seen(self._at(taken.todo, self._ranks(taken.todo))),
            "scheduled": self._summaries(taken.scheduled),
            "running": self._summaries(taken.running),
            "finished": self._summaries(taken.finished),
            "rejections": [rejection_json(one) for one in taken.rejections],
        }

    def changes(self, feed: Feed, since: int) -> dict[str, Any] | None:
        """The event ``changes``, without its epoch; None where a snapshot must be sent instead."""
        board = self._board
        with board.lock:
            changed = feed.since(since)
            counts, pauses = board.counts.by_state(), self._store.paused()
            rejections = list(board.rejections)
        if changed is None:
            return None
        ids, seq = changed
        refused = [one for one in rejections if -one.id in ids]
        ids = {id for id in ids if id > 0}
        if len(ids) > MOST_CHANGED:
            return None
        jobs = self._store.get_many(ids)
        return {
            "seq": seq,
            "from": since,
            "counts": counts,
            "paused": pauses[0],
            "paused_queues": _pauses(pauses[1]),
            "jobs": self._summaries(jobs),
            "rejections": [rejection_json(one) for one in refused],
            "forgotten": sorted(ids - {job.id for job in jobs}),
        }

    def overview(self, now: int) -> dict[str, Any]:
        """The body of ``GET /queue``, without its epoch."""
        board = self._board
        with board.lock:
            totals, seq = board.totals, board.feed.seq
            counts, queues = board.counts.by_state(), board.counts.by_queue()
            accepted, finished = board.rates.per_second()
            oldest = min((job.created_at for lane in board.todo.lanes() for job in lane), default=None)
            paused, pauses = self._store.paused()
            all_pauses = dict(board.pauses)
        return {
            "counts": counts,
            "totals": {name: getattr(totals, name) for name in ("accepted", "done", "failed", "cancelled", "rejected")},
            "queues": queues,
            "paused": paused,
            "paused_queues": _pauses(pauses),
            "pauses": [
                {"queue": queue or None, "who": one.who, "why": one.why, "at": iso(one.at)}
                for queue, one in sorted(all_pauses.items())
            ],
            "consumers": {
                "alive": sum(consumer.alive for consumer in self._consumers),
                "busy": sum(consumer.busy for consumer in self._consumers),
            },
            "oldest_todo_age": None if oldest is None else round(max(0, now - oldest) / 1e6, 3),
            "rates": {"accepted": round(accepted, 2), "finished": round(finished, 2)},
            "late_reports": self._store.late,
            "seq": seq,
        }

    def metrics(self, now: int, meters: Meters) -> Metrics:
        """What is counted, and a few numbers of this moment."""
        seen = self.overview(now)
        with self._board.lock:
            jobs = self._board.counts.by_kind()
        gauges = [
            ("consumers", "Consumer threads that are alive.", seen["consumers"]["alive"]),
            ("consumers_busy", "Consumer threads that run a job.", seen["consumers"]["busy"]),
            ("oldest_todo_seconds", "Age of the oldest job that waits in memory.", seen["oldest_todo_age"] or 0),
            ("max_todo", "So many jobs may wait in todo.", self._store.max_todo),
            ("paused", "1 while the whole queue is paused.", float(seen["paused"])),
            ("store_bytes", "Bytes of the store on disk.", self._store.tables.size() or 0),
            ("store_writable", "1 while a push can be written.", float(self._store.writable)),
        ]
        queues = {*self._groups, *(handler.queue for handler in self._handlers)}
        known = bounded(jobs, queues, self._handlers.kinds)
        return Metrics(known, seen["totals"], self._store.late, meters, gauges)

    def retry_after(self, queue: str) -> int:
        """Seconds until todo has room again, from how fast it drains: 1 to 60; 60 while *queue* is paused."""
        with self._board.lock:
            everything, queues = self._store.paused()
            _, finished = self._board.rates.per_second()
            group = self._board.todo.group_of(queue)
        consumers = self._groups[group]
        if everything or queue in queues or not consumers:
            return 60
        mean = self._outlooks()[group].mean
        if mean is None:
            return 5 if finished else 60
        return max(1, min(60, math.ceil(mean / consumers)))

    def kinds(self) -> list[dict[str, Any]]:
        """What may be pushed."""
        return [
            {
                "kind": handler.kind,
                "doc": handler.doc,
                "schema": json_schema(handler.schema),
                "queue": handler.queue,
                "priority": handler.priority,
                "max_attempts": handler.max_attempts,
                "timeout": handler.timeout,
            }
            for handler in sorted(self._handlers, key=lambda handler: handler.kind)
        ]

    def _summaries(self, jobs: Iterable[Job]) -> list[dict[str, Any]]:
        return self._seen(self.at_all(jobs))

    def _seen(self, jobs: Iterable[Job]) -> list[dict[str, Any]]:
        return [job_summary(job, self._secret(job.kind)) for job in jobs]

    def _secret(self, kind: str) -> Collection[str]:
        handler = self._handlers.get(kind)
        return handler.secret if handler is not None else ()


def _pauses(pauses: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {queue: {"why": one["why"], "at": iso(one["at"])} for queue, one in pauses.items()}
