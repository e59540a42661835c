"""GET /charts: as JSON what the rings hold, as HTML the same in words."""

import html
import re

import pytest

from webqueue.rings import COLUMNS
from webqueue.web.routes.charts import CHARTS, worded

HTML = {"Accept": "text/html"}
BEGIN = 1_000_000_000


@pytest.fixture
def moved(server):
    """A server on which three jobs were pushed and run in one second, some time ago by its clock."""
    engine, rings = server.engine, server.engine._rings
    rings._clock = engine._store._clock = lambda: BEGIN * 1_000_000
    rings.start()
    for _ in range(3):
        server.push(wait=5)
    rings._clock = lambda: (BEGIN + 65) * 1_000_000
    return server


def tables(text):
    """[[a row's cells] of each table], without the heads."""
    bodies = re.findall(r"<tbody>(.*?)</tbody>", text, re.DOTALL)
    rows = [re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL) for body in bodies]
    return [
        [[html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t", row)] for row in body] for body in rows
    ]


def test_all_columns_are_as_long(moved):
    """A figure or null for each step, and the steps one after the other."""
    body = moved.get("/charts").json()
    assert list(range(BEGIN, BEGIN + 65)) == body["at"]
    assert dict.fromkeys(COLUMNS, 65) == {name: len(body[name]) for name in COLUMNS}
    assert ([3, 0, 0], [3, 0, 0]) == (body["pushed"][:3], body["done"][:3])
    assert (1, 300, False) == (body["step"], body["steps"], body["open"])
    assert body["run_p50"][0] > 0
    assert body["run_p50"][1] is None


def test_a_step_may_have_ten_seconds(moved):
    """Then the figures are means."""
    body = moved.get("/charts?step=10").json()
    assert ([BEGIN + 10 * step for step in range(6)], 0.3, 360) == (body["at"], body["pushed"][0], body["steps"])


def test_only_what_is_new_is_told(moved):
    """Of the steps those that begin later."""
    assert [BEGIN + 63, BEGIN + 64] == moved.get(f"/charts?since={BEGIN + 62}").json()["at"]
    assert [] == moved.get(f"/charts?since={BEGIN + 64}").json()["at"]


@pytest.mark.parametrize("query", ["step=2", "step=x", "since=-1", "since=1.5"])
def test_what_can_not_be_meant_is_said(plain, query):
    """In JSON and on the page, which then shows the last minutes."""
    assert 422 == plain.get(f"/charts?{query}").status_code
    answer = plain.get(f"/charts?{query}", headers=HTML)
    assert (422, True) == (answer.status_code, 'role="alert"' in answer.text)
    assert 'data-step="1"' in answer.text


@pytest.mark.parametrize("step", [1, 10])
def test_the_page_has_every_figure_in_its_tables(moved, step):
    """One table a chart, the newest first; neighbours that are alike are one row."""
    body = moved.get(f"/charts?step={step}").json()
    shown = tables(moved.get(f"/charts?step={step}", headers=HTML).text)
    assert len(CHARTS) == len(shown)
    for chart, rows in zip(CHARTS, shown, strict=True):
        first, rest = ([worded(body[name][place], chart.unit) for name, _ in chart.series] for place in (0, -1))
        if first == rest:
            assert [rest] == [row[1:] for row in rows]
        else:
            assert [rest, first] == [row[1:] for row in rows]
    assert {1: "01:46:41 – 01:47:45", 10: "01:46:50 – 01:47:40"}[step] == shown[0][0][0]


def test_both_spans_are_a_link_away(plain):
    """And the one that is shown says so."""
    page = plain.get("/charts?step=10", headers=HTML).text
    assert re.search(r'href="/charts\?step=10" aria-current="page">1 hour', page)
    assert re.search(r'href="/charts\?step=1">5 minutes', page)


@pytest.mark.parametrize(
    ("figure", "unit", "words"),
    [
        (None, "", "–"),
        (None, "s", "–"),
        (0, "", "0"),
        (0.3, "", "0.3"),
        (1234567.5, "", "1,234,567.5"),
        (0.00000952, "s", "0.00952 ms"),
        (0.0312, "s", "31.2 ms"),
        (0.905, "s", "905 ms"),
        (1.0, "s", "1 s"),
        (1.91, "s", "1.91 s"),
        (2590000.0, "s", "2590000 s"),
    ],
)
def test_figures_are_put_into_words(figure, unit, words):
    """Numbers in groups, times in the unit that fits."""
    assert words == worded(figure, unit)


def test_it_is_told_in_one_of_two_languages(plain):
    """And caches know."""
    assert ("Accept", "application/json") == tuple(
        plain.get("/charts").headers[name] for name in ("Vary", "Content-Type")
    )


def test_a_page_and_no_script_of_a_stranger(plain):
    """The vendored library is served from here, under the same policy as everything."""
    page = plain.get("/charts", headers=HTML)
    (script,) = re.findall(r'<script defer src="([^"]+)"', page.text)
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert plain.http.get(plain.root + script).text.startswith("/*! https://github.com/leeoniya/uPlot (v1.6.32) */")
