"""Jobs that do nothing, pushed and run, a second; Huey beside it at its best (enqueue all, then execute all)."""

import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import in_turn, ratio
from huey import MemoryHuey, SqliteHuey

from webqueue.bench import Counter, engine, from_threads, in_bulk, one_by_one, row

ROUNDS = 5
MANY, SOME = 40_000, 3_000
_number = count()


def run_huey(huey: Any, jobs: int) -> float:
    """Enqueued, then executed."""

    @huey.task(name=f"noop{next(_number)}")
    def noop() -> None:
        pass

    began = time.perf_counter()
    for _ in range(jobs):
        noop()
    for _ in range(jobs):
        huey.execute(huey.dequeue())
    return jobs / (time.perf_counter() - began)


def main() -> None:
    """Print the figures."""
    counter = Counter()
    with (
        tempfile.TemporaryDirectory(prefix="webqueue-bench-") as folder,
        engine("memory:", counter.run) as memory,
        engine(f"sqlite:///{folder}/a.db", counter.run) as sqlite,
    ):
        taken = in_turn(
            {
                "MemoryHuey": lambda: run_huey(MemoryHuey(f"m{next(_number)}", results=False), MANY),
                "memory:": lambda: in_bulk(memory, counter, MANY),
                "SqliteHuey": lambda: run_huey(
                    SqliteHuey(filename=f"{folder}/huey{next(_number)}.db", fsync=True, results=False), SOME
                ),
                "sqlite full, in bulk": lambda: in_bulk(sqlite, counter, MANY),
                "sqlite full, 16 threads": lambda: from_threads(sqlite, counter, MANY // 2),
                "sqlite full, one by one": lambda: one_by_one(sqlite, counter, SOME),
            },
            ROUNDS,
        )
    wanted = {"memory:": ("MemoryHuey", 1.0), "sqlite full, in bulk": ("SqliteHuey", 8.0)}
    wanted |= {"sqlite full, 16 threads": ("SqliteHuey", 4.0), "sqlite full, one by one": ("SqliteHuey", 1.2)}
    for name, values in taken.items():
        to, least = wanted.get(name, (None, 0.0))
        middle = sorted(values)[len(values) // 2]
        print(
            row(name, middle, "/s", ratio(taken, name, to), f"{to} (at least {least})")
            if to
            else row(name, middle, "/s")
        )


if __name__ == "__main__":
    main()
