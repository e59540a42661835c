"""The ledger that all fault tests share: what was asked, what was answered, what is there afterwards.

Whoever pushes notes its intent before and the answer after; every handler notes its start and its end. A note is one
``write`` to a file opened with ``O_APPEND``: notes of all processes stand in one order, and a killed process loses
none.
"""

import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Stored = list[tuple[int, str]]
"""(id, token) of each job in a store, by id."""


class Ledger:
    """Writes notes. Lives as long as its process."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, verb: str, *words: object) -> None:
        """Add a line."""
        os.write(self._descriptor, (json.dumps([verb, *words]) + "\n").encode())


@dataclass
class Account:
    """What a ledger and a store say together. Tokens name pushes; a push is acknowledged under one id."""

    attempted: list[str] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Token -> name of the error."""
    recovered: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    """Pushed after another one was acknowledged, and yet with a lower id."""

    def faults(self) -> dict[str, list[str]]:
        """What must be empty, where it is not."""
        found = {name: getattr(self, name) for name in ("lost", "duplicated", "unexpected", "disordered")}
        return {name: tokens for name, tokens in found.items() if tokens}


def notes(ledger: Path) -> list[list[Any]]:
    """All notes so far, in order."""
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


def account(entries: Iterable[list[Any]], stored: Stored) -> Account:
    """Compare the notes with what is *stored*."""
    result, floor, highest = Account(), dict[str, int](), 0
    for verb, *words in entries:
        if verb == "attempt":
            result.attempted.append(words[0])
            floor[words[0]] = highest
        elif verb == "ack":
            result.acknowledged[words[0]] = words[1]
            highest = max(highest, words[1])
        elif verb == "refused":
            result.refused[words[0]] = words[1]
    there = dict(stored)
    result.recovered = list(there.values())
    result.lost = [token for token, id in result.acknowledged.items() if there.get(id) != token]
    result.duplicated = [token for token, times in Counter(there.values()).items() if times > 1]
    result.unexpected = [token for token in there.values() if token not in floor]
    result.disordered = [token for id, token in stored if id <= floor.get(token, 0)]
    return result


def copied(store: Path, into: Path) -> Path:
    """A copy of the store's file and its WAL, so that looking at it changes nothing."""
    into.mkdir(parents=True, exist_ok=True)
    for suffix in ("", "-wal", "-journal"):
        source, copy = store.with_name(store.name + suffix), into / (store.name + suffix)
        copy.unlink(missing_ok=True)
        if source.exists():
            shutil.copyfile(source, copy)
    (into / (store.name + "-shm")).unlink(missing_ok=True)
    return into / store.name


def look(store: Path) -> tuple[str, Stored]:
    """(what ``integrity_check`` says, the stored jobs) of a file that nobody has open; recovers it as SQLite does."""
    with closing(sqlite3.connect(store)) as connection:
        verdict = "; ".join(text for (text,) in connection.execute("PRAGMA integrity_check"))
        return verdict, stored(connection)


def stored(connection: sqlite3.Connection) -> Stored:
    """The jobs that were pushed with a token, by id."""
    rows = connection.execute("SELECT id, json_extract(payload, '$.token') FROM jobs ORDER BY id").fetchall()
    return [(id, token) for id, token in rows if token is not None]
