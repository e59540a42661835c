"""A power cut at every flush and every answer, by replay of what was recorded: nothing acknowledged is lost."""

import random
from pathlib import Path

import pytest

from tests.faults.replay import power_cuts
from tests.faults.syscalls import Call, recorded, traced

PUSHES = 150
FILLER = 12_000
"""Bytes of a payload: enough for checkpoints on the way."""
SUBSETS = 200
"""So many random subsets of unflushed sectors."""


@pytest.fixture(name="record", scope="module")
def _record(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Call], Path]:
    return _recording(tmp_path_factory.mktemp("full"), "")


def _recording(folder: Path, options: str) -> tuple[list[Call], Path]:
    """The calls of one engine's life, and the folder it lived in."""
    ended = traced(
        folder.parent / f"{folder.name}.strace",
        "tests.faults.pushing",
        [f"{folder}/jobs.db{options}", folder / "ledger", 3, PUSHES // 3, FILLER],
    )
    assert (0, "") == (ended.returncode, ended.stderr)
    return list(recorded(folder.parent / f"{folder.name}.strace", folder)), folder


def test_power_cut_at_every_flush_and_answer(record: tuple[list[Call], Path], tmp_path: Path) -> None:
    """At 200 moments or more 0 acknowledged pushes are lost, every file opens, and integrity_check says ok."""
    calls, folder = record
    assert sum(call.name == "flush" and call.file.endswith(".db") for call in calls) >= 3, "no checkpoint on the way"
    cuts = list(power_cuts(calls, folder, tmp_path / "disk"))
    assert len(cuts) >= 200
    assert [] == [cut for cut in cuts if cut.lost or cut.broken]
    assert PUSHES + 30 == cuts[-1].acknowledged


def test_power_cut_with_some_of_the_rest_written(record: tuple[list[Call], Path], tmp_path: Path) -> None:
    """The same where the disk has kept 200 random subsets of the sectors that were not yet flushed, in no order."""
    calls, folder = record
    chance = random.Random(5)
    moments = sorted(chance.sample(range(len(calls)), SUBSETS))
    cuts = list(power_cuts(calls, folder, tmp_path / "disk", moments=moments, chance=chance))
    assert SUBSETS == len(cuts)
    assert [] == [cut for cut in cuts if cut.lost or cut.broken]


def test_control_disk_that_does_not_flush(record: tuple[list[Call], Path], tmp_path: Path) -> None:
    """Where the WAL's flushes are not honoured the same test sees losses: it could see them."""
    calls, folder = record
    cuts = list(power_cuts(calls, folder, tmp_path / "disk", deaf=("-wal",)))
    assert any(cut.lost for cut in cuts)


def test_control_sync_normal(tmp_path: Path) -> None:
    """With ``sync=normal`` a power cut loses the last moments, as the README says, and never damages the file."""
    calls, folder = _recording(_made(tmp_path / "normal"), "?sync=normal")
    cuts = list(power_cuts(calls, folder, tmp_path / "disk"))
    assert any(cut.lost for cut in cuts)
    assert [] == [cut for cut in cuts if cut.broken]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
