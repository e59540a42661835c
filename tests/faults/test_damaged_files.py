"""Files that are damaged, or not ours: refused in one line and left as they are, or whole."""

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.faults.ledger import Ledger
from tests.faults.rounds import engine_on, noting
from webqueue.engine import Engine
from webqueue.errors import StoreError

PAGE: Final = 4096
JOBS: Final = 60


@pytest.fixture(name="sound", scope="module")
def _sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with 60 waiting jobs, closed as it should be."""
    folder = tmp_path_factory.mktemp("sound")
    engine = engine_on(str(folder / "jobs.db"), noting(Ledger(folder / "ledger")), consumers=0)
    engine.start()
    engine.push_many([{"kind": "work", "payload": _payload(number)} for number in range(JOBS)])
    engine.stop()
    return folder / "jobs.db"


def _payload(number: int) -> dict[str, str]:
    return {"token": f"job.{number}", "filler": "x" * 200}


Damage = Callable[[Path], None]


def _cut(length: int) -> Damage:
    """Only the first *length* bytes are left; negative: so many are missing."""

    def damage(file: Path) -> None:
        content = file.read_bytes()
        file.write_bytes(content[:length])

    return damage


def _zeroed(page: int) -> Damage:
    """The *page*-th page is all zeros."""

    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
        file.write_bytes(content)

    return damage


def _flipped(seed: int) -> Damage:
    """A bit is flipped where the file's structure stands: in the head of a page, or among its cell pointers."""

    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        chance = random.Random(seed)
        page = chance.randrange(len(content) // PAGE)
        place = page * PAGE + (100 if page == 0 else 0) + chance.randrange(24)
        content[place] ^= 1 << chance.randrange(8)
        file.write_bytes(content)

    return damage


def _headed(place: int, value: bytes) -> Damage:
    """Other bytes in the file's head: its magic, page size, format, application id, version."""

    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[place : place + len(value)] = value
        file.write_bytes(content)

    return damage


def _swapped(file: Path) -> None:
    content = file.read_bytes()
    pages = [content[start : start + PAGE] for start in range(0, len(content), PAGE)]
    pages[2], pages[3] = pages[3], pages[2]
    file.write_bytes(b"".join(pages))


def _sql(statement: str) -> Damage:
    """A file whose structure is sound, with content that webqueue never wrote."""

    def damage(file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute(statement)
            connection.commit()

    return damage


def _replaced(content: bytes) -> Damage:
    return lambda file: _write(file, content)


def _write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def _other_database(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY)")
        connection.commit()


def _directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _only_a_wal(file: Path) -> None:
    shutil.copyfile(file, file.with_name(file.name + "-wal"))
    file.unlink()


DAMAGES: Final[dict[str, Damage]] = {
    **{f"cut to {length}": _cut(length) for length in (1, 15, 16, 99, 100, 511, 1000, 4095, 4096, 4097, 8192, 20_000)},
    **{f"{missing} bytes missing": _cut(-missing) for missing in (1, 512, PAGE, 2 * PAGE)},
    **{f"page {page} zeroed": _zeroed(page) for page in range(8)},
    **{f"bit {seed} flipped": _flipped(seed) for seed in range(20)},
    "other magic": _headed(0, b"SQLite format 2\0"),
    "page size 0": _headed(16, b"\0\0"),
    "page size 64 KiB": _headed(16, b"\0\1"),
    "write format 9": _headed(18, b"\x09"),
    "other application id": _headed(68, b"\0\0\0\0"),
    "later version": _headed(60, (99).to_bytes(4)),
    "version 0": _headed(60, bytes(4)),
    "pages swapped": _swapped,
    "a table is missing": _sql("DROP TABLE numbers"),
    "a column is missing": _sql("ALTER TABLE jobs DROP COLUMN result"),
    "no totals": _sql("DELETE FROM numbers WHERE queue = ''"),
    "a total that is none": _sql("INSERT INTO numbers VALUES ('', '', 0, 'bogus', 1)"),
    "a state that is none": _sql("UPDATE numbers SET name = 'tudo' WHERE name = 'todo'"),
    "a rejection that is not JSON": _sql("INSERT INTO rejections VALUES (1, 1, 'x', 'x', '{', NULL)"),
    "text": _replaced(b"jobs:\n- one\n" * 1000),
    "zeros": _replaced(bytes(20_000)),
    "another program's database": _other_database,
    "a directory": _directory,
    "only a WAL is left": _only_a_wal,
}


NEVER_WHOLE: Final = frozenset({name for name in DAMAGES if name.startswith(("other", "cut", "page ", "later"))})
"""What must be refused, even where the rest could be read."""


def test_there_are_fifty() -> None:
    """The battery has at least 50 damages."""
    assert len(DAMAGES) >= 50


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_file(name: str, sound: Path, tmp_path: Path) -> None:
    """Refused in one clear line that names the file, its bytes untouched; or every job is there, with its payload."""
    store = tmp_path / "jobs.db"
    shutil.copyfile(sound, store)
    DAMAGES[name](store)
    before = _content(store)
    engine = engine_on(str(store), noting(Ledger(tmp_path / "ledger")), consumers=0)
    refusal = _start(engine)
    if refusal is not None:
        assert str(store) in refusal
        assert 1 == len(refusal.splitlines())
        assert before == _content(store), "a refused file is not touched"
        return
    assert name not in NEVER_WHOLE
    found = {job.id: job.payload for job in engine.jobs(limit=200).items}
    waiting = engine.overview()["counts"]["todo"]
    engine.stop()
    assert JOBS == waiting == len(found)
    assert sorted(found.values()) == sorted(_texts())


def _start(engine: Engine) -> str | None:
    """What it says where it refuses to start."""
    try:
        engine.start()
    except StoreError as error:
        return str(error)
    return None


def _texts() -> list[bytes]:
    return [json.dumps(_payload(number), separators=(",", ":")).encode() for number in range(JOBS)]


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None
