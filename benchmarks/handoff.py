"""From a push to the start of its handler, beside the least that it could cost, and beside polling."""

import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from webqueue.bench import Sample, interleaved, raw_handoff, row, webqueue_handoff

SAMPLES = 1_000
POLLS = 12


def commit_and_handoff(file: Path) -> Sample:
    """One row committed and flushed by SQLite as webqueue does it, then a notify."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE job (id INTEGER PRIMARY KEY, payload)"
    )
    woken = raw_handoff()

    def sample() -> float:
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO job (payload) VALUES ('{}')")
        connection.execute("COMMIT")
        return time.perf_counter() - began + woken()

    return sample


def polled(period: float = 1.0) -> Sample:
    """A worker that looks each second whether there is something to do."""
    pushed: list[float] = []
    seen = threading.Event()
    found: list[float] = []

    def poll() -> None:
        pause = threading.Event()
        while True:
            pause.wait(period)
            if pushed:
                found.append(time.perf_counter() - pushed.pop())
                seen.set()

    threading.Thread(target=poll, daemon=True).start()

    def sample() -> float:
        seen.clear()
        pushed.append(time.perf_counter())
        seen.wait(period * 3)
        threading.Event().wait(0.37 * period)  # not in step with the poller
        return found.pop()

    return sample


def main() -> None:
    """Print the figures."""
    with (
        tempfile.TemporaryDirectory(prefix="webqueue-bench-") as folder,
        webqueue_handoff("memory:") as memory,
        webqueue_handoff(f"sqlite:///{folder}/a.db") as sqlite,
    ):
        samples = [raw_handoff(), memory, commit_and_handoff(Path(folder) / "bare.db"), sqlite]
        raw, in_memory, commit, flushed = (one * 1e6 for one in interleaved(samples, SAMPLES))
    (poll,) = (one * 1e6 for one in interleaved([polled()], POLLS))
    print(row("Condition, raw", raw, "µs"))
    print(
        row(
            f"memory: (raw {in_memory - raw:+.0f} µs)", in_memory, "µs", in_memory / raw, "raw (at most 1.5, or +50 µs)"
        )
    )
    print(row("commit and Condition", commit, "µs"))
    print(row("sqlite full", flushed, "µs", flushed / commit, "commit and Condition (at most 1.5)"))
    print(row("polling each second", poll, "µs", poll / in_memory, "memory: (at least 5,000)"))


if __name__ == "__main__":
    main()
