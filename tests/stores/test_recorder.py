"""The flight recorder: who was running when the process died."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from webqueue.errors import StoreUnfit
from webqueue.stores.recorder import NullRecorder, Recorder


def test_what_was_noted_is_there_after_a_death(tmp_path: Path) -> None:
    """What each slot held last is read back, though the process was killed and nothing was closed."""
    path = tmp_path / "flight"
    code = (
        "import os, pathlib\nfrom webqueue.stores.recorder import Recorder\n"
        f"recorder = Recorder(pathlib.Path({str(path)!r}), 4)\nassert recorder.open() == []\n"
        "for slot, id in enumerate((7, 8, 9)): recorder.note(slot, id, id * 10)\n"
        "recorder.note(1, 0)\nrecorder.note(2, 2**62, 5)\nos.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False, timeout=30, cwd=Path(__file__).parents[2])
    recorder = Recorder(path, 4)

    assert [(7, 70), (2**62, 5)] == recorder.open()
    recorder.clear()
    recorder.close()
    assert [] == recorder.open()
    recorder.close()


def test_more_or_fewer_slots_than_before(tmp_path: Path) -> None:
    """Another number of consumers loses nobody of those that ran before."""
    for before, after in ((1, 8), (8, 1), (8, 3)):
        path = tmp_path / f"{before}-{after}"
        recorder = Recorder(path, before)
        recorder.open()
        recorder.note(before - 1, 42, 2)
        recorder.close()
        recorder = Recorder(path, after)
        assert [(42, 2)] == recorder.open()
        recorder.note(after - 1, 43, 2)
        recorder.close()


@pytest.mark.parametrize("content", [b"", b"\0" * 5, b"\xff" * 64, b"\x01" * 1000])
def test_any_content_is_borne(tmp_path: Path, content: bytes) -> None:
    """A file that is torn or not ours gives no impossible ids, and can be used."""
    path = tmp_path / "flight"
    path.write_bytes(content)
    recorder = Recorder(path, 2)
    found = recorder.open()
    assert all(id > 0 for id, _ in found)
    recorder.clear()
    recorder.note(1, 5, 6)
    recorder.close()
    assert [(5, 6)] == Recorder(path, 2).open()


def test_a_place_that_can_not_be_written(tmp_path: Path) -> None:
    """It is refused in one line that names it."""
    (tmp_path / "flight").mkdir()
    with pytest.raises(StoreUnfit, match="flight"):
        Recorder(tmp_path / "flight", 2).open()


def test_closed_and_never_opened(tmp_path: Path) -> None:
    """Notes of whoever comes late go nowhere; closing twice is fine."""
    recorder = Recorder(tmp_path / "flight", 1)
    recorder.note(0, 5)
    recorder.clear()
    recorder.open()
    recorder.close()
    recorder.close()
    recorder.note(0, 5)
    assert [] == Recorder(tmp_path / "flight", 1).open()
    assert 16 == os.stat(tmp_path / "flight").st_size


def test_null_recorder() -> None:
    """What lives in memory has nobody to remember."""
    recorder = NullRecorder()
    recorder.note(0, 1, 2)
    recorder.clear()
    recorder.close()

    assert [] == recorder.open()
