"""A read that fails while the queue is read in from the file: it is read again, and no job is left behind."""

from pathlib import Path
from typing import Any

import pytest

from tests.faults.ledger import Ledger, notes
from tests.faults.rounds import engine_on, noting
from tests.servers import PATIENCE
from webqueue.errors import StoreUnavailable
from webqueue.stores.sqlite import SqliteTables

JOBS = 1_500
"""More than a window holds, so that the rest is read in while the first ones run."""


@pytest.mark.parametrize(("method", "delay"), [("todo_after", 0), ("scheduled_after", 0.05)])
def test_a_failed_read_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, delay: float) -> None:
    """Two reads fail, one after the other: all 1,500 jobs are run once, within 10 s of patience."""
    store, ledger = tmp_path / "jobs.db", Ledger(tmp_path / "ledger")
    first = engine_on(str(store), noting(ledger), consumers=0)
    first.start()
    payloads = [{"token": f"job.{number}"} for number in range(JOBS)]
    first.push_many([{"kind": "work", "payload": payload, "delay": delay} for payload in payloads])
    first.stop()

    whole, failures = getattr(SqliteTables, method), iter([None, "fails", "fails"])

    def failing(tables: SqliteTables, *arguments: Any) -> Any:
        if next(failures, None) is not None:
            raise StoreUnavailable("The store can't be read: disk I/O error.")
        return whole(tables, *arguments)

    monkeypatch.setattr(SqliteTables, method, failing)
    second = engine_on(str(store), noting(ledger))
    second.start()
    last = second.wait(JOBS, PATIENCE)
    second.stop()
    assert "done" == last.state
    started = [words[0] for verb, *words in notes(tmp_path / "ledger") if verb == "start"]
    assert [*range(1, JOBS + 1)] == sorted(started)
