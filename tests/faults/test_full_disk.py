"""The disk is full: what can't be stored is refused, what was acknowledged is stored, and it heals by itself."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import full_disk
from tests.faults.ledger import account, copied, look, notes
from tests.faults.nursery import Nursery

HEALED = 2.0
"""Seconds within which all is well again."""


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    assert os.geteuid() == 0, "only root may mount"
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture(name="nursery")
def _nursery(tmp_path: Path) -> Iterator[Nursery]:
    with Nursery(tmp_path / "errors") as nursery:
        yield nursery


MOUNTED = ["tmpfs"] if os.geteuid() == 0 else []


@pytest.mark.parametrize("medium", [*MOUNTED, "limit"])
def test_full_disk(tmp_path: Path, nursery: Nursery, request: pytest.FixtureRequest, medium: str) -> None:
    """Acknowledged = stored; refused are DiskFull or StoreUnavailable; accepting and finishing again within 2 s."""
    folder = request.getfixturevalue("disk") if medium == "tmpfs" else tmp_path
    left = 0 if medium == "tmpfs" else 200_000
    ledger = tmp_path / "ledger"
    code = nursery.run(full_disk.full, folder / "jobs.db", ledger, medium, left)
    assert 0 == code, nursery.errors()
    _check(folder / "jobs.db", notes(ledger), tmp_path)


def _check(store: Path, entries: list[list[Any]], folder: Path) -> None:
    verdict, jobs = look(copied(store, folder / "copy"))
    found = account(entries, jobs)
    assert ("ok", {}) == (verdict, found.faults())
    assert sorted(found.acknowledged) == sorted(found.recovered), "acknowledged = stored"
    assert set(found.refused.values()) <= {"DiskFull", "StoreUnavailable"}
    said = {verb: words for verb, *words in entries if verb in ("accepts again", "gate", "stop")}
    assert said["accepts again"][0] <= HEALED
    assert "done" == said["gate"][0]
    assert said["gate"][1] <= HEALED
    assert said["stop"][0] <= HEALED
    assert max(words[0] for verb, *words in entries if verb == "took") <= 5


if os.geteuid() == 0:

    def test_nearly_full_disk(disk: Path, nursery: Nursery, tmp_path: Path) -> None:
        """Pushes are refused while there is room for what runs: its end is stored within 2 s, under that very load."""
        ledger = tmp_path / "ledger"
        code = nursery.run(full_disk.nearly_full, disk / "jobs.db", ledger)
        assert 0 == code, nursery.errors()
        entries = notes(ledger)
        found = account(entries, look(copied(disk / "jobs.db", tmp_path / "copy"))[1])
        assert {} == found.faults()
        assert {"DiskFull"} == set(found.refused.values())
        (state, seconds) = next(words for verb, *words in entries if verb == "gate")
        assert "done" == state
        assert seconds <= HEALED

    def test_start_on_a_full_disk(disk: Path, nursery: Nursery, tmp_path: Path) -> None:
        """Where not even an empty store fits the start is refused in one line, not by a signal; later it succeeds."""
        ledger = tmp_path / "ledger"
        assert 0 == nursery.run(full_disk.start_when_full, disk / "jobs.db", ledger), nursery.errors()
        ((_, line),) = [note for note in notes(ledger) if note[0] == "start"]
        assert 0 == line.count("\n")

    def test_what_is_refused_once(disk: Path, nursery: Nursery, tmp_path: Path) -> None:
        """While the disk is full nothing starts, though nothing else is written; within 2 s after that all is well."""
        ledger = tmp_path / "ledger"
        assert 0 == nursery.run(full_disk.refused_once, disk / "jobs.db", ledger), nursery.errors()
        said = {verb: words for verb, *words in notes(ledger) if verb in ("still", "ready")}
        assert [["the store can't be written"], "todo"] == said["still"]
        seconds, state = said["ready"]
        assert seconds <= HEALED
        assert "done" == state
