"""What is wrong is said in one line that says what to do; where all is well nothing is said."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers import PATIENCE
from webqueue import WebQueue
from webqueue.troubles import LARGE_LOG, LATELY, LOW_DISK, SLOW, Facts, troubles

WRONG = [
    ("store", Facts(writable=False), "can't be written"),
    ("disk", Facts(free=LOW_DISK - 1), "nearly full"),
    ("disk", Facts(free=0, writable=False), "507"),
    ("consumers", Facts(alive=0), "No consumer is alive"),
    ("consumers", Facts(consumers=3, alive=1), "2 of 3"),
    ("consumers", Facts(consumers=0, alive=0, todo=1), "WEBQUEUE_CONSUMERS"),
    ("crashes", Facts(crashed=[(7, "resize", 1)]), "job 7 (resize) ran:"),
    ("crashes", Facts(crashed=[(6, "echo", 1), (7, "resize", 2)]), "job 7 (resize) and 1 more ran, for the 2nd time"),
    ("overdue", Facts(overdue=[(7, "resize")]), "Job 7 (resize)"),
    ("overdue", Facts(overdue=[(7, "resize"), (8, "echo")]), "2 jobs"),
    ("full", Facts(todo=90, max_todo=100), "90 % full"),
    ("full", Facts(todo=100, max_todo=100), "429"),
    ("recurring", Facts(unpushed=["tick"]), "tick"),
    ("wal", Facts(log=LARGE_LOG), "256 MB"),
    ("slow", Facts(commit=SLOW), "slow"),
]

WELL = [
    Facts(),
    Facts(free=LOW_DISK, log=LARGE_LOG - 1, commit=SLOW / 2),
    Facts(todo=89, max_todo=100),
    Facts(consumers=0, alive=0),
    Facts(alive=0, draining=True),
    Facts(crashed=[(7, "resize", 2)], up=LATELY + 1),
]


@pytest.mark.parametrize(("code", "facts", "words"), WRONG)
def test_each_is_one_line(code: str, facts: Facts, words: str) -> None:
    """One trouble alone, in one line of a bearable length that ends as a sentence."""
    (told,) = troubles(facts)

    assert code == told["code"]
    assert words in told["message"]
    assert told["message"].endswith(".")
    assert "\n" not in told["message"]
    assert len(told["message"]) < 200


@pytest.mark.parametrize("facts", WELL)
def test_nothing_is_said_where_all_is_well(facts: Facts) -> None:
    """At the bounds, too; consumers that end while it shuts down are no trouble."""
    assert [] == troubles(facts)


@pytest.fixture
def stuck(tmp_path: Any) -> Iterator[tuple[WebQueue, threading.Event, threading.Event]]:
    """A queue with a kind that ignores its time limit until it is let go."""
    jobs, entered, gate = (
        WebQueue(store=f"sqlite:///{tmp_path}/q.db", consumers=1),
        threading.Event(),
        threading.Event(),
    )

    @jobs.handler(timeout=0.01, max_attempts=1)
    def stubborn() -> None:
        entered.set()
        gate.wait(PATIENCE)

    yield jobs, entered, gate
    gate.set()


def test_an_overdue_job_wakes_the_emitter_once(stuck: Any, monkeypatch: Any) -> None:
    """It is told about STUCK seconds after its limit, without any other news; once it has ended it is told no more."""
    # Nothing is raised in its thread: until that one takes it no other thread's traced function goes on (CPython 3.11).
    monkeypatch.setattr("webqueue.executor._overdue", lambda run: setattr(run, "overdue", True))
    jobs, entered, gate = stuck
    app = jobs.create_app()
    engine = app.extensions["webqueue"]
    try:
        (handler,) = engine.handlers
        handler.push()
        assert entered.wait(PATIENCE)
        seq = engine.feed.seq
        assert engine.feed.wait(seq, PATIENCE), "nobody was woken"
        assert ["overdue"] == [one["code"] for one in engine.warnings()["warnings"]]
        ended = threading.Event()
        engine.feed.on_finish(1, ended.set)
        gate.set()
        assert ended.wait(PATIENCE)
        assert [] == engine.warnings()["warnings"]
    finally:
        gate.set()
        engine.stop(grace=0)


def test_a_consumer_that_dies_wakes_the_emitter(tmp_path: Any, monkeypatch: Any) -> None:
    """As soon as its thread ends, whatever ended it."""
    jobs = WebQueue(store=f"sqlite:///{tmp_path}/q.db", consumers=2)
    engine = jobs.create_app().extensions["webqueue"]
    try:
        assert {"warnings": [], "draining": None} == engine.warnings()
        store = engine._store
        with store.board.lock:
            monkeypatch.setattr(type(store), "claim", lambda *_: None)
            store._draining = True
        seq = engine.feed.seq
        store.board.lock.acquire()
        store._closing = True
        store.board.wake_all()
        store.board.lock.release()
        assert engine.feed.wait(seq, PATIENCE)
        for consumer in engine._consumers:
            assert consumer.join(PATIENCE)
        assert ["consumers"] == [one["code"] for one in engine.warnings()["warnings"]]
    finally:
        store._closing = False
        engine.stop(grace=0)


def test_the_end_is_told_with_its_time(tmp_path: Any) -> None:
    """``draining`` says since when; it takes no lock, as a signal handler must not."""
    engine = WebQueue(store=f"sqlite:///{tmp_path}/q.db").create_app().extensions["webqueue"]
    try:
        engine.drain()
        told = engine.overview()["draining"]
        assert told["until"] is None
        assert told["at"].endswith("Z")
        engine.drain()
        assert told == engine.overview()["draining"]
    finally:
        engine.stop(grace=0)
