"""Power cuts: what webqueue finds at its next start, at each moment of a recorded life."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.disk import Disk
from tests.faults.ledger import account, look
from tests.faults.syscalls import Call
from webqueue.errors import StoreError
from webqueue.stores.sqlite import SqliteTables


@dataclass
class Cut:
    """What a power cut at some moment leaves."""

    moment: int
    subset: bool
    acknowledged: int
    lost: list[str] = field(default_factory=list)
    broken: str = ""


def power_cuts(
    calls: list[Call],
    folder: Path,
    into: Path,
    *,
    moments: list[int] | None = None,
    chance: random.Random | None = None,
    deaf: tuple[str, ...] = (),
    before: Path | None = None,
) -> Iterator[Cut]:
    """A cut after each flush and each answer, or at *moments* (indexes of calls).

    *chance*: random sectors that were not flushed are kept. *deaf*: endings of files whose flushes are not honoured.
    *before*: a copy of the folder as it was at the start.
    """
    disk = Disk(folder)
    if before is not None:
        disk.keep(before)
    entries: list[list[Any]] = []
    wanted = None if moments is None else set(moments)
    for moment, call in enumerate(calls):
        disk.do(call, deaf=call.file.endswith(deaf) if deaf else False)
        noted = _noted(call)
        entries += noted
        answered = any(verb == "ack" for verb, *_ in noted)
        if moment in wanted if wanted is not None else answered or call.name == "flush":
            disk.rebuild(into, chance)
            yield _after_cut(moment, into / "jobs.db", entries, chance is not None)


def _noted(call: Call) -> list[list[Any]]:
    return [json.loads(call.data)] if call.name == "append" and call.file.endswith("ledger") else []


def _after_cut(moment: int, store: Path, entries: list[list[Any]], subset: bool) -> Cut:
    """Start again on what is left, with webqueue's own code, then look with SQLite's."""
    tables = SqliteTables(store)
    broken = ""
    try:
        tables.open()
        tables.close()
    except StoreError as error:
        broken = str(error)
    verdict, jobs = look(store) if not broken else ("", [])
    found = account(entries, jobs)
    return Cut(moment, subset, len(found.acknowledged), found.lost, broken or verdict.removeprefix("ok"))
