"""The flight recorder: which job each consumer holds, in a memory-mapped file that survives ``kill -9``.

Writing a slot costs no system call, and the kernel keeps the page when the process dies, so after a crash exactly the
jobs that were running are known. Each slot says at which revision its job was claimed: whoever has taken a step since,
as one that was charged already, or as one of a file that is stale after a power cut, was not running.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import Final

from webqueue.errors import StoreUnfit

_SLOT: Final = struct.Struct("<qq")


class Recorder:
    """One slot a consumer: the id and the revision of its job, zeros while it has none."""

    def __init__(self, path: Path, slots: int) -> None:
        self._path = path
        self._slots = max(slots, 1)
        self._map: mmap.mmap | None = None

    def open(self) -> list[tuple[int, int]]:
        """Begin a new flight. Returns (id, revision) of what was in the slots when the last ended. Raises StoreUnfit.

        The file gets its blocks here: on a disk that is full a later write to the map would kill the process (SIGBUS).
        """
        try:
            return self._open()
        except OSError as error:
            raise StoreUnfit(f"{self._path} can't be written: {error.strerror}.") from None

    def _open(self) -> list[tuple[int, int]]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            content = os.read(descriptor, 2**20)
            whole = content[: len(content) - len(content) % _SLOT.size]
            os.pwrite(descriptor, whole.ljust(self._slots * _SLOT.size, b"\0"), 0)
            self._map = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        return [(id, revision) for id, revision in _SLOT.iter_unpack(whole) if id > 0]

    def clear(self) -> None:
        """What the last flight left behind has been dealt with."""
        if self._map is not None:
            self._map[:] = bytes(len(self._map))

    def note(self, slot: int, id: int, revision: int = 0) -> None:
        """The consumer of *slot* holds this job now, claimed at this revision (0: none)."""
        if self._map is not None:
            _SLOT.pack_into(self._map, slot * _SLOT.size, id, revision)

    def close(self) -> None:
        """End of the flight."""
        if self._map is not None:
            self._map.close()
            self._map = None


class NullRecorder:
    """Records nothing: what lives in memory does not outlive a crash."""

    def open(self) -> list[tuple[int, int]]:
        """Nothing was running."""
        return []

    def clear(self) -> None:
        """Nothing to clear."""

    def note(self, slot: int, id: int, revision: int = 0) -> None:
        """Nothing to note."""

    def close(self) -> None:
        """Nothing to close."""
