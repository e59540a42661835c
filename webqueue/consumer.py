"""The thread that claims: it waits on the store's Condition, runs what it gets, and reports."""

import logging
import threading
from collections.abc import Callable

from webqueue.errors import Unavailable
from webqueue.executor import Executor
from webqueue.job import Job
from webqueue.stores.local import LocalStore

log = logging.getLogger("webqueue")


class Consumer:
    """One thread of one group; ``slot`` is its place in the flight recorder."""

    def __init__(
        self, store: LocalStore, executor: Executor, group: str, slot: int, on_end: Callable[[], None]
    ) -> None:
        self.busy = False
        self._ended = False
        self._on_end = on_end
        self._store = store
        self._executor = executor
        self._group = group
        self._slot = slot
        self._thread = threading.Thread(target=self._run, name=f"webqueue-{group}-{slot}", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive() and not self._ended

    def start(self) -> None:
        """Claim from now on."""
        self._thread.start()

    def join(self, timeout: float | None) -> bool:
        """Wait until it has ended (the store's closing ends it), so many seconds at most; whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._ended = True
            self._on_end()

    def _work(self) -> None:
        while job := self._store.claim(self._group, self._slot):
            self.busy = True
            self._work_on(job)
            self._store.landed(self._slot)
            self.busy = False

    def _work_on(self, job: Job) -> None:
        try:
            self._store.finish(self._executor.run(job))
        except Unavailable:
            log.warning("Job %d ended after the store was closed: it will be run again.", job.id)
        except Exception:
            log.exception("Job %d was put back: its consumer failed", job.id)
            self._store.release(job)
