"""What failed of late, in groups; and how far down a search looks."""

import pytest

from tests.stores.conftest import MakeBench
from tests.stores.kit import Bench, draft
from webqueue.job import Failure
from webqueue.stores.sqlite import SqliteTables
from webqueue.stores.tables import FailureGroup, Filter


def fail(bench: Bench, kind: str, error: str) -> int:
    """A job that failed now."""
    bench.push(draft(kind))
    job = bench.claim()
    bench.end(job, job.fail(bench.clock(), Failure(error, "no", "Traceback")))
    return job.id


def test_failures_are_grouped(bench: Bench) -> None:
    """By kind and type of error, with how many, first, last and newest; the greatest group first, others left out."""
    times = []
    for kind, error in (("echo", "A"), ("echo", "B"), ("echo", "A"), ("add", "A")):
        bench.clock.advance(10)
        times.append(bench.clock())
        fail(bench, kind, error)
    bench.push(draft())
    bench.complete(bench.claim())
    bench.push(draft())

    assert [
        FailureGroup("echo", "A", 2, times[0], times[2], 3),
        FailureGroup("add", "A", 1, times[3], times[3], 4),
        FailureGroup("echo", "B", 1, times[1], times[1], 2),
    ] == bench.store.failures(0)
    assert [4, 3] == [group.newest for group in bench.store.failures(times[2])]
    assert [] == bench.store.failures(times[3] + 1)


def test_what_is_retried_is_no_failure(bench: Bench) -> None:
    """Nor what was forgotten."""
    first, second = fail(bench, "echo", "A"), fail(bench, "echo", "A")
    bench.store.retry(first)
    bench.store.forget(second)
    assert [] == bench.store.failures(0)


def test_a_retry_leaves_alone_what_failed_before(bench: Bench) -> None:
    """A filter may say since when."""
    fail(bench, "echo", "A")
    bench.clock.advance(5)
    late = fail(bench, "echo", "A")
    matched, done = bench.store.retry_all(Filter("failed", "echo", error="A", since=bench.clock()), 9)
    assert (1, [late]) == (matched, [job.id for job in done])


def test_only_the_newest_are_grouped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many."""
    monkeypatch.setattr("webqueue.stores.memory.GROUPED", 2)
    monkeypatch.setattr("webqueue.stores.sqlite.FAILURES", _limited())
    for error in ("A", "B", "C"):
        bench.clock.advance(1)
        fail(bench, "echo", error)
    assert {"B", "C"} == {group.error for group in bench.store.failures(0)}


def _limited() -> str:
    from webqueue.stores.rows import FAILURES

    return FAILURES.replace("LIMIT 10000", "LIMIT 2")


def test_a_search_looks_so_far_and_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page says where it stopped; all pages together find all, whichever state is meant."""
    for module in ("memory", "sqlite", "local"):
        monkeypatch.setattr(f"webqueue.stores.{module}.SEARCHED", 3)
    for error in ("A", "B", "B", "B", "B", "A", "B"):
        fail(bench, "echo", error)
    bench.push(draft(), draft())
    for filter in (Filter(error="A"), Filter("failed", error="A"), Filter(payload=(("x", "null"),), error="A")):
        found, cursor, stops = [], None, 0
        while True:
            page = bench.store.page(filter, cursor, 5)
            found += [job.id for job in page.items]
            stops += page.searched == 3
            if page.next is None:
                break
            cursor = page.next
        assert [6, 1] == found
        assert stops >= 2
    assert None is bench.store.page(Filter("failed"), None, 5).searched


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [("a", "7", [1, 2]), ("a", "seven \"é\"", [3]), ("a.b[1].c", "true", [4]), ("a.b[1].c", "1", []), ("a", "0.1", [5]),
     ("x", "null", [1, 2, 3, 4, 5, 6]), ("a.b", "[1,{\"c\":true}]", [4]), ("a b", "X", [6]),
     ("a b", "x", []), ("a.b[0]", "1", [4])],
)  # fmt: skip
def test_both_kinds_of_store_look_into_payloads_alike(bench: Bench, path: str, value: str, found: list[int]) -> None:
    """The value as it is written, as text or as JSON."""
    for payload in ('{"a":7}', '{"a":"7"}', '{"a":"seven \\"é\\""}', '{"a":{"b":[1,{"c":true}]}}', '{"a":0.1}',
                    '{"a b":"X"}'):  # fmt: skip
        bench.push(draft(payload=payload.encode()))
    page = bench.store.page(Filter(payload=((path, value),)), None, 9)
    assert found == sorted(job.id for job in page.items)


def test_failures_and_lists_by_state_use_their_indices(sqlite: Bench) -> None:
    """Neither reads the table from end to end; an older file gets the index when it is opened."""
    tables = sqlite.store.tables
    assert isinstance(tables, SqliteTables)
    asked: list[str] = []
    with tables._reader() as reader:
        reader.set_trace_callback(asked.append)
    tables.failures(0)
    tables.page(Filter("failed"), 50, 5)
    tables.page(Filter("failed", "echo"), 50, 5, 3)
    with tables._reader() as reader:
        reader.set_trace_callback(None)
        plans = [row[3] for text in asked for row in reader.execute("EXPLAIN QUERY PLAN " + text)]
    assert ["jobs_failed", "jobs_by_state", "jobs_by_state"] == [plan.split()[4] for plan in plans], plans


def test_an_older_file_gets_the_index(make_sqlite: MakeBench) -> None:
    """When it is opened."""
    bench = make_sqlite()
    tables = bench.store.tables
    assert isinstance(tables, SqliteTables)
    assert tables._writer is not None
    tables._writer.execute("DROP INDEX jobs_failed")
    bench.reopen()
    tables = bench.store.tables
    assert isinstance(tables, SqliteTables)
    assert 1 == tables._one("SELECT count(*) FROM sqlite_master WHERE name = 'jobs_failed'", ())
