"""One owner of a file: a second one leaves with the holder's name, a forked child holds nothing and harms nothing."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults import rounds
from tests.faults.ledger import Ledger, account, copied, look, notes
from tests.faults.nursery import Nursery
from tests.faults.rounds import engine_on, noting, push
from tests.servers import PATIENCE, ROOT, environment
from webqueue.errors import StoreBusy
from webqueue.stores import owner


def test_second_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives up after its patience, names the holder's pid; the first goes on, and hands over at its end."""
    monkeypatch.setattr(owner.Owner.acquire, "__defaults__", (0.2,))
    store, ledger = str(tmp_path / "jobs.db"), Ledger(tmp_path / "ledger")
    first, second = engine_on(store, noting(ledger)), engine_on(store, noting(ledger))
    first.start()
    with pytest.raises(StoreBusy) as refusal:
        second.start()
    assert f"pid {os.getpid()} " in str(refusal.value)
    assert 1 == len(str(refusal.value).splitlines())
    assert 1 == push(first, ledger, "one")
    first.stop()
    second.start()
    assert 2 == push(second, ledger, "two")
    second.stop()
    assert ("ok", {}) == _verdict(tmp_path)


def test_second_process(tmp_path: Path) -> None:
    """Another process leaves within its 5 s of patience, with code 1 and one line that names the holder's pid."""
    store, ledger = str(tmp_path / "jobs.db"), Ledger(tmp_path / "ledger")
    first = engine_on(store, noting(ledger))
    first.start()
    command = [sys.executable, "-m", "tests.faults.pushing", store, str(tmp_path / "other"), "0", "1", "1"]
    second = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=owner.HANDOVER + 5, check=False
    )
    first.stop()
    assert 1 == second.returncode
    assert 1 == len(second.stderr.splitlines())
    assert f"pid {os.getpid()} " in second.stderr
    assert [] == notes(tmp_path / "other")


def test_kill_hands_over_at_once(tmp_path: Path) -> None:
    """After ``kill -9`` of the owner the next start need not wait: the kernel has dropped the lock."""
    store, ledger = tmp_path / "jobs.db", tmp_path / "ledger"
    with Nursery(tmp_path / "errors") as nursery:
        assert -signal.SIGKILL == nursery.run(rounds.push_load, store, ledger, "a", False, kill_after=0.02)
        engine = engine_on(str(store), noting(Ledger(tmp_path / "ledger")), consumers=0)
        engine.start()
        engine.stop()
    assert ("ok", {}) == _verdict(tmp_path)


def test_forked_child_outlives_its_parent(tmp_path: Path) -> None:
    """Its copy refuses pushes and names ``post_fork``; it holds no lock, runs nothing, and its end touches no file."""
    store, ledger = tmp_path / "jobs.db", tmp_path / "ledger"
    with Nursery(tmp_path / "errors") as nursery:
        code = nursery.run(rounds.die_before_child, store, ledger)
        assert -signal.SIGKILL == code, nursery.errors()
        told = [words for verb, *words in notes(ledger) if verb == "child"]
        assert 1 == len(told), "the child lives, its parent is dead"
    _check_child(told[0], store, tmp_path)


def _check_child(told: list[Any], store: Path, folder: Path) -> None:
    pid, refusal = told
    assert "post_fork" in refusal
    assert os.path.exists(f"/proc/{pid}")
    ledger = Ledger(folder / "ledger")
    engine = engine_on(str(store), noting(ledger))
    engine.start()  # StoreBusy if the child held the lock
    assert push(engine, ledger, "successor") is not None
    ended = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)  # it exits as a Python program does
    assert select.select([ended], [], [], PATIENCE)[0], "the child does not end"
    os.close(ended)
    assert push(engine, ledger, "after the child's end") is not None
    while engine.overview()["counts"]["todo"] or engine.overview()["counts"]["running"]:
        engine.feed.wait(engine.feed.seq, 0.2)
    engine.stop()
    starts = [words[2] for verb, *words in notes(folder / "ledger") if verb == "start"]
    assert pid not in starts, "a forked copy runs nothing"
    assert ("ok", {}) == _verdict(folder)


def test_fork_while_pushing(tmp_path: Path) -> None:
    """A process that forks under load goes on as before, and 20 children that exit as Python does cost it nothing."""
    store, ledger = tmp_path / "jobs.db", tmp_path / "ledger"
    with Nursery(tmp_path / "errors") as nursery:
        assert 0 == nursery.run(rounds.fork_under_load, store, ledger, 20), nursery.errors()
    found = [words for verb, *words in notes(ledger) if verb == "child"]
    assert [0] * 20 == [code for code, *_ in found]
    assert ("ok", {}) == _verdict(tmp_path)


def _verdict(folder: Path) -> tuple[str, dict[str, list[str]]]:
    verdict, jobs = look(copied(folder / "jobs.db", folder / "copy"))
    return verdict, account(notes(folder / "ledger"), jobs).faults()
