"""What was refused and is not written yet is bounded, and nobody waits for it."""

import threading
from pathlib import Path

import pytest

from tests.stores.kit import PATIENCE, Bench
from webqueue.errors import WebqueueError
from webqueue.job import Rejection
from webqueue.stores.refusals import Refusals
from webqueue.stores.tables import KEPT_REJECTIONS


def rejection(id: int) -> Rejection:
    """One that says nothing."""
    return Rejection(id, id, None, "unfit", {})


def test_the_newest_wait_and_all_are_counted() -> None:
    """As many wait as the tables keep; the first that comes asks for them to be taken, and the first after that."""
    refusals = Refusals()
    asked = [refusals.add(rejection(id)) for id in range(3 * KEPT_REJECTIONS)]
    taken, number = refusals.take()

    assert [True] + [False] * (3 * KEPT_REJECTIONS - 1) == asked
    assert list(range(2 * KEPT_REJECTIONS, 3 * KEPT_REJECTIONS)) == [one.id for one in taken]
    assert 3 * KEPT_REJECTIONS == number
    assert ([], 0) == refusals.take()
    assert refusals.add(rejection(0))


def test_a_refusal_waits_for_no_disk(tmp_path: Path) -> None:
    """While a commit takes its time rejections are told at once; later the newest are kept, and all are counted."""
    bench, entered, gate = Bench(tmp_path), threading.Event(), threading.Event()

    def slow(_batch: object) -> None:
        entered.set()
        assert gate.wait(PATIENCE)

    writing = bench.later(bench.store._journal.ask, slow)
    assert entered.wait(PATIENCE)
    for id in range(1, 3 * KEPT_REJECTIONS + 1):
        bench.store.reject(rejection(id))
    waiting = len(bench.store._journal._inbox)
    gate.set()
    writing.result(PATIENCE)
    bench.settle()
    newest, total = bench.store.read_rejections(None, 1).items[0], bench.store.board.totals.rejected
    bench.close()

    assert 1 == waiting
    assert (3 * KEPT_REJECTIONS, 3 * KEPT_REJECTIONS) == (newest.id, total)


def test_a_change_that_cant_be_stored_costs_no_refusal(tmp_path: Path) -> None:
    """The batch is written one by one then: what was refused is kept and counted all the same."""
    bench = Bench(tmp_path)
    with bench.in_one_batch() as ask:
        for id in (1, 2):
            bench.store.reject(rejection(id))
        unstorable = ask(bench.store.pause, "x", "\ud800")
    with pytest.raises(WebqueueError, match="can't be stored"):
        unstorable.result(PATIENCE)
    bench.settle()
    kept, total = bench.store.read_rejections(None, 9).items, bench.store.board.totals.rejected
    bench.close()

    assert [2, 1] == [one.id for one in kept]
    assert 2 == total
