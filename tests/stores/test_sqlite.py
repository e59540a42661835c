"""The SQLite store: what it does to its file, to files that are not its own, and when it can't be written."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.stores.conftest import MakeBench
from tests.stores.kit import PATIENCE, Bench, draft
from webqueue.errors import DiskFull, StoreUnavailable, StoreUnfit, WebqueueError
from webqueue.job import LogLine, State
from webqueue.stores import sqlite as module
from webqueue.stores.base import Outcome, Pushed
from webqueue.stores.sqlite import APPLICATION_ID, SCHEMA_VERSION, SqliteTables
from webqueue.stores.tables import Filter
from webqueue.stores.upkeep import Retention


def _pragma(bench: Bench, name: str) -> Any:
    tables = bench.store.tables
    assert isinstance(tables, SqliteTables)
    assert tables._writer is not None
    return tables._writer.execute(f"PRAGMA {name}").fetchone()[0]


def _new_store(path: Path) -> None:
    tables = SqliteTables(path)
    tables.open()
    tables.close()


# -- the file ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flushed", "level"), [(True, 2), (False, 1)])
def test_pragmas(make_sqlite: MakeBench, flushed: bool, level: int) -> None:
    """WAL; synchronous=FULL unless told otherwise, really set on the connection that writes; marked as ours."""
    bench = make_sqlite(flushed=flushed)

    assert ("wal", level) == (_pragma(bench, "journal_mode"), _pragma(bench, "synchronous"))
    assert (APPLICATION_ID, SCHEMA_VERSION) == (_pragma(bench, "application_id"), _pragma(bench, "user_version"))
    assert APPLICATION_ID == int.from_bytes(bench.path.read_bytes()[68:72])


def test_one_connection_writes(sqlite: Bench) -> None:
    """The others may only read."""
    tables = sqlite.store.tables
    assert isinstance(tables, SqliteTables)
    sqlite.store.get(sqlite.push(draft())[0].id)

    assert tables._open_readers
    for reader in tables._open_readers:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM jobs")


def test_marked_before_the_first_checkpoint(sqlite: Bench, tmp_path: Path) -> None:
    """A process that dies right after its first start leaves a file that is known as ours."""
    sqlite.push(draft())
    sqlite.crash(tmp_path / "later")

    assert 1 == sqlite.store.get(1).id


def test_what_a_transaction_plan_needs(sqlite: Bench) -> None:
    """What each push, claim, page and promotion asks for is found by an index, not by a scan."""
    tables = sqlite.store.tables
    assert isinstance(tables, SqliteTables)
    asked: list[tuple[str, Any]] = []
    with tables._reader() as reader:
        reader.set_trace_callback(lambda text: asked.append((text, None)))
    tables.get(1)
    tables.todo_after("q", "k", (0, 0), 5)
    tables.scheduled_after((0, 0), 5)
    tables.active_with_key("u")
    tables.with_idempotency_key("k")
    tables.page(Filter(), None, 5)
    tables.page(Filter("failed"), 50, 5)
    tables.newest_finished(5)
    tables.oldest_finished(5)
    tables.log(1, 0, 5)
    with tables._reader() as reader:
        reader.set_trace_callback(None)
        for text, _ in asked:
            plan = [row[3] for row in reader.execute("EXPLAIN QUERY PLAN " + text)]
            assert not [step for step in plan if "TEMP B-TREE" in step], (text, plan)
            assert all("INDEX" in step or "PRIMARY KEY" in step or step.startswith("SCAN jobs") for step in plan), (
                text,
                plan,
            )
            assert "ORDER BY id DESC" in text or not [step for step in plan if step.startswith("SCAN jobs")], (
                text,
                plan,
            )


def test_a_key_used_often_is_found_at_once(sqlite: Bench) -> None:
    """A unique_key that a thousand finished jobs had costs no look at each of them."""
    tables = sqlite.store.tables
    assert isinstance(tables, SqliteTables)
    for _ in range(60):
        sqlite.push(draft(unique_key="u"))
        sqlite.store.cancel(sqlite.push(draft())[0].id - 1)
    with tables._reader() as reader:
        steps: list[int] = []
        reader.set_progress_handler(lambda: steps.append(1), 10)  # called every 10 instructions
    tables.active_with_key("u")
    with tables._reader() as reader:
        reader.set_progress_handler(None, 0)

    assert len(steps) < 10, "about 60 rows were looked at"


# -- files that are not to be used -------------------------------------------------------------------------------------


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE precious (a)")
        connection.execute("INSERT INTO precious VALUES (1)")
        connection.commit()


def _future(path: Path) -> None:
    _new_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.commit()


def test_a_file_of_the_first_format_is_brought_up_to_date(tmp_path: Path) -> None:
    """What it holds is there; what came later can be written."""
    path = tmp_path / "jobs.db"
    _new_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "ALTER TABLE jobs DROP COLUMN after_jobs; ALTER TABLE pauses DROP COLUMN who;"
            "INSERT INTO pauses VALUES ('mail', 5, 'lunch'); PRAGMA user_version = 1;"
        )
    bench = Bench(tmp_path)
    assert SCHEMA_VERSION == _pragma(bench, "user_version")
    assert (False, {"mail": {"why": "lunch", "at": 5}}) == bench.store.paused()
    (first,) = bench.push(draft())
    (last,) = bench.push(draft(state=State.SCHEDULED, after=(first.id,)))
    assert [1, last.id] == bench.drain()
    bench.close()


def _filled(path: Path) -> None:
    _new_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
            "INSERT INTO jobs (id, kind, queue, "
            "rank, place, state, payload, max_attempts, created_at, attempt, crashes, revision) "
            "SELECT i, 'echo', 'default', 0, i, 'todo', zeroblob(100), 3, 0, 0, 0, 1 FROM n; "
            "INSERT INTO numbers VALUES ('', '', 0, 'next_id', 3001), ('', '', 0, 'next_place', 3001), "
            "('default', 'echo', 0, 'todo', 3000); PRAGMA journal_mode = DELETE;"
        )


def _damaged(path: Path) -> None:
    _filled(path)
    content = bytearray(path.read_bytes())
    for page in range(3, len(content) // 4096, 5):
        content[page * 4096 : page * 4096 + 200] = os.urandom(200)
    path.write_bytes(content)


def _cut(path: Path) -> None:
    _filled(path)
    os.truncate(path, path.stat().st_size // 3 // 4096 * 4096)


def _without_a_table(path: Path) -> None:
    _new_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE numbers")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.commit()


def _header_only(path: Path) -> None:
    _new_store(path)
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda path: path.write_text("my notes\n" * 100), "not an SQLite file"),
        (lambda path: path.write_text("x"), "not an SQLite file"),
        (lambda path: path.write_bytes(b"SQLite format 3\0"), "not an SQLite file"),
        (_foreign, "not webqueue's"),
        (_future, "another version"),
        (_damaged, "damaged"),
        (_cut, "malformed"),
        (_without_a_table, "can't be used"),
        (_header_only, "."),
    ],
    ids=["text", "short", "magic", "foreign", "future", "damaged", "cut", "no table", "header"],
)
def test_files_that_are_not_to_be_used(tmp_path: Path, make: Callable[[Path], Any], word: str) -> None:
    """A file that is not ours, too new or damaged is refused in one line that names it; not a byte of it is changed."""
    path = tmp_path / "jobs.db"
    make(path)
    before = path.read_bytes()
    tables = SqliteTables(path)
    for _ in range(2):
        with pytest.raises(StoreUnfit, match=word) as raised:
            tables.open()
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)
        tables.close()
    assert before == path.read_bytes()


def test_numbers_that_are_gone(tmp_path: Path) -> None:
    """A file whose numbers are gone is refused: an id must not be given out twice."""
    path = tmp_path / "jobs.db"
    _filled(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM numbers")
        connection.commit()
    with pytest.raises(StoreUnfit, match="never counted"):
        SqliteTables(path).open()


def test_places_that_are_not_to_be_used(tmp_path: Path) -> None:
    """A directory, or a folder that is not there, is refused, and nothing is made."""
    from webqueue.stores.owner import Owner

    (tmp_path / "dir.db").mkdir()
    for path, word in ((tmp_path / "dir.db", "directory"), (tmp_path / "no" / "jobs.db", "does not exist")):
        with pytest.raises(StoreUnfit, match=word):
            Owner(path).acquire(0)
    assert ["dir.db"] == os.listdir(tmp_path)


def test_a_wal_without_its_file(tmp_path: Path) -> None:
    """A WAL whose file is gone may hold the last jobs: it is not thrown away."""
    wal = tmp_path / "jobs.db-wal"
    wal.write_bytes(b"precious")
    with pytest.raises(StoreUnfit, match="-wal"):
        SqliteTables(tmp_path / "jobs.db").open()
    assert b"precious" == wal.read_bytes()


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    """An empty file, or a draft that a start left behind, is no obstacle."""
    path = tmp_path / "jobs.db"
    path.touch()
    (tmp_path / "jobs.db.new").write_bytes(b"half")
    _new_store(path)

    assert APPLICATION_ID == int.from_bytes(path.read_bytes()[68:72])
    assert ["jobs.db"] == sorted(os.listdir(tmp_path))


def test_a_big_file_is_checked_within_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check at the start ends in time, found or not."""
    path = tmp_path / "jobs.db"
    _filled(path)
    monkeypatch.setattr(module, "CHECK_SECONDS", -1.0)
    tables = SqliteTables(path)
    tables.open()
    tables.close()


# -- when it can't be written ------------------------------------------------------------------------------------------


@contextmanager
def _failing(bench: Bench, error: Callable[[], Exception]) -> Iterator[list[Any]]:
    """Every write fails with *error* inside; yields the batches that were tried."""
    tables, tried = bench.store.tables, []
    write = tables.write

    def fail(batch: Any, totals: Any) -> None:
        tried.append(batch)
        raise error()

    tables.write = fail  # type: ignore[method-assign]
    try:
        yield tried
    finally:
        tables.write = write  # type: ignore[method-assign]


@pytest.mark.parametrize("error", [StoreUnavailable, DiskFull])
def test_a_failing_commit_shows_nothing(sqlite: Bench, error: type[WebqueueError]) -> None:
    """While commits fail pushes are refused, nothing of them is seen or claimed; then all goes on, ids ascending."""
    sqlite.push(draft())
    before = (sqlite.feed.seq, sqlite.store.board.counts.by_state())
    with _failing(sqlite, lambda: error("no")):
        for _ in range(3):
            with pytest.raises(error):
                sqlite.store.push([draft(), draft()])
        assert not sqlite.store.writable
        claim = sqlite.later(sqlite.store.claim, "default", 0)
        assert before == (sqlite.feed.seq, sqlite.store.board.counts.by_state())
        assert [1] == [job.id for job in sqlite.store.page(Filter(), None, 9).items]
        assert not claim.done()

    assert 1 == claim.result(PATIENCE).id
    sqlite.until_writable()
    (job,) = sqlite.push(draft())
    assert job.id > 1
    assert job.id == sqlite.claim().id


def test_outcomes_are_kept_while_commits_fail(sqlite: Bench) -> None:
    """What has ended meanwhile, its log lines and refusals of late reports are written as soon as that works again."""
    sqlite.push(draft(), draft())
    first, second = sqlite.claim(), sqlite.claim(slot=1)
    with _failing(sqlite, lambda: StoreUnavailable("no")) as tried:
        sqlite.store.log(1, [LogLine(1, "info", "kept")])
        sqlite.store.finish(Outcome(first, first.complete(sqlite.clock(), b"1")))
        sqlite.store.finish(Outcome(second, second.complete(sqlite.clock(), b"2")))
        with pytest.raises(StoreUnavailable):
            sqlite.store.push([draft()])
        assert tried
        assert State.RUNNING == sqlite.store.get(1).state
    sqlite.until_writable()
    sqlite.settle()

    assert [(State.DONE, b"1"), (State.DONE, b"2")] == [
        (sqlite.store.get(id).state, sqlite.store.get(id).result) for id in (1, 2)
    ]
    assert ["kept"] == [line.message for line in sqlite.store.read_log(1, None, 9).items]
    assert (2, 0) == (sqlite.store.board.totals.done, sqlite.store.late)


def test_steering_that_failed_has_not_happened(sqlite: Bench) -> None:
    """A cancel, a retry, a pause that could not be written leaves each job where it was, in its order, once."""
    sqlite.push(*[draft() for _ in range(9)], draft(run_at=sqlite.clock() + 1_000_000))
    sqlite.store.cancel(9)
    with _failing(sqlite, lambda: StoreUnavailable("no")):
        for call in (
            lambda: sqlite.store.cancel(1),
            lambda: sqlite.store.cancel(3),
            lambda: sqlite.store.cancel(7),
            lambda: sqlite.store.cancel(10),
            lambda: sqlite.store.run_now(10),
            lambda: sqlite.store.retry(9),
            lambda: sqlite.store.forget(9),
            lambda: sqlite.store.pause("", None),
            lambda: sqlite.store.cancel_all(Filter(), 100),
        ):
            with pytest.raises(StoreUnavailable):
                call()
    sqlite.until_writable()

    assert list(range(1, 9)) == sqlite.drain()
    sqlite.pass_time(2)
    assert [10] == sqlite.drain()
    assert State.CANCELLED == sqlite.store.get(9).state


def test_due_jobs_survive_a_failing_commit(sqlite: Bench) -> None:
    """Jobs whose time comes while nothing can be written are todo as soon as it works again."""
    sqlite.push(*[draft(run_at=sqlite.clock() + 1_000_000) for _ in range(7)])
    with _failing(sqlite, lambda: StoreUnavailable("no")):
        sqlite.clock.advance(1)
        sqlite.timers.ring()
        with pytest.raises(StoreUnavailable):
            sqlite.store.push([draft()])
    sqlite.until_writable()
    sqlite.settle()
    sqlite.pass_time(0)

    assert list(range(1, 8)) == sqlite.drain()


def test_the_probe_really_writes(sqlite: Bench) -> None:
    """After a failed push it is a write that shows whether writing works again, not the lack of anything to write."""
    with _failing(sqlite, lambda: StoreUnavailable("no")) as tried:
        with pytest.raises(StoreUnavailable):
            sqlite.store.push([draft()])
        for _ in range(int(PATIENCE * 100)):
            if len(tried) >= 3:
                break
            threading.Event().wait(0.01)
        assert len(tried) >= 3
        assert not sqlite.store.writable


def test_a_full_file(sqlite: Bench) -> None:
    """SQLite's own "full" is DiskFull; what was accepted before stays, and room makes it go on."""
    tables = sqlite.store.tables
    assert isinstance(tables, SqliteTables)
    assert tables._writer is not None
    (kept,) = sqlite.push(draft())
    pages = tables._writer.execute("PRAGMA page_count").fetchone()[0]
    tables._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    large = [draft(payload=b'"' + b"x" * 20_000 + b'"')]
    with pytest.raises(DiskFull):
        all(sqlite.store.push(large) for _ in range(50))
    tables._writer.execute("PRAGMA max_page_count = 1000000")
    sqlite.until_writable()
    sqlite.push(draft())

    assert kept.id == sqlite.claim().id
    assert "ok" == _pragma(sqlite, "quick_check")


def test_room_is_checked_at_the_door(sqlite: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is nearly full refuses pushes; what runs can still report its end."""
    sqlite.push(draft())
    job = sqlite.claim()
    monkeypatch.setattr(module, "RESERVE", 2**62)
    with pytest.raises(DiskFull):
        sqlite.store.push([draft()])
    sqlite.complete(job)

    assert State.DONE == sqlite.store.get(1).state


def test_one_bad_row_sinks_nobody(sqlite: Bench) -> None:
    """Of what goes into one commit the one that can't be stored is refused; the others are accepted, in order."""
    too_large = draft(priority=2**70)
    with sqlite.in_one_batch() as ask:
        answers = [ask(sqlite.store.push, [one]) for one in (draft(), too_large, draft())]
        paused = ask(sqlite.store.pause, "x", "\ud800")
        last = ask(sqlite.store.push, [draft()])

    for refused in (answers[1], paused):
        with pytest.raises(WebqueueError, match="can't be stored"):
            refused.result(PATIENCE)
    ids = [one.result(PATIENCE)[0].job.id for one in (answers[0], answers[2], last)]
    assert sorted(ids) == ids
    assert ids == sqlite.drain()
    assert sqlite.store.writable


def test_one_bad_row_while_the_disk_fails(sqlite: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written one by one, the disk fails half way: each is answered once, and the journal lives."""
    calls: list[int] = []
    write = SqliteTables.write

    def flaky(self: SqliteTables, batch: Any, totals: Any) -> None:
        calls.append(len(batch.steps))
        if calls[-1:] == [3]:
            raise ValueError("a bad row")
        if calls.count(1) == 2:
            raise StoreUnavailable("no")
        write(self, batch, totals)

    with sqlite.in_one_batch() as ask:
        answers = [ask(sqlite.store.push, [draft()]) for _ in range(3)]
        monkeypatch.setattr(SqliteTables, "write", flaky)
    results = [answer.exception(PATIENCE) for answer in answers]
    assert [None, StoreUnavailable, StoreUnavailable] == [one and type(one) for one in results]
    monkeypatch.undo()
    sqlite.until_writable()

    assert 1 == len(sqlite.store.page(Filter(), None, 9).items)
    assert sqlite.push(draft())


def test_a_broken_upkeep_takes_nothing_back(
    sqlite: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails after a commit is logged; the commit stands, it is answered, and the store goes on."""

    def broken() -> None:
        raise StoreUnavailable("can't be read")

    monkeypatch.setattr(sqlite.store._upkeep, "look_after", broken)
    (job,) = sqlite.push(draft())
    sqlite.complete(sqlite.claim())

    assert State.DONE == sqlite.store.get(job.id).state
    assert sqlite.store.writable
    assert "The upkeep failed" in caplog.text


def test_wild_batches_of_everything(sqlite: Bench) -> None:
    """Pushes, ends, cancels and failing commits from many threads: every answer is true, and the books balance."""
    write, toss = sqlite.store.tables.write, threading.local()
    counter = iter(range(10**9))

    def flaky(batch: Any, totals: Any) -> None:
        if next(counter) % 7 == 3:
            raise StoreUnavailable("now and then")
        write(batch, totals)

    sqlite.store.tables.write = flaky  # type: ignore[method-assign]
    accepted: list[int] = []
    cancelled: list[int] = []

    def work(thread: int) -> None:
        toss.thread = thread
        for number in range(40):
            try:
                answers = sqlite.store.push([draft(priority=number % 3) for _ in range(1 + number % 3)])
                ids = [one.job.id for one in answers if isinstance(one, Pushed)]
                accepted.extend(ids)
                if number % 4 == 0 and sqlite.store.cancel(ids[0]).state is State.CANCELLED:
                    cancelled.append(ids[0])
            except (StoreUnavailable, WebqueueError):
                continue

    for future in [sqlite.later(work, thread) for thread in range(4)]:
        future.result(PATIENCE * 6)
    del sqlite.store.tables.write
    sqlite.until_writable()
    sqlite.settle()
    found = {job.id: job.state for job in sqlite.store.page(Filter(), None, 10_000).items}

    assert sorted(accepted) == sorted(found)
    assert set(cancelled) <= {id for id, state in found.items() if state is State.CANCELLED}
    todo = [id for id, state in found.items() if state is State.TODO]
    assert len(todo) == sqlite.store.board.todo.length("default")
    assert sorted(todo) == sorted(sqlite.drain())


# -- closing -----------------------------------------------------------------------------------------------------------


def test_closing_writes_what_waits(sqlite: Bench) -> None:
    """Outcomes that are not yet written when the store is closed are, and are not taken back; twice is fine."""
    sqlite.push(*[draft() for _ in range(5)])
    for _ in range(3):
        job = sqlite.claim()
        sqlite.store.finish(Outcome(job, job.complete(sqlite.clock(), b"1")))
    sqlite.claim()
    sqlite.store.close()
    sqlite.store.close()
    sqlite.open()

    assert {"done": 3, "todo": 2} == {s: n for s, n in sqlite.store.board.counts.by_state().items() if n}
    assert [4, 5] == sqlite.drain()
    assert [0, 0] == [sqlite.store.get(id).crashes for id in (4, 5)]


def test_closing_with_too_much_kept(make_sqlite: MakeBench) -> None:
    """Outcomes are written at the close also where that leaves more finished jobs than are to be kept."""
    bench = make_sqlite(retention=Retention(0, 0))
    bench.push(*[draft() for _ in range(40)])
    closing_ = None
    with bench.in_one_batch():
        for _ in range(40):
            job = bench.claim() if bench.store.board.todo.next(1) else None
            if job is None:
                break  # the window is empty, and who would fill it is held
            bench.store.finish(Outcome(job, job.complete(bench.clock(), b"1")))
        claimed = len(bench.store.board.running)
        closing_ = bench.later(bench.store.close)
    closing_.result(PATIENCE)
    bench.open()

    assert 40 - claimed == bench.store.board.counts.by_state()["todo"]
    assert claimed == bench.store.board.totals.done > 0


def test_everybody_is_answered_at_a_broken_close(sqlite: Bench) -> None:
    """Whoever pushes while a store that can't be written is closed gets an answer, and nobody waits for ever."""
    with _failing(sqlite, lambda: StoreUnavailable("no")):
        pushes = [sqlite.later(sqlite.store.push, [draft()]) for _ in range(6)]
        threading.Event().wait(0.02)
        sqlite.store.close()
        for push in pushes:
            assert isinstance(push.exception(PATIENCE), WebqueueError)
    sqlite.open()
    assert [] == sqlite.store.page(Filter(), None, 9).items


def test_reading_a_closed_store(sqlite: Bench) -> None:
    """Reads say that it is closed."""
    sqlite.push(draft())
    sqlite.store.close()
    for call in (
        lambda: sqlite.store.get(1),
        lambda: sqlite.store.page(Filter(), None, 5),
        lambda: sqlite.store.push([draft()]),
    ):
        with pytest.raises(WebqueueError):
            call()
    sqlite.open()


# -- windows -----------------------------------------------------------------------------------------------------------


def test_cancelling_all_that_is_in_memory(sqlite: Bench) -> None:
    """When all jobs of the window are cancelled, those beyond it are still found and run."""
    sqlite.store.pause("", None)
    sqlite.push(*[draft() for _ in range(20)])
    matched, done = sqlite.store.cancel_all(Filter(state="todo"), 9)
    assert (20, 9) == (matched, len(done))
    sqlite.store.resume("")

    assert list(range(10, 21)) == sqlite.drain()


def test_cancelling_all_that_is_scheduled_in_memory(sqlite: Bench) -> None:
    """The same for what is scheduled."""
    sqlite.push(*[draft(run_at=sqlite.clock() + 1_000_000) for _ in range(20)])
    sqlite.store.cancel_all(Filter(state="scheduled"), 9)
    sqlite.settle()
    assert [10, 11] == [job.id for job in sqlite.store.snapshot().scheduled[:2]]
    sqlite.pass_time(1)

    assert list(range(10, 21)) == sqlite.drain()


def test_a_cancel_beyond_the_window_in_the_batch_of_a_refill(sqlite: Bench) -> None:
    """A job beyond the window that is cancelled while the window is read in does not come back."""
    sqlite.push(*[draft() for _ in range(12)])
    with sqlite.in_one_batch() as ask:
        cancelled = [ask(sqlite.store.cancel, id) for id in (5, 6, 7)]
        for slot in range(3):
            sqlite.claim(slot=slot)  # asks for a refill
    assert [State.CANCELLED] * 3 == [one.result(PATIENCE).state for one in cancelled]
    sqlite.settle()

    assert [4, 8, 9, 10, 11, 12] == sqlite.drain()


def test_what_runs_is_not_read_in_again(sqlite: Bench) -> None:
    """A job that runs while a flood of higher priorities pushes the window on is not claimed a second time."""
    sqlite.push(*[draft() for _ in range(4)])
    running = sqlite.claim()
    sqlite.push(*[draft(priority=1) for _ in range(20)])
    claimed = [sqlite.claim(slot=1) for _ in range(1)]
    sqlite.complete(claimed[0], slot=1)

    assert [*range(6, 25), 2, 3, 4] == sqlite.drain()
    sqlite.complete(running)
    assert 1 == len(sqlite.store.get(running.id).history)


def test_a_cancel_of_a_scheduled_one_in_the_batch_of_its_refill(sqlite: Bench) -> None:
    """The same for what is scheduled: it does not become due."""
    sqlite.push(*[draft(run_at=sqlite.clock() + 1_000_000) for _ in range(12)])
    sqlite.clock.advance(1)
    with sqlite.in_one_batch() as ask:
        cancelled = [ask(sqlite.store.cancel, id) for id in (5, 6, 7, 8)]
        sqlite.timers.ring()
    assert [State.CANCELLED] * 4 == [one.result(PATIENCE).state for one in cancelled]
    sqlite.pass_time(0)

    assert [1, 2, 3, 4, 9, 10, 11, 12] == sqlite.drain()


def test_crashes_put_back_in_order(make_sqlite: MakeBench, tmp_path: Path) -> None:
    """What ran when the process died is run first again, in order of acceptance; the third time it is failed."""
    bench = make_sqlite(slots=4)
    bench.push(*[draft() for _ in range(12)])
    for crash in range(2):
        assert [1, 2, 3] == [bench.claim(slot=slot).id for slot in range(3)]
        bench.crash(tmp_path / f"crash{crash}")
    assert [2, 2, 2, 0] == [bench.store.get(id).crashes for id in range(1, 5)]
    assert 1 == bench.claim().id
    bench.crash(tmp_path / "last")

    dead = bench.store.get(1)
    assert (State.FAILED, "Crashed", 0) == (dead.state, dead.error and dead.error.type, dead.attempt)
    assert list(range(2, 13)) == bench.drain()


def test_the_log_of_a_running_job_is_read_with_its_newest_lines(sqlite: Bench) -> None:
    """Also while the writer is busy: what was logged before is there."""
    sqlite.push(draft())
    job = sqlite.claim()
    with sqlite.in_one_batch() as ask:
        ask(sqlite.store.log, job.id, [LogLine(1, "info", "first"), LogLine(2, "info", "second")])
        read = sqlite.later(sqlite.store.read_log, job.id, None, 10)
    assert ["first", "second"] == [line.message for line in read.result(PATIENCE).items]
