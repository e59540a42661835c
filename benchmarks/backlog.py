"""A backlog of 1,000,000 jobs in todo: memory, the last push beside the first, and the next start."""

import gc
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from webqueue.bench import Counter, engine
from webqueue.engine import Engine

JOBS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
PUSHES = 300


def rss() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def push_seconds(running: Engine) -> float:
    """The median of so many single pushes."""
    taken = []
    for _ in range(PUSHES):
        began = time.perf_counter()
        running.push({"kind": "job", "payload": {}})
        taken.append(time.perf_counter() - began)
    return sorted(taken)[PUSHES // 2]


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="webqueue-bench-") as folder:
        store = f"sqlite:///{folder}/a.db"
        with engine(store, Counter().run, max_todo=2 * JOBS) as running:
            running.pause()
            for _ in range(20):  # the window is full, and everything is warm
                running.push_many([{"kind": "job", "payload": {}}] * 1000)
            before, first = rss(), push_seconds(running)
            began = time.perf_counter()
            for _ in range(JOBS // 10_000):
                running.push_many([{"kind": "job", "payload": {}}] * 10_000)
            filled = time.perf_counter() - began
            last, after = push_seconds(running), rss()
        began = time.perf_counter()
        with engine(store, Counter().run, max_todo=2 * JOBS) as running:
            ready, todo = time.perf_counter() - began, running.overview()["counts"]["todo"]
    print(f"  {todo:,} jobs in todo, filled at {JOBS / filled:,.0f}/s")
    print(f"  RSS a job {(after - before) / JOBS:.1f} bytes (less than 100)")
    print(
        f"  the last push / the first {last / first:.2f} × (at most 1.2); {first * 1e6:,.0f} µs, {last * 1e6:,.0f} µs"
    )
    print(f"  ready {ready:.2f} s after a restart (at most 2)")


if __name__ == "__main__":
    main()
