"""The core as one object: starts and stops the threads, and is what the shell calls."""

import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Final

from webqueue import context, stores
from webqueue.child import IN_CHILD
from webqueue.consumer import Consumer
from webqueue.errors import DiskFull, Draining, KeyReused, NotRunning, QueueFull, Rejected, Unavailable, Unfit
from webqueue.estimate import Pace
from webqueue.executor import Executor
from webqueue.feed import Feed
from webqueue.fitness import Fitness
from webqueue.handlers import Handlers
from webqueue.job import Job, Rejection, State
from webqueue.look import Look, Metrics
from webqueue.meters import Meters
from webqueue.recurring import Recurring
from webqueue.redaction import capped, shortened
from webqueue.rings import Rings
from webqueue.settings import Settings
from webqueue.signals import Signals
from webqueue.stores.base import NoRoom, Page, Pushed
from webqueue.stores.local import LocalStore
from webqueue.stores.tables import FailureGroup, Filter
from webqueue.stores.upkeep import Retention
from webqueue.timers import Timers
from webqueue.troubles import Facts, troubles
from webqueue.views import iso

__all__ = ["Engine", "Page", "Pushed"]

FORKED: Final = (
    "This process was forked from the one that set webqueue up, so it has no consumers and no store. Under gunicorn "
    "drop --preload; or create the app with start=False and call app.extensions['webqueue'].start() in the post_fork "
    "hook."
)
FULL: Final = "The queue is full."
_REFUSED: Final = {KeyReused: "key_reused", Draining: "draining", DiskFull: "disk_full"}
"""How the meters call a push that was refused with such an error."""
STOPPED: Final = "webqueue is not running in this process: call start() first."


def wall_clock() -> int:
    """µs since 1970."""
    return time.time_ns() // 1000


class Engine:
    """A job queue with its consumers. Lives as long as the application; ``start`` and ``stop`` may be called twice."""

    def __init__(
        self,
        settings: Settings,
        handlers: Handlers,
        run_in: Callable[[], AbstractContextManager[Any]] = nullcontext,
        *,
        demo: bool = False,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self.settings = settings
        self.handlers = handlers
        self.demo = demo
        self.feed = Feed()
        self._run_in = run_in
        self._clock = clock
        self._address = stores.parse(settings.store)
        self._groups = settings.consumers_by_queue()
        self._fitness = Fitness(handlers, clock)
        self._life = threading.RLock()
        """Held while starting and stopping."""
        self._running = False
        self._draining = False
        self._forked = False
        self._waiters = threading.BoundedSemaphore(max(1, settings.http_threads // 2))
        self._waiting: set[threading.Event] = set()
        self._build()
        _ENGINES.add(self)

    def _build(self) -> None:
        self._since = time.monotonic()
        self._drained_at: int | None = None
        self._ends_at: int | None = None
        self._ended = threading.Event()
        self._timers = Timers()
        self._signals = Signals(self)
        self.feed.observe(self._signals.observe)
        self._pace = Pace()
        self._meters = Meters()
        self._store = self._make_store()
        self._executor = Executor(
            self.handlers,
            self._store,
            self._timers,
            self._pace,
            self._meters,
            self._clock,
            self._run_in,
            self.feed.poke,
        )
        self._consumers = self._make_consumers()
        self._recurring = Recurring(self.handlers.rules, self._store, self._fitness, self._timers, self._clock)
        self._look = Look(
            self._store, self._executor, self._pace, self._consumers, self._groups, self.handlers, self._clock
        )
        self._rings = Rings(self._store.board, self._clock)

    def _make_store(self) -> LocalStore:
        return stores.make_store(
            self._address,
            feed=self.feed,
            timers=self._timers,
            clock=self._clock,
            consumers=self._groups,
            kinds=self.handlers.kinds,
            limits=self.handlers.limits,
            max_todo=self.settings.max_todo,
            retention=Retention(self.settings.keep_finished, self.settings.keep_days),
            meters=self._meters,
        )

    def _make_consumers(self) -> list[Consumer]:
        slots = itertools.count()
        return [
            Consumer(self._store, self._executor, group, next(slots), self.feed.poke)
            for group, number in self._groups.items()
            for _ in range(number)
        ]

    # -- life ----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What a person calls the store: its file's name, or "memory"."""
        return self._address.name

    @property
    def durability(self) -> str:
        """What survives, in words."""
        return self._address.durability

    def start(self) -> None:
        """Open the store and start the consumers. Raises StoreError, SettingsError."""
        with self._life:
            if self._running or os.environ.get(IN_CHILD):  # a child that runs one job imports the application too
                return
            if self._draining or self._forked:  # a second life: nothing of the first one may be left in it
                self._draining = self._forked = False
                self.feed = Feed()
                self._build()
            self._timers.start()
            try:
                self._store.open()
                self._rings.start()
                self._recurring.start()
            except Exception:
                self._store.close()
                self._timers.stop()
                raise
            context.capture_logging()
            self._since = time.monotonic()
            self._running = True
            for consumer in self._consumers:
                consumer.start()

    def drain(self) -> None:
        """Take no more pushes and start nothing more. Only sets flags: it may be called in a signal handler."""
        self._drained_at = self._drained_at or self._clock()
        self._draining = True
        self._store.drain()

    def stop(self, grace: float | None = None) -> None:
        """Drain, give what runs *grace* seconds (or the setting's), put the rest back, and let go of the store."""
        with self._life:
            if not self._running:
                return
            grace = self.settings.grace if grace is None else grace
            self.drain()
            self._ends_at = self._clock() + round(grace * 1e6)
            self.feed.poke()
            self._store.leaving(grace)
            self._store.stop_claims()
            for event in list(self._waiting):
                event.set()
            self._let_end(grace)
            self._running = False
            self._store.close()
            self._executor.close()
            self._signals.close()
            self._timers.stop()
            self.feed.close()

    def hurry(self) -> None:
        """Whoever is stopping it waits for running jobs no longer."""
        self._ended.set()

    def _let_end(self, grace: float) -> None:
        """Return when all consumers have ended, *grace* seconds have passed, or somebody hurries."""
        threading.Thread(target=self._join_consumers, name="webqueue-end", daemon=True).start()
        self._ended.wait(min(grace, threading.TIMEOUT_MAX))

    def _join_consumers(self) -> None:
        for consumer in self._consumers:
            consumer.join(None)
        self._ended.set()

    def ready(self) -> list[str]:
        """Why it is not ready to take pushes and run them; empty where it is."""
        if self._forked or not self._running:
            return [FORKED if self._forked else STOPPED]
        reasons = ["it is shutting down"] if self._draining else []
        dead = sum(not consumer.alive for consumer in self._consumers)
        if dead and not self._draining:
            reasons.append(f"{dead} of {len(self._consumers)} consumers are dead")
        if not self._store.writable:
            reasons.append("the store can't be written")
        return reasons

    def forked(self) -> None:
        """Called in a forked child: this copy does nothing any more."""
        if self._running or self._forked:
            self._store.forked()
        self._life = threading.RLock()
        self._running = False
        self._forked = True

    def _check_open(self) -> None:
        if not self._running:
            raise NotRunning(FORKED if self._forked else STOPPED)

    def _check_pushes(self) -> None:
        self._check_open()
        if self._draining:
            raise Draining("webqueue is shutting down: push again in a few seconds.")

    def run_waiting(self, most: int) -> list[Job]:
        """For tests: run what waits, in the calling thread, until nothing may start; the jobs as they ended."""
        ran: list[Job] = []
        while len(ran) < most:
            claimed = next(filter(None, map(self._store.claim_now, self._groups)), None)
            if claimed is None:
                break
            self._store.finish(self._executor.run(claimed))
            ran.append(self.job(claimed.id))
        return ran

    # -- pushing -------------------------------------------------------------------------------------------------

    def push(self, body: object, idempotency_key: str | None = None) -> Pushed:
        """Accept one push; durable when it returns. Raises Rejected, QueueFull, KeyReused, Unavailable."""
        (answer,) = self._counted([body], idempotency_key)
        if isinstance(answer, Rejection):
            raise self._refusal(body, answer)
        return answer

    def push_many(self, bodies: Sequence[object]) -> list[Pushed | Rejection]:
        """Accept many in one flush; what became of each, in order. Raises Unavailable: then none is accepted."""
        return self._counted(bodies, None)

    def reject(self, body: object, errors: Mapping[str, Any], reason: str = "The push is unfit.") -> Rejection:
        """Record an unfit push, and tell everybody."""
        kind, payload = (body.get("kind"), body.get("payload")) if isinstance(body, dict) else (None, body)
        handler = self.handlers.get(kind) if isinstance(kind, str) else None
        text = None if payload is None else capped(payload, handler.secret if handler else ())
        shown = kind[:200] if isinstance(kind, str) else None
        self._meters.refused["full" if reason == FULL else "unfit"] += 1
        rejection = Rejection(self._store.next_rejection(), self._clock(), shown, reason, dict(errors), text)
        self._store.reject(replace(rejection, errors=shortened(errors)))  # who pushed is told all
        return rejection

    def _counted(self, bodies: Sequence[object], idempotency_key: str | None) -> list[Pushed | Rejection]:
        try:
            return self._push(bodies, idempotency_key)
        except (KeyReused, Unavailable) as error:
            self._meters.refused[_REFUSED.get(type(error), "unavailable")] += len(bodies)
            raise

    def _push(self, bodies: Sequence[object], idempotency_key: str | None) -> list[Pushed | Rejection]:
        self._check_pushes()
        checked = [self._checked(body, idempotency_key) for body in bodies]
        drafts = [one for one in checked if isinstance(one, Job)]
        answers = iter(self._store.push(drafts)) if drafts else iter(())
        return [
            self.reject(body, one.errors) if isinstance(one, Unfit) else self._answered(body, next(answers))
            for body, one in zip(bodies, checked, strict=True)
        ]

    def _checked(self, body: object, idempotency_key: str | None) -> Job | Unfit:
        try:
            return self._fitness.check(body, idempotency_key)
        except Unfit as unfit:
            return unfit.with_traceback(None)  # which would hold this call, and the call would hold it

    def _answered(self, body: object, answer: Pushed | NoRoom | Exception) -> Pushed | Rejection:
        if isinstance(answer, Pushed):
            return answer
        if isinstance(answer, Unfit):
            return self.reject(body, answer.errors)
        if isinstance(answer, Exception):
            raise answer
        message = f"The queue is full: {answer.most:,} jobs wait."
        return self.reject(body, {"_schema": [message]}, FULL)

    def _refusal(self, body: object, rejection: Rejection) -> Rejected:
        if rejection.reason == FULL and isinstance(body, dict):
            handler = self.handlers.get(body["kind"])
            queue = body.get("queue", handler.queue if handler else "default")
            return QueueFull(rejection.id, rejection.errors, FULL, self._look.retry_after(queue))
        return Rejected(rejection.id, rejection.errors, rejection.reason)

    # -- reading -------------------------------------------------------------------------------------------------

    def job(self, id: int) -> Job:
        """The job as it stands. Raises JobNotFound."""
        self._check_open()
        return self._look.at(self._store.get(id))

    def seen(self, pushed: Pushed) -> Job:
        """The job of an answer to a push, with its place in the queue."""
        return self._look.at(pushed.job, fresh=pushed.fresh)

    def jobs(
        self,
        state: str | None = None,
        kind: str | None = None,
        queue: str | None = None,
        q: str | None = None,
        cursor: int | None = None,
        limit: int = 50,
        error: str | None = None,
        since: int | None = None,
        payload: tuple[tuple[str, str], ...] = (),
    ) -> Page:
        """Jobs that match, newest first."""
        self._check_open()
        page = self._store.page(Filter(state, kind, queue, error, q, since, payload), cursor, limit)
        return page._replace(items=self._look.at_all(page.items))

    def failures(self, since: int, most: int = 100) -> tuple[list[FailureGroup], dict[int, Job]]:
        """Groups of what failed at *since* (µs) or later, and by id the newest job of each of the *most* greatest."""
        self._check_open()
        groups = self._store.failures(since)
        newest = self._store.get_many([group.newest for group in groups[:most]])
        return groups, {job.id: job for job in newest}

    def log(self, id: int, cursor: int | None = None, limit: int = 100) -> Page:
        """A job's log lines, oldest first. Raises JobNotFound."""
        self._check_open()
        return self._store.read_log(id, cursor, limit)

    def rejections(self, cursor: int | None = None, limit: int = 50) -> Page:
        """Rejections, newest first."""
        self._check_open()
        return self._store.read_rejections(cursor, limit)

    def overview(self) -> dict[str, Any]:
        """The body of ``GET /queue``."""
        self._check_open()
        recurring = self._recurring.overview()
        seen = self._look.overview(self._clock())
        return {**seen, "recurring": recurring, "epoch": self.feed.epoch, **self.warnings()}

    def warnings(self) -> dict[str, Any]:
        """What is wrong: ``{"warnings": [{"code", "message"}...], "draining": None or {"at", "until"}}``.

        Cheap: it reads memory, and asks for the free space of the disk and the size of one file.
        """
        at, until = self._drained_at, self._ends_at
        draining = {"at": iso(at), "until": iso(until)} if self._draining else None
        return {"warnings": troubles(self._facts()), "draining": draining}

    def _facts(self) -> Facts:
        store, disk = self._store, self._store.tables.disk()
        return Facts(
            draining=self._draining,
            consumers=len(self._consumers),
            alive=sum(consumer.alive for consumer in self._consumers),
            todo=store.board.todo.total,
            max_todo=store.max_todo,
            overdue=self._executor.stuck(),
            crashed=[(job.id, job.kind, job.crashes) for job in store.crashed],
            up=time.monotonic() - self._since,
            writable=store.writable,
            free=disk.free if disk else None,
            log=disk.log if disk else 0,
            commit=self._meters.commit,
            unpushed=self._recurring.unpushed(),
        )

    def charts(self, step: int, since: int = 0) -> dict[str, Any]:
        """The body of ``GET /charts``: what happened in each *step* (1 or 10 s) that began after *since* (s)."""
        self._check_open()
        return {"epoch": self.feed.epoch, **self._rings.body(step, since)}

    def metrics(self) -> Metrics:
        """All that is counted and measured."""
        self._check_open()
        return self._look.metrics(self._clock(), self._meters)

    def kinds(self) -> list[dict[str, Any]]:
        """Every kind that may be pushed, by name."""
        return self._look.kinds()

    def snapshot(self) -> dict[str, Any]:
        """The body of the event ``snapshot``."""
        self._check_open()
        whence = {"epoch": self.feed.epoch, "started_at": iso(self._rings.started_at)}
        return {**whence, **self._look.snapshot(), **self.warnings()}

    def changes(self, since: int) -> dict[str, Any] | None:
        """The body of ``changes`` for who knows all up to *since*; None where a snapshot must be sent instead."""
        self._check_open()
        frame = self._look.changes(self.feed, since)
        return None if frame is None else {"epoch": self.feed.epoch, **frame}

    def wait(self, id: int, seconds: float) -> Job:
        """The job once it has finished, or as it is after so many seconds, or at once where too many wait already."""
        job = self.job(id)
        if job.finished or self._draining or not self._waiters.acquire(blocking=False):
            return job
        try:
            return self._wait(id, seconds)
        finally:
            self._waiters.release()

    def _wait(self, id: int, seconds: float) -> Job:
        finished = threading.Event()
        self._waiting.add(finished)
        self.feed.on_finish(id, finished.set)
        try:
            if not self.job(id).finished:
                finished.wait(seconds)
        finally:
            self.feed.off_finish(id, finished.set)
            self._waiting.discard(finished)
        return self.job(id)

    # -- steering ------------------------------------------------------------------------------------------------

    # Of one job: *revision* is the one that the caller saw. Where the job has moved on since, nothing is done to it and
    # ChangedMeanwhile raised; None is for whoever means the job as it is.

    def cancel(self, id: int, revision: int | None = None, *, who: str | None = None, why: str | None = None) -> Job:
        """Cancel a waiting job at once, ask a running one to stop. Raises JobNotFound, StateConflict.

        Where it is known *who* wants that the job's log says so, and *why*.
        """
        self._check_open()
        return self._look.at(self._asked(self._store.cancel(id, revision, who=who, why=why)))

    def retry(self, id: int, revision: int | None = None) -> Job:
        """A failed or cancelled job goes to the tail of todo. Raises JobNotFound, StateConflict."""
        self._check_open()
        return self._look.at(self._store.retry(id, revision))

    def run_now(self, id: int, revision: int | None = None) -> Job:
        """A scheduled job goes to the tail of todo. Raises JobNotFound, StateConflict."""
        self._check_open()
        return self._look.at(self._store.run_now(id, revision))

    def forget(self, id: int, revision: int | None = None) -> None:
        """Delete a finished job. Raises JobNotFound, StateConflict."""
        self._check_open()
        self._store.forget(id, revision)

    def cancel_all(self, filter: Mapping[str, Any], limit: int = 1_000, *, who: str | None = None) -> tuple[int, int]:
        """Cancel those that match ``state``, ``kind``, ``queue``, ``error``: (how many match, how many were done)."""
        self._check_open()
        matched, jobs = self._store.cancel_all(Filter(**filter), limit, who=who)
        return matched, len([self._asked(job) for job in jobs])

    def retry_all(self, filter: Mapping[str, Any], limit: int = 1_000) -> tuple[int, int]:
        """Retry those that match: (how many match, how many were done)."""
        self._check_open()
        matched, jobs = self._store.retry_all(Filter(**filter), limit)
        return matched, len(jobs)

    def run_all(self, filter: Mapping[str, Any], limit: int = 1_000) -> tuple[int, int]:
        """Scheduled jobs that match go to the tail of todo: (how many match, how many were done)."""
        self._check_open()
        matched, jobs = self._store.run_all(Filter(**filter), limit)
        return matched, len(jobs)

    def forget_all(self, filter: Mapping[str, Any], limit: int = 1_000) -> tuple[int, int]:
        """Delete finished jobs that match: (how many match, how many were done)."""
        self._check_open()
        matched, jobs = self._store.forget_all(Filter(**filter), limit)
        return matched, len(jobs)

    def pause(self, queue: str | None = None, why: str | None = None, who: str | None = None) -> None:
        """Nothing of *queue* (all where None) starts until it is resumed; pushes are accepted."""
        self._check_open()
        self._store.pause(queue or "", why, who)

    def resume(self, queue: str | None = None) -> None:
        """It starts again."""
        self._check_open()
        self._store.resume(queue or "")

    def _asked(self, job: Job) -> Job:
        if job.state is State.RUNNING:
            self._executor.ask_to_stop(job.id)
        return job


_ENGINES: "weakref.WeakSet[Engine]" = weakref.WeakSet()


def _after_fork() -> None:
    for engine in list(_ENGINES):
        engine.forked()


os.register_at_fork(after_in_child=_after_fork)
