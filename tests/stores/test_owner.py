"""One owner of a file."""

import fcntl
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from webqueue.errors import StoreBusy, StoreUnfit
from webqueue.stores.owner import Owner, file_system

PATIENCE = 10.0


def test_a_second_owner_is_refused_and_told_who(tmp_path: Path) -> None:
    """It is told the holder's pid, and what to do; the first one keeps it."""
    first, second = Owner(tmp_path / "jobs.db"), Owner(tmp_path / "jobs.db")
    first.acquire(0)
    with pytest.raises(StoreBusy, match=rf"pid {os.getpid()} on .* since .*-w 1"):
        second.acquire(0.01)
    second.release()
    with pytest.raises(StoreBusy):
        Owner(tmp_path / "jobs.db").acquire(0)

    first.release()
    first.release()
    second.acquire(0)
    second.release()


def test_a_handover_is_waited_for(tmp_path: Path) -> None:
    """Whoever comes while the first one leaves waits for it, and gets it at once when it has gone."""
    first, second = Owner(tmp_path / "jobs.db"), Owner(tmp_path / "jobs.db")
    first.acquire(0)
    with ThreadPoolExecutor(1) as hands:
        waiting = hands.submit(second.acquire, PATIENCE)
        threading.Event().wait(0.05)
        assert not waiting.done()
        first.release()
        waiting.result(PATIENCE)
    with pytest.raises(StoreBusy):
        first.acquire(0)
    second.release()


def test_one_that_says_when_it_leaves_is_waited_for(tmp_path: Path) -> None:
    """A holder that drains is given the time that it asked for, beyond the usual patience."""
    first, second = Owner(tmp_path / "jobs.db"), Owner(tmp_path / "jobs.db")
    first.acquire(0)
    first.leaving(30)
    with ThreadPoolExecutor(1) as hands:
        waiting = hands.submit(second.acquire, 0.01)
        threading.Event().wait(0.1)
        assert not waiting.done()
        first.release()
        waiting.result(PATIENCE)
    assert "leaving" not in (tmp_path / "jobs.db.lock").read_text()
    second.release()


def test_who_gave_up_waiting_does_not_get_it_later(tmp_path: Path) -> None:
    """A wait that ended in vain leaves nothing behind that would take the lock when it is free."""
    first = Owner(tmp_path / "jobs.db")
    first.acquire(0)
    for _ in range(3):
        with pytest.raises(StoreBusy):
            Owner(tmp_path / "jobs.db").acquire(0.01)
    first.release()
    third = Owner(tmp_path / "jobs.db")
    third.acquire(PATIENCE)
    third.release()


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os._exit(0)", "sys.exit(0)"])
def test_the_lock_dies_with_its_holder(tmp_path: Path, end: str) -> None:
    """However the holder ends, the next one may have it."""
    code = (
        "import os, sys, pathlib\nfrom webqueue.stores.owner import Owner\n"
        f"owner = Owner(pathlib.Path({str(tmp_path / 'jobs.db')!r}))\nowner.acquire(0)\n"
        f"print('held', flush=True)\n{end}"
    )
    command, root = [sys.executable, "-c", code], Path(__file__).parents[2]
    ran = subprocess.run(command, check=False, timeout=30, cwd=root, capture_output=True, text=True)
    assert "held\n" == ran.stdout, ran.stderr
    owner = Owner(tmp_path / "jobs.db")
    owner.acquire(0)
    owner.release()


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """A program that a handler starts and that outlives us does not hold the store."""
    owner = Owner(tmp_path / "jobs.db")
    owner.acquire(0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        owner.release()
        second = Owner(tmp_path / "jobs.db")
        second.acquire(PATIENCE / 2)  # the kernel closes the child's copies a moment after Popen has returned
        assert child.poll() is None
        second.release()
        child.communicate(b"\n", timeout=PATIENCE)


def test_the_first_descriptor_is_as_good_as_any(tmp_path: Path) -> None:
    """A daemon that closed its standard input gets descriptor 0 for the lock."""
    code = (
        "import os, sys, pathlib\nos.close(0)\nfrom webqueue.stores.owner import Owner\n"
        f"owner = Owner(pathlib.Path({str(tmp_path / 'jobs.db')!r}))\nowner.acquire(0)\nassert owner._descriptor == 0"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        timeout=30,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (0, "") == (done.returncode, done.stderr)


def test_any_text_in_the_lock_file_is_borne(tmp_path: Path) -> None:
    """What stands in the lock file is only told, never trusted."""
    lock = tmp_path / "jobs.db.lock"
    for text in (b"", b"\xff\xfe", b"leaving within ", b"leaving within soon", b"leaving within nan s", b"x" * 10_000):
        lock.write_bytes(text)
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(StoreBusy):
                Owner(tmp_path / "jobs.db").acquire(0.01)


@pytest.mark.parametrize("system", ["nfs", "nfs4", "cifs", "9p", "fuse.sshfs"])
def test_network_file_systems_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    """There SQLite loses data: it is refused before anything is made."""
    monkeypatch.setattr("webqueue.stores.owner.file_system", lambda _: system)
    with pytest.raises(StoreUnfit, match=f"network file system.*{system}"):
        Owner(tmp_path / "jobs.db").acquire(0)
    assert [] == os.listdir(tmp_path)


MOUNTS = """\
overlay / overlay rw 0 0
tmpfs /dev tmpfs rw 0 0
/dev/sda1 /srv ext4 rw 0 0
server:/x /srv/shared nfs4 rw 0 0
/dev/sdb /srv/shared/local\\040disk ext4 rw 0 0
/dev/sdc /srv/a xfs rw 0 0
server:/y /srv/a nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "system"),
    [
        ("/home", "overlay"),
        ("/", "overlay"),
        ("/srv", "ext4"),
        ("/srv/sharedx", "ext4"),
        ("/srv/shared", "nfs4"),
        ("/srv/shared/a/b", "nfs4"),
        ("/srv/shared/local disk/x", "ext4"),
        ("/srv/a/b", "nfs"),
    ],
)
def test_the_file_system_of_a_folder(folder: str, system: str) -> None:
    """It is that of the longest mount point that it lies under, the last one mounted where there are two."""
    assert system == file_system(Path(folder), MOUNTS)
