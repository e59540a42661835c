"""The store of one process: both queues in memory, rows in tables, one journal between them.

Each verb that writes hands a *decision* to the journal. Decisions are made one at a time, in order, against what is
committed and what the batch already holds; then the batch is written; then it becomes visible (``Board.publish``).
"""

import contextlib
import itertools
import json
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from webqueue.errors import (
    DiskFull,
    JobNotFound,
    KeyReused,
    NotRunning,
    StateConflict,
    StoreUnfit,
    Unavailable,
    WebqueueError,
)
from webqueue.feed import Feed
from webqueue.job import CANCELLED_BY, FINISHED, Job, LogLine, Progress, Rejection, State
from webqueue.limits import Limit
from webqueue.meters import Meters
from webqueue.queues import WINDOW
from webqueue.stores.base import NoRoom, Outcome, Page, Pushed, Snapshot, Store
from webqueue.stores.batch import Batch, Numbers, Pause
from webqueue.stores.board import ALL, Board
from webqueue.stores.journal import Journal, NullJournal, Ticket
from webqueue.stores.links import Links
from webqueue.stores.owner import Owner
from webqueue.stores.recorder import NullRecorder, Recorder
from webqueue.stores.refusals import Refusals
from webqueue.stores.tables import SEARCHED, FailureGroup, Filter, Tables, matches
from webqueue.stores.upkeep import Retention, Upkeep
from webqueue.timers import Timers

log = logging.getLogger("webqueue")

SHOWN: Final = 100
"""So many of each list stand in a snapshot."""


class LocalStore(Store):
    """See Store. Lives as long as its engine; ``board`` may be read under its lock."""

    def __init__(
        self,
        tables: Tables,
        *,
        feed: Feed,
        timers: Timers,
        clock: Callable[[], int],
        groups: Collection[str] = ("default",),
        kinds: Collection[str] = (),
        limits: Mapping[str, Limit] | None = None,
        max_todo: int = 1_000_000,
        retention: Retention = Retention(),  # noqa: B008 - immutable
        meters: Meters | None = None,
        owner: Owner | None = None,
        recorder: Recorder | NullRecorder | None = None,
        durable: bool = False,
        window: int = WINDOW,
    ) -> None:
        self.tables = tables
        self.board = Board(feed, groups, kinds, limits or {}, window)
        self.late = 0
        """So many reports came of claims that no longer stood."""
        self.crashed: list[Job] = []
        """Those that ran when the last owner died, as they were put back."""
        self.max_todo = max_todo
        self._feed = feed
        self._clock = clock
        self._meters = meters or Meters()
        self._owner = owner
        self._recorder = recorder or NullRecorder()
        self._journal = Journal(self._write, self._on_repair) if durable else NullJournal(self._write)
        self._numbers = Numbers()
        self._links = Links(self.board.followers, self._find, self._numbers, clock)
        self._upkeep = Upkeep(self.board, tables, self._journal, timers, clock, self._numbers, retention, window)
        self._closing = True
        self._draining = False
        self._rejection_ids = itertools.count(1)
        self._refusals = Refusals()

    # -- opening and closing -------------------------------------------------------------------------------------

    def open(self) -> None:
        """See Store."""
        if self._owner is not None:
            self._owner.acquire()
        try:
            loaded = self.tables.open()
        except WebqueueError:
            self._let_go()
            raise
        self._numbers.next_id, self._numbers.next_place = loaded.totals.next_id, loaded.totals.next_place
        self.board.load(loaded)
        self._rejection_ids = itertools.count(max((one.id for one in loaded.rejections), default=0) + 1)
        self._closing = self._draining = False
        self._journal.start()
        try:
            self._recover(self._recorder.open())
            self._upkeep.start()
        except WebqueueError as error:
            self._closing = True
            self._journal.stop()
            self._let_go()
            raise StoreUnfit(str(error)) from error

    def drain(self) -> None:
        """Nothing more is claimed; what runs goes on. Only sets a flag: a consumer sees it at its next claim."""
        self._draining = True

    def leaving(self, within: float) -> None:
        """Tell a successor that waits for the store when it will be free (s)."""
        if self._owner is not None:
            self._owner.leaving(within)

    def stop_claims(self) -> None:
        """Wake every consumer that waits: its claim ends with None."""
        with self.board.lock:
            self._closing = True
            self.board.wake_all()

    def close(self) -> None:
        """See Store."""
        self.stop_claims()
        self._recorder.clear()
        with contextlib.suppress(NotRunning):  # it was closed before
            self._journal.tell(self._release_all, keep=True)
        self._journal.stop()
        self._let_go()

    def forked(self) -> None:
        """In a forked child: let go of what the parent uses, without touching it."""
        self._closing = True
        self.tables.forget_connection()
        if self._owner is not None:
            self._owner.release()

    def _let_go(self) -> None:
        self.tables.close()
        self._recorder.close()
        if self._owner is not None:
            self._owner.release()

    def _recover(self, interrupted: Sequence[tuple[int, int]]) -> None:
        """Those that were running when the last owner died: each is charged with a crash, and stands where it stood."""

        def decide(batch: Batch) -> None:
            for id, revision in interrupted:
                job = self.tables.get(id)
                if job is not None and job.state is State.TODO and job.revision < revision and id not in batch.jobs:
                    self.board.withdraw(job)
                    self.crashed.append(batch.step(job, job.crash(self._clock())))

        if interrupted:
            self._journal.ask(decide)
        self._recorder.clear()

    # -- writing: decide, write, publish -------------------------------------------------------------------------

    def _write(self, tickets: Sequence[Ticket]) -> None:
        """The journal's work: see AnyJournal. Raises Unavailable where nothing was written."""
        batch = Batch()
        answers = [_decided(ticket, batch) for ticket in tickets]
        if batch.probe:
            self._numbers.place()  # SQLite writes nothing where nothing differs
        if batch:
            try:
                self._links.follow(batch)
                totals = self.board.totals_after(batch, self._numbers)
                begun = time.perf_counter()
                self.tables.write(batch, totals)
            except ValueError as error:
                self._undo(batch)
                self._write_singly(tickets, error)
                return
            except Exception:
                self._undo(batch)
                raise
            self._meters.committed(time.perf_counter() - begun)
            self._meters.batch.observe(len(tickets))
            self.board.publish(batch, totals)
        for ticket, answer in zip(tickets, answers, strict=True):
            ticket.settle(answer)
        if batch:
            self._look_after()

    def _write_singly(self, tickets: Sequence[Ticket], error: ValueError) -> None:
        """One of them can't be stored; it must not sink the others."""
        if len(tickets) == 1:
            log.error("A change can't be stored: %s", error)
            tickets[0].settle(WebqueueError(f"It can't be stored: {error}."))
            return
        for ticket in tickets:
            self._write((ticket,))

    def _look_after(self) -> None:
        try:
            self._upkeep.look_after()
        except Exception:  # the batch is committed and answered: nothing may take that back
            log.exception("The upkeep failed")

    def _undo(self, batch: Batch) -> None:
        with self.board.lock:
            for undo in reversed(batch.undo):
                undo()

    def _on_repair(self) -> None:
        """The journal broke, or works again."""
        with self.board.lock:
            self.board.wake_all()
        self._feed.poke()

    def _find(self, batch: Batch, id: int) -> Job:
        """The job as it will stand after what *batch* already holds."""
        job = batch.jobs.get(id) or self.board.running.get(id) or self.tables.get(id)
        if job is None or id in batch.forgotten:
            raise JobNotFound(id)
        return job

    # -- pushing -------------------------------------------------------------------------------------------------

    def push(self, drafts: Sequence[Job]) -> list[Pushed | NoRoom | Exception]:
        """See Store."""

        def decide(batch: Batch) -> list[Pushed | NoRoom | Exception]:
            self.tables.check_room(batch.new_bytes + sum(len(draft.payload) for draft in drafts))
            return [self._accept(batch, draft) for draft in drafts]

        answers: list[Pushed | NoRoom | Exception] = self._journal.ask(decide, len(drafts))
        return answers

    def push_marked(self, draft: Job, name: str, at: int) -> None:
        """Accept a recurring job, once for each time *at* (µs) of the rule *name*, however often this is asked."""

        def decide(batch: Batch) -> None:
            if self.board.marks.get(name, at - 1) < at and name not in batch.marks:
                batch.marks[name] = at
                self._accept(batch, draft)

        self._journal.ask(decide)

    def mark(self, name: str, now: int) -> int | None:
        """Up to when the rule *name* was done; where it is new it is taken as done up to *now*, and None returned."""
        last = self.board.marks.get(name)
        if last is None:
            self._journal.ask(lambda batch: batch.marks.update({name: now}))
        return last

    def _accept(self, batch: Batch, draft: Job) -> Pushed | NoRoom | Exception:
        twin = self._twin(batch, draft) if draft.unique_key is not None or draft.idempotency is not None else None
        if twin is not None:
            return twin
        if draft.state is State.TODO and self.board.todo.total + batch.new_todo >= self.max_todo:
            return NoRoom(self.max_todo)
        unfit = self._links.check(batch, draft) if draft.after else None
        if unfit is not None:
            return unfit
        job = batch.step(None, draft.accepted(self._numbers.id(), self._numbers.place(), self._clock()))
        return Pushed(self._links.settle(batch, job) if job.after else job)

    def _twin(self, batch: Batch, draft: Job) -> Pushed | Exception | None:
        """The job that this push means again, by its Idempotency-Key or its unique_key."""
        if draft.idempotency is not None:
            key, digest = draft.idempotency
            id = batch.idempotent.get(key) or self.tables.with_idempotency_key(key)
            job = self._unless_forgotten(batch, id)
            if job is not None and job.idempotency is not None:
                same = job.idempotency[1] == digest
                return (
                    Pushed(job, fresh=False)
                    if same
                    else KeyReused(f"The Idempotency-Key {key!r} came with another body.")
                )
        if draft.unique_key is not None:
            twin = self._active_twin(batch, draft.unique_key)
            return Pushed(twin, fresh=False, duplicate=True) if twin is not None else None
        return None

    def _active_twin(self, batch: Batch, unique_key: str) -> Job | None:
        id = batch.unique.get(unique_key) or self.tables.active_with_key(unique_key)
        job = self._unless_forgotten(batch, id)
        return job if job is not None and not job.finished else None

    def _unless_forgotten(self, batch: Batch, id: int | None) -> Job | None:
        return None if id is None or id in batch.forgotten else self._find(batch, id)

    # -- running -------------------------------------------------------------------------------------------------

    def claim(self, group: str, slot: int) -> Job | None:
        """See Store."""
        board, condition = self.board, self.board.conditions[group]
        with board.lock:
            while not self._closing:
                may = not self._draining and not self._journal.broken
                job = board.claim(group, self._clock()) if may else None
                for lane in board.todo.parking:
                    self._upkeep.refill_lane_if_low(lane)
                if job is not None:
                    self._recorder.note(slot, job.id, job.revision)
                    break
                condition.wait(board.next_start(group))
            else:
                return None
        self._upkeep.refill_if_low(job)
        return job

    def claim_now(self, group: str) -> Job | None:
        """The head of *group*'s todo by now, without waiting; None where nothing may start."""
        self._journal.ask(self._upkeep.promote)
        with self.board.lock:
            return self.board.claim(group, self._clock())

    def finish(self, outcome: Outcome) -> None:
        """See Store."""
        self._journal.tell(lambda batch: self._settle(batch, outcome), keep=True)

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        claimed, after = outcome.claimed, outcome.after
        if not self.board.running.holds(claimed) or claimed.id in batch.jobs:
            self.late += 1
        elif not after.finished and claimed.id in self.board.running.unwanted:
            batch.step(claimed, claimed.cancel(self._clock()))
        else:
            batch.step(claimed, after)

    def landed(self, slot: int) -> None:
        """The consumer of *slot* holds no job any more."""
        self._recorder.note(slot, 0)

    def release(self, claimed: Job) -> None:
        """See Store."""
        self._journal.tell(lambda batch: self._release(batch, claimed), keep=True)

    def _release(self, batch: Batch, claimed: Job) -> None:
        if self.board.running.holds(claimed) and claimed.id not in batch.jobs:
            batch.step(claimed, claimed.release())

    def _release_all(self, batch: Batch) -> None:
        with self.board.lock:
            running = list(self.board.running)
        for job in running:
            self._release(batch, job)

    def unwanted(self, id: int) -> bool:
        """Whether this running job was asked to stop."""
        return id in self.board.running.unwanted

    def progress(self, claimed: Job, progress: Progress) -> None:
        """See Store."""
        with self.board.lock:
            job = self.board.running.get(claimed.id)
            if job is None or job.revision != claimed.revision:
                return
            further = job.with_progress(progress)
            self.board.running.replace(further)
        self._feed.progress(further)

    def log(self, id: int, lines: Sequence[LogLine]) -> None:
        """See Store."""
        numbered = [(id, line) for line in lines]
        self._journal.tell(lambda batch: batch.lines.extend(numbered), keep=True)
        self._feed.logged(id, lines)

    def results(self, job: Job) -> list[Any]:
        """See context.Reports."""
        found = {one.id: one.result for one in self.tables.get_many(job.after)}
        return [None if (text := found.get(id)) is None else json.loads(text) for id in job.after]

    # -- steering ------------------------------------------------------------------------------------------------

    def cancel(self, id: int, revision: int | None = None, *, who: str | None = None, why: str | None = None) -> Job:
        """See Store."""
        return self._decided(lambda batch: self._cancel(batch, id, revision, who, why))

    def retry(self, id: int, revision: int | None = None) -> Job:
        """See Store."""
        return self._decided(lambda batch: self._retry(batch, id, revision))

    def run_now(self, id: int, revision: int | None = None) -> Job:
        """See Store."""
        return self._decided(lambda batch: self._run_now(batch, id, revision))

    def forget(self, id: int, revision: int | None = None) -> None:
        """See Store."""
        self._decided(lambda batch: self._forget(batch, id, revision))

    def cancel_all(self, filter: Filter, limit: int, *, who: str | None = None) -> tuple[int, list[Job]]:
        """Cancel the oldest *limit* jobs that match: how many match, and those that were cancelled or must be asked."""

        def cancel(batch: Batch, id: int) -> Job:
            return self._cancel(batch, id, None, who)

        return self._all(filter, limit, (State.SCHEDULED, State.TODO, State.RUNNING), cancel)

    def retry_all(self, filter: Filter, limit: int) -> tuple[int, list[Job]]:
        """Retry the oldest *limit* jobs that match: how many match, and those that were put back."""
        return self._all(filter, limit, (State.FAILED, State.CANCELLED), self._retry)

    def run_all(self, filter: Filter, limit: int) -> tuple[int, list[Job]]:
        """The oldest *limit* scheduled jobs that match are due now: how many match, and those that were put to todo."""
        return self._all(filter, limit, (State.SCHEDULED,), self._run_now)

    def forget_all(self, filter: Filter, limit: int) -> tuple[int, list[Job]]:
        """Delete the oldest *limit* finished jobs that match: how many match, and those that were deleted."""
        return self._all(filter, limit, tuple(FINISHED), self._forget)

    def pause(self, queue: str, why: str | None, who: str | None = None) -> None:
        """See Store."""

        def decide(batch: Batch) -> None:
            batch.pauses[queue] = Pause(self._clock(), why, who)

        self._journal.ask(decide)

    def resume(self, queue: str) -> None:
        """See Store."""

        def decide(batch: Batch) -> None:
            if queue in self.board.pauses or queue in batch.pauses:
                batch.pauses[queue] = None

        self._journal.ask(decide)

    def reject(self, rejection: Rejection) -> None:
        """See Store."""
        if self._refusals.add(rejection):
            self._journal.tell(self._refusing())

    def _refusing(self) -> Callable[[Batch], None]:
        taken: list[tuple[list[Rejection], int]] = []

        def decide(batch: Batch) -> None:
            if not taken:  # else the batch is decided anew, as something else in it can't be stored
                taken.append(self._refusals.take())
            batch.rejections, batch.rejected = taken[0]

        return decide

    def next_rejection(self) -> int:
        """A new rejection's id."""
        return next(self._rejection_ids)

    def _decided(self, decide: Callable[[Batch], Job]) -> Job:
        job: Job = self._journal.ask(decide)
        return job

    def _cancel(
        self, batch: Batch, id: int, revision: int | None = None, who: str | None = None, why: str | None = None
    ) -> Job:
        job, now = self._find(batch, id), self._clock()
        with self.board.lock:
            running = self.board.running.get(id)  # it may have been claimed meanwhile
            if running is not None and id not in batch.jobs:
                self.board.running.unwanted.add(running.still(revision, "cancel").id)
                after = running
            else:
                after = job.still(revision, "cancel").cancel(now)
                self._withdraw(batch, job)
        if who is not None:
            self._note(batch, id, now, CANCELLED_BY + who + (f": {why}" if why else ""))
        return after if after is running else batch.step(job, after)

    def _note(self, batch: Batch, id: int, now: int, words: str) -> None:
        """A line in the job's log that is none of its handler's."""
        line = LogLine(now, "info", words)
        batch.lines.append((id, line))
        self._feed.logged(id, [line])

    def _retry(self, batch: Batch, id: int, revision: int | None = None) -> Job:
        job = self._find(batch, id).still(revision, "retry")
        if job.unique_key is not None and self._active_twin(batch, job.unique_key) is not None:
            raise StateConflict("retry", f"{job.state}, while another one holds its unique_key,")
        return batch.step(job, job.retry(self._clock(), self._numbers.place()))

    def _run_now(self, batch: Batch, id: int, revision: int | None = None) -> Job:
        job = self._find(batch, id).still(revision, "run")
        after = job.due(self._numbers.place())
        self._withdraw(batch, job)
        return batch.step(job, after)

    def _forget(self, batch: Batch, id: int, revision: int | None = None) -> Job:
        job = self._find(batch, id).still(revision, "forget")
        if not job.finished:
            raise StateConflict("forget", job.state)
        batch.forget(job)
        return job

    def _withdraw(self, batch: Batch, job: Job) -> None:
        if job.id in batch.jobs:
            return  # it got there by a step of this very batch: nobody has seen it yet
        with self.board.lock:
            self.board.withdraw(job)
        batch.undo.append(lambda: self.board.put(job))
        if job.state is State.TODO:
            self._upkeep.refill_if_low(job)

    def _all(
        self, filter: Filter, limit: int, states: Collection[State], act: Callable[[Batch, int], Job]
    ) -> tuple[int, list[Job]]:
        matched, found = 0, []
        for state in (filter.state,) if filter.state is not None else states:
            if state in states:
                number, ids = self._matching(filter._replace(state=state), limit)
                matched += number
                found += ids
        return matched, self._each(sorted(set(found))[:limit], act)

    def _matching(self, filter: Filter, limit: int) -> tuple[int, list[int]]:
        """As Tables.matching, with what runs counted as running, not as todo. What is counted anyway is not read."""
        with self.board.lock:
            if limit == 0 and filter == Filter(filter.state, filter.kind, filter.queue):
                return self.board.counts.of(filter.state, filter.kind, filter.queue), []
            running = {job.id for job in self.board.running if matches(job, filter._replace(state=None))}
        if filter.state == State.RUNNING:
            return len(running), sorted(running)[:limit]
        number, ids = self.tables.matching(filter, limit + len(running))
        if filter.state == State.TODO:
            return number - len(running), [id for id in ids if id not in running][:limit]
        return number, ids

    def _each(self, ids: Sequence[int], act: Callable[[Batch, int], Job]) -> list[Job]:
        def decide(batch: Batch) -> list[Job]:
            done = []
            for id in ids:
                try:
                    done.append(act(batch, id))
                except (JobNotFound, StateConflict):
                    continue  # it moved on meanwhile: not ours any more
            return done

        acted: list[Job] = self._journal.ask(decide, len(ids)) if ids else []
        return acted

    # -- reading -------------------------------------------------------------------------------------------------

    def get(self, id: int) -> Job:
        """See Store."""
        with self.board.lock:
            job = self.board.running.get(id)
        job = job or self.tables.get(id)
        if job is None:
            raise JobNotFound(id)
        return job

    def get_many(self, ids: Collection[int]) -> list[Job]:
        """Those of *ids* that are there, as they stand."""
        with self.board.lock:
            running = [job for id in ids if (job := self.board.running.get(id))]
            known = {job.id for job in running}
        return running + self.tables.get_many([id for id in ids if id not in known])

    def page(self, filter: Filter, before: int | None, limit: int) -> Page:
        """See Store."""
        with self.board.lock:
            running = {job.id: job for job in self.board.running}
        if filter.state == State.RUNNING:
            found = [job for job in running.values() if matches(job, filter) and (before is None or job.id < before)]
            return _page(sorted(found, key=lambda job: -job.id), limit)
        floor = self.tables.floor(filter, before) if filter.looks else None
        rows = self.tables.page(filter, before, limit + 1 + len(running), floor)
        jobs = [running.get(job.id, job) for job in rows]
        if filter.state is not None:
            jobs = [job for job in jobs if job.state == filter.state]
        page = _page(jobs, limit)
        return page if floor is None or page.next is not None else Page(page.items, floor + 1, SEARCHED)

    def failures(self, since: int) -> list[FailureGroup]:
        """What failed at *since* (µs) or later, see Tables."""
        return self.tables.failures(since)

    def read_log(self, id: int, cursor: int | None, limit: int) -> Page:
        """A job's log lines, oldest first, all that it has logged by now. Raises JobNotFound."""
        if self.get(id).state is State.RUNNING and not self._journal.broken:
            with contextlib.suppress(Unavailable):  # then those that are written are better than none
                self._journal.ask(lambda batch: None)  # lines are told to the journal: behind this they are written
        rows = self.tables.log(id, cursor or 0, limit + 1)
        following = rows[limit - 1][0] if len(rows) > limit else None
        return Page([line for _, line in rows[:limit]], following)

    def read_rejections(self, before: int | None, limit: int) -> Page:
        """Rejections, newest first."""
        rows = self.tables.rejections(before, limit + 1)
        return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)

    def snapshot(self) -> Snapshot:
        """See Store."""
        board = self.board
        with board.lock:
            taken = Snapshot(
                self._feed.seq, board.counts.by_state(), *self.paused(), board.todo.next(SHOWN), board.due.first(SHOWN),
                list(board.running), [], list(board.rejections)[::-1],
            )  # fmt: skip
            following = board.followers.first(SHOWN - len(taken.scheduled))
        scheduled = taken.scheduled + [job for job in self.tables.get_many(following) if job.follows]
        return taken._replace(scheduled=scheduled, finished=self.tables.newest_finished(SHOWN))

    def paused(self) -> tuple[bool, dict[str, dict[str, Any]]]:
        """Whether all is paused, and which queues are: ``{queue: {"why", "at"}}``, at in µs."""
        pauses = dict(self.board.pauses)
        return ALL in pauses, {queue: {"why": one.why, "at": one.at} for queue, one in pauses.items() if queue != ALL}

    @property
    def writable(self) -> bool:
        """Whether the last try to write succeeded and there is room for a push."""
        with contextlib.suppress(DiskFull):
            self.tables.check_room(0)
            return not self._journal.broken
        return False


def _decided(ticket: Ticket, batch: Batch) -> Any:
    try:
        return ticket.decide(batch)
    except WebqueueError as error:
        return error
    except Exception as error:
        log.exception("A decision failed")
        return WebqueueError(f"webqueue itself failed: {error}")


def _page(jobs: list[Job], limit: int) -> Page:
    return Page(jobs[:limit], jobs[limit - 1].id if len(jobs) > limit else None)
