"""Gathers what changed, keeps the last of it for those who come back, and wakes whoever tells it on."""

import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from webqueue.job import Job, LogLine, Progress, Rejection

KEPT: Final = 10_000
"""So many changes are remembered, by number: who missed more gets a fresh snapshot."""
MOST_REJECTIONS: Final = 100
MOST_LINES: Final = 1_000

Followed = tuple[int, Job | None, list[LogLine]]


class Feed:
    """What changed, in order, without holes: change number ``seq`` of this ``epoch``.

    Lives as long as its engine. The store publishes (under its own lock, so nothing here may wait); one emitter reads.
    """

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(8)
        self.closed = False
        self._news = threading.Condition(threading.Lock())
        # All below is guarded by _news.
        self._seq = 0
        self._ids: deque[int] = deque(maxlen=KEPT)
        self._poked = False
        self._waiting = False
        self._progress: dict[int, Progress] = {}
        self._rejections: deque[Rejection] = deque(maxlen=MOST_REJECTIONS)
        self._followed: Counter[int] = Counter()
        self._told: list[Followed] = []
        self._further: dict[int, Job] = {}
        self._listened = False
        self._observers: list[Callable[[Sequence[Job]], None]] = []
        self._finished: dict[int, list[Callable[[], None]]] = {}

    @property
    def seq(self) -> int:
        """The number of the newest change."""
        return self._seq

    # -- the store tells -----------------------------------------------------------------------------------------

    def publish(self, jobs: Sequence[Job], others: Sequence[int] = ()) -> None:
        """*jobs* took a step each; *others*: jobs that were forgotten by id, and a 0 for each other change."""
        with self._news:
            self._ids.extend([job.id for job in jobs])
            self._ids.extend(others)
            self._seq += len(jobs) + len(others)
            if self._followed:
                self._told.extend((job.id, job, []) for job in jobs if job.id in self._followed)
            if self._finished:
                self._call_waiters(jobs)
            for observe in self._observers:
                observe(jobs)
            if self._waiting:
                self._news.notify_all()

    def reject(self, rejection: Rejection) -> None:
        """A push was refused."""
        with self._news:
            self._ids.append(-rejection.id)
            self._seq += 1
            if self._listened:
                self._rejections.append(rejection)
            self._wake()

    def progress(self, job: Job) -> None:
        """A running job got further (no change of the store)."""
        with self._news:
            if job.progress is not None and self._listened:
                self._progress[job.id] = job.progress
                if job.id in self._followed:
                    self._further[job.id] = job
                self._wake()

    def logged(self, id: int, lines: Iterable[LogLine]) -> None:
        """A running job logged *lines* (no change of the store)."""
        with self._news:
            if id in self._followed and len(self._told) < MOST_LINES:
                self._told.append((id, None, list(lines)))
                self._wake()

    # -- the emitter reads ---------------------------------------------------------------------------------------

    def wait(self, seq: int | None, timeout: float | None = None) -> bool:
        """Wait until there is more than *seq*, other news, a :meth:`poke` or the end; False when *timeout* (s) passed.

        Where *seq* is None (nobody listens) only a poke or the end ends the wait, and nothing is gathered meanwhile.
        """
        with self._news:
            self._waiting = self._listened = seq is not None
            try:
                return self._news.wait_for(lambda: self._has_news(seq), timeout)
            finally:
                self._waiting = self._poked = False

    def listen(self) -> None:
        """From now on progress and refusals are gathered, until :meth:`wait` is called for nobody."""
        with self._news:
            self._listened = True

    def poke(self) -> None:
        """Wake :meth:`wait` once, whatever there is."""
        with self._news:
            self._poked = True
            self._news.notify_all()

    def close(self) -> None:
        """Nothing more will come."""
        self.closed = True
        self.poke()

    def since(self, seq: int) -> tuple[set[int], int] | None:
        """The ids of what changed after change number *seq*, and today's number.

        A rejection is told by its negative id, a pause by 0. None where *seq* is no longer remembered, or was never
        given out in this epoch.
        """
        with self._news:
            missed = self._seq - seq
            if not 0 <= missed <= len(self._ids):
                return None
            return set(islice(reversed(self._ids), missed)), self._seq

    def follow(self, id: int) -> None:
        """From now on each step of this job, its progress and its log lines are gathered for :meth:`take_followed`."""
        with self._news:
            self._followed[id] += 1

    def unfollow(self, id: int) -> None:
        """One follower less."""
        with self._news:
            self._followed[id] -= 1
            if self._followed[id] <= 0:
                del self._followed[id]

    def take_followed(self) -> list[Followed]:
        """What followed jobs did since the last call: (id, job or None, new log lines), in order."""
        with self._news:
            told, self._told = self._told, []
            further, self._further = self._further, {}
            return told + [(id, job, []) for id, job in further.items()]

    def take_progress(self) -> dict[int, Progress]:
        """The newest progress of each job that got further since the last call."""
        with self._news:
            progress, self._progress = self._progress, {}
            return progress

    def take_rejections(self) -> list[Rejection]:
        """The newest refusals since the last call, the oldest first."""
        with self._news:
            rejections = list(self._rejections)
            self._rejections.clear()
            return rejections

    def observe(self, call: Callable[[Sequence[Job]], None]) -> None:
        """Call *call* (quick, it runs under the store's lock) with the jobs of each publication."""
        with self._news:
            self._observers.append(call)

    # -- whoever waits for one job -------------------------------------------------------------------------------

    def on_finish(self, id: int, call: Callable[[], None]) -> None:
        """Call *call* (quick, it runs under the store's lock) when this job has finished."""
        with self._news:
            self._finished.setdefault(id, []).append(call)

    def off_finish(self, id: int, call: Callable[[], None]) -> None:
        """Forget what :meth:`on_finish` was told."""
        with self._news:
            calls = [other for other in self._finished.pop(id, []) if other != call]
            if calls:
                self._finished[id] = calls

    def _call_waiters(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if job.finished:
                for call in self._finished.get(job.id, ()):
                    call()

    def _has_news(self, seq: int | None) -> bool:
        if self._poked or self.closed:
            return True
        return seq is not None and bool(self._seq > seq or self._progress or self._told or self._rejections)

    def _wake(self) -> None:
        if self._waiting:
            self._news.notify_all()
