"""One thread that waits until the next thing is due, and sleeps for ever while nothing is."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger("webqueue")

SWEEP: Final = 1_024
"""With so many alarms, and twice as many as were left the last time, those that were cancelled are thrown out."""
LONGEST_SLEEP: Final = 60.0
"""Seconds after which who waits for a time of day looks at the clock again: it may have been set meanwhile."""


class Alarm:
    """A call that is due at *when* (monotonic seconds), until it is cancelled."""

    __slots__ = ("call", "cancelled", "when")

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        """It will not be called (unless it is being called right now)."""
        self.cancelled = True
        self.call = _nothing  # what it would have called may hold much


def _nothing() -> None:
    pass


class Timers:
    """Calls things when they are due, in one thread; each call must be quick. Lives as long as its engine runs."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._order = itertools.count()
        self._changed = threading.Condition(threading.Lock())
        # Guarded by _changed:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._sweep_at = SWEEP
        self._stopped = False

    def start(self) -> None:
        """Alarms ring from now on; twice is fine."""
        if self._thread is None:
            self._stopped = False
            self._thread = threading.Thread(target=self._run, name="webqueue-timers", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """No alarm rings any more; twice is fine."""
        with self._changed:
            self._stopped = True
            self._heap.clear()
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    def after(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """Call *call* in so many seconds."""
        alarm = Alarm(time.monotonic() + max(seconds, 0), call)
        with self._changed:
            if len(self._heap) >= self._sweep_at:
                self._sweep()
            heapq.heappush(self._heap, (alarm.when, next(self._order), alarm))
            if self._heap[0][2] is alarm:
                self._changed.notify()
        return alarm

    def _sweep(self) -> None:
        self._heap = [entry for entry in self._heap if not entry[2].cancelled]
        heapq.heapify(self._heap)
        self._sweep_at = max(SWEEP, 2 * len(self._heap))

    def _run(self) -> None:
        while alarm := self._next():
            if alarm.cancelled:
                continue
            try:
                alarm.call()
            except Exception:
                log.exception("An alarm failed")

    def _next(self) -> Alarm | None:
        """Wait for the next due alarm; None at the end."""
        with self._changed:
            while not self._stopped:
                wait = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait is not None and (wait <= 0 or self._heap[0][2].cancelled):
                    return heapq.heappop(self._heap)[2]
                self._changed.wait(wait if wait is None else min(wait, threading.TIMEOUT_MAX))
            return None
