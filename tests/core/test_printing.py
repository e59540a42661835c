"""What the command line prints, as text."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from webqueue.printing import (
    Screen,
    bar,
    cut,
    in_one_line,
    job_sheet,
    jobs_table,
    note,
    queue_sheet,
    safe,
    span,
    table,
    to_json,
    width,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def ago(seconds: float) -> str:
    """So many seconds before NOW, as the API tells times."""
    return (NOW - timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job(state: str = "todo", **fields: Any) -> dict[str, Any]:
    """A job as the API has it."""
    plain = {
        "id": 7, "kind": "resize", "queue": "default", "priority": 0, "state": state, "position": None,
        "attempt": 1, "max_attempts": 3, "crashes": 0, "timeout": None, "progress": None, "unique_key": None,
        "run_at": None, "created_at": ago(90), "started_at": ago(80), "finished_at": None, "overdue": False,
        "waiting_for": None, "payload": {}, "result": None, "error": None, "history": [],
    }  # fmt: skip
    return plain | fields


FAILURE = {"type": "ValueError", "message": "bad\x1b[2J\nworse", "traceback": "Traceback:\n\tline \x1b[2J\n"}


def test_control_characters_are_replaced() -> None:
    """Escapes, C1, bidirectional overrides and line breaks; letters of all scripts stay."""
    assert "a�[2J�����日 é" == safe("a\x1b[2J\x9b\u202e\n\r\x7f日 é")
    assert "one two �" == in_one_line("one\r\n\ttwo \x1b")


@pytest.mark.parametrize("text", ["\x1b\x7f\x9b", "\u202e\u2028", "\U000e0001", "日é\n\t"])
def test_json_is_printable_and_means_the_same(text: str) -> None:
    """What can't be printed is escaped, beyond U+FFFF too."""
    printed = to_json({text: [text]})

    assert {text: [text]} == json.loads(printed)
    assert all(one.isprintable() or one == "\n" for one in printed)


def test_width_is_that_of_a_terminal() -> None:
    """Wide letters take two columns, combining marks none; a cut text has as many as it may."""
    assert (4, 1) == (width("日本"), width("e\u0301"))
    assert ("日本", "日…", "ab", "a…", "…") == (
        cut("日本", 4),
        cut("日本", 3),
        cut("ab", 2),
        cut("abc", 2),
        cut("abc", 1),
    )
    assert "x" * 500 == cut("x" * 500, None)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-3, "0s"),
        (0.39, "0.3s"),
        (9.99, "9.9s"),
        (59.9, "59s"),
        (60, "1m"),
        (3_599, "59m"),
        (9e4, "25h"),
        (172_800, "2d"),
    ],
)
def test_span(seconds: float, expected: str) -> None:
    """Roughly, and never more than has passed."""
    assert expected == span(seconds)


def test_columns_are_aligned() -> None:
    """Also under wide letters; the last column may have anything in it, and no line ends with spaces."""
    assert ["A     B", "日本  1 2", "x"] == table(("A", "B"), [("日本", "1\n2"), ("x", "")])


def test_on_a_terminal_a_table_is_cut() -> None:
    """A long name leaves room for the others; elsewhere nothing is cut."""
    row = ("k" * 200, "done", "n" * 200)

    lines = table(("KIND", "STATE", "NOTE"), [row], 60)

    assert (45, 60) == (width(lines[0]), width(lines[1]))
    assert "…  done   n" in lines[1]
    assert "  ".join([row[0], "done ", row[2]]) == table(("KIND", "STATE", "NOTE"), [row])[1]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (job("todo", position=4), "position 4"),
        (job("todo", position=4, waiting_for="paused\x1b"), "paused�"),
        (job("scheduled", run_at=ago(-30)), "due in 30s"),
        (job("scheduled", run_at=ago(-30), error=FAILURE), "due in 30s, after ValueError: bad�[2J worse"),
        (job("running"), ""),
        (job("running", overdue=True, progress={"fraction": 0.5, "message": "\x1b"}), "past its timeout, 50 % �"),
        (job("done", finished_at=ago(60)), "took 20s"),
        (job("failed", error=FAILURE), "ValueError: bad�[2J worse"),
        (job("cancelled"), ""),
    ],
)
def test_a_note_says_what_matters_in_a_state(one: dict[str, Any], expected: str) -> None:
    """One line, without control characters."""
    assert expected == note(one, NOW)


def test_jobs_as_a_table() -> None:
    """A head and a line a job; the head also where there are none."""
    assert [
        "ID  KIND    STATE  QUEUE    ATTEMPT  AGE  NOTE",
        "7   resize  todo   default  1/3      1m   position 2",
    ] == jobs_table([job(position=2)], NOW)
    assert ["ID  KIND  STATE  QUEUE  ATTEMPT  AGE  NOTE"] == jobs_table([], NOW)


def test_a_job_as_a_sheet() -> None:
    """What there is, section by section; no control character of others."""
    attempt = {"attempt": 3, "started_at": ago(80), "ended_at": ago(79), "outcome": "failed", "error": FAILURE}
    one = job("failed", payload={"u\x9b": 1}, error=FAILURE, history=[attempt], timeout=30.0, unique_key="k\x1b")

    text = "\n".join(job_sheet(one, [{"at": ago(80), "level": "info", "message": "so\x1b\nfar"}], NOW))

    assert ["payload", "error", "attempts", "log"] == [part.partition("\n")[0] for part in text.split("\n\n")[1:]]
    assert "timeout     30s\nunique key  k�\n" in text
    assert "  ValueError: bad�[2J\n  worse\n  Traceback:\n          line �[2J\n" in text
    assert text.endswith(f"{ago(80)} info     so� far")
    assert safe(text.replace("\n", "")) == text.replace("\n", "")


def test_a_result_of_null_is_shown() -> None:
    """Done is done, also with nothing."""
    assert ["", "result", "  null"] == job_sheet(job("done", finished_at=ago(1)), [], NOW)[-3:]


def test_the_queue_as_a_sheet() -> None:
    """A queue that is paused and holds nothing is there as well; what recurs has its lines."""
    overview = {
        "counts": {"todo": 2}, "totals": {"accepted": 5}, "queues": {"default": {"todo": 2}}, "paused": True,
        "pauses": [
            {"queue": None, "who": "Ada", "why": None, "at": ago(2)},
            {"queue": "mail", "who": None, "why": "no\x1b net", "at": ago(5)},
        ], "consumers": {"alive": 2, "busy": 1},
        "oldest_todo_age": 61.0, "rates": {"accepted": 0.5, "finished": 0},
        "recurring": [{"kind": "tick", "every": 60, "next": ago(-5)}],
    }  # fmt: skip

    lines = queue_sheet(overview)

    assert f"paused       all queues, by Ada since {ago(2)}" == lines[0]
    assert ["stored       2 todo", "in all       5 accepted"] == lines[1:3]
    assert "consumers    1 of 2 busy" in lines
    assert f"mail     0          0     0        0     0       0          since {ago(5)}: no� net" in lines
    assert f"{ago(-5)}  tick       60" == lines[-1]

    wrong = {"warnings": [{"code": "slow", "message": "Slow\x1b.\nVery."}], "draining": {"at": ago(1), "until": None}}
    assert [f"warning: it is shutting down since {ago(1)}, and takes no more pushes", "warning: Slow�. Very.", ""] == (
        queue_sheet(overview | wrong)[:3]
    )


def test_a_bar() -> None:
    """Where a running job says how far it is; otherwise ID KIND STATE."""
    half = job("running", progress={"fraction": 0.5, "message": "half\x1b"})

    assert "7 resize running [##########----------] 50 % half�" == bar(half)
    assert (
        "7 resize running [####################] 100 %"
        == bar(half | {"progress": {"fraction": 1, "message": ""}}).rstrip()
    )
    assert "7 resize running" == bar(job("running"))
    assert "7 resize todo" == bar(half | {"state": "todo"})


def test_a_screen_draws_its_last_lines_again() -> None:
    """They are wiped first, what is above stays; as many as there is room for, none wider than the terminal."""
    stream = io.StringIO()
    screen = Screen(stream)

    screen.show(["one", "two"])
    screen.show(["x" * 100], above=["step"])
    screen.show([str(number) for number in range(50)])
    screen.close()
    screen.close()
    screen.show(["late"])

    wide = "x" * 78 + "…"
    ten = "".join(f"{number}\n" for number in range(10))
    wipe = "\r\x1b[{}A\x1b[J".format
    assert f"one\ntwo\n{wipe(2)}step\n{wide}\n{wipe(1)}{ten}{wipe(10)}" == stream.getvalue()
