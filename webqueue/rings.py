"""What happened in each second of the last minutes and in each ten of the last hour: the figures of ``GET /charts``.

Nothing wakes up for it. Between two changes of the store nothing changes, so what stood after the last change stood at
the end of each step since: steps are closed late, just before the next change or by the next reader, and are right.

Times are counted in buckets whose bounds grow by a constant factor, so that a percentile told from them is off by
ERROR at most, whatever the times are: the method of C. Masson, J. E. Rim, H. K. Lee, "DDSketch: a fast and
fully-mergeable quantile sketch with relative-error guarantees", PVLDB 12(12), 2019. Up to SAMPLED jobs a second each
is timed; where there are more, every second, fourth ... one, by its id, and it counts for as many.
"""

import math
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from webqueue.job import Job, State
from webqueue.stores.board import Board
from webqueue.views import iso

LENGTHS: Final[Mapping[int, int]] = {1: 300, 10: 360}
"""Seconds in a step -> so many steps are kept."""
ERROR: Final = 0.05
"""A percentile is off by this part of itself at most, between LEAST and MOST."""
LEAST, MOST = 10.0, 30 * 86_400 * 1e6
"""µs; what is beyond is counted as this."""
PERCENTS: Final = (50, 95, 99)
SAMPLED: Final = 500
"""So many jobs of a second are timed at least, all where there are fewer, and twice as many at most."""
SLACK: Final = 10_000_000
"""µs that the clock may be set back without a new beginning."""

_GROWTH = (1 + ERROR) / (1 - ERROR)
BOUNDS: Final = tuple(LEAST * _GROWTH**i for i in range(math.ceil(math.log(MOST / LEAST, _GROWTH)) + 1))
"""Upper bounds of the buckets, µs."""
_MICROS = 1_000_000
_RUNNING = State.RUNNING  # looked up for each job
_FIGURES = ("pushed", "done", "failed", "todo", "running")
COLUMNS: Final = (*_FIGURES, *(f"{what}_p{percent}" for what in ("wait", "run") for percent in PERCENTS))
"""The figures of a step: ``pushed``, ``done``, ``failed`` a second; ``todo``, ``running`` at its end; times in s."""

Figure = float | None


class Seen(NamedTuple):
    """How it stood after a change: what was counted since the store was made, and how many wait and run."""

    accepted: int
    done: int
    failed: int
    todo: int
    running: int


class Step(NamedTuple):
    """One step that is over, from *at* (s since 1970) on; *figures* as COLUMNS has them, None where there was none."""

    at: int
    figures: tuple[Figure, ...]


def percentiles(buckets: Mapping[int, int]) -> tuple[Figure, ...]:
    """Seconds below which PERCENTS of those in the *buckets* (index in BOUNDS -> number) lie, off by ERROR at most."""
    total = sum(buckets.values())
    if not total:
        return (None,) * len(PERCENTS)
    ranks = [math.ceil(total * percent / 100) for percent in PERCENTS]
    found: list[Figure] = []
    passed = 0
    for index in sorted(buckets):
        passed += buckets[index]
        while len(found) < len(ranks) and ranks[len(found)] <= passed:
            found.append(_middle(index))
    return tuple(found)


def _middle(index: int) -> float:
    """The time, in seconds, that is within ERROR of each in the bucket."""
    upper = BOUNDS[min(index, len(BOUNDS) - 1)]
    return float(f"{upper * 2 / (_GROWTH + 1) / _MICROS:.3g}")


class Ring:
    """The last *length* steps of *seconds* each, from *now* (s) on; guarded by its owner's lock."""

    def __init__(self, seconds: int, length: int, now: int, seen: Seen) -> None:
        self.seconds = seconds
        self._steps: deque[Step] = deque(maxlen=length)
        self._at = now - now % seconds
        self._before = seen
        self._waited, self._ran = Counter[int](), Counter[int]()

    def add(self, waited: Mapping[int, int], ran: Mapping[int, int]) -> None:
        """So many more, by bucket, in the step that is open."""
        self._waited.update(waited)
        self._ran.update(ran)

    def turn(self, now: int, seen: Seen) -> None:
        """Close each step that is over at *now* (s); since its last change it stands as *seen*."""
        over = (now - self._at) // self.seconds
        if over <= 0:
            return
        self._close(seen)
        kept = min(over - 1, self._steps.maxlen or 0)
        self._at += (over - 1 - kept) * self.seconds
        for _ in range(kept):
            self._close(seen)

    def is_open(self, seen: Seen) -> bool:
        """Whether anything happened since the last closed step."""
        return seen != self._before or bool(self._waited or self._ran)

    def since(self, at: int) -> list[Step]:
        """The closed steps that begin after *at* (s), the oldest first."""
        return [step for step in self._steps if step.at > at]

    def _close(self, seen: Seen) -> None:
        """The open step is over, and the next one begins."""
        counted = zip(seen[:3], self._before[:3], strict=True)
        rates = [(after - before) / self.seconds for after, before in counted]
        self._steps.append(Step(self._at, (*rates, *seen[3:], *percentiles(self._waited), *percentiles(self._ran))))
        self._at += self.seconds
        self._before = seen
        self._waited.clear()
        self._ran.clear()


class Rings:
    """The rings of one store's *board*, guarded by its lock. Lives as long as its engine."""

    def __init__(self, board: Board, clock: Callable[[], int]) -> None:
        self._board = board
        self._clock = clock
        self._started_at = 0
        self._rings: dict[int, Ring] = {}
        self._since, self._until = -math.inf, math.inf  # µs: the clock is expected in between
        self._waited: list[int] = []
        self._ran: list[int] = []
        self._mask = 0
        """A job is timed where its id has none of these bits."""
        board.before = self.observe

    @property
    def started_at(self) -> int:
        """When the store was opened (µs)."""
        return self._started_at

    def start(self) -> None:
        """The store is open: from now on it is counted."""
        with self._board.lock:
            self._started_at = self._clock()
            self._begin(self._started_at)

    def observe(self, jobs: Iterable[Job], now: int | None = None) -> None:
        """These took a step *now* (µs), of which the board does not tell yet. Runs for each job twice at least."""
        if now is None:
            now = self._clock()
        if not self._since <= now < self._until:
            self._turn(now)
        mask = self._mask
        for job in jobs:
            if not job.id & mask:
                self._time(job)

    def body(self, step: int, since: int) -> dict[str, Any]:
        """The closed steps of *step* seconds that begin after *since* (s since 1970), column by column; all where that
        is still to come.

        ``open``: something happened in the step that is not over yet.
        """
        with self._board.lock:
            now = self._clock()
            self._turn(now)
            ring, seen = self._rings[step], self._seen()
            known = since <= now // _MICROS  # else the clock was set back
            steps, is_open = ring.since(since if known else -1), ring.is_open(seen)
        columns = zip(*(one.figures for one in steps), strict=True) if steps else ((),) * len(COLUMNS)
        return {
            "started_at": iso(self._started_at),
            "now": iso(now),
            "step": step,
            "steps": LENGTHS[step],
            "open": is_open,
            "at": [one.at for one in steps],
            **{name: list(column) for name, column in zip(COLUMNS, columns, strict=True)},
        }

    def _time(self, job: Job) -> None:
        """*job* was claimed, or an attempt ended: done, failed, to be tried again, or cancelled while it ran."""
        if job.state is _RUNNING:
            self._waited.append((job.started_at or 0) - max(job.created_at, job.run_at or 0))
        elif job.history and job.state is not State.TODO:
            last = job.history[0]
            if job.state is not State.CANCELLED or last.ended_at == job.finished_at:
                self._ran.append(last.ended_at - last.started_at)
        if len(self._waited) > 2 * SAMPLED or len(self._ran) > 2 * SAMPLED:
            self._thin()

    def _thin(self) -> None:
        """There are too many in this second: of those that come from now on half as many are timed."""
        self._count()
        self._mask = 2 * self._mask + 1

    def _begin(self, now: int) -> None:
        self._waited, self._ran = [], []
        seen = self._seen()
        self._rings = {seconds: Ring(seconds, length, now // _MICROS, seen) for seconds, length in LENGTHS.items()}
        self._expect(now)

    def _turn(self, now: int) -> None:
        """Close the steps that are over. Where the clock was set far back there is no past any more."""
        if now < self._since:
            self._begin(now)
            return
        few = now >= self._until and max(len(self._waited), len(self._ran)) < SAMPLED
        self._count()
        self._mask = self._mask // 2 if few else self._mask
        seen = self._seen()
        for ring in self._rings.values():
            ring.turn(now // _MICROS, seen)
        self._expect(max(now, int(self._since) + SLACK))

    def _expect(self, now: int) -> None:
        second = now - now % _MICROS
        self._since, self._until = second - SLACK, second + _MICROS

    def _seen(self) -> Seen:
        totals, numbers = self._board.totals, self._board.counts.by_state()
        return Seen(totals.accepted, totals.done, totals.failed, numbers["todo"], numbers["running"])

    def _count(self) -> None:
        """What is pending goes into the buckets of the open steps; each time counts for those that were left out."""
        waited, ran = _buckets(self._waited, self._mask + 1), _buckets(self._ran, self._mask + 1)
        for ring in self._rings.values():
            ring.add(waited, ran)
        self._waited, self._ran = [], []


def _buckets(times: Iterable[int], each: int) -> dict[int, int]:
    """How many of *times* (µs) fall in each bucket, where each counts for so many."""
    return {bucket: each * n for bucket, n in Counter([bisect_left(BOUNDS, time) for time in times]).items()}
