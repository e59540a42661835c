"""A disk of which we decide what it kept: rebuilt from recorded calls, as it may be after the power went."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults.syscalls import Call

SECTOR: Final = 512
"""Bytes that a disk writes as a whole."""
Keep = Callable[[], bool]
"""Asked for each sector that was not flushed: is it there all the same?"""


@dataclass
class File:
    """One file: what is flushed, and what was done to it since."""

    flushed: bytearray = field(default_factory=bytearray)
    pending: list[Call] = field(default_factory=list)

    def do(self, call: Call) -> None:
        """It was written to, or cut; not yet flushed."""
        self.pending.append(call)

    def flush(self) -> None:
        """All of it is on the disk."""
        for call in self.pending:
            _apply(self.flushed, call.name, call.number, call.data)
        self.pending.clear()

    def survivor(self, keep: Keep) -> bytes:
        """What is there after a power cut."""
        image = bytearray(self.flushed)
        for call in self.pending:
            if call.name == "truncate":
                if keep():
                    _apply(image, call.name, call.number, b"")
                continue
            for start in range(0, len(call.data), SECTOR):
                if keep():
                    _apply(image, "write", call.number + start, call.data[start : start + SECTOR])
        return bytes(image)


class Disk:
    """All files of a folder. Names that came or went are flushed with their folder; a new file's name also with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._durable: dict[str, File] = {}
        self._seen: dict[str, File] = {}

    def keep(self, copy: Path) -> None:
        """What *copy*, a folder, holds was flushed long ago."""
        for path in copy.iterdir():
            if not _is_side_file(path.name):
                self._durable[f"{self._folder}/{path.name}"] = File(bytearray(path.read_bytes()))
        self._seen = dict(self._durable)

    def do(self, call: Call, *, deaf: bool = False) -> None:
        """A recorded call happened. *deaf*: flushes are not honoured."""
        if call.failed or _is_side_file(call.file):
            return
        if call.name == "create":
            file = self._seen.setdefault(call.file, File())
            if call.number:
                file.do(Call("truncate", call.file, b"", 0, "", False))
        elif call.name == "unlink":
            self._seen.pop(call.file, None)
        elif call.name == "rename":
            self._seen[call.target] = self._seen.pop(call.file)
        elif call.name == "flush" and not deaf:
            self._flush(call.file)
        elif call.name in ("write", "truncate"):
            self._seen[call.file].do(call)

    def _flush(self, path: str) -> None:
        if path == self._folder:
            self._durable = dict(self._seen)
        elif path in self._seen:
            self._seen[path].flush()
            self._durable[path] = self._seen[path]

    def rebuild(self, into: Path, chance: random.Random | None = None) -> None:
        """Write the files as they are after a power cut now: only what is flushed, or by *chance* some of the rest."""
        into.mkdir(exist_ok=True)
        for old in into.iterdir():
            old.unlink()
        share = chance.random() if chance else 0.0
        keep = (lambda: chance.random() < share) if chance else (lambda: False)
        names = self._durable
        if chance and chance.random() < 0.5:
            names = self._seen
        for path, file in names.items():
            (into / Path(path).name).write_bytes(file.survivor(keep))


def _is_side_file(file: str) -> bool:
    """What no durability hangs on: SQLite makes its -shm anew, the lock and the recorder may be stale."""
    return file.endswith(("-shm", ".lock", ".flight", "ledger"))


def _apply(image: bytearray, name: str, number: int, data: bytes) -> None:
    if name == "truncate":
        del image[number:]
        image.extend(bytes(number - len(image)))
        return
    if len(image) < number:
        image.extend(bytes(number - len(image)))
    image[number : number + len(data)] = data
