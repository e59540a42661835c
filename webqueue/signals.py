"""Hooks: a blinker signal for each step of a job. A receiver that raises is logged, and hurts nobody.

    from webqueue.signals import job_failed

    @job_failed.connect
    def tell_us(engine, job):
        ...

The sender is the engine, ``job`` the job after the step. Receivers are called in order, in one thread of their own,
after the step is durable; while nobody is connected the thread is not even started.
"""

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from blinker import NamedSignal, Namespace

from webqueue.job import Job, State
from webqueue.views import JobView

log = logging.getLogger("webqueue")

_namespace = Namespace()
job_waits = _namespace.signal("job-waits", "It is todo: accepted, due, retried or put back.")
job_scheduled = _namespace.signal("job-scheduled", "It waits for its time: delayed, or failed and to be tried again.")
job_started = _namespace.signal("job-started", "A consumer has claimed it.")
job_done = _namespace.signal("job-done", "Its handler returned.")
job_failed = _namespace.signal("job-failed", "Its last attempt failed.")
job_cancelled = _namespace.signal("job-cancelled", "It was cancelled.")

BY_STATE: Final[Mapping[State, NamedSignal]] = {
    State.TODO: job_waits,
    State.SCHEDULED: job_scheduled,
    State.RUNNING: job_started,
    State.DONE: job_done,
    State.FAILED: job_failed,
    State.CANCELLED: job_cancelled,
}
MOST: Final = 10_000
"""So many steps may wait for slow receivers; beyond, steps are left out, and that is logged."""


class Signals:
    """Sends the signals of one engine. Lives as long as it."""

    def __init__(self, sender: object) -> None:
        self._sender = sender
        self._steps: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def observe(self, jobs: Sequence[Job]) -> None:
        """These took a step. Quick, and safe under the store's lock."""
        for job in jobs:
            if BY_STATE[job.state].receivers:
                self._put(job)

    def close(self) -> None:
        """Send what waits, then end."""
        if self._thread is not None:
            self._steps.put(None)
            self._thread.join(5)
            self._thread = None

    def _put(self, job: Job) -> None:
        if self._steps.qsize() >= MOST:
            log.warning("Receivers of signals are too slow: a step of job %d was left out.", job.id)
            return
        self._steps.put(job)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="webqueue-signals", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (job := self._steps.get()) is not None:
            view = JobView(job)
            for receiver in BY_STATE[job.state].receivers_for(self._sender):
                self._call(receiver, view)

    def _call(self, receiver: Callable[..., Any], job: JobView) -> None:
        try:
            receiver(self._sender, job=job)
        except Exception:
            log.exception("A receiver of a signal failed")
