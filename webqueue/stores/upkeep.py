"""What a store does by itself: windows are refilled, what is due becomes todo, what is old is forgotten.

Each is one more decision of the journal, in small steps, so that pushes and outcomes go between them.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from webqueue.errors import NotRunning, StoreUnavailable
from webqueue.job import Job, State
from webqueue.queues import Lane, due_key, todo_key
from webqueue.stores.batch import Batch, Numbers
from webqueue.stores.board import Board
from webqueue.stores.journal import AnyJournal
from webqueue.stores.tables import Tables
from webqueue.timers import LONGEST_SLEEP, Alarm, Timers

STEP: Final = 500
"""So many jobs at most are forgotten, or become due, in one step."""
AGAIN: Final = 1.0
"""Seconds after which what could not be read is read again."""
LATE: Final = 0.1
"""Seconds by which an alarm may be late; one that is later was set before the clock was."""
DAY: Final = 86_400_000_000
"""µs"""


@dataclass(frozen=True, slots=True)
class Retention:
    """How many finished jobs are kept, and for how many days (0: no limit by age)."""

    keep_finished: int = 100_000
    keep_days: float = 7.0

    @property
    def slack(self) -> int:
        """So many more may gather before the oldest are forgotten (the contract allows 5 % or 20)."""
        return max(20, self.keep_finished // 20) // 2


class Upkeep:
    """Lives as long as its store is open. Its fields are touched by the journal's thread, or under the board's lock."""

    def __init__(
        self,
        board: Board,
        tables: Tables,
        journal: AnyJournal,
        timers: Timers,
        clock: Callable[[], int],
        numbers: Numbers,
        retention: Retention,
        window: int,
    ) -> None:
        self._board = board
        self._tables = tables
        self._journal = journal
        self._timers = timers
        self._clock = clock
        self._numbers = numbers
        self._retention = retention
        self._window = window
        self._requested: set[tuple[str, str]] = set()
        self._due_alarm: tuple[int, Alarm] | None = None
        self._forgetting = False
        self._age_alarm: Alarm | None = None

    def start(self) -> None:
        """Fill the windows and set the alarms."""
        self._due_alarm = self._age_alarm = None
        self._forgetting = False
        self._journal.ask(self._fill_all)
        self.look_after()

    def look_after(self) -> None:
        """After a commit: is anything due earlier than thought, is there too much of anything?"""
        if len(self._board.due) or self._board.due.bound is not None:
            self._watch_due()
        finished = self._board.counts.finished
        if finished > self._retention.keep_finished + self._retention.slack:
            self._forget_soon()
        if finished and self._age_alarm is None and self._retention.keep_days:
            self._watch_age()

    # -- windows -------------------------------------------------------------------------------------------------

    def refill_if_low(self, claimed: Job) -> None:
        """*claimed* was taken from its lane: read the next ones in before it runs empty."""
        lane = self._board.todo.find(claimed.queue, claimed.kind)
        if lane is not None:
            self.refill_lane_if_low(lane)

    def refill_lane_if_low(self, lane: Lane) -> None:
        """Read the next jobs of *lane* in where few are left that may start."""
        if lane.bound is not None and lane.low and (lane.queue, lane.kind) not in self._requested:
            self._requested.add((lane.queue, lane.kind))
            self._soon(lambda batch: self._refill(batch, lane))

    def _fill_all(self, batch: Batch) -> None:
        for lane in list(self._board.todo.lanes()):
            if lane.low:
                self._refill(batch, lane)
        self._refill_due(batch)

    def _refill(self, batch: Batch, lane: Lane) -> None:
        self._requested.discard((lane.queue, lane.kind))
        if lane.bound is None:
            return
        try:
            rows = self._tables.todo_after(lane.queue, lane.kind, lane.bound, self._window)
        except StoreUnavailable:  # nobody claims from an empty window, so nobody would ask again
            self._timers.after(AGAIN, lambda: self._soon(lambda batch: self._refill(batch, lane)))
            raise
        with self._board.lock:
            running = self._board.running  # in the tables what runs is still todo, and so is what this batch moves
            waiting = [job for job in rows if job.id not in batch.jobs and running.get(job.id) is None]
            lane.refill(waiting, todo_key(rows[-1]) if len(rows) == self._window else None)
            self._board.todo.advertise(lane)
            self._board.conditions[lane.group].notify_all()

    def _refill_due(self, batch: Batch) -> None:
        due = self._board.due
        if due.low and due.bound is not None:
            try:
                rows = self._tables.scheduled_after(due.bound, self._window)
            except StoreUnavailable:
                self._timers.after(AGAIN, self._ring)
                raise
            with self._board.lock:
                waiting = [job for job in rows if job.id not in batch.jobs]
                due.refill(waiting, due_key(rows[-1]) if len(rows) == self._window else None)

    # -- what is due ---------------------------------------------------------------------------------------------

    def _watch_due(self) -> None:
        """Set the alarm to the next due time, if it is not set to it already."""
        with self._board.lock:
            head = self._board.due.head()
            hidden = head is None and self._board.due.bound is not None  # those in memory were all cancelled
            if head is not None:
                self._set_due_alarm(head.run_at or 0)
        if hidden:
            self._soon(self.promote)

    def _set_due_alarm(self, run_at: int) -> None:
        # Nothing in Python < 3.13 tells that the clock was set: it is compared here after each commit, which costs
        # nothing, and once a minute where nothing happens.
        wait = min((run_at - self._clock()) / 1e6, LONGEST_SLEEP)
        set_to, alarm = self._due_alarm or (None, None)
        if alarm is not None:
            if set_to == run_at and alarm.when <= time.monotonic() + max(wait, 0) + LATE:
                return
            alarm.cancel()
        self._due_alarm = (run_at, self._timers.after(wait, self._ring))

    def _ring(self) -> None:
        with self._board.lock:
            self._due_alarm = None
        self._soon(self.promote)

    def promote(self, batch: Batch) -> None:
        """Those whose time has come go to the tail of todo, the earliest first."""
        now = self._clock()
        with self._board.lock:
            while len(batch.steps) < STEP and (job := self._board.due.head()) is not None and (job.run_at or 0) <= now:
                self._board.due.pop()
                if job.id not in batch.jobs:
                    batch.undo.append(lambda job=job: self._board.put(job))  # type: ignore[misc]
                    batch.step(job, job.due(self._numbers.place()))
        self._refill_due(batch)
        self._watch_due()  # also where nothing was due: the wall clock may have been set back

    # -- what is old ---------------------------------------------------------------------------------------------

    def _forget_soon(self) -> None:
        if not self._forgetting:
            self._forgetting = True
            self._soon(self._forget_excess)

    def _forget_excess(self, batch: Batch) -> None:
        self._forgetting = False
        excess = self._board.counts.finished - self._retention.keep_finished
        self._forget(batch, self._tables.oldest_finished(min(excess, STEP)) if excess > 0 else [])

    def _watch_age(self) -> None:
        oldest = next(iter(self._tables.oldest_finished(1)), None)
        if oldest is not None and oldest.finished_at is not None:
            age = self._clock() - oldest.finished_at
            wait = max(1.0, (self._retention.keep_days * DAY - age) / 1e6)
            self._age_alarm = self._timers.after(wait, self._ring_age)

    def _ring_age(self) -> None:
        self._soon(self._forget_old)

    def _forget_old(self, batch: Batch) -> None:
        self._age_alarm = None
        before = self._clock() - self._retention.keep_days * DAY
        self._forget(batch, [job for job in self._tables.oldest_finished(STEP) if (job.finished_at or 0) <= before])
        if not batch.forgotten:  # what the alarm was set for has gone: nothing is written that would set the next one
            self._watch_age()

    def _soon(self, decide: Callable[[Batch], None]) -> None:
        with contextlib.suppress(NotRunning):  # the store is closing: the next start looks after it
            self._journal.tell(decide)

    @staticmethod
    def _forget(batch: Batch, jobs: list[Job]) -> None:
        for job in jobs:
            if job.id not in batch.jobs and job.id not in batch.forgotten and job.state is not State.RUNNING:
                batch.forget(job)
