"""What is done to a job as somebody saw it: decided in the moment of the step itself, on every store."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.stores.kit import PATIENCE, Bench, draft
from webqueue.errors import ChangedMeanwhile
from webqueue.job import State
from webqueue.stores.tables import Filter


def test_of_two_who_saw_the_same_one_wins(bench: Bench) -> None:
    """Both retry what they saw cancelled; the other is told what it is by now, and each round has one winner."""
    bench.push(draft())
    together = Barrier(2)

    def retry(revision: int) -> str:
        together.wait(PATIENCE)
        try:
            return f"retried, at revision {bench.store.retry(1, revision).revision}"
        except ChangedMeanwhile as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            seen = bench.store.cancel(1).revision
            told = sorted(pool.map(retry, [seen, seen], timeout=PATIENCE))
            after = seen + 1
            assert [f"Job 1 is todo by now, at revision {after}.", f"retried, at revision {after}"] == told


def test_a_claim_is_a_change(bench: Bench) -> None:
    """Who would cancel what waits does not stop what runs; who saw it run does."""
    (seen,) = bench.push(draft())
    claimed = bench.claim()
    with pytest.raises(ChangedMeanwhile, match="Job 1 is running by now"):
        bench.store.cancel(1, seen.revision)
    assert not bench.store.unwanted(1)
    bench.store.cancel(1, claimed.revision)
    assert bench.store.unwanted(1)


def test_nothing_is_done_to_what_changed(bench: Bench) -> None:
    """Neither cancel, retry, run now nor forget; with the right revision each is done."""
    store = bench.store
    bench.push(draft(state=State.SCHEDULED, run_at=bench.clock() + 10**9))
    for verb, after in ((store.run_now, State.TODO), (store.cancel, State.CANCELLED), (store.retry, State.TODO)):
        before = store.get(1)
        for wrong in (-1, 0, before.revision - 1, before.revision + 1):
            with pytest.raises(ChangedMeanwhile):
                verb(1, wrong)
        assert (before.state, before.revision) == (store.get(1).state, store.get(1).revision)
        assert after == verb(1, before.revision).state
    gone = store.cancel(1)
    with pytest.raises(ChangedMeanwhile):
        store.forget(1, gone.revision - 1)
    store.forget(1, gone.revision)
    assert [] == store.page(Filter(), None, 10).items
