"""The windows and the two queues, without a store: what is not in the window stands in a plain list of "tables"."""

import random
from collections.abc import Callable

import pytest

from webqueue.job import Job, State
from webqueue.queues import MANY_LANES, Lane, RunningQueue, TodoQueue, Window, due_key, todo_key


def _job(id: int, *, priority: int = 0, kind: str = "echo", queue: str = "default", run_at: int | None = None) -> Job:
    state = State.TODO if run_at is None else State.SCHEDULED
    return Job(id, kind, b"{}", queue, priority, state, id, 3, 0, run_at=run_at)


def _never(_: Lane) -> bool:
    return False


class Tables:
    """All that waits, as a store's tables have it; reads a window's next ones in as the upkeep does."""

    def __init__(self, window: Window, key: Callable[[Job], tuple[int, int]], size: int) -> None:
        self.window, self.key, self.size = window, key, size
        self.rows: dict[int, Job] = {}

    def put(self, job: Job) -> None:
        self.rows[job.id] = job
        self.window.put(job)

    def refill(self) -> None:
        if self.window.low and self.window.bound is not None:
            beyond = (job for job in self.rows.values() if self.key(job) > self.window.bound)
            rows = sorted(beyond, key=self.key)[: self.size]
            self.window.refill(rows, self.key(rows[-1]) if len(rows) == self.size else None)

    def pop(self) -> Job | None:
        self.refill()
        job = self.window.pop()
        if job is not None:
            del self.rows[job.id]
        return job

    def discard(self, id: int) -> None:
        del self.rows[id]
        self.window.discard(id)


@pytest.mark.parametrize("seed", range(60))
def test_window_gives_all_in_order(seed: int) -> None:
    """However jobs come and go, a window with its tables gives every job once, in order, and never holds many."""
    dice = random.Random(seed)
    size = dice.choice([2, 3, 4, 8])
    window = Window(todo_key, size)
    tables = Tables(window, todo_key, size)
    priorities = dice.choice([[0], [0, 0, 0, 1, 2, -1]])
    id = 0
    for _ in range(400):
        what = dice.random()
        if what < 0.5:
            id += 1
            tables.put(_job(id, priority=dice.choice(priorities)))
        elif what < 0.6 and tables.rows:
            tables.discard(dice.choice(sorted(tables.rows)))
        elif what < 0.65 and tables.rows:  # its next step failed: it was taken out and comes back
            job = tables.rows[dice.choice(sorted(tables.rows))]
            window.discard(job.id)
            window.put(job.replaced())
        else:
            expected = min(tables.rows.values(), key=todo_key, default=None)
            popped = tables.pop()
            assert (expected and expected.id) == (popped and popped.id)
        assert len(window) <= 3 * size + 1
        assert sorted(window, key=todo_key)[:size] == window.first(size)
        if window.bound is not None:
            inside = {job.id for job in tables.rows.values() if todo_key(job) <= window.bound}
            assert inside == {job.id for job in window}


def test_window_is_low_before_it_is_empty() -> None:
    """A window with a bound asks for more while there is still something in it; one without a bound never does."""
    window = Window(todo_key, 4)
    for id in range(1, 6):
        window.put(_job(id))
    assert (4, (0, 4), False) == (len(window), window.bound, window.low)

    for _ in range(3):
        window.pop()
    assert (1, True) == (len(window), window.low)
    window.refill([_job(5)], None)
    assert ([4, 5], False) == ([job.id for job in window.first(9)], window.low)


def test_window_hides_what_is_beyond_its_bound() -> None:
    """An empty window with a bound has no head, though there may be jobs."""
    window = Window(todo_key, 2)
    for id in range(1, 4):
        window.put(_job(id))
    window.pop()
    window.pop()

    assert (None, True) == (window.head(), window.low)


def test_window_shrinks_under_a_flood_of_higher_priorities() -> None:
    """Jobs that go before all that is in memory push the later ones out again."""
    window = Window(todo_key, 4)
    for id in range(1, 100):
        window.put(_job(id, priority=id))
    assert len(window) <= 9
    assert 99 == window.head().id  # type: ignore[union-attr]


def test_window_by_due_time() -> None:
    """What is scheduled is ordered by its due time, then by its id."""
    window = Window(due_key, 10)
    for id, at in enumerate((5, 3, 9, 3), 1):
        window.put(_job(id, run_at=at))

    assert [2, 4, 1, 3] == [window.pop().id for _ in range(4)]  # type: ignore[union-attr]


def test_todo_takes_across_lanes() -> None:
    """The next job is the one of the highest priority, then the oldest, over all lanes of the group."""
    todo = TodoQueue(["default", "mail"], 4)
    dice = random.Random(1)
    jobs = [
        _job(id, priority=dice.randint(-1, 1), kind=dice.choice("abc"), queue=dice.choice(["default", "mail", "other"]))
        for id in range(1, 13)
    ]
    for job in jobs:
        assert ("mail" if job.queue == "mail" else "default") == todo.put(job)

    for group in ("default", "mail"):
        mine = sorted((job for job in jobs if todo.group_of(job.queue) == group), key=todo_key)
        assert len(mine) == todo.length(group)
        assert [job.id for job in mine] == [job.id for job in todo.ordered(group, 99)]
        taken = [todo.take(group, _never) for _ in mine]
        assert [job.id for job in mine] == [job.id for job in taken if job]
        assert None is todo.take(group, _never)
    assert 0 == todo.total


def test_todo_passes_over_blocked_lanes() -> None:
    """A blocked lane is passed over and keeps its place for when it is open again."""
    todo = TodoQueue(["default"])
    for id in range(1, 7):
        todo.put(_job(id, kind="ab"[id % 2]))

    assert [2, 4] == [todo.take("default", lambda lane: lane.kind == "b").id for _ in range(2)]  # type: ignore[union-attr]
    assert [1, 3, 5, 6] == [todo.take("default", _never).id for _ in range(4)]  # type: ignore[union-attr]


def test_todo_discard() -> None:
    """A discarded job is neither counted nor taken, at the head or in the middle."""
    todo = TodoQueue(["default"])
    jobs = [_job(id) for id in range(1, 6)]
    for job in jobs:
        todo.put(job)
    todo.discard(jobs[0])
    todo.discard(jobs[2])

    assert 3 == todo.length("default") == todo.total
    assert [2, 4, 5] == [todo.take("default", _never).id for _ in range(3)]  # type: ignore[union-attr]
    assert None is todo.take("default", _never)


def test_todo_counts_by_priority() -> None:
    """How many wait before a new job of some priority."""
    todo = TodoQueue(["default"])
    for id, priority in enumerate((0, 5, 5, -1), 1):
        todo.put(_job(id, priority=priority))

    assert (4, 3, 2, 0) == tuple(todo.length("default", least) for least in (None, 0, 5, 6))


def test_todo_remembers_no_more_than_it_holds() -> None:
    """A backlog costs no memory beyond the windows, whether its queue is served, paused or held back."""
    todo = TodoQueue(["default"], 8)
    for id in range(1, 5_001):
        todo.put(_job(id))
        if id % 10 == 0:
            assert None is todo.take("default", lambda _: True)
            todo.discard(job := _job(id))
            assert job
    heads = sum(len(heads) for heads in todo._heads.values())

    assert heads < 50
    assert sum(len(lane) for lane in todo.lanes()) <= 17


def test_running_queue_fences() -> None:
    """A claim stands until it is taken, and only at its own revision."""
    running = RunningQueue()
    first = _job(1).claim(5)
    running.put(first)
    assert running.holds(first)
    assert not running.holds(first.release().claim(6))
    assert 1 == len(running)

    running.unwanted.add(1)
    running.take(first)
    assert not running.holds(first)
    assert (0, set()) == (len(running), running.unwanted)


def test_empty_lanes_are_forgotten_where_there_are_many() -> None:
    """Names of queues are anybody's: a million of them, used once each, must not stay in memory."""
    todo = TodoQueue(["default"])
    for number in range(1, 3 * MANY_LANES):
        todo.put(Job(number, "echo", b"{}", f"queue {number}", 0, State.TODO, number, 3, 0))
        assert number == getattr(todo.take("default", lambda _: False), "id", None)

    assert len(list(todo.lanes())) <= MANY_LANES + 1
