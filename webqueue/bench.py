"""``webqueue bench``: how fast this machine is, as ratios within one interleaved run, in a temporary folder."""

import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from webqueue.engine import Engine
from webqueue.handlers import Handlers
from webqueue.settings import Settings

PATIENCE: Final = 30.0
SAMPLES: Final = 200
"""Hand-offs of each sort in a quick run."""
JOBS: Final = 20_000
"""Jobs in a quick throughput run; a tenth where each is flushed by itself."""

Sample = Callable[[], float]


class Counter:
    """Its ``run`` is a handler that does nothing but count; it tells when it has run so many times."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._ran = 0
        self._wanted = 0

    def expect(self, number: int) -> None:
        """From now on so many runs are waited for."""
        self._ran, self._wanted = 0, number
        self._reached.clear()

    def run(self) -> None:
        """Count one."""
        self._ran += 1
        if self._ran == self._wanted:
            self._reached.set()

    def wait(self) -> None:
        """Return when they have run. Raises TimeoutError."""
        if not self._reached.wait(PATIENCE * 4):
            raise TimeoutError(f"Only {self._ran} of {self._wanted} jobs ran.")


@contextmanager
def engine(store: str, handler: Callable[..., Any], **settings: Any) -> Iterator[Engine]:
    """A running engine on *store* with the one kind ``job``."""
    handlers = Handlers()
    handlers.register(handler, kind="job")
    made = Engine(Settings.read({"store": store, **settings}, {}, {}), handlers)
    made.start()
    try:
        yield made
    finally:
        made.stop(0)


# -- push → handler start, in seconds


class Sleeper:
    """A thread that waits on a Condition and tells when it was woken: the least that any hand-off costs."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._calls = 0
        self.woken: SimpleQueue[float] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def wake(self) -> None:
        """Wake it once."""
        with self._condition:
            self._calls += 1
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._calls)
                self._calls -= 1
            self.woken.put(time.perf_counter())


def raw_handoff() -> Sample:
    """A notify, and the sleeping thread runs."""
    sleeper = Sleeper()

    def sample() -> float:
        began = time.perf_counter()
        sleeper.wake()
        return sleeper.woken.get(timeout=PATIENCE) - began

    return sample


def flush_and_handoff(file: Path) -> Sample:
    """A page written to a file and flushed, then a notify: the least that a durable hand-off costs on this disk."""
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY, 0o600)
    woken = raw_handoff()

    def sample() -> float:
        began = time.perf_counter()
        os.pwrite(descriptor, b"x" * 4096, 0)
        os.fdatasync(descriptor)
        return time.perf_counter() - began + woken()

    return sample


@contextmanager
def webqueue_handoff(store: str) -> Iterator[Sample]:
    """A push, and the handler starts."""
    started: SimpleQueue[float] = SimpleQueue()

    def job() -> None:
        started.put(time.perf_counter())

    with engine(store, job) as running:

        def sample() -> float:
            began = time.perf_counter()
            running.push({"kind": "job"})
            return started.get(timeout=PATIENCE) - began

        yield sample


def interleaved(samples: Sequence[Sample], rounds: int) -> list[float]:
    """The median of each, all taken in turn, so that a busy moment hits all of them."""
    settle = threading.Event()
    taken: list[list[float]] = [[] for _ in samples]
    for number in range(rounds + 10):
        for sample, values in zip(samples, taken, strict=True):
            settle.wait(0.001)  # whoever is to be woken sleeps again by then
            value = sample()
            if number >= 10:
                values.append(value)
    return [statistics.median(values) for values in taken]


# -- jobs that do nothing, end to end, a second


def in_bulk(running: Engine, counter: Counter, number: int) -> float:
    """Pushed 1,000 at a time."""
    counter.expect(number)
    began = time.perf_counter()
    for _ in range(number // 1000):
        running.push_many([{"kind": "job"}] * 1000)
    counter.wait()
    return number / (time.perf_counter() - began)


def from_threads(running: Engine, counter: Counter, number: int, threads: int = 16) -> float:
    """Pushed one by one, by so many threads at once."""
    each = number // threads
    counter.expect(each * threads)
    pushers = [threading.Thread(target=_push, args=(running, each)) for _ in range(threads)]
    began = time.perf_counter()
    for pusher in pushers:
        pusher.start()
    counter.wait()
    taken = time.perf_counter() - began
    for pusher in pushers:
        pusher.join()
    return each * threads / taken


def one_by_one(running: Engine, counter: Counter, number: int) -> float:
    """Pushed one by one, each durable before the next."""
    counter.expect(number)
    began = time.perf_counter()
    _push(running, number)
    counter.wait()
    return number / (time.perf_counter() - began)


def _push(running: Engine, number: int) -> None:
    for _ in range(number):
        running.push({"kind": "job"})


# -- the command


def measure(tell: Callable[[str], object]) -> None:
    """Measure, and *tell* the figures line by line."""
    with tempfile.TemporaryDirectory(prefix="webqueue-bench-") as name:
        folder = Path(name)
        tell(f"Python {platform.python_version()}, {os.cpu_count()} cores, in {folder.parent}")
        _handoffs(folder, tell)
        _throughput(folder, tell)


def _handoffs(folder: Path, tell: Callable[[str], object]) -> None:
    with (
        webqueue_handoff("memory:") as in_memory,
        webqueue_handoff(f"sqlite:///{folder}/handoff.db") as flushed,
    ):
        samples = [raw_handoff(), in_memory, flush_and_handoff(folder / "bare"), flushed]
        raw, memory, flush, sqlite = interleaved(samples, SAMPLES)
    tell("")
    tell(f"from push to the handler's start (median of {SAMPLES})")
    tell(row("a thread woken by a Condition", raw * 1e6, "µs"))
    tell(row("memory:", memory * 1e6, "µs", memory / raw, "of it"))
    tell(row("one page written, flushed, and a thread woken", flush * 1e6, "µs"))
    tell(row("sqlite, each push flushed", sqlite * 1e6, "µs", sqlite / flush, "of it"))
    tell(row("a queue that is polled each second", 5e5, "µs", 0.5 / sqlite, "times sqlite's"))


def _throughput(folder: Path, tell: Callable[[str], object]) -> None:
    counter = Counter()
    tell("")
    tell("jobs that do nothing, pushed and run")
    with engine("memory:", counter.run) as running:
        memory = in_bulk(running, counter, JOBS)
    with engine(f"sqlite:///{folder}/throughput.db", counter.run) as running:
        single = one_by_one(running, counter, JOBS // 10)
        threads = from_threads(running, counter, JOBS // 2)
        bulk = in_bulk(running, counter, JOBS)
    tell(row("sqlite, one by one", single, "/s"))
    tell(row("sqlite, from 16 threads", threads, "/s", threads / single, "times that"))
    tell(row("sqlite, 1,000 at a time", bulk, "/s", bulk / single, "times that"))
    tell(row("memory:, 1,000 at a time", memory, "/s", memory / single, "times that"))


def row(what: str, value: float, unit: str, ratio: float | None = None, of: str = "") -> str:
    """One figure as a line; *ratio* is to another figure of the same run."""
    text = f"  {what:<48}{value:>12,.0f} {unit:<3}"
    return text if ratio is None else f"{text}{ratio:>9,.2f} × {of}".rstrip()
