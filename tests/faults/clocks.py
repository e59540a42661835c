"""An engine whose clock is set while jobs wait: run with libfaketime, which reads by how much from a file.

``python -m tests.faults.clocks STORE LEDGER CLOCK STEP ...``: the clock jumps by STEP seconds, one after the other.
"""

import sys
import threading
import time
from pathlib import Path
from typing import Final

from tests.faults.ledger import Ledger
from tests.faults.rounds import engine_on
from webqueue.context import current_job
from webqueue.handlers import Handlers

DELAYS: Final = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
"""Seconds after which jobs are due, counted before the clock is set."""
PATIENCE: Final = 15.0


class Clock:
    """The time of day of this process, which is off by what stands in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.off = 0

    def step(self, seconds: int) -> None:
        """Set it forward, or back."""
        before, self.off = _ahead(), self.off + seconds
        fresh = self._path.with_suffix(".new")
        fresh.write_text(f"{self.off:+}\n")
        fresh.replace(self._path)
        assert abs(_ahead() - before - seconds) < 0.5, "the clock can't be set"


def _ahead() -> float:
    """Seconds by which the time of day is ahead of the clock that nobody sets."""
    return time.time() - time.monotonic()


def main(store: str, ledger: Path, clock: Clock, steps: list[int]) -> None:
    """Push what is due soon, set the clock, set it again, push one more, and wait until all have run."""
    notes, ran = Ledger(ledger), threading.Semaphore(0)
    handlers = Handlers()

    def work(token: str) -> None:
        notes.note("start", current_job.id, time.time())
        ran.release()

    handlers.register(work)
    engine = engine_on(store, handlers)
    engine.start()
    for delay in DELAYS:
        due = time.time() + delay
        id = engine.push({"kind": "work", "payload": {"token": str(delay)}, "delay": delay}).job.id
        notes.note("due", id, due)
    for step in steps:
        threading.Event().wait(1.2)  # so that some are due before, some between, some after
        clock.step(step)
    notes.note("set", time.monotonic())
    engine.push({"kind": "work", "payload": {"token": "now"}})
    for _ in (*DELAYS, "now"):
        assert ran.acquire(timeout=PATIENCE), "a job is lost, or late by the jump"
    notes.note("all", time.monotonic())
    engine.stop()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Clock(Path(sys.argv[3])), [int(word) for word in sys.argv[4:]])
