"""An I/O error at the n-th write or flush, for each n: refused or stored, never answered unflushed, never stuck."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.ledger import account, copied, look, notes
from tests.faults.replay import power_cuts
from tests.faults.syscalls import Call, recorded, traced

PUSHES = 3
STUCK = 5.0
"""Seconds that no push and no stop may take."""
TRACED = "openat,close,pwrite64,write,fdatasync,fsync,ftruncate,unlink,rename"


@dataclass
class Run:
    """One life with an error in it."""

    number: int
    fired: bool
    code: int
    stderr: str
    calls: list[Call]
    folder: Path
    before: Path


def _lives(folder: Path, inject: str, files: tuple[str, ...], prepared: Path | None) -> Iterator[Run]:
    """A life with an error at the n-th call, n = 1, 2, 3 ..., until none fires; two at a time, for two cores."""
    with ThreadPoolExecutor(2) as pool:
        for start in range(1, 1000, 2):
            for run in pool.map(lambda n: _life(folder, n, inject, files, prepared), (start, start + 1)):
                if not run.fired:
                    return
                yield run


def _life(folder: Path, number: int, inject: str, files: tuple[str, ...], prepared: Path | None) -> Run:
    place, before, log = folder / str(number), folder / f"{number}.before", folder / f"{number}.strace"
    for one in (place, before):
        one.mkdir(parents=True)
        if prepared is not None:
            shutil.copytree(prepared, one, dirs_exist_ok=True)
    ended = traced(
        log,
        "tests.faults.pushing",
        [place / "jobs.db", place / "ledger", 0, PUSHES, 10],
        calls=TRACED,
        inject=inject.format(n=number),
        only=[place, place / "ledger", *(place / file for file in (files or OPEN))],
        timeout=30,
    )
    calls = list(recorded(log, place))
    return Run(number, "(INJECTED)" in log.read_text(), ended.returncode, ended.stderr, calls, place, before)


@pytest.fixture(name="prepared", scope="module")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that has lived before."""
    folder = tmp_path_factory.mktemp("prepared")
    ended = traced(
        folder.parent / "prepared.strace",
        "tests.faults.pushing",
        [folder / "jobs.db", "/dev/null", 0, 0, 0],
        calls="exit",
    )
    assert (0, "") == (ended.returncode, ended.stderr)
    return folder


OPEN = ("jobs.db", "jobs.db-wal")
NEW = ("jobs.db.new", "jobs.db.new-journal")


@pytest.mark.parametrize(
    ("inject", "files", "at_least"),
    [
        ("fdatasync:error=EIO:when={n}", OPEN, 4),
        ("pwrite64:error=EIO:when={n}", OPEN, 20),
        ("pwrite64:error=ENOSPC:when={n}+3", OPEN, 20),
        ("fdatasync:error=EIO:when={n}+", OPEN, 4),
    ],
    ids=["flush", "write", "every third write", "every flush from then on"],
)
def test_error_while_it_runs(
    tmp_path: Path, prepared: Path, inject: str, files: tuple[str, ...], at_least: int
) -> None:
    """0 acknowledged lost, also to a power cut at each answer; no call takes 5 s; it stops by itself, with code 0."""
    number = 0
    for run in _lives(tmp_path, inject, files, prepared):
        number = run.number
        _check(run, tmp_path)
        assert 0 == run.code, run.stderr
        assert "Traceback" not in run.stderr, run.stderr
    assert number >= at_least


@pytest.mark.parametrize("inject", ["fdatasync:error=EIO:when={n}", "pwrite64:error=ENOSPC:when={n}"])
def test_error_while_the_store_is_made(tmp_path: Path, inject: str) -> None:
    """It refuses to start in one line, acknowledges nothing, and the next start succeeds on what is left."""
    number = 0
    for run in _lives(tmp_path, inject, NEW + OPEN, None):
        number = run.number
        if run.code == 0:
            _check(run, tmp_path)
        else:
            assert [1] == [run.stderr.count("\n")], run.stderr
            assert run.stderr.startswith("webqueue: "), run.stderr
            assert [] == [note for note in notes(run.folder / "ledger") if note[0] == "ack"]
            again = _life(tmp_path / "again", run.number, "fsync:error=EIO:when=9999", NEW + OPEN, run.folder)
            assert (0, "") == (again.code, again.stderr)
            _check(again, tmp_path)
    assert number >= 2


def _check(run: Run, folder: Path) -> None:
    entries = notes(run.folder / "ledger")
    verdict, jobs = look(copied(run.folder / "jobs.db", folder / f"{run.number}.copy"))
    found = account(entries, jobs)
    assert ("ok", {}) == (verdict, found.faults()), run
    assert set(found.attempted) == set(found.acknowledged) | set(found.refused), "each push was answered"
    assert [] == [words for verb, *words in entries if verb == "took" and words[0] > STUCK]
    cuts = list(power_cuts(run.calls, run.folder, folder / f"{run.number}.cut", before=run.before))
    assert [] == [cut for cut in cuts if cut.lost or cut.broken], f"error at call {run.number}: answered unflushed"
