"""Jobs as rows of SQL and back: the schema of the tables, the statements, the conditions. Opens nothing."""

import json
from typing import Any, Final

from webqueue.job import Attempt, Failure, Job, State
from webqueue.stores.tables import GROUPED, Filter, steps
from webqueue.strictjson import dump

FAILED_INDEX: Final = "INDEX IF NOT EXISTS jobs_failed ON jobs (finished_at, id) WHERE state = 'failed'"
"""Costs what does not fail nothing."""

SCHEMA = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY, -- given out from a number that grows in the same transaction: never used twice
    kind TEXT NOT NULL, queue TEXT NOT NULL, rank INTEGER NOT NULL, place INTEGER NOT NULL, state TEXT NOT NULL,
    payload BLOB NOT NULL, max_attempts INTEGER NOT NULL, created_at INTEGER NOT NULL, timeout REAL, unique_key TEXT,
    idempotency_key TEXT, idempotency_digest BLOB,
    run_at INTEGER, attempt INTEGER NOT NULL, crashes INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER,
    revision INTEGER NOT NULL, result BLOB, error TEXT, history TEXT, after_jobs TEXT
);
CREATE INDEX jobs_todo ON jobs (queue, kind, rank, place) WHERE state = 'todo';
CREATE INDEX jobs_scheduled ON jobs (run_at, id) WHERE state = 'scheduled';
CREATE INDEX jobs_by_state ON jobs (state, id) WHERE state <> 'todo';
CREATE INDEX jobs_finished ON jobs (finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_failed ON jobs (finished_at, id) WHERE state = 'failed';
CREATE INDEX jobs_unique_key ON jobs (unique_key) WHERE unique_key IS NOT NULL AND state IN ('todo', 'scheduled');
CREATE UNIQUE INDEX jobs_idempotency_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE TABLE lines (job INTEGER NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL, level TEXT NOT NULL,
    message TEXT NOT NULL, PRIMARY KEY (job, number)) WITHOUT ROWID;
CREATE TABLE rejections (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT, reason TEXT NOT NULL,
    errors TEXT NOT NULL, payload BLOB);
CREATE TABLE numbers (queue TEXT, kind TEXT, priority INTEGER, name TEXT, number INTEGER NOT NULL,
    PRIMARY KEY (queue, kind, priority, name)) WITHOUT ROWID; -- jobs by state; the totals, where the queue is ''
CREATE TABLE pauses (queue TEXT PRIMARY KEY, at INTEGER NOT NULL, why TEXT, who TEXT) WITHOUT ROWID;
CREATE TABLE marks (name TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
"""

_COLUMNS: Final = (
    "id", "kind", "queue", "rank", "place", "state", "payload", "max_attempts", "created_at", "timeout", "unique_key",
    "idempotency_key", "idempotency_digest", "after_jobs", "run_at", "attempt", "crashes", "started_at", "finished_at",
    "revision", "result", "error", "history",
)  # fmt: skip
SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM jobs "
_CHANGING: Final = ("place", "state", *_COLUMNS[14:])
SIZES: Final = (256, 64, 16, 4, 1)
"""Rows in one statement: a few sizes, so that all of them stay prepared. One statement lets go of the GIL once."""

_STATES: Final = {state.value: state for state in State}
_BLANK: Final = Job(0, "", b"", "", 0, State.TODO, 0, 1, 0)


def _upsert(rows: int) -> str:
    values = ", ".join(["(" + ", ".join("?" * len(_COLUMNS)) + ")"] * rows)
    update = ", ".join(f"{column} = excluded.{column}" for column in _CHANGING)
    return f"INSERT INTO jobs ({', '.join(_COLUMNS)}) VALUES {values} ON CONFLICT (id) DO UPDATE SET {update}"


UPSERTS: Final = {rows: _upsert(rows) for rows in SIZES}


def to_row(job: Job) -> tuple[Any, ...]:
    """*job* in the order of the columns."""
    key, digest = job.idempotency or (None, None)
    return (
        job.id, job.kind, job.queue, -job.priority, job.place, job.state.value, job.payload, job.max_attempts,
        job.created_at, job.timeout, job.unique_key, key, digest, json.dumps(job.after) if job.after else None,
        job.run_at, job.attempt, job.crashes, job.started_at, job.finished_at, job.revision, job.result,
        json.dumps(job.error) if job.error else None, json.dumps(job.history) if job.history else None,
    )  # fmt: skip


def to_job(row: tuple[Any, ...]) -> Job:
    """The job of a row that SELECT gave."""
    fields = dict(zip(_COLUMNS, row, strict=True))
    fields["priority"] = -fields.pop("rank")
    fields["state"] = _STATES[fields["state"]]
    key, digest = fields.pop("idempotency_key"), fields.pop("idempotency_digest")
    if key is not None:
        fields["idempotency"] = (key, digest)
    if fields["error"] is not None:
        fields["error"] = Failure(*json.loads(fields["error"]))
    after = fields.pop("after_jobs")
    if after is not None:
        fields["after"] = tuple(json.loads(after))
    fields["history"] = _history(fields["history"]) if fields["history"] else ()
    return _BLANK.replaced(**fields)


def _history(text: str) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(attempt, started_at, ended_at, outcome, Failure(*error) if error else None)
        for attempt, started_at, ended_at, outcome, error in json.loads(text)
    )


def where_of(filter: Filter, before: int | None, floor: int | None = None) -> tuple[str, list[Any]]:
    """The WHERE clause of *filter*, for ids below *before* and above *floor*."""
    text = f"%{_escaped(filter.text)}%" if filter.text is not None else None
    haystack = (
        "id || ' ' || kind || ' ' || coalesce(unique_key, '') || ' ' || coalesce(error, '')"
        " || ' ' || CAST(payload AS TEXT)"
    )
    # jobs_by_state is only used where its own condition is among those of the query.
    by_state = "state = ?" if filter.ordered_state is None else "state = ? AND state <> 'todo'"
    conditions: list[tuple[str, Any]] = [
        (by_state, filter.state),
        ("kind = ?", filter.kind),
        ("queue = ?", filter.queue),
        ("json_extract(error, '$[0]') = ?", filter.error),
        ("id < ?", before),
        ("id > ?", floor),
        ("+finished_at >= ?" if floor is not None else "finished_at >= ?", filter.since),
        (f"{haystack} LIKE ? ESCAPE '\\'", text),
    ]
    used = [(condition, [value]) for condition, value in conditions if value is not None]
    used += [_at(path, value) for path, value in filter.payload]
    where = "WHERE " + " AND ".join(condition for condition, _ in used) if used else ""
    return where, [value for _, values in used for value in values]


def _at(path: str, value: str) -> tuple[str, list[str]]:
    """The condition of ``found_at``. For two paths SQLite gives JSON, in which ``"7"`` and ``7`` differ."""
    place = "$" + "".join(f'."{step}"' if isinstance(step, str) else f"[{step}]" for step in steps(path))
    meant = [f"[{one},{one}]" for one in (value, dump(value).decode())]
    return "json_extract(CAST(payload AS TEXT), ?, ?) IN (?, ?)", [place, place, *meant]


def floor_of(filter: Filter, before: int | None) -> str:
    """The query of ``Tables.floor``; its parameters are those of ``where_of``, and how many jobs to pass over."""
    where, _ = where_of(Filter(filter.ordered_state), before)
    return f"SELECT id FROM jobs {where} ORDER BY id DESC LIMIT 1 OFFSET ?"


FAILURES: Final = (
    "SELECT id, kind, json_extract(error, '$[0]'), finished_at FROM jobs WHERE state = 'failed' AND finished_at >= ?"
    f" ORDER BY finished_at DESC, id DESC LIMIT {GROUPED}"
)
"""What group_failures takes, of those that failed since a time."""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
