"""Tables in an SQLite file. The only module that speaks SQLite.

WAL, so that readers never wait for the writer; ``synchronous=FULL``, so that a commit is flushed before it is answered
(https://sqlite.org/pragma.html#pragma_synchronous). One connection writes and checkpoints, the others only read: before
3.51.3 two connections that write and checkpoint at once can corrupt a WAL (https://sqlite.org/wal.html).
"""

import ctypes
import json
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from webqueue import floors
from webqueue.errors import DiskFull, StoreUnavailable, StoreUnfit, Unavailable
from webqueue.job import Job, LogLine, Rejection, State
from webqueue.queues import Key
from webqueue.stores.batch import Batch, Pause
from webqueue.stores.rows import (
    FAILED_INDEX,
    FAILURES,
    SCHEMA,
    SELECT,
    SIZES,
    UPSERTS,
    floor_of,
    to_job,
    to_row,
    where_of,
)
from webqueue.stores.tables import KEPT_REJECTIONS, SEARCHED, Disk, FailureGroup, Filter, Loaded, Totals, group_failures

APPLICATION_ID: Final = 0x77715545
"""In the file's header: this file is webqueue's (https://sqlite.org/fileformat.html#application_id)."""
SCHEMA_VERSION: Final = 2
CHECK_SECONDS: Final = 0.5
"""So long at most the file is checked at start."""
RESERVE: Final = 4 * 2**20
"""Bytes of the disk that pushes must leave free, so that what runs can still report its end."""


class SqliteTables:
    """See Tables. Lives as long as its store is open; the file is left as it was where it is not ours or is damaged."""

    def __init__(self, path: Path, *, flushed: bool = True) -> None:
        self._path = path
        self._flushed = flushed
        self._writer: sqlite3.Connection | None = None
        self._totals: dict[str, int] = {}
        """As they are written."""
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._open_readers: set[sqlite3.Connection] = set()

    # -- opening and closing -------------------------------------------------------------------------------------

    def open(self) -> Loaded:
        """See Tables."""
        _check_library()
        try:
            if _is_fresh(self._path):
                _create(Path(os.path.realpath(self._path)))
            writer = self._connect()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnfit(f"{self._path} can't be opened: {error}.") from None
        try:
            _check(writer, self._path)
            _upgrade(writer)
            self._totals = _totals(writer)
            loaded = _load(writer, self._totals)
            self._prepare(writer)
        except (sqlite3.Error, TypeError, ValueError) as error:
            _leak(writer)  # closing it would write to a file that may be damaged
            raise StoreUnfit(f"{self._path} can't be used: {error}. Nothing in it was changed.") from None
        except StoreUnfit:
            _leak(writer)
            raise
        self._writer = writer
        return loaded

    def close(self) -> None:
        """See Tables."""
        with self._readers_lock:
            readers, self._open_readers, self._readers = self._open_readers, set(), []
        for reader in readers:
            reader.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def forget_connection(self) -> None:
        """See Tables. Closing, even by garbage collection, would drop the locks and the WAL that the parent uses."""
        for connection in (self._writer, *self._open_readers):
            if connection is not None:
                _leak(connection)
        self._writer = None
        self._readers_lock = threading.Lock()
        self._open_readers, self._readers = set(), []

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=5.0)

    def _prepare(self, writer: sqlite3.Connection) -> None:
        writer.execute("PRAGMA query_only = OFF")
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute(f"CREATE {FAILED_INDEX}")  # older files have none; who does not know it is not disturbed by it
        writer.execute(f"PRAGMA synchronous = {'FULL' if self._flushed else 'NORMAL'}")
        writer.execute(f"PRAGMA journal_size_limit = {64 * 2**20}")

    # -- writing -------------------------------------------------------------------------------------------------

    def write(self, batch: Batch, totals: Totals) -> None:
        """See Tables."""
        writer = self._writer
        if writer is None:
            raise StoreUnavailable("The store is closed.")
        newer = {name: now for name, now in vars(totals).items() if now != self._totals.get(name, 0)}
        try:
            writer.execute("BEGIN IMMEDIATE")
            _write(writer, batch, {name: now - self._totals.get(name, 0) for name, now in newer.items()})
            writer.execute("COMMIT")
        except BaseException as error:
            _roll_back(writer)
            raise _translated(error) from error
        self._totals.update(newer)

    def check_room(self, size: int) -> None:
        """See Tables. Twice the size: it stands in the WAL, and then in the file too."""
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < RESERVE + 2 * size:
            raise DiskFull(f"The disk of {self._path.name} is nearly full: free some space.")

    # -- reading -------------------------------------------------------------------------------------------------

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        reader = None
        try:
            with self._readers_lock:
                reader = self._readers.pop() if self._readers else self._new_reader()
            yield reader
        except sqlite3.Error as error:
            raise StoreUnavailable(f"The store can't be read: {error}.") from error
        finally:
            with self._readers_lock:
                if reader is not None and reader in self._open_readers:
                    self._readers.append(reader)

    def _new_reader(self) -> sqlite3.Connection:
        if self._writer is None:
            raise StoreUnavailable("The store is closed.")
        reader = self._connect()
        reader.execute("PRAGMA query_only = ON")
        self._open_readers.add(reader)
        return reader

    def _jobs(self, where: str, parameters: Sequence[Any] = ()) -> list[Job]:
        with self._reader() as reader:
            return [to_job(row) for row in reader.execute(SELECT + where, parameters)]

    def _one(self, query: str, parameters: Sequence[Any]) -> Any:
        with self._reader() as reader:
            row = reader.execute(query, parameters).fetchone()
            return None if row is None else row[0]

    def get(self, id: int) -> Job | None:
        """See Tables."""
        return next(iter(self._jobs("WHERE id = ?", (id,))), None)

    def get_many(self, ids: Collection[int]) -> list[Job]:
        """See Tables."""
        return self._jobs("WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),)) if ids else []

    def todo_after(self, queue: str, kind: str, after: Key, limit: int) -> list[Job]:
        """See Tables."""
        where = (
            "WHERE state = 'todo' AND queue = ? AND kind = ? AND (rank, place) > (?, ?) ORDER BY rank, place LIMIT ?"
        )
        return self._jobs(where, (queue, kind, *after, limit))

    def scheduled_after(self, after: Key, limit: int) -> list[Job]:
        """See Tables."""
        return self._jobs(
            "WHERE state = 'scheduled' AND (run_at, id) > (?, ?) ORDER BY run_at, id LIMIT ?", (*after, limit)
        )

    def active_with_key(self, unique_key: str) -> int | None:
        """See Tables."""
        query = "SELECT id FROM jobs WHERE unique_key = ? AND state IN ('todo', 'scheduled')"
        found: int | None = self._one(query, (unique_key,))
        return found

    def with_idempotency_key(self, key: str) -> int | None:
        """See Tables."""
        found: int | None = self._one("SELECT id FROM jobs WHERE idempotency_key = ?", (key,))
        return found

    def floor(self, filter: Filter, before: int | None) -> int | None:
        """See Tables."""
        _, parameters = where_of(Filter(filter.ordered_state), before)
        floor: int | None = self._one(floor_of(filter, before), (*parameters, SEARCHED))
        return floor

    def page(self, filter: Filter, before: int | None, limit: int, floor: int | None = None) -> list[Job]:
        """See Tables."""
        where, parameters = where_of(filter, before, floor)
        return self._jobs(f"{where} ORDER BY id DESC LIMIT ?", (*parameters, limit))

    def matching(self, filter: Filter, limit: int) -> tuple[int, list[int]]:
        """See Tables."""
        where, parameters = where_of(filter, None, self.floor(filter, None) if filter.deep else None)
        with self._reader() as reader:
            matched = reader.execute(f"SELECT count(*) FROM jobs {where}", parameters).fetchone()[0]
            rows = reader.execute(f"SELECT id FROM jobs {where} ORDER BY id LIMIT ?", (*parameters, limit))
            return matched, [id for (id,) in rows]

    def failures(self, since: int) -> list[FailureGroup]:
        """See Tables."""
        with self._reader() as reader:
            return group_failures(reader.execute(FAILURES, (since,)))

    def newest_finished(self, limit: int) -> list[Job]:
        """See Tables."""
        return self._jobs("WHERE finished_at IS NOT NULL ORDER BY finished_at DESC, id DESC LIMIT ?", (limit,))

    def oldest_finished(self, limit: int) -> list[Job]:
        """See Tables."""
        return self._jobs("WHERE finished_at IS NOT NULL ORDER BY finished_at, id LIMIT ?", (limit,))

    def log(self, id: int, after: int, limit: int) -> Sequence[tuple[int, LogLine]]:
        """See Tables."""
        query = "SELECT number, at, level, message FROM lines WHERE job = ? AND number > ? ORDER BY number LIMIT ?"
        with self._reader() as reader:
            return [(number, LogLine(*line)) for number, *line in reader.execute(query, (id, after, limit))]

    def rejections(self, before: int | None, limit: int) -> list[Rejection]:
        """See Tables."""
        with self._reader() as reader:
            return _rejections(reader, before, limit)

    def size(self) -> int | None:
        """See Tables: the file and its WAL."""
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def disk(self) -> Disk | None:
        """See Tables."""
        wal = self._path.with_name(self._path.name + "-wal")
        try:
            disk = os.statvfs(self._path.parent)
            return Disk(disk.f_bavail * disk.f_frsize, wal.stat().st_size if wal.exists() else 0)
        except OSError:
            return None


# -- the file itself ---------------------------------------------------------------------------------------------


def _check_library() -> None:
    if sqlite3.sqlite_version_info < floors.SQLITE:
        needed = ".".join(map(str, floors.SQLITE))
        raise StoreUnfit(
            f"This Python has SQLite {sqlite3.sqlite_version}, and {needed} is needed: use a Python with a newer one."
        )


def _is_fresh(path: Path) -> bool:
    """Whether nothing is at *path* yet. Raises StoreUnfit for what is not ours; reads the header, changes nothing.

    The file is opened here before SQLite does so in this process: later, closing it would drop SQLite's locks.
    """
    try:
        header = path.read_bytes()[:100] if path.stat().st_size < 100 else _head(path)
    except FileNotFoundError:
        header = b""
    except OSError as error:
        raise StoreUnfit(f"{path} can't be read: {error.strerror}.") from None
    if not header:
        _refuse_orphan(path.with_name(path.name + "-wal"), path)
        return True
    if not header.startswith(b"SQLite format 3\0") or len(header) < 100:
        raise StoreUnfit(
            f"{path} is not an SQLite file: name another one with --store sqlite:///FILE. It was not touched."
        )
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise StoreUnfit(f"{path} is an SQLite file, but not webqueue's: name another one. It was not touched.")
    return False


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


def _refuse_orphan(wal: Path, path: Path) -> None:
    if wal.exists() and wal.stat().st_size:
        raise StoreUnfit(
            f"{path} is gone, but {wal.name} is there and may hold jobs: put {path.name} back, or move {wal.name} away."
        )


def _create(path: Path) -> None:
    """An empty store is at *path*, durably: whole or not at all, whenever the process dies or the power goes.

    There is no WAL yet: the id must be in the file's own header, where the next start looks for it.
    """
    draft = path.with_name(path.name + ".new")
    for leftover in (draft, draft.with_name(draft.name + "-journal")):
        leftover.unlink(missing_ok=True)
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.executescript(
            f"PRAGMA synchronous = FULL; BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreUnfit where the file is of a later version, or damaged as far as can be seen within CHECK_SECONDS."""
    connection.execute("PRAGMA query_only = ON")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 1 <= version <= SCHEMA_VERSION:
        raise StoreUnfit(
            f"{path} was written by another version of webqueue (format {version}, here {SCHEMA_VERSION})."
        )
    damages = _damages(connection)
    if damages:
        what = damages[0].splitlines()[-1]
        raise StoreUnfit(f"{path} is damaged ({what}): put a backup in its place, or move it away. It was not touched.")


def _upgrade(connection: sqlite3.Connection) -> None:
    """A file of the first format gets what came with the second: in one transaction, so wholly or not at all."""
    if connection.execute("PRAGMA user_version").fetchone() == (1,):
        connection.executescript(
            "PRAGMA query_only = OFF; BEGIN IMMEDIATE; ALTER TABLE jobs ADD COLUMN after_jobs TEXT;"
            "ALTER TABLE pauses ADD COLUMN who TEXT;"
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )


def _damages(connection: sqlite3.Connection) -> list[str]:
    deadline = time.monotonic() + CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        return [text for (text,) in connection.execute("PRAGMA quick_check(1)") if text != "ok"]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return []
    finally:
        connection.set_progress_handler(None, 0)


def _leak(connection: sqlite3.Connection) -> None:
    """Keep *connection* from ever being closed by this process."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _totals(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT name, number FROM numbers WHERE queue = ''").fetchall())


def _load(connection: sqlite3.Connection, totals: Mapping[str, int]) -> Loaded:
    counts = connection.execute(
        "SELECT queue, kind, priority, name, number FROM numbers WHERE queue <> '' AND number <> 0"
    )
    pauses = connection.execute("SELECT queue, at, why, who FROM pauses")
    marks = connection.execute("SELECT name, at FROM marks")
    following = connection.execute(
        "SELECT id, after_jobs FROM jobs WHERE state = 'scheduled' AND run_at IS NULL ORDER BY id"
    )
    newest = connection.execute(SELECT + "ORDER BY id DESC LIMIT 1").fetchone()
    if newest is not None and newest[0] >= totals.get("next_id", 1):
        raise ValueError(f"job {newest[0]} is there, but was never counted")
    return Loaded(
        Totals(**totals),
        {(queue, kind, priority, State(state)): number for queue, kind, priority, state, number in counts},
        {queue: Pause(*pause) for queue, *pause in pauses},
        dict(marks.fetchall()),
        _rejections(connection, None, 100)[::-1],
        {id: tuple(json.loads(after)) for id, after in following},
    )


# -- writing -----------------------------------------------------------------------------------------------------


def _write(writer: sqlite3.Connection, batch: Batch, grown: Mapping[str, int]) -> None:
    _write_jobs(writer, list(batch.jobs.values()))
    _write_numbers(writer, batch, grown)
    if batch.forgotten:
        ids = json.dumps(list(batch.forgotten))
        writer.execute("DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))", (ids,))
        writer.execute("DELETE FROM lines WHERE job IN (SELECT value FROM json_each(?))", (ids,))
    if batch.lines:
        _write_lines(writer, batch)
    if batch.rejections:
        _write_rejections(writer, batch.rejections)
    for queue, pause in batch.pauses.items():
        writer.execute("DELETE FROM pauses WHERE queue = ?", (queue,))
        if pause is not None:
            writer.execute("INSERT INTO pauses VALUES (?, ?, ?, ?)", (queue, pause.at, pause.why, pause.who))
    for name, at in batch.marks.items():
        writer.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, at))


def _write_jobs(writer: sqlite3.Connection, jobs: list[Job]) -> None:
    start = 0
    for size in SIZES:
        while len(jobs) - start >= size:
            values: list[Any] = []
            for job in jobs[start : start + size]:
                values += to_row(job)
            writer.execute(UPSERTS[size], values)
            start += size


def _write_numbers(writer: sqlite3.Connection, batch: Batch, grown: Mapping[str, int]) -> None:
    """Jobs by state and the totals, in one statement and mostly one page: every commit writes them."""
    rows: list[Any] = []
    for key, change in batch.counts().items():
        rows += (*key, change)
    for name, change in grown.items():
        rows += ("", "", 0, name, change)
    for start in range(0, len(rows), 5 * SIZES[0]):
        part = rows[start : start + 5 * SIZES[0]]
        values = ", ".join(["(?, ?, ?, ?, ?)"] * (len(part) // 5))
        growing = "ON CONFLICT DO UPDATE SET number = number + excluded.number"
        writer.execute(f"INSERT INTO numbers VALUES {values} {growing}", part)


def _write_lines(writer: sqlite3.Connection, batch: Batch) -> None:
    number = "(SELECT coalesce(max(number), 0) + 1 FROM lines WHERE job = ?1)"
    query = f"INSERT INTO lines VALUES (?1, {number}, ?2, ?3, ?4)"
    writer.executemany(query, [(id, line.at, line.level, line.message) for id, line in batch.lines])


def _write_rejections(writer: sqlite3.Connection, rejections: list[Rejection]) -> None:
    writer.executemany(
        "INSERT OR REPLACE INTO rejections VALUES (?, ?, ?, ?, ?, ?)",
        [(one.id, one.at, one.kind, one.reason, json.dumps(one.errors), one.payload) for one in rejections],
    )
    writer.execute("DELETE FROM rejections WHERE id <= ?", (rejections[-1].id - KEPT_REJECTIONS,))


def _roll_back(writer: sqlite3.Connection) -> None:
    try:
        if writer.in_transaction:
            writer.execute("ROLLBACK")
    except sqlite3.Error:
        pass  # SQLite has rolled back by itself, as after SQLITE_FULL: https://sqlite.org/lang_transaction.html


def _translated(error: BaseException) -> BaseException:
    """The error of webqueue's own that *error* means; ValueError: this row can't be stored, others can."""
    if isinstance(error, Unavailable):
        return error
    if isinstance(error, sqlite3.OperationalError):
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            return DiskFull("The disk is full: free some space.")
        return StoreUnavailable(f"The store can't be written: {error}.")
    if isinstance(error, (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)):
        return ValueError(str(error))
    if isinstance(error, sqlite3.Error | OSError | MemoryError):
        return StoreUnavailable(f"The store can't be written: {error}.")
    if isinstance(error, OverflowError | TypeError):
        return ValueError(f"a value has no place in the table: {error}")
    return error


def _rejections(connection: sqlite3.Connection, before: int | None, limit: int) -> list[Rejection]:
    query = "SELECT id, at, kind, reason, errors, payload FROM rejections WHERE id < ? ORDER BY id DESC LIMIT ?"
    rows = connection.execute(query, (2**62 if before is None else before, limit))
    return [
        Rejection(id, at, kind, reason, json.loads(errors), payload) for id, at, kind, reason, errors, payload in rows
    ]
