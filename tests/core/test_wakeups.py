"""Lost wake-ups: under the worst thread switching no job waits beside an idle consumer, and an idle engine sleeps."""

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE, Gate, MakeEngine
from webqueue.engine import Engine, Pushed
from webqueue.errors import JobNotFound, StateConflict
from webqueue.handlers import Handlers
from webqueue.settings import Settings
from webqueue.stores.journal import Journal, Ticket

SEEDS = 50
SECONDS = 12.0
"""After so many seconds no further seed is begun."""


@pytest.fixture(name="frantic")
def _frantic() -> Iterator[None]:
    """Threads are switched as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Counter:
    """Counts ends, and wakes who waits for so many."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.number = 0
        self.seen: list[Any] = []

    def add(self, what: Any = None) -> None:
        with self._changed:
            self.number += 1
            self.seen.append(what)
            self._changed.notify_all()

    def reaches(self, number: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.number >= number, PATIENCE)


def _play(engine: Engine, dice: random.Random, ended: Counter) -> int:
    """Push, cancel, retry, pause and resume from several threads; returns how many runs there must be at least."""
    kinds = ("echo", "limited", "echo")

    def pusher(seed: int) -> int:
        mine = random.Random(seed)
        pushed = 0
        for _ in range(6):
            what = mine.random()
            body = {
                "kind": mine.choice(kinds),
                "queue": mine.choice(("default", "mail", "x")),
                "priority": mine.choice((0, 1)),
            }
            if what < 0.6:
                engine.push(body)
                pushed += 1
            elif what < 0.75:
                pushed += len(engine.push_many([body] * 3))
            elif what < 0.9:
                engine.pause("x")
                engine.push({**body, "delay": 0.001})
                pushed += 1
                engine.resume("x")
            else:
                pushed += _cancel_one(engine, body)
        return pushed

    with ThreadPoolExecutor(3) as hands:
        return sum(hands.map(pusher, [dice.random() for _ in range(3)]))


def _cancel_one(engine: Engine, body: dict[str, Any]) -> int:
    """One is pushed, cancelled and, where that came in time, retried: it runs all the same."""
    id = engine.push(body).job.id
    try:
        engine.cancel(id)
        engine.retry(id)
    except (StateConflict, JobNotFound):
        pass  # a consumer was quicker
    return 1


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_no_job_waits_beside_an_idle_consumer(frantic: None, tmp_path: Path, store: str) -> None:
    """Whatever comes between what, all that is pushed runs while there are consumers: over many seeds, 4 consumers."""
    begun = time.monotonic()
    rounds = 0
    for seed in range(SEEDS):
        if time.monotonic() - begun > SECONDS:
            break
        rounds += 1
        _round(seed, "memory:" if store == "memory" else f"sqlite:///{tmp_path}/{seed}.db?sync=normal")
    assert rounds >= 5


def _round(seed: int, url: str) -> None:
    dice, ended, handlers = random.Random(seed), Counter(), Handlers()
    handlers.register(lambda **_: ended.add(), kind="echo")
    handlers.register(lambda **_: ended.add(), kind="limited", concurrency=1)
    settings = Settings.read({"store": url, "queues": "default=3,mail=1"}, {}, {})
    engine = Engine(settings, handlers)
    engine._store.board.todo._window = 8
    engine.start()
    try:
        for _ in range(3):
            _play(engine, dice, ended)
            assert _settles(engine), f"seed {seed}: {engine.overview()['counts']} beside idle consumers"
        overview = engine.overview()
        totals = overview["totals"]
        assert totals["accepted"] == totals["done"] + totals["failed"] + overview["counts"]["cancelled"]
        assert ended.number == totals["done"], "each ran once"
    finally:
        engine.stop(grace=PATIENCE)


INTERLEAVINGS = 200
STILL = 10
"""So many times 10 ms nothing may happen beside an idle consumer while a job waits: 100 ms of this test's own time."""


def _act(engine: Engine, dice: random.Random) -> None:
    """One thing that wakes consumers, or that a wake-up can be lost to."""
    queue = dice.choice(("default", "mail"))
    what = dice.randrange(5)
    if what == 0:
        engine.push_many([{"kind": "echo", "queue": queue}] * 2)
    elif what == 1:
        _cancel_one(engine, {"kind": "echo", "queue": queue})
    elif what == 2:
        engine.pause(queue)
        engine.push({"kind": "echo", "queue": queue})
        engine.resume(queue)
    else:
        engine.push({"kind": dice.choice(("echo", "limited")), "queue": queue})


def _idle_beside_work(engine: Engine) -> bool:
    """Whether a job waits through STILL waits for news, each of which ends without any."""
    still = 0
    while still < STILL:
        seq = engine.feed.seq
        counts = engine.overview()["counts"]
        if not any(counts[state] for state in ("todo", "running", "scheduled")):
            return False
        still = 0 if engine.feed.wait(seq, 0.01) else still + 1
    return True


def test_two_hundred_interleavings_of_each_of_fifty_seeds(frantic: None) -> None:
    """10,000 times two threads act at once while consumers fall asleep: no job waits 100 ms beside an idle one."""
    ended, handlers, played = Counter(), Handlers(), 0
    handlers.register(lambda **_: ended.add(), kind="echo")
    handlers.register(lambda **_: ended.add(), kind="limited", concurrency=1)
    with ThreadPoolExecutor(2) as hands:
        for seed in range(SEEDS):
            engine = Engine(Settings.read({"store": "memory:", "queues": "default=2,mail=1"}, {}, {}), handlers)
            engine.start()
            dice = [random.Random(f"{seed} {hand}") for hand in ("left", "right")]
            for number in range(INTERLEAVINGS):
                list(hands.map(_act, [engine] * 2, dice))
                assert not _idle_beside_work(engine), f"seed {seed}, {number}: {engine.overview()['counts']}"
                played += 1
            engine.stop(grace=PATIENCE)
    assert SEEDS * INTERLEAVINGS == played
    assert ended.number >= played


def _settles(engine: Engine) -> bool:
    """Whether all that waits or runs ends; fed by news alone."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        seq = engine.feed.seq
        counts = engine.overview()["counts"]
        if not any(counts[state] for state in ("todo", "running", "scheduled")):
            return True
        if not engine.feed.wait(seq, max(0.0, deadline - time.monotonic())):
            return False
    return False


def _noting(thread: int, number: int) -> Callable[[list[Any]], int]:
    def call(written: list[Any]) -> int:
        written.append((thread, number))
        return number

    return call


def test_tickets_are_never_lost(frantic: None) -> None:
    """Whoever asks or tells a journal from whatever thread is answered, in the order of their own calls."""
    written: list[Any] = []

    def write(tickets: "list[Ticket]") -> None:
        for ticket in tickets:
            ticket.settle(ticket.decide(written))

    journal = Journal(write, lambda: None)
    journal.start()

    def hand_in(thread: int) -> None:
        for number in range(300):
            call = _noting(thread, number)
            if number % 3:
                journal.tell(call, keep=True)
            else:
                assert number == journal.ask(call)

    with ThreadPoolExecutor(6) as hands:
        for future in [hands.submit(hand_in, thread) for thread in range(6)]:
            future.result(PATIENCE * 3)
    journal.stop()
    for thread in range(6):
        assert list(range(300)) == [number for other, number in written if other == thread]


def test_burst_after_idle(frantic: None, make_engine: MakeEngine, handlers: Handlers) -> None:
    """A push that comes right when the consumers go to sleep wakes one of them: 300 times, one by one."""
    ended = Counter()
    handlers.register(lambda: ended.add(), kind="tick")
    engine = make_engine(consumers=3)
    for number in range(1, 301):
        assert isinstance(engine.push({"kind": "tick"}), Pushed)
        assert ended.reaches(number), f"job {number} was never started"


def test_a_resume_wakes_all_that_may_work(make_engine: MakeEngine, gate: Gate) -> None:
    """After a resume as many jobs run at once as there are consumers."""
    engine = make_engine(consumers=4)
    engine.pause()
    engine.push_many([{"kind": "gate"}] * 4)
    engine.resume()
    seq = 0
    while engine.overview()["counts"]["running"] < 4:
        assert engine.feed.wait(seq, PATIENCE)
        seq = engine.feed.seq


# -- idleness ----------------------------------------------------------------------------------------------------------


def _switches() -> dict[str, int]:
    """Voluntary context switches of webqueue's own threads so far, by thread: each wake-up is followed by one."""
    found = {}
    for thread in threading.enumerate():
        if thread.name.startswith("webqueue") and thread.native_id is not None:
            text = Path(f"/proc/self/task/{thread.native_id}/status").read_text(encoding="ascii")
            found[thread.name] = int(text.partition("voluntary_ctxt_switches:")[2].split()[0])
    return found


def test_an_idle_engine_does_not_wake(make_engine: MakeEngine) -> None:
    """Consumers, journal, timers and feed: none of them wakes in two seconds in which nothing happens."""
    engine = make_engine(queues="default=3,mail=2")
    engine.wait(engine.push({"kind": "echo", "timeout": 50}).job.id, PATIENCE)
    engine.push({"kind": "echo", "delay": 500})
    with ThreadPoolExecutor(1) as hands:
        emitter = hands.submit(engine.feed.wait, engine.feed.seq)
        quiet = threading.Event()
        quiet.wait(0.3)  # whoever is still on the way to bed
        before = _switches()
        quiet.wait(2.0)
        after = _switches()
        assert not emitter.done()
        engine.feed.close()
        assert emitter.result(PATIENCE)

    assert before == after
    assert len(before) >= 5
