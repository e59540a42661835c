"""What the command line prints: jobs and queues as text for people. No text of others reaches a terminal as it came."""

import json
import os
import threading
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TextIO

from webqueue.job import State

WIDEST_CELL: Final = 32
"""Columns of a kind's or a queue's name in a table on a terminal, at most."""
BAR: Final = 20
"""Columns between a bar's brackets."""
MOST_BARS: Final = 10
"""Lines that are drawn again at the end of a terminal, at most."""

Json = dict[str, Any]


# -- texts


def safe(text: str) -> str:
    """*text* without what could move a terminal's cursor or forge a line."""
    return "".join(one if one.isprintable() else "�" for one in text)


def in_one_line(text: str) -> str:
    """The same for a text of many lines."""
    return safe(" ".join(text.split()))


def to_json(value: Any, indent: int | None = 2) -> str:
    """JSON for people and programs: what can't be printed is escaped, which means the same."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def width(text: str) -> int:
    """Columns that *text* takes on a terminal."""
    return sum(map(_width, text))


def _width(one: str) -> int:
    if unicodedata.combining(one):
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def cut(text: str, columns: int | None) -> str:
    """*text* in so many columns, with an ellipsis where it is cut; None: as it is."""
    if columns is None or width(text) <= columns:
        return text
    text = text[:columns]
    while text and width(text) >= columns:
        text = text[:-1]
    return text + "…"


def _pad(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def span(seconds: float) -> str:
    """A time that has passed, roughly: 0.3s, 12s, 5m, 3h, 4d."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{int(seconds * 10) / 10:g}s"
    for most, unit, size in ((60, "s", 1), (3600, "m", 60), (172_800, "h", 3600)):
        if seconds < most:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds // 86_400)}d"


def _between(start: str | None, end: str | datetime | None) -> float:
    """Seconds between two times of the API."""
    if start is None or end is None:
        return 0.0
    end = datetime.fromisoformat(end) if isinstance(end, str) else end
    return (end - datetime.fromisoformat(start)).total_seconds()


# -- tables


def table(head: Sequence[str], rows: Iterable[Sequence[str]], columns: int | None = None) -> list[str]:
    """Aligned lines under a head; on a terminal of so many *columns* cut to them, elsewhere (None) whole."""
    widest = None if columns is None else WIDEST_CELL
    cells = [list(head)] + [[*(cut(safe(one), widest) for one in row[:-1]), in_one_line(row[-1])] for row in rows]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    return [cut("  ".join(map(_pad, row, widths)).rstrip(), columns) for row in cells]


def jobs_table(jobs: Iterable[Json], now: datetime, columns: int | None = None) -> list[str]:
    """A line a job."""
    head = ("ID", "KIND", "STATE", "QUEUE", "ATTEMPT", "AGE", "NOTE")
    return table(head, [_row(job, now) for job in jobs], columns)


def _row(job: Json, now: datetime) -> tuple[str, ...]:
    attempt = f"{job['attempt']}/{job['max_attempts']}"
    age = span(_between(job["created_at"], now))
    return str(job["id"]), job["kind"], job["state"], job["queue"], attempt, age, note(job, now)


def note(job: Json, now: datetime) -> str:
    """What matters of a job in its state, in a few words."""
    error = job["error"]
    failure = in_one_line(f"{error['type']}: {error['message']}") if error else ""
    match job["state"]:
        case State.RUNNING:
            return ", ".join(filter(None, ("past its timeout" if job["overdue"] else "", progress(job["progress"]))))
        case State.DONE:
            return f"took {span(_between(job['started_at'], job['finished_at']))}"
        case State.FAILED | State.CANCELLED:
            return failure
    return ", ".join(filter(None, (_wait(job, now), failure and f"after {failure}")))


def _wait(job: Json, now: datetime) -> str:
    """What a job that has not begun waits for."""
    if job["waiting_for"]:
        return in_one_line(job["waiting_for"])
    if job["state"] == State.SCHEDULED:
        return f"due in {span(-_between(job['run_at'], now))}"
    return f"position {job['position']}" if job["position"] else ""


# -- sheets


def job_sheet(job: Json, log: Iterable[Json], now: datetime) -> list[str]:
    """All that is known of a job, but for its first line ``ID KIND STATE``."""
    result = to_json(job["result"]) if job["state"] == State.DONE else ""
    return [
        *_facts(_job_facts(job, now)),
        *_section("payload", to_json(job["payload"])),
        *_section("result", result),
        *_section("error", _error_text(job["error"])),
        *_section("attempts", "\n".join(_attempts(job["history"]))),
        *_section("log", "\n".join(_log_line(line) for line in log)),
    ]


def _job_facts(job: Json, now: datetime) -> dict[str, str | None]:
    timeout = job["timeout"]
    return {
        "queue": f"{job['queue']}, priority {job['priority']}",
        "attempt": f"{job['attempt']} of {job['max_attempts']}",
        "crashes": str(job["crashes"] or ""),
        "timeout": timeout and f"{timeout:g}s",
        "unique key": job["unique_key"],
        "created": f"{job['created_at']}, {span(_between(job['created_at'], now))} ago",
        "due": job["run_at"],
        "started": job["started_at"],
        "finished": job["finished_at"],
        "note": "" if job["state"] in {State.FAILED, State.CANCELLED} else note(job, now),
    }


def _facts(facts: Mapping[str, str | None]) -> list[str]:
    """A line for each that there is, aligned."""
    longest = max(map(len, facts))
    return [f"{name.ljust(longest)}  {in_one_line(text)}" for name, text in facts.items() if text]


def _section(title: str, text: str) -> list[str]:
    """*text* indented under its title; nothing where there is none."""
    return ["", title, *(f"  {safe(line.expandtabs())}" for line in text.split("\n"))] if text else []


def _error_text(error: Json | None) -> str:
    return f"{error['type']}: {error['message']}\n{error['traceback'] or ''}".rstrip() if error else ""


def _attempts(history: Iterable[Json]) -> list[str]:
    rows = [
        (str(one["attempt"]), one["outcome"], one["started_at"], span(_between(one["started_at"], one["ended_at"])),
         "{type}: {message}".format(**one["error"]) if one["error"] else "")
        for one in history
    ]  # fmt: skip
    return table(("#", "OUTCOME", "STARTED", "TOOK", "ERROR"), rows) if rows else []


def _log_line(line: Json) -> str:
    return f"{line['at']} {line['level']:<8} {in_one_line(line['message'])}"


def queue_sheet(overview: Json, columns: int | None = None) -> list[str]:
    """How it stands: what is stored, who works, each queue, and what recurs."""
    recurring = [(one["next"] or "", one["kind"], str(one["every"])) for one in overview["recurring"]]
    lines = [*_warnings(overview), *_facts(_queue_facts(overview)), "", *_queues(overview, columns)]
    return [*lines, "", *table(("NEXT", "RECURRING", "EVERY"), recurring, columns)] if recurring else lines


def _warnings(overview: Json) -> list[str]:
    """A line for each thing that is wrong, and an empty one; a server of an earlier version tells none."""
    drain = overview.get("draining")
    lines = [f"warning: it is shutting down since {drain['at']}, and takes no more pushes"] if drain else []
    lines += [f"warning: {in_one_line(one['message'])}" for one in overview.get("warnings", ())]
    return [*lines, ""] if lines else []


def _queue_facts(overview: Json) -> dict[str, str | None]:
    oldest, consumers, rates = overview["oldest_todo_age"], overview["consumers"], overview["rates"]
    pauses = _pauses(overview)
    return {
        "paused": f"all queues, {_pause(pauses[None])}" if None in pauses else None,
        "stored": _counts(overview["counts"]),
        "in all": _counts(overview["totals"]),
        "consumers": f"{consumers['busy']} of {consumers['alive']} busy",
        "rates": f"{rates['accepted']:g}/s accepted, {rates['finished']:g}/s finished",
        "oldest todo": None if oldest is None else span(oldest),
    }


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())


def _queues(overview: Json, columns: int | None) -> list[str]:
    states, pauses = [str(state) for state in State], _pauses(overview)
    names = sorted({*overview["queues"], *pauses} - {None})
    rows = [
        (name, *(str(overview["queues"].get(name, {}).get(state, 0)) for state in states), _pause(pauses.get(name)))
        for name in names
    ]
    return table(("QUEUE", *map(str.upper, states), "PAUSED"), rows, columns)


def _pauses(overview: Json) -> dict[str | None, Json]:
    return {pause["queue"]: pause for pause in overview["pauses"]}


def _pause(pause: Json | None) -> str:
    if pause is None:
        return ""
    who, why = pause["who"] and f"by {pause['who']} ", pause["why"] and f": {pause['why']}"
    return f"{who or ''}since {pause['at']}{why or ''}"


# -- progress


def progress(said: Json | None) -> str:
    """How far a handler says it is: its per cent and its words."""
    return "" if said is None else in_one_line(f"{said['fraction'] * 100:.0f} % {said['message']}")


def bar(job: Json) -> str:
    """``ID KIND STATE``, and where the job says how far it is, a bar."""
    text, said = f"{job['id']} {safe(job['kind'])} {job['state']}", job["progress"]
    if job["state"] != State.RUNNING or said is None:
        return text
    full = int(said["fraction"] * BAR)
    return f"{text} [{'#' * full}{'-' * (BAR - full)}] {progress(said)}"


def size_of(stream: TextIO) -> tuple[int, int] | None:
    """(columns, lines) of the terminal that *stream* is, where lines can be drawn again; None elsewhere."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return None
    columns, lines = os.get_terminal_size(stream.fileno())
    return columns or 80, lines or 24  # a terminal that nobody told its size says 0


class Screen:
    """The last lines of a terminal, drawn again in place while others go past above them. Any thread may call it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._drawn = 0
        self._closed = False

    def show(self, last: Sequence[str], above: Iterable[str] = ()) -> None:
        """From now on *last* are the last lines, as many as there is room for; those *above* go past for good."""
        with self._lock:
            if not self._closed:
                self._draw(last, above)

    def close(self) -> None:
        """The last lines are gone, and nothing more is drawn. Twice is fine."""
        self.show(())
        with self._lock:
            self._closed = True

    def _draw(self, last: Sequence[str], above: Iterable[str]) -> None:
        columns, lines = size_of(self._stream) or (80, 24)
        # One column stays free: a terminal may break a line that fills it.
        drawn = [cut(line, columns - 1) for line in last[: min(MOST_BARS, max(1, lines - 2))]]
        wiped = f"\r\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
        self._stream.write(wiped + "".join(f"{line}\n" for line in [*above, *drawn]))
        self._stream.flush()
        self._drawn = len(drawn)
