"""What a process wrote and flushed, recorded by strace; errors injected on the way."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.servers import ROOT, environment

INSTALL: Final = "this test needs strace: apt-get update && apt-get install -y --no-install-recommends strace"
RECORDED: Final = "openat,close,pwrite64,write,fdatasync,fsync,ftruncate,unlink,unlinkat,rename,renameat,renameat2"

_LINE: Final = re.compile(r"^(\d+) +(.*)$")
_CALL: Final = re.compile(r"^(\w+)\((.*)\) += (-?\d+).*$")
_STRING: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True)
class Call:
    """A system call that came back. ``file`` is a path, "" for what has none."""

    name: str
    file: str
    data: bytes
    number: int
    """The offset of a write, the length of a truncation."""
    target: str
    """Where a rename leads."""
    failed: bool


def traced(
    log: Path,
    module: str,
    arguments: Sequence[object],
    *,
    calls: str = RECORDED,
    inject: str | None = None,
    only: Sequence[Path] = (),
    timeout: float = 60,
) -> "subprocess.CompletedProcess[str]":
    """Run ``python -m module arguments`` under strace. *inject*: an error for calls; *only*: what is looked at."""
    assert shutil.which("strace"), INSTALL
    command = ["strace", "-f", "--seccomp-bpf", "-qq", "-xx", "-s", "2000000", "-o", str(log), "-e", f"trace={calls}"]
    if inject is not None:
        command += ["-e", f"inject={inject}"]
    for path in only:
        command += ["-P", str(path)]
    command += [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=timeout, check=False
    )


def recorded(log: Path, folder: Path) -> Iterator[Call]:
    """The calls on files below *folder*, in order: a write to the ledger when it began, others when they ended."""
    open_files: dict[int, str] = {}
    begun: dict[str, str] = {}
    with log.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            pid, text = _LINE.match(line).groups()  # type: ignore[union-attr]
            if text.endswith("<unfinished ...>"):
                begun[pid] = text.removesuffix("<unfinished ...>").rstrip()
                continue
            if text.startswith("<... "):
                text = begun.pop(pid) + text.partition("resumed>")[2]
            found = _CALL.match(text)
            call = _understood(found, open_files) if found else None
            if call is not None and call.file.startswith(str(folder)):
                yield call


def _understood(found: "re.Match[str]", open_files: dict[int, str]) -> Call | None:
    name, words, result = found.groups()
    strings = [bytes.fromhex(text.replace("\\x", "")) for text in _STRING.findall(words)]
    plain = re.sub(_STRING, "", words).replace(" ", "").split(",")
    numbers = [int(word) for word in plain if word.lstrip("-").isdigit()]
    code, failed = int(result), int(result) < 0
    if name == "openat":
        if not failed:
            open_files[code] = strings[0].decode()
        fresh = "O_TRUNC" in words
        return Call("create" if "O_CREAT" in words else "open", strings[0].decode(), b"", fresh, "", failed)
    if name == "close":
        open_files.pop(numbers[0], None)
        return None
    if name in ("unlink", "unlinkat"):
        return Call("unlink", strings[0].decode(), b"", 0, "", failed)
    if name.startswith("rename"):
        return Call("rename", strings[0].decode(), b"", 0, strings[1].decode(), failed)
    return _on_open_file(name, open_files.get(numbers[0], ""), strings, numbers, failed)


def _on_open_file(name: str, file: str, strings: list[bytes], numbers: list[int], failed: bool) -> Call:
    if name == "pwrite64":
        return Call("write", file, strings[0], numbers[-1], "", failed)
    if name == "write":
        return Call("append", file, strings[0], 0, "", failed)
    if name == "ftruncate":
        return Call("truncate", file, b"", numbers[-1], "", failed)
    return Call("flush", file, b"", 0, "", failed)
