"""One owner of a store file: an ``flock`` on a side file, held for life, that says who holds it.

The kernel lets go of it when the holder dies, however it dies (flock(2)); a file whose mere existence is the lock
would stay.
"""

import contextlib
import fcntl
import os
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from webqueue.errors import StoreBusy, StoreUnfit

HANDOVER: Final = 5.0
"""Seconds that a second process waits for the first to leave, as at a restart."""
FOREIGN: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "glusterfs", "fuse.glusterfs"}
)
"""File systems on a network: there SQLite's WAL does not work (https://sqlite.org/wal.html) and locks may lie."""


class Owner:
    """Holds ``FILE.lock`` from :meth:`acquire` to :meth:`release`."""

    def __init__(self, path: Path) -> None:
        self._store = path
        self._lock = path.with_name(path.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self, patience: float = HANDOVER) -> None:
        """Own the store. Raises StoreUnfit for an unusable place, StoreBusy naming the holder after *patience* s.

        A holder that is draining (it said so with :meth:`leaving`) is given the time that it asked for.
        """
        self._check_place()
        descriptor = self._locked_within(patience)
        if descriptor is None:
            descriptor = self._locked_within(self._asked_for())
        if descriptor is None:
            raise StoreBusy(
                f"{self._store} is in use by {self._holder()}: stop that process, or name another file "
                "(--store sqlite:///FILE). One process owns a file; under gunicorn use -w 1; many machines need postgresql://."
            )
        self._descriptor = descriptor
        self._write(f"pid {os.getpid()} on {os.uname().nodename} since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")

    def leaving(self, within: float) -> None:
        """Tell who waits that the store will be free *within* so many seconds."""
        if self._descriptor is not None:
            self._write(f"{self._holder()}, leaving within {within:.0f} s")

    def release(self) -> None:
        """Own it no more; twice is fine. The file stays: removing it would let two processes lock two files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _check_place(self) -> None:
        folder = self._store.parent
        if self._store.is_dir():
            raise StoreUnfit(f"{self._store} is a directory: name a file in it.")
        if not folder.is_dir():
            raise StoreUnfit(f"The folder {folder} does not exist: make it first.")
        system = file_system(folder)
        if system in FOREIGN:
            raise StoreUnfit(
                f"{folder} lies on a network file system ({system}), where SQLite loses data: use a local disk."
            )

    def _locked_within(self, seconds: float) -> int | None:
        """A descriptor of the lock file that holds the lock; None where it can't be had *within* so many seconds."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreUnfit(f"{self._lock} can't be written: {error.strerror}. Choose a folder that can.") from None
        if _flock_within(descriptor, seconds):
            return descriptor
        os.close(descriptor)
        return None

    def _holder(self) -> str:
        with contextlib.suppress(OSError):
            return self._lock.read_text(encoding="utf-8", errors="replace").strip()[:200] or "another process"
        return "another process"

    def _asked_for(self) -> float:
        found = re.search(r"leaving within (\d{1,6}) s", self._holder())
        return int(found[1]) + 1 if found else 0.0

    def _write(self, text: str) -> None:
        """Say who holds it, as far as there is room on the disk: what counts is the lock."""
        assert self._descriptor is not None
        line = text.encode() + b"\n"
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, os.pwrite(self._descriptor, line, 0))


def file_system(folder: Path, mounts: str | None = None) -> str:
    """The type of the file system that *folder* lies on, "" where it can't be told."""
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return ""
    place = os.path.realpath(folder)
    found, longest = "", -1
    for line in mounts.splitlines():
        _, escaped, system, *_ = line.split(" ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), escaped)  # proc(5): a space is \040
        if (place == point or place.startswith(point.rstrip("/") + "/")) and len(point) >= longest:
            found, longest = system, len(point)
    return found


def _flock_within(descriptor: int, seconds: float) -> bool:
    """Lock, waiting so long at most. A thread waits in the kernel, as flock knows no time limit and we don't poll."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    if seconds <= 0:
        return False
    own = os.dup(descriptor)  # the same lock: closing both lets go of it
    locked = threading.Event()

    def wait() -> None:
        fcntl.flock(own, fcntl.LOCK_EX)
        locked.set()
        os.close(own)

    threading.Thread(target=wait, name="webqueue-waits-for-lock", daemon=True).start()
    return locked.wait(seconds)
