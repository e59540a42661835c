"""The flight recorder: which job each consumer holds, in a memory-mapped file that survives ``kill -9``.

Writing a slot costs no system call, and the kernel keeps the page when the process dies, so after a crash exactly the
jobs that were running are known. After a power cut it may be stale: then a job is charged with a crash too few, no more.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import Final

_SLOT: Final = struct.Struct("<q")


class Recorder:
    """One slot of eight bytes a consumer: the id of its job, 0 while it has none."""

    def __init__(self, path: Path, slots: int) -> None:
        self._path = path
        self._slots = max(slots, 1)
        self._map: mmap.mmap | None = None

    def open(self) -> list[int]:
        """Begin a new flight. Returns the ids that were in the slots when the last one ended."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            content = os.read(descriptor, 2**20)
            whole = content[: len(content) - len(content) % _SLOT.size]
            os.ftruncate(descriptor, max(self._slots * _SLOT.size, len(whole)))
            self._map = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        return [id for (id,) in _SLOT.iter_unpack(whole) if id > 0]

    def clear(self) -> None:
        """What the last flight left behind has been dealt with."""
        if self._map is not None:
            self._map[:] = bytes(len(self._map))

    def note(self, slot: int, id: int) -> None:
        """The consumer of *slot* holds this job now (0: none)."""
        if self._map is not None:
            _SLOT.pack_into(self._map, slot * _SLOT.size, id)

    def close(self) -> None:
        """End of the flight."""
        if self._map is not None:
            self._map.close()
            self._map = None


class NullRecorder:
    """Records nothing: what lives in memory does not outlive a crash."""

    def open(self) -> list[int]:
        """Nothing was running."""
        return []

    def clear(self) -> None:
        """Nothing to clear."""

    def note(self, slot: int, id: int) -> None:
        """Nothing to note."""

    def close(self) -> None:
        """Nothing to close."""
