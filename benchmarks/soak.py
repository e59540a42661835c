"""Mixed load for WEBQUEUE_SOAK_SECONDS (600): memory, descriptors, threads and the write-ahead log must stay flat."""

import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import socketio

from tests.servers import Server

SECONDS = float(os.environ.get("WEBQUEUE_SOAK_SECONDS", "600"))
MIB = 1024 * 1024
MOST_SLOPE = 1.0
"""MiB a minute, of the second half: at first what is bounded fills, as the kept jobs and the page caches."""
MOST_WAL = 64 * MIB
SPARE = 4
"""Threads and descriptors by which the last tenth may exceed the middle: connections come and go."""


class Look(NamedTuple):
    """The worker at one moment."""

    at: float
    memory: float
    descriptors: int
    threads: int
    wal: int


def look(server: Server, began: float) -> Look:
    """Seconds since *began*, MiB, numbers, and bytes of the log."""
    proc = Path(f"/proc/{server.worker()}")
    pages = int((proc / "statm").read_text().split()[1])
    wal = server.folder / "webqueue.db-wal"
    size = wal.stat().st_size if wal.exists() else 0
    count = {name: len(os.listdir(proc / name)) for name in ("fd", "task")}
    return Look(time.monotonic() - began, pages * os.sysconf("SC_PAGESIZE") / MIB, count["fd"], count["task"], size)


def load(server: Server, over: threading.Event) -> None:
    """Pushes of all sorts, one after the other: single and many, fit and unfit, delayed, failing; sockets that come."""
    many = [{"kind": "echo", "payload": {"n": n}, "delay": n % 3} for n in range(50)]
    while not over.wait(0.05):
        job = server.push("echo", text="x" * 1_000)
        server.call("POST", "/push-job", {"kind": "nobody"})
        server.call("POST", "/push-job", {"kind": "fail", "max_attempts": 1})
        server.call("POST", "/push-jobs", many)
        server.call("GET", f"/jobs/{job['id']}?wait=5")
        server.call("GET", "/jobs?limit=50&q=echo")
        server.call("GET", "/queue")


def visit(server: Server, over: threading.Event) -> None:
    """A page is opened, watched for some seconds, and closed."""
    while not over.is_set():
        client = socketio.Client(reconnection=False)
        client.connect(server.url, namespaces=["/queue"], transports=["websocket"])
        client.call("push_job", {"kind": "echo"}, namespace="/queue")
        over.wait(2.0)
        client.disconnect()
        client.shutdown()


def faults(looks: list[Look]) -> list[str]:
    """What grew that should not."""
    half = [one for one in looks if one.at >= SECONDS / 2]
    first, slope = _slope([one for one in looks if one.at < SECONDS / 2]), _slope(half)
    middle, end = half[: max(2, len(half) // 5)], half[-max(2, len(half) // 5) :]
    found = [f"memory: {slope:+.2f} MiB/min"] if slope > MOST_SLOPE else []
    for name in ("descriptors", "threads"):
        before, after = (max(getattr(one, name) for one in part) for part in (middle, end))
        found += [f"{name}: {before} to {after}"] if after > before + SPARE else []
    largest = max(one.wal for one in looks)
    found += [f"WAL: {largest / MIB:.0f} MiB"] if largest > MOST_WAL else []
    print(f"memory {first:+.2f} MiB/min in the first half, {slope:+.2f} in the second (at most {MOST_SLOPE:g})")
    print(f"WAL {largest / MIB:.1f} MiB (at most 64)")
    return found


def _slope(looks: list[Look]) -> float:
    """MiB a minute."""
    return statistics.linear_regression([one.at / 60 for one in looks], [one.memory for one in looks]).slope


def main() -> int:
    """Print a hundred lines; 1 where something grew."""
    over, looks = threading.Event(), list[Look]()
    keep = {"WEBQUEUE_KEEP_FINISHED": "5000"}
    with tempfile.TemporaryDirectory(prefix="webqueue-soak-") as folder, Server(Path(folder), **keep) as server:
        threads = [threading.Thread(target=what, args=(server, over)) for what in (load, load, visit, visit)]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        print(f"{'s':>6}{'MiB':>9}{'fds':>6}{'threads':>9}{'WAL MiB':>9}")
        while time.monotonic() - began < SECONDS and all(thread.is_alive() for thread in threads):
            over.wait(max(1.0, SECONDS / 100))
            looks.append(one := look(server, began))
            line = f"{one.at:>6.0f}{one.memory:>9.1f}{one.descriptors:>6}{one.threads:>9}{one.wal / MIB:>9.1f}"
            print(line, flush=True)
        broken = not all(thread.is_alive() for thread in threads)
        over.set()
        for thread in threads:
            thread.join(30)
    found = faults(looks) + (["the load ended: see above"] if broken else [])
    print("\n".join(found) or "flat")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
