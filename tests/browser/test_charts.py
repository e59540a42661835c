"""The charts go on by themselves, and each has a table that says the same."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site, visit
from webqueue.web.routes.charts import CHARTS, Chart, worded

EVERY = pytest.mark.parametrize("chart", CHARTS, ids=[chart.id for chart in CHARTS])
PIXELS = """(canvas) => canvas.toDataURL()"""


def clock(at: int) -> str:
    """As the tables have it."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def shown(page: Page, chart: Chart, told: dict[str, Any]) -> dict[str, list[str]]:
    """What the open table says of each step that is *told*, and that its rows cover."""
    rows = page.locator(f"#{chart.id} tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    assert rows
    at = {clock(one): one for one in told["at"]}
    found: dict[str, list[str]] = {}
    for when, *figures in rows:
        begin, _, end = when.partition(" – ")
        for one in range(at[begin], at[end] if end in at else at[begin] + 1 if not end else told["at"][-1] + 1):
            found[clock(one)] = figures
    return found


def told_in_words(chart: Chart, told: dict[str, Any]) -> dict[str, list[str]]:
    """The same of the JSON."""
    columns = [told[name] for name, _ in chart.series]
    return {
        clock(at): [worded(one, chart.unit) for one in figures]
        for at, *figures in zip(told["at"], *columns, strict=True)
    }


def table(page: Page, chart: str) -> Any:
    """The rows of a chart's table, opened."""
    page.locator(f"#{chart} summary").click()
    return page.locator(f"#{chart} tbody tr")


def test_a_push_is_seen(site: Site, page: Page) -> None:
    """Nobody reloads: a second later it stands in the table, and the line is another one."""
    visit(page, site, "/charts")
    rows = table(page, "rates")
    expect(rows.first).to_be_visible()
    before = page.locator("#rates canvas").evaluate(PIXELS)
    site.push("fail", message="on purpose")
    expect(rows.filter(has_text="101").first).to_be_visible()
    assert before != page.locator("#rates canvas").evaluate(PIXELS)


@EVERY
def test_the_table_says_what_the_json_says(site: Site, page: Page, chart: Chart) -> None:
    """Step by step, as far as the page knows it, once it has drawn it itself."""
    site.call("GET", f"/jobs/{site.push('echo')}?wait=10")
    visit(page, site, "/charts")
    first = table(page, chart.id).first
    expect(first).to_be_visible()
    before = first.text_content()
    assert before is not None
    site.push("echo")
    expect(first).not_to_have_text(before)
    told = site.call("GET", "/charts")[1]
    known = shown(page, chart, told)
    wanted = told_in_words(chart, told)
    assert {when: wanted[when] for when in known} == known
    assert len(known) > 1


@EVERY
def test_without_javascript_the_tables_are_there(site: Site, browser: Browser, chart: Chart) -> None:
    """And no frame without a picture."""
    site.call("GET", f"/jobs/{site.push('echo')}?wait=10")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.url + "/charts?step=1")
    while not page.locator("tbody tr").count():  # until the first second is over
        page.reload()
    told = site.call("GET", "/charts")[1]
    rows = table(page, chart.id)
    expect(rows.first).to_be_visible()
    expect(page.locator(".plot:visible")).to_have_count(0)
    words = told_in_words(chart, told)
    last = rows.last.locator("td").all_text_contents()
    assert words[clock(told["at"][0])] == last
    context.close()


def test_a_restart_is_marked(site: Site, page: Page) -> None:
    """What the first server told stays; when the second was started stands beside it."""
    visit(page, site, "/charts")
    rows = table(page, "rates")
    site.push("echo")
    pushed = rows.filter(has_text=re.compile(r"^\d\d:\d\d:\d\d1[01]0$"))  # done then, or in the next
    expect(pushed).to_have_count(1)
    before = pushed.text_content()
    site.stop()
    expect(page.locator("#connection")).not_to_have_text("connected")
    site.start()
    expect(page.locator('[data-f="starts"]')).to_contain_text(", ")
    assert before is not None
    expect(rows.filter(has_text=before)).to_have_count(1)


def test_an_idle_page_asks_for_nothing(site: Site, page: Page) -> None:
    """Once at the beginning and once for the first snapshot; then not once for as long as it needs no ping.

    The clock here runs ahead of the server's pings: after 45 s of it the page would take the connection for lost.
    """
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/charts?step" in request.url else None)
    page.clock.install()
    with page.expect_response(lambda response: "since=" in response.url):
        visit(page, site, "/charts")
    page.clock.run_for(5_000)
    before = len(asked)
    page.clock.run_for(35_000)
    assert before <= 2
    assert before == len(asked)


def test_other_colours_are_drawn_at_once(site: Site, page: Page) -> None:
    """By the button, and by the system."""
    visit(page, site, "/charts")
    expect(page.locator("#rates canvas")).to_be_visible()
    seen = [page.locator("#rates canvas").evaluate(PIXELS)]
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_css("color-scheme", "light dark")
    seen.append(page.locator("#rates canvas").evaluate(PIXELS))
    page.get_by_role("button", name="theme").click()
    seen.append(page.locator("#rates canvas").evaluate(PIXELS))
    assert seen[0] != seen[1]
    assert seen[1] != seen[2]


def test_the_dashboard_leads_to_it(site: Site, page: Page) -> None:
    """And the other span is a link away."""
    visit(page, site)
    page.get_by_role("link", name="charts").click()
    page.get_by_role("link", name="1 hour").click()
    expect(page).to_have_url(f"{site.url}/charts?step=10")
    expect(page.locator("#connection")).to_have_text("connected")
