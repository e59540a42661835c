"""``kill -9`` of a process with an engine, at any moment: nothing that was acknowledged is lost."""

import os
import random
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.faults import rounds
from tests.faults.ledger import account, copied, look, notes
from tests.faults.nursery import Nursery

PUSH_ROUNDS = int(os.environ.get("WEBQUEUE_TEST_KILLS", "200"))
"""So often an engine is killed while it takes pushes."""
RUN_ROUNDS = max(PUSH_ROUNDS // 2, 30)
"""... and while handlers run."""
ROUNDS_A_STORE = 25
AGAIN = 3.0
"""Seconds from the start after a kill within which the first push is acknowledged."""


def test_kill_under_push_load(tmp_path: Path) -> None:
    """After each of 200 kills 0 acknowledged are lost, none is doubled, order is kept, and it answers within 3 s."""
    chance = random.Random(1)
    acknowledged = 0
    with Nursery(tmp_path / "errors") as nursery:
        for number in range(PUSH_ROUNDS):
            store, ledger = _files(tmp_path, number // ROUNDS_A_STORE)
            early = chance.random() < 0.2
            code = nursery.run(
                rounds.push_load,
                store,
                ledger,
                str(number),
                early,
                kill_after=chance.uniform(0, 0.06 if early else 0.03),
            )
            assert -signal.SIGKILL == code, nursery.errors()
            if store.exists():
                verdict, jobs = look(copied(store, tmp_path / "copy"))
                found = account(notes(ledger), jobs)
                assert ("ok", {}) == (verdict, found.faults())
                if number % ROUNDS_A_STORE == ROUNDS_A_STORE - 1:
                    acknowledged += len(found.acknowledged)
                    assert max(words[0] for verb, *words in notes(ledger) if verb == "again") <= AGAIN
        assert acknowledged >= 2 * PUSH_ROUNDS // ROUNDS_A_STORE * ROUNDS_A_STORE, "the load was no load"
        _run_in_order(nursery, tmp_path, *_files(tmp_path, 0))
    assert "" == nursery_errors(tmp_path)


def _run_in_order(nursery: Nursery, folder: Path, store: Path, ledger: Path) -> None:
    """One consumer runs every stored job once, in the order of acceptance."""
    locks = folder / "locks"
    locks.mkdir()
    assert 0 == nursery.run(rounds.run_out, store, ledger, locks, 1), nursery.errors()
    verdict, jobs = look(store)
    started = [words[0] for verb, *words in notes(ledger) if verb == "start"]
    assert "ok" == verdict
    assert [id for id, _ in jobs] == started


def test_kill_while_handlers_run(tmp_path: Path) -> None:
    """Each job runs at least once, never beside itself; only what was running is charged, interrupted is no attempt."""
    chance = random.Random(2)
    store, ledger = _files(tmp_path, 0)
    locks = tmp_path / "locks"
    locks.mkdir()
    plan = [["work", f"job.{number}", {"seconds": 0.004}] for number in range(RUN_ROUNDS * 30)]
    with Nursery(tmp_path / "errors") as nursery:
        assert 0 == nursery.run(rounds.push_plan, store, ledger, plan), nursery.errors()
        kills = 0
        for _ in range(RUN_ROUNDS):
            pause = chance.uniform(0, 0.08)
            kills += nursery.run(rounds.run_until_killed, store, ledger, locks, 2, kill_after=pause) < 0
            assert "ok" == look(copied(store, tmp_path / "copy"))[0]
        assert 0 == nursery.run(rounds.run_out, store, ledger, locks, 2), nursery.errors()
    assert kills >= RUN_ROUNDS * 0.9
    _check_runs(notes(ledger), jobs_of(store), kills)


def _check_runs(entries: list[list[Any]], jobs: dict[int, dict[str, Any]], kills: int) -> None:
    assert [] == [words for verb, *words in entries if verb == "beside"], "no job runs beside itself"
    starts = Counter(words[0] for verb, *words in entries if verb == "start")
    assert {id for id, job in jobs.items() if job["state"] == "done"} <= set(starts), "each is run at least once"
    for job in jobs.values():
        done, crashed = ("done", 1, None), ("failed", 0, "Crashed")
        assert (crashed if job["crashes"] == 3 else done) == (job["state"], job["attempt"], job["error"]), job
    assert sum(job["crashes"] for job in jobs.values()) <= 2 * kills, "at most what two consumers held is charged"


def test_poison_job(tmp_path: Path) -> None:
    """A job that kills its process fails as ``Crashed`` after exactly 3 crashes; those that waited are not charged."""
    store, ledger = _files(tmp_path, 0)
    (tmp_path / "locks").mkdir()
    plan = [["work", "first", {}], ["poison", "bad", {}], *(["work", f"waits.{number}", {}] for number in range(20))]
    with Nursery(tmp_path / "errors") as nursery:
        assert 0 == nursery.run(rounds.push_plan, store, ledger, plan), nursery.errors()
        codes = [nursery.run(rounds.run_out, store, ledger, tmp_path / "locks", 1) for _ in range(4)]
    assert [-signal.SIGKILL] * 3 + [0] == codes
    jobs = jobs_of(store)
    poison = jobs.pop(2)
    assert ("failed", 3, "Crashed", 0) == (poison["state"], poison["crashes"], poison["error"], poison["attempt"])
    assert [("done", 0, 1)] * 21 == [(job["state"], job["crashes"], job["attempt"]) for job in jobs.values()]
    started = [words[0] for verb, *words in notes(ledger) if verb == "start"]
    assert [2, 2, 2, *range(3, 23)] == [id for id in started if id > 1], "interrupted goes back to where it stood"


def test_kill_while_recovering(tmp_path: Path) -> None:
    """A start that is killed on its way charges nobody a second time for the crash before it."""
    store, ledger = _files(tmp_path, 0)
    (tmp_path / "locks").mkdir()
    with Nursery(tmp_path / "errors") as nursery:
        plan = [["work", "long", {"seconds": 30}]]
        assert 0 == nursery.run(rounds.push_plan, store, ledger, plan), nursery.errors()
        for crashes in (1, 2):
            nursery.run(rounds.run_out, store, ledger, tmp_path / "locks", 1, kill_after=0.1)
            codes = [nursery.run(rounds.die_once_recovered, store) for _ in range(3)]
            assert [-signal.SIGKILL] * 3 == codes, nursery.errors()
            assert crashes == jobs_of(copied(store, tmp_path / "copy"))[1]["crashes"]


def _files(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"jobs{number}.db", folder / f"ledger{number}"


def nursery_errors(folder: Path) -> str:
    """What the children wrote to stderr."""
    return (folder / "errors").read_text()


def jobs_of(store: Path) -> dict[int, dict[str, Any]]:
    """The stored rows by id, of a file that nobody has open."""
    query = "SELECT id, state, attempt, crashes, json_extract(error, '$[0]') AS error FROM jobs"
    with closing(sqlite3.connect(store)) as connection:
        connection.row_factory = sqlite3.Row
        return {row["id"]: dict(row) for row in connection.execute(query)}
