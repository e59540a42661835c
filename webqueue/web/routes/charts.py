"""GET /charts: what happened in each second of the last minutes, or in each ten of the last hour."""

from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final, NamedTuple

from flask import Response
from marshmallow import ValidationError

from webqueue.rings import LENGTHS, Figure
from webqueue.web.answers import answer
from webqueue.web.current import current_engine
from webqueue.web.incoming import as_words, read_query
from webqueue.web.page import prefers_page, render
from webqueue.web.schemas import ChartsQuery


class Chart(NamedTuple):
    """One chart: its *series* are (column of the answer, what it is called), its *unit* is ``s`` or nothing."""

    id: str
    title: str
    unit: str
    series: tuple[tuple[str, str], ...]


CHARTS: Final = (
    Chart("rates", "jobs a second", "", (("pushed", "pushed"), ("done", "done"), ("failed", "failed"))),
    Chart("depth", "jobs that wait and run", "", (("todo", "todo"), ("running", "running"))),
    Chart("wait", "wait for the start", "s", (("wait_p50", "p50"), ("wait_p95", "p95"), ("wait_p99", "p99"))),
    Chart("run", "run of an attempt", "s", (("run_p50", "p50"), ("run_p95", "p95"), ("run_p99", "p99"))),
)
SPANS: Final = {1: "5 minutes", 10: "1 hour"}
"""How far back the steps of so many seconds reach."""

_QUERY = ChartsQuery()

Row = tuple[str, list[str]]


def show_charts() -> Response:
    """The steps that are over, column by column; for a browser a page that goes on by itself."""
    response = _page() if prefers_page() else answer(current_engine().charts(**read_query(_QUERY)))
    response.headers["Vary"] = "Accept"
    return response


def _page() -> Response:
    """The page; of a query that can't be read one that says why."""
    try:
        step, status, problem = read_query(_QUERY)["step"], 200, None
    except ValidationError as error:
        step, status, problem = 1, 422, as_words(error)
    body = current_engine().charts(step)
    return render(
        "charts.html",
        status,
        body=body,
        charts=[(chart, _newest(body, chart), _rows(body, chart)) for chart in CHARTS],
        spans=SPANS,
        kept=step * LENGTHS[step],
        problem=problem,
    )


def _newest(body: dict[str, Any], chart: Chart) -> list[str]:
    """The newest figure of each series, in words."""
    return [worded(body[name][-1] if body[name] else None, chart.unit) for name, _ in chart.series]


def _rows(body: dict[str, Any], chart: Chart) -> list[Row]:
    """The chart as a table, (when, figures in words), the newest first; twin: steps.js rows()."""
    steps = zip(body["at"], *(body[name] for name, _ in chart.series), strict=True)
    found: list[Row] = []
    for figures, same in groupby(steps, key=lambda step: step[1:]):
        at = [step[0] for step in same]
        found.append((_when(at[0], at[-1] + body["step"], body["step"]), [worded(one, chart.unit) for one in figures]))
    return found[::-1]


def _when(begin: int, end: int, step: int) -> str:
    """One step by its beginning, neighbours that are alike as one span."""
    return _clock(begin) if end - begin == step else f"{_clock(begin)} – {_clock(end)}"


def _clock(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def worded(figure: Figure, unit: str) -> str:
    """A figure as it is read; twin: plot.js worded()."""
    if figure is None:
        return "–"
    if not unit:
        return f"{figure:,.10g}"
    return f"{figure * 1000:.3g} ms" if figure < 1 else f"{figure:.10g} s"


ROUTES = [("GET", "/charts", show_charts)]
