"""The core as one object, on each kind of store."""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import PATIENCE, Gate, MakeEngine
from webqueue.context import current_job
from webqueue.engine import Engine, Pushed
from webqueue.errors import (
    Draining,
    JobNotFound,
    KeyReused,
    NotRunning,
    QueueFull,
    Rejected,
    StateConflict,
    StoreBusy,
)
from webqueue.handlers import Handlers
from webqueue.job import Job, Rejection, State
from webqueue.settings import Settings

ON_DISK = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""Where a second start must find what the first one left."""


class Clock:
    """µs since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.now


def _push(engine: Engine, kind: str = "echo", **more: Any) -> Job:
    return engine.push({"kind": kind, **more}).job


def _finished(engine: Engine, id: int) -> Job:
    job = engine.wait(id, PATIENCE)
    assert job.finished
    return job


def _took(ran: "queue.SimpleQueue[Any]", number: int) -> list[Any]:
    return [ran.get(timeout=PATIENCE)["n"] for _ in range(number)]


def _until(engine: Engine, true: Callable[[], bool]) -> None:
    """Wait for something that comes with a change of the store."""
    seq = 0
    while not true():
        assert engine.feed.wait(seq, PATIENCE), "nothing came"
        seq = engine.feed.seq


# -- life --------------------------------------------------------------------------------------------------------------


def test_push_runs(engine: Engine) -> None:
    """A pushed job is run, and its result is there."""
    job = _push(engine, "add", payload={"a": 2, "b": 3})

    assert (State.DONE, b"5", 1) == ((done := _finished(engine, job.id)).state, done.result, done.attempt)


def test_start_and_stop_twice(make_engine: MakeEngine) -> None:
    """Both bear being called twice, in any state; after a stop it can be started again."""
    engine = make_engine(start=False)
    engine.stop()
    for _ in range(2):
        engine.start()
        engine.start()
        assert [] == engine.ready()
        _finished(engine, _push(engine).id)
        engine.stop()
        engine.stop()
        assert ["webqueue is not running in this process: call start() first."] == engine.ready()
        with pytest.raises(NotRunning):
            _push(engine)


def test_stop_from_many_threads(make_engine: MakeEngine) -> None:
    """Several that start and stop it at once get on with each other."""
    engine = make_engine()
    with ThreadPoolExecutor(8) as hands:
        for future in [hands.submit(call) for call in [engine.stop, engine.start] * 4]:
            future.result(PATIENCE)
    engine.start()
    _finished(engine, _push(engine).id)


def test_nothing_works_before_start(make_engine: MakeEngine) -> None:
    """Every call of an engine that was not started says so."""
    engine = make_engine(start=False)
    calls: list[Callable[[], Any]] = [
        lambda: _push(engine),
        lambda: engine.push_many([{"kind": "echo"}]),
        lambda: engine.job(1),
        engine.jobs,
        engine.snapshot,
        engine.overview,
        lambda: engine.changes(0),
        lambda: engine.cancel(1),
        lambda: engine.retry(1),
        lambda: engine.forget(1),
        lambda: engine.cancel_all({}),
        lambda: engine.retry_all({}),
        engine.pause,
        engine.resume,
        lambda: engine.wait(1, 1),
        lambda: engine.log(1),
        engine.rejections,
    ]
    for call in calls:
        with pytest.raises(NotRunning):
            call()


def test_drain_refuses_and_starts_nothing(engine: Engine, gate: Gate) -> None:
    """From drain on pushes are refused and nothing new starts; what runs goes on to its end, and reading works."""
    running = _push(engine, "gate")
    assert gate.entered.wait(PATIENCE)
    waiting = _push(engine)
    engine.drain()
    with pytest.raises(Draining):
        _push(engine)
    with pytest.raises(Draining):
        engine.push_many([{"kind": "echo"}])
    assert ["it is shutting down"] == engine.ready()
    gate.opened.set()
    _until(engine, lambda: engine.job(running.id).finished)

    assert State.TODO == engine.job(waiting.id).state


def test_stop_waits_for_what_runs(make_engine: MakeEngine, gate: Gate, store_url: str) -> None:
    """Within the grace period a running job ends; its outcome is kept over a new start, and it is not run again."""
    engine = make_engine()
    job = _push(engine, "gate")
    assert gate.entered.wait(PATIENCE)
    with ThreadPoolExecutor(1) as hands:
        stopping = hands.submit(engine.stop, PATIENCE)
        gate.opened.set()
        stopping.result(PATIENCE)

    if store_url != "memory:":
        engine.start()
        assert (State.DONE, 1, 1) == ((done := engine.job(job.id)).state, done.attempt, len(done.history))


@ON_DISK
def test_outcomes_survive_every_stop(make_engine: MakeEngine, ran: "queue.SimpleQueue[Any]") -> None:
    """A job that ended right before a stop is not run again: its outcome is written, whenever the stop comes."""
    engine = make_engine()
    for number in range(20):
        _push(engine, payload={"n": number})
        assert [number] == _took(ran, 1)
        engine.stop(grace=PATIENCE)
        engine.start()
    _until(engine, lambda: 20 == engine.overview()["counts"]["done"])

    assert ran.empty()


@ON_DISK
def test_stop_puts_back_what_does_not_end(make_engine: MakeEngine, gate: Gate, handlers: Handlers) -> None:
    """What runs beyond the grace period goes back to the front and uses no attempt; a late end changes nothing."""
    engine = make_engine(consumers=2)
    first, second = _push(engine, "gate"), _push(engine, "gate")
    third = _push(engine)
    _until(engine, lambda: 2 == engine.overview()["counts"]["running"])
    engine.stop(grace=0)

    later = make_engine(start=False, consumers=0)
    later.start()
    jobs = [later.job(job.id) for job in (first, second, third)]
    assert [(State.TODO, 0, 0, ())] * 3 == [(job.state, job.attempt, job.crashes, job.history) for job in jobs]
    assert [1, 2, 3] == [job.standing.position for job in jobs]
    gate.opened.set()
    for consumer in engine._consumers:
        assert consumer.join(PATIENCE)
    assert [State.TODO] * 3 == [later.job(job.id).state for job in (first, second, third)]


def test_hurry_ends_the_wait(engine: Engine, gate: Gate) -> None:
    """A second signal: whoever is stopping it waits no longer."""
    _push(engine, "gate")
    assert gate.entered.wait(PATIENCE)
    with ThreadPoolExecutor(1) as hands:
        stopping = hands.submit(engine.stop, 1000)
        assert not stopping.done()
        engine.hurry()
        stopping.result(PATIENCE)


def test_stop_lets_go_of_who_waits(engine: Engine, gate: Gate) -> None:
    """Whoever waits for a job when it stops is answered with the job as it is."""
    job = _push(engine, "gate")
    assert gate.entered.wait(PATIENCE)
    with ThreadPoolExecutor(2) as hands:
        waiting = hands.submit(engine.wait, job.id, 1000)
        while not engine._waiting:
            assert not waiting.done()
            threading.Event().wait(0.005)
        stopping = hands.submit(engine.stop, PATIENCE)
        assert State.RUNNING == waiting.result(PATIENCE).state
        gate.opened.set()
        stopping.result(PATIENCE)


@ON_DISK
def test_a_second_engine_on_one_file(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused, the first one goes on; when that has stopped, the second may start."""
    monkeypatch.setattr("webqueue.stores.owner.HANDOVER", 0.05)
    monkeypatch.setattr("webqueue.stores.owner.Owner.acquire.__defaults__", (0.05,))
    first, second = make_engine(), make_engine(start=False)
    for _ in range(2):
        with pytest.raises(StoreBusy, match="pid"):
            second.start()
        assert [] != second.ready()
    _finished(first, _push(first).id)
    first.stop()
    second.start()
    assert State.DONE == second.job(1).state


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_wait(engine: Engine, gate: Gate) -> None:
    """It returns when the job finishes, or when the time is up, with the job as it is; unknown jobs raise."""
    job = _push(engine, "gate")
    assert State.DONE != engine.wait(job.id, 0.01).state
    with ThreadPoolExecutor(1) as hands:
        waiting = hands.submit(engine.wait, job.id, PATIENCE)
        gate.opened.set()
        assert State.DONE == waiting.result(PATIENCE).state
    assert State.DONE == engine.wait(job.id, PATIENCE).state
    with pytest.raises(JobNotFound):
        engine.wait(99, 1)


def test_waiting_is_bounded(make_engine: MakeEngine, gate: Gate) -> None:
    """When as many wait as may, the next one is answered at once; afterwards there is room again."""
    engine = make_engine(http_threads=4)
    job = _push(engine, "gate")
    with ThreadPoolExecutor(2) as hands:
        waiting = [hands.submit(engine.wait, job.id, PATIENCE) for _ in range(2)]
        while len(engine._waiting) < 2:
            threading.Event().wait(0.005)
        assert not engine.wait(job.id, 1000).finished
        gate.opened.set()
        assert all(one.result(PATIENCE).finished for one in waiting)
    assert engine.wait(_push(engine).id, PATIENCE).finished


@pytest.mark.parametrize("how", ["cancel", "fail"])
def test_wait_for_any_end(engine: Engine, gate: Gate, how: str) -> None:
    """A cancelled or failed job has finished, too."""
    _push(engine, "gate")
    job = _push(engine, "boom")
    with ThreadPoolExecutor(1) as hands:
        waiting = hands.submit(engine.wait, job.id, PATIENCE)
        if how == "cancel":
            engine.cancel(job.id)
            assert State.CANCELLED == waiting.result(PATIENCE).state
        gate.opened.set()
        assert waiting.result(PATIENCE).finished


# -- pushing -----------------------------------------------------------------------------------------------------------


def test_unfit_pushes_are_rejected(engine: Engine) -> None:
    """An unfit push raises, with errors by field and the rejection's id; the rejection can be read, redacted."""
    with pytest.raises(Rejected) as raised:
        engine.push({"kind": "add", "payload": {"a": 1, "b": "x", "password": "hunter2"}})
    errors = raised.value.errors
    assert {"payload"} == set(errors)
    assert {"b", "password"} == set(errors["payload"])
    _until(engine, lambda: bool(engine.rejections().items))

    (rejection,) = engine.rejections().items
    assert (raised.value.id, "add", errors) == (rejection.id, rejection.kind, rejection.errors)
    assert b"hunter2" not in (rejection.payload or b"")
    assert 1 == engine.overview()["totals"]["rejected"]


def test_who_pushed_is_told_all_the_record_is_short(engine: Engine) -> None:
    """A push with very many wrong fields is answered in full; what is kept and told of it to others is bounded."""
    wrong = {f"field {n}": n for n in range(5_000)}
    with pytest.raises(Rejected) as raised:
        engine.push({"kind": "add", "payload": wrong})
    _until(engine, lambda: bool(engine.rejections().items))

    (rejection,) = engine.rejections().items
    assert wrong.keys() <= raised.value.errors["payload"].keys()
    assert len(rejection.errors["payload"]) < 100


@pytest.mark.parametrize(
    "body",
    [None, [], 5, "x", {}, {"kind": 5}, {"kind": "x" * 10_000}, {"kind": "echo", "payload": []}, {"kind": "\ud800"},
     {"kind": "echo", "payload": {"a": float("nan")}}, {"kind": "echo", "payload": {"a": object()}},
     {"kind": "echo", "payload": {"a": "\ud800"}}, {"kind": "echo", "queue": "\ud800"}],
    ids=lambda body: repr(body)[:30],
)  # fmt: skip
def test_whatever_is_pushed_is_rejected_not_an_error(engine: Engine, body: Any) -> None:
    """Any value at all is at worst Rejected; the queue goes on."""
    with pytest.raises(Rejected):
        engine.push(body)
    (answer,) = engine.push_many([body])
    assert isinstance(answer, Rejection)
    engine.snapshot()
    _finished(engine, _push(engine).id)


@pytest.mark.parametrize("key", ["\ud800", "\0", "ä" * 1000])
def test_odd_unique_keys(engine: Engine, key: str) -> None:
    """A key that can be stored is; one that can't is refused alone, and the queue goes on."""
    refusal: Exception | None = None
    try:
        _push(engine, unique_key=key)
    except Exception as error:  # noqa: BLE001 - whichever it is, it must not be a broken store
        refusal = error
    assert refusal is None or "stored" in str(refusal) or isinstance(refusal, Rejected)
    _finished(engine, _push(engine).id)
    assert [] == engine.ready()


def test_push_many_stands_each_alone(engine: Engine, ran: "queue.SimpleQueue[Any]") -> None:
    """Jobs and rejections come back in the order of the pushes; the jobs run in that order."""
    bodies: list[Any] = [{"kind": "echo", "payload": {"n": n}} if n % 3 else {"kind": "nope"} for n in range(30)]
    answers = engine.push_many(bodies)

    assert [bool(n % 3) for n in range(30)] == [isinstance(answer, Pushed) for answer in answers]
    ids = [answer.job.id for answer in answers if isinstance(answer, Pushed)]
    assert sorted(ids) == ids
    assert [n for n in range(30) if n % 3] == _took(ran, 20)
    assert [] == engine.push_many([])


def test_push_many_is_one_flush(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are pushed at once, they go into one commit."""
    engine = make_engine(consumers=0)
    tables, sizes = engine._store.tables, []
    write = tables.write

    def counted(batch: Any, totals: Any) -> None:
        sizes.append(len(batch.steps))
        write(batch, totals)

    monkeypatch.setattr(tables, "write", counted)
    engine.push_many([{"kind": "echo"}] * 5_000)
    assert [5_000] == [size for size in sizes if size]


def test_idempotency(engine: Engine) -> None:
    """The same key and body is the first job again; another body is refused; a key dies with its job."""
    body = {"kind": "echo", "payload": {"n": 1}}
    first = engine.push(body, "key")
    again = engine.push({"payload": {"n": 1.0}, "kind": "echo"}, "key")
    assert (True, False, first.job.id) == (first.fresh, again.fresh, again.job.id)
    with pytest.raises(KeyReused):
        engine.push({"kind": "echo"}, "key")

    _finished(engine, first.job.id)
    assert first.job.id == engine.push(body, "key").job.id
    engine.forget(first.job.id)
    assert engine.push({"kind": "echo"}, "key").fresh


def test_identical_pushes_at_once_are_one_job(make_engine: MakeEngine) -> None:
    """200 pushes with one unique_key, all at once, make one job; so do 200 with one Idempotency-Key."""
    engine = make_engine(consumers=0)
    start = threading.Barrier(20)

    def push(key: str | None) -> list[Pushed]:
        start.wait(PATIENCE)
        body = {"kind": "echo"} if key else {"kind": "echo", "unique_key": "u"}
        return [engine.push(body, key) for _ in range(10)]

    for key in (None, "k"):
        with ThreadPoolExecutor(20) as hands:
            answers = [one for pushed in hands.map(push, [key] * 20) for one in pushed]
        assert (200, 1) == (len(answers), sum(one.fresh for one in answers))
        assert 1 == len({one.job.id for one in answers})
    assert 2 == engine.overview()["counts"]["todo"]


def test_max_todo_is_exact(make_engine: MakeEngine, gate: Gate) -> None:
    """Under pushes from many threads exactly so many get in; the others are QueueFull; what runs does not count."""
    engine = make_engine(max_todo=50)
    _push(engine, "gate")
    assert gate.entered.wait(PATIENCE)

    waits: list[float] = []

    def push(_: int) -> int:
        accepted = 0
        for _ in range(10):
            try:
                accepted += engine.push({"kind": "echo"}).fresh
            except QueueFull as full:
                waits.append(full.retry_after)
        return accepted

    with ThreadPoolExecutor(12) as hands:
        assert 50 == sum(hands.map(push, range(12)))
    assert all(1 <= seconds <= 60 for seconds in waits)
    assert 50 == engine.overview()["counts"]["todo"]
    answers = engine.push_many([{"kind": "echo"}] * 3)
    assert all(isinstance(answer, Rejection) for answer in answers)


def test_full_while_paused(make_engine: MakeEngine) -> None:
    """While paused nobody knows when there will be room: 60 s."""
    engine = make_engine(max_todo=1)
    engine.pause()
    _push(engine)
    with pytest.raises(QueueFull) as raised:
        _push(engine)
    assert 60 == raised.value.retry_after


# -- order -------------------------------------------------------------------------------------------------------------


def test_one_consumer_is_first_in_first_out(engine: Engine, ran: "queue.SimpleQueue[Any]") -> None:
    """Jobs of one queue and priority start in the order in which they were accepted, whoever pushed them."""
    accepted: list[tuple[int, int]] = []

    def push(thread: int) -> None:
        for number in range(25):
            n = thread * 1000 + number
            accepted.append((_push(engine, payload={"n": n}).id, n))

    with ThreadPoolExecutor(8) as hands:
        list(hands.map(push, range(8)))
    assert [n for _, n in sorted(accepted)] == _took(ran, 200)


def test_priorities(engine: Engine, gate: Gate, ran: "queue.SimpleQueue[Any]") -> None:
    """Of what waits, the highest priority goes first, then the oldest."""
    _push(engine, "gate")
    assert gate.entered.wait(PATIENCE)
    priorities = [0, 2, -1, 2, 0, 1]
    for n, priority in enumerate(priorities):
        _push(engine, payload={"n": n}, priority=priority)
    assert [1, 3, 5, 0, 4, 2] == [engine.job(2 + n).standing.position and n for n in _took_order(priorities)]
    gate.opened.set()

    assert [1, 3, 5, 0, 4, 2] == _took(ran, 6)


def _took_order(priorities: list[int]) -> list[int]:
    return sorted(range(len(priorities)), key=lambda n: (-priorities[n], n))


def test_positions_and_estimates(make_engine: MakeEngine) -> None:
    """A todo job says how many go before it; others don't have a position."""
    engine = make_engine(consumers=0)
    ids = [_push(engine).id for _ in range(3)]
    urgent = engine.push({"kind": "echo", "priority": 1})

    assert 1 == engine.seen(urgent).standing.position
    assert [2, 3, 4] == [engine.job(id).standing.position for id in ids]
    assert [4, 3, 2] == [job.standing.position for job in engine.jobs().items if job.id != urgent.job.id]
    engine.cancel(ids[0])
    assert [None, 2, 3] == [engine.job(id).standing.position for id in ids]


def test_named_queues(make_engine: MakeEngine, gate: Gate, ran: "queue.SimpleQueue[Any]") -> None:
    """A listed queue has consumers of its own: it runs while ``default`` is busy; an unlisted one shares those."""
    engine = make_engine(queues="default=1,mail=1")
    _push(engine, "gate")
    assert gate.entered.wait(PATIENCE)
    other = _push(engine, queue="other", payload={"n": 1})
    mail = _push(engine, queue="mail", payload={"n": 2})
    _finished(engine, mail.id)
    assert State.TODO == engine.job(other.id).state
    gate.opened.set()

    assert [2, 1] == _took(ran, 2)
    assert {"alive": 2} == {"alive": engine.overview()["consumers"]["alive"]}


def test_pause_and_resume(engine: Engine, ran: "queue.SimpleQueue[Any]") -> None:
    """A paused queue starts nothing and says so; others go on; resumed, it goes on in order."""
    engine.pause("slow", "lunch")
    slow = [_push(engine, queue="slow", payload={"n": n}) for n in range(3)]
    assert [9] == (_push(engine, payload={"n": 9}) and _took(ran, 1))
    assert "the queue is paused: lunch" == engine.job(slow[0].id).standing.waiting_for
    assert {"slow"} == set(engine.overview()["paused_queues"])

    engine.pause()
    held = _push(engine, payload={"n": 4})
    assert (True, "the queue is paused") == (engine.overview()["paused"], engine.job(held.id).standing.waiting_for)
    engine.resume("slow")
    assert ran.empty()
    engine.resume()
    assert [0, 1, 2, 4] == _took(ran, 4)
    assert False is engine.overview()["paused"]


@ON_DISK
def test_pauses_survive_a_restart(make_engine: MakeEngine) -> None:
    """What was paused is paused after the next start."""
    engine = make_engine()
    engine.pause("slow", "lunch", "Ada")
    engine.pause()
    engine.stop()
    engine.start()
    seen = engine.overview()
    assert (True, "lunch") == (seen["paused"], seen["paused_queues"]["slow"]["why"])
    assert [(None, None), ("slow", "Ada")] == [(one["queue"], one["who"]) for one in seen["pauses"]]
    engine.resume()
    _finished(engine, _push(engine).id)


# -- time --------------------------------------------------------------------------------------------------------------


def test_delay(engine: Engine) -> None:
    """A delayed job is scheduled, and runs when its time has come, not before."""
    job = _push(engine, delay=0.15)
    assert State.SCHEDULED == engine.job(job.id).state
    done = _finished(engine, job.id)

    assert (done.started_at or 0) >= (job.run_at or 0) >= done.history[0].started_at - PATIENCE * 10**6
    assert 0 <= job.created_at + 150_000 - (job.run_at or 0) < 1_000_000


def test_a_failure_comes_back(make_engine: MakeEngine, handlers: Handlers) -> None:
    """A job that fails is tried again after its backoff, as often as it may; its history tells."""
    from webqueue.backoff import Backoff

    def flaky() -> int:
        if current_job.attempt < 3:
            raise ValueError("not yet")
        return current_job.attempt

    handlers.register(flaky, backoff=Backoff(first=0.01))
    engine = make_engine()
    job = _finished(engine, _push(engine, "flaky").id)

    assert (State.DONE, b"3", 3, None) == (job.state, job.result, job.attempt, job.error)
    assert [(3, "done"), (2, "failed"), (1, "failed")] == [(one.attempt, one.outcome) for one in job.history]
    failed = _finished(engine, _push(engine, "flaky", max_attempts=2).id)
    assert (State.FAILED, 2, "ValueError") == (failed.state, failed.attempt, failed.error and failed.error.type)


def test_rates_and_concurrency(make_engine: MakeEngine, handlers: Handlers, gate: Gate) -> None:
    """A limited kind waits, and says why; others pass it by."""
    handlers.register(lambda: gate(), kind="one", concurrency=1)
    handlers.register(lambda: None, kind="seldom", rate="1/h")
    engine = make_engine(consumers=3)
    first, second = _push(engine, "one"), _push(engine, "one")
    assert gate.entered.wait(PATIENCE)
    _finished(engine, _push(engine, "seldom").id)
    third = _push(engine, "seldom")
    _finished(engine, _push(engine).id)

    assert [State.RUNNING, State.TODO, State.TODO] == [engine.job(job.id).state for job in (first, second, third)]
    assert "1 of its kind run already, 1 may" == engine.job(second.id).standing.waiting_for
    assert "1 of its kind started within 3600 s, no more may" == engine.job(third.id).standing.waiting_for
    gate.opened.set()
    _finished(engine, second.id)


def test_a_rate_lets_the_next_one_start_in_time(make_engine: MakeEngine, handlers: Handlers) -> None:
    """A job that a rate holds back starts when it may, though nothing else happens then."""
    handlers.register(lambda: None, kind="seldom", rate="2/1s")
    engine = make_engine(consumers=2)
    jobs = [_finished(engine, _push(engine, "seldom").id) for _ in range(3)]
    starts = [job.started_at or 0 for job in jobs]

    assert 990_000 <= starts[2] - starts[0] <= 3_000_000


@ON_DISK
def test_a_retry_or_push_of_an_unknown_kind(make_engine: MakeEngine, store_url: str, handlers: Handlers) -> None:
    """A stored job of a kind that is no longer registered waits and says so; it runs when the kind is back."""
    engine = make_engine(consumers=0)
    job = _push(engine)
    engine.stop()
    fewer = Handlers()
    fewer.register(lambda: None, kind="other")
    without = Engine(Settings.read({"store": store_url}, {}, {}), fewer)
    without.start()
    _finished(without, without.push({"kind": "other"}).job.id)
    assert "no handler of this kind is registered" == without.job(job.id).standing.waiting_for
    without.stop()
    again = make_engine()
    _finished(again, job.id)


# -- steering ----------------------------------------------------------------------------------------------------------


def test_cancel_a_running_job(make_engine: MakeEngine, handlers: Handlers, gate: Gate) -> None:
    """A running job is asked to stop, and ends cancelled at its next look; even if it was asked right at its start."""

    def endless() -> None:
        while True:
            current_job.check()
            gate.opened.wait(0.001)

    handlers.register(endless)
    engine = make_engine()
    for _ in range(40):
        job = _push(engine, "endless")
        assert engine.cancel(job.id).state in (State.RUNNING, State.CANCELLED)
        assert State.CANCELLED == _finished(engine, job.id).state
    with pytest.raises(StateConflict):
        engine.cancel(job.id)


def test_retry_and_forget(engine: Engine) -> None:
    """A failed job can be retried by hand; a finished one forgotten; else a conflict, or not found."""
    job = _finished(engine, _push(engine, "boom").id)
    assert (State.FAILED, "ValueError") == (job.state, job.error and job.error.type)
    engine.retry(job.id)
    again = _finished(engine, job.id)
    assert (1, 2) == (again.attempt, len(again.history))
    done = _finished(engine, _push(engine).id)
    with pytest.raises(StateConflict):
        engine.retry(done.id)
    engine.forget(done.id)
    for call in (engine.job, engine.retry, engine.cancel, engine.forget):
        with pytest.raises(JobNotFound):
            call(done.id)


def test_run_now(engine: Engine) -> None:
    """A scheduled job can be hastened."""
    job = _push(engine, delay=1000)
    engine.run_now(job.id)

    assert State.DONE == _finished(engine, job.id).state


def test_bulk(make_engine: MakeEngine) -> None:
    """All that match are counted, the oldest of them done."""
    engine = make_engine()
    failed = [_finished(engine, _push(engine, "boom").id).id for _ in range(5)]
    engine.pause()
    assert (5, 2) == engine.retry_all({"state": "failed", "error": "ValueError"}, limit=2)
    assert [State.TODO] * 2 + [State.FAILED] * 3 == [engine.job(id).state for id in failed]
    assert (2, 2) == engine.cancel_all({"kind": "boom"})
    assert (0, 0) == engine.cancel_all({"kind": "boom", "queue": "none"})


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_retention_by_number(make_engine: MakeEngine) -> None:
    """Never fewer than ``keep_finished`` finished jobs stay, at most 20 more; the first finished go first."""
    engine = make_engine(keep_finished=50)
    last = engine.push_many([{"kind": "echo"}] * 300)[-1]
    assert isinstance(last, Pushed)
    _finished(engine, last.job.id)
    _until(engine, lambda: engine.overview()["counts"]["done"] <= 70)

    left = [job.id for job in engine.jobs(limit=200).items]
    assert list(range(300, 300 - len(left), -1)) == left
    assert 50 <= len(left) <= 70
    assert 300 == engine.overview()["totals"]["done"]


@ON_DISK
def test_retention_by_age(make_engine: MakeEngine) -> None:
    """What finished too long ago is forgotten, also where that time passed while nothing ran."""
    clock = Clock()
    engine = make_engine(clock=clock, keep_days=2)
    old = _finished(engine, _push(engine).id)
    engine.stop()
    clock.now += 2 * 86_400_000_000
    engine.start()
    _until(engine, lambda: not engine.jobs().items)
    with pytest.raises(JobNotFound):
        engine.job(old.id)


def test_a_very_long_retention(make_engine: MakeEngine) -> None:
    """A million days are fine: delays still work."""
    engine = make_engine(keep_days=1_000_000)
    _finished(engine, _push(engine).id)

    _finished(engine, _push(engine, delay=0.02).id)


# -- what is told ------------------------------------------------------------------------------------------------------


def test_log_and_progress(make_engine: MakeEngine, handlers: Handlers, gate: Gate) -> None:
    """What a handler tells can be read while it runs, and its log afterwards."""

    def chatty() -> None:
        current_job.progress(0.5, "half")
        for number in range(5):
            current_job.log(number)
        gate()

    handlers.register(chatty)
    engine = make_engine()
    job = _push(engine, "chatty")
    assert gate.entered.wait(PATIENCE)
    progress = engine.job(job.id).progress
    assert (0.5, "half") == (progress and progress.fraction, progress and progress.message)
    gate.opened.set()
    _finished(engine, job.id)

    page = engine.log(job.id, limit=3)
    rest = engine.log(job.id, page.next, 3)
    assert ["0", "1", "2", "3", "4"] == [line.message for line in page.items + rest.items]
    assert None is rest.next
    assert None is engine.job(job.id).progress


def test_overview(engine: Engine, gate: Gate) -> None:
    """Exact counts, totals, queues, consumers, ages and rates."""
    _finished(engine, _push(engine, queue="mail").id)
    _push(engine, "gate")
    assert gate.entered.wait(PATIENCE)
    _push(engine)
    _push(engine, delay=100)
    seen = engine.overview()

    assert {"scheduled": 1, "todo": 1, "running": 1, "done": 1, "failed": 0, "cancelled": 0} == seen["counts"]
    assert {"accepted": 4, "done": 1, "failed": 0, "cancelled": 0, "rejected": 0} == seen["totals"]
    assert {"default", "mail"} == set(seen["queues"])
    assert {"alive": 1, "busy": 1} == seen["consumers"]
    assert 0 <= seen["oldest_todo_age"] < PATIENCE
    assert (engine.feed.epoch, engine.feed.seq) == (seen["epoch"], seen["seq"])


@ON_DISK
def test_totals_survive(make_engine: MakeEngine) -> None:
    """Totals count since the store was made; ids go on."""
    engine = make_engine()
    _finished(engine, _push(engine).id)
    engine.forget(1)
    engine.stop()
    engine.start()
    assert 2 == _finished(engine, _push(engine).id).id
    assert (2, 2) == tuple(engine.overview()["totals"][name] for name in ("accepted", "done"))


class Client:
    """What the browser does: a snapshot, then changes; the newest revision of each job wins."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.resync()

    def resync(self) -> None:
        """Begin again."""
        snapshot = self.engine.snapshot()
        self.seq: int = snapshot["seq"]
        self.counts: dict[str, int] = snapshot["counts"]
        self.jobs = {job["id"]: job for name in ("todo", "scheduled", "finished", "running") for job in snapshot[name]}
        self.rejections = {one["id"] for one in snapshot["rejections"]}

    def catch_up(self) -> None:
        """Take what changed."""
        frame = self.engine.changes(self.seq)
        if frame is None:
            self.resync()
            return
        assert self.seq == frame["from"] <= frame["seq"]
        self.seq, self.counts = frame["seq"], frame["counts"]
        for job in frame["jobs"]:
            if job["revision"] >= self.jobs.get(job["id"], job)["revision"]:
                self.jobs[job["id"]] = job
        for id in frame["forgotten"]:
            self.jobs.pop(id, None)
        self.rejections |= {one["id"] for one in frame["rejections"]}


def _bustle(engine: Engine, thread: int) -> None:
    """Take each kind of step, several times over."""
    for number in range(12):
        pushed = engine.push({"kind": "boom" if number % 5 == 4 else "echo", "priority": number % 2})
        later = engine.push({"kind": "echo", "delay": 1000 if number % 2 else 0.01})
        if number % 3 == 0:
            with contextlib.suppress(StateConflict):
                engine.cancel(later.job.id)
                if number % 2:
                    engine.retry(later.job.id)
        if number % 4 == 0 and engine.wait(pushed.job.id, PATIENCE).finished:
            engine.forget(pushed.job.id)
        if number % 6 == 0:
            with pytest.raises(Rejected):
                engine.push({"kind": "nope"})
        engine.pause(f"q{thread}")
        engine.resume(f"q{thread}")


def test_changes_over_a_snapshot_are_a_fresh_snapshot(make_engine: MakeEngine) -> None:
    """Whoever replays the changes over an old snapshot sees what a newcomer sees: without holes, whenever they look."""
    engine = make_engine(consumers=3)
    client = Client(engine)

    with ThreadPoolExecutor(4) as hands:
        futures = [hands.submit(_bustle, engine, thread) for thread in range(4)]
        while not all(future.done() for future in futures):
            client.catch_up()
        for future in futures:
            future.result(PATIENCE)
    _until(engine, lambda: not any(engine.overview()["counts"][state] for state in ("todo", "running")))
    client.catch_up()
    fresh = Client(engine)

    assert (fresh.seq, fresh.counts) == (client.seq, client.counts)
    assert {id: (job["state"], job["revision"]) for id, job in fresh.jobs.items()} == {
        id: (job["state"], job["revision"]) for id, job in client.jobs.items()
    }
    assert fresh.rejections == client.rejections
    assert 8 == len(fresh.rejections)


def test_changes_of_too_many_jobs_are_a_snapshot(make_engine: MakeEngine) -> None:
    """More than 500 changed jobs, or a number of another epoch: a snapshot is to be sent instead."""
    engine = make_engine(consumers=0)
    engine.push_many([{"kind": "echo"}] * 501)

    assert None is engine.changes(0)
    assert 500 == len((engine.changes(1) or {})["jobs"])
    assert None is engine.changes(10**6)


def test_seq_counts_each_step(engine: Engine) -> None:
    """A push, a claim and an end are three changes; a pause is one."""
    _finished(engine, _push(engine).id)
    assert 3 == engine.feed.seq
    engine.pause()
    assert 4 == engine.feed.seq


# -- after each other --------------------------------------------------------------------------------------------


def test_a_job_runs_after_others_and_is_given_their_results(engine: Engine, gate: Gate) -> None:
    """It waits for its time without one, says for whom, and sees what they returned."""
    engine.handlers.register(lambda: current_job.results, kind="gather")
    first = _push(engine, "gate")
    second = _push(engine, "add", payload={"a": 1, "b": 2})
    last = _push(engine, "gather", after=[second.id, first.id])
    assert (State.SCHEDULED, "it comes after jobs 2, 1") == (last.state, engine.job(last.id).standing.waiting_for)
    gate.opened.set()
    assert b'[3,"through"]' == _finished(engine, last.id).result


def test_who_comes_after_a_failure_never_runs(engine: Engine, ran: "queue.SimpleQueue[Any]") -> None:
    """It is cancelled, with the reason as its error, and can be found and retried by that."""
    last = _push(engine, after=[_push(engine, "boom").id])
    ended = _finished(engine, last.id)
    assert ended.error is not None
    assert (State.CANCELLED, "DependencyFailed") == (ended.state, ended.error.type)
    assert ran.empty()
    assert (1, 1) == engine.retry_all({"error": "DependencyFailed"})
    assert State.DONE == _finished(engine, last.id).state


@pytest.mark.parametrize(
    ("more", "errors"),
    [
        ({"after": [7]}, {"after": {0: ["There is no job 7."]}}),
        ({"after": []}, {"after": ["Length must be between 1 and 1000."]}),
        ({"after": ["1"]}, {"after": {0: ["Not a valid integer."]}}),
        ({"after": 1}, {"after": ["Not a valid list."]}),
        ({"after": [1], "delay": 1}, {"delay": ["Give after or delay, not both."]}),
    ],
)
def test_what_may_not_come_after(engine: Engine, more: dict[str, Any], errors: dict[str, Any]) -> None:
    """The push is refused with the reason by field."""
    with pytest.raises(Rejected) as refused:
        _push(engine, **more)
    assert errors == refused.value.errors


def test_each_refusal_is_counted_by_its_reason(make_engine: MakeEngine) -> None:
    """Also those that are no fault of the push; of a bulk each item."""
    engine = make_engine(max_todo=1)
    engine.pause()
    _push(engine)
    far = {"kind": "echo", "delay": 60}
    engine.push(far, "key")
    with pytest.raises(QueueFull):
        _push(engine)
    with pytest.raises(Rejected):
        _push(engine, "nope")
    with pytest.raises(KeyReused):
        engine.push({"kind": "echo"}, "key")
    engine.drain()
    with pytest.raises(Draining):
        engine.push_many([far] * 3)
    refused = {"full": 1, "unfit": 1, "key_reused": 1, "draining": 3}
    assert refused == {reason: number for reason, number in engine.metrics().meters.refused.items() if number}


def test_a_progress_of_nan_is_none_at_all(engine: Engine, gate: Gate) -> None:
    """JSON has no NaN: it would take every client's news with it."""
    engine.handlers.register(lambda: (current_job.progress(float("nan")), gate()), kind="far")
    job = _push(engine, "far")
    assert gate.entered.wait(PATIENCE)
    progress = engine.job(job.id).progress
    assert progress is not None
    assert 0.0 == progress.fraction
