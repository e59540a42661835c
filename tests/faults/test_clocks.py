"""The clock is set, by libfaketime, while jobs wait for their time: none starts early, none is lost or left behind."""

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

import pytest

from tests.faults.clocks import DELAYS
from tests.faults.ledger import notes
from tests.servers import ROOT, environment
from webqueue.engine import Engine
from webqueue.handlers import Handlers
from webqueue.settings import Settings
from webqueue.stores import upkeep

INSTALL: Final = "this test needs faketime: apt-get update && apt-get install -y --no-install-recommends faketime"
DAY: Final = 86_400
EARLY: Final = 1.0
LATE: Final = 6.0
"""Seconds after the clock was right again within which all have run: the longest delay, and a busy machine."""


def library() -> Path:
    """libfaketime for processes with threads; the program ``faketime`` comes with it."""
    assert shutil.which("faketime"), INSTALL
    return next(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"))


def run(folder: Path, *steps: int) -> list[list[object]]:
    """The ledger of an engine whose clock jumps by *steps*."""
    clock = folder / "clock"
    clock.write_text("+0\n")
    fake = {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    command = [sys.executable, "-m", "tests.faults.clocks", folder / "jobs.db", folder / "ledger", clock, *steps]
    done = subprocess.run(
        [*map(str, command)], cwd=ROOT, env=environment(**fake), capture_output=True, text=True, timeout=50, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    return notes(folder / "ledger")


@pytest.mark.parametrize(
    "steps", [(1, 0), (-1, 0), (DAY, 0), (1, -1), (DAY, -DAY), (-1, 1), (-DAY, DAY)], ids=lambda steps: str(steps)
)
def test_clock_is_set(tmp_path: Path, steps: tuple[int, int]) -> None:
    """By ±1 s and ±1 day, and put right: no job starts over 1 s early, all run once, soon after the clock is right."""
    entries = run(tmp_path, *steps)
    due = {id: at for verb, id, at in (entry for entry in entries if entry[0] == "due")}
    began = {id: at for verb, id, at in (entry for entry in entries if entry[0] == "start") if id in due}
    (right,), (all_ran,) = (words for verb, *words in entries if verb in ("set", "all"))

    assert len(DELAYS) + 1 == sum(entry[0] == "start" for entry in entries)
    assert set(due) == set(began)
    assert min(began[id] - due[id] for id in due) >= -EARLY
    assert all_ran - right < LATE


def test_clock_is_set_while_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any other step of the store the clock is looked at again after LONGEST_SLEEP (a minute, here 0.2 s)."""
    assert upkeep.LONGEST_SLEEP <= 60.0
    monkeypatch.setattr(upkeep, "LONGEST_SLEEP", 0.2)
    off, ran, handlers = [0], threading.Event(), Handlers()
    handlers.register(lambda: ran.set(), kind="work")
    settings = Settings.read({"store": f"sqlite:///{tmp_path}/jobs.db"}, {}, {})
    engine = Engine(settings, handlers, clock=lambda: time.time_ns() // 1000 + off[0])
    engine.start()
    engine.push({"kind": "work", "delay": DAY})
    assert not ran.wait(1.0)
    off[0] = DAY * 1_000_000

    assert ran.wait(5.0)
    engine.stop()
