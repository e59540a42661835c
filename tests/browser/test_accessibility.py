"""axe-core finds nothing to object to, in any view, in light or in dark."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, visit

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
RUN = """async (tags) => {
  document.getAnimations().forEach((animation) => animation.finish());
  const { violations } = await axe.run({ runOnly: { type: "tag", values: tags }, resultTypes: ["violations"] });
  return violations.flatMap(({ id, impact, nodes }) => nodes.map((node) => `${impact} ${id}: ${node.html}`));
}"""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def faults(page: Page) -> dict[str, list[str]]:
    """By colour scheme what axe objects to, whatever its impact."""
    page.evaluate(AXE)  # not a <script>: the page's policy would not let it in
    return {scheme: _faults_in(page, scheme) for scheme in ("light", "dark")}


def _faults_in(page: Page, scheme: Any) -> list[str]:
    page.emulate_media(color_scheme=scheme)
    found: list[str] = page.evaluate(RUN, TAGS)
    return found


NONE: dict[str, list[str]] = {"light": [], "dark": []}


@pytest.fixture
def busy(site: Site) -> Iterator[Site]:
    """A job in every state, a refused push, and everything paused; one runs until the test is over."""
    site.reject("greet", name="Zoë")
    for kind, payload in (("echo", {"text": "hello"}), ("fail", {"message": "on purpose"})):
        site.call("GET", f"/jobs/{site.push(kind, **payload)}?wait=10")
    site.push("gate", name="runs")
    site.gate.wait()
    site.call("POST", f"/jobs/{site.push('echo', text='is cancelled')}/cancel")
    site.push("echo", text="waits")
    site.call("POST", "/push-job", {"kind": "echo", "payload": {}, "delay": 3600})
    site.engine._meters.commit = 100.0  # a warning
    site.call("POST", "/queue/pause", {"why": "a migration"})
    yield site
    site.gate.open()


def test_an_empty_dashboard(site: Site, page: Page) -> None:
    """The welcome and its command."""
    visit(page, site)
    expect(page.locator("#welcome")).to_be_visible()
    assert NONE == faults(page)


@pytest.mark.parametrize("tab", ["done", "failed", "cancelled", "scheduled"])
def test_a_busy_dashboard(busy: Site, page: Page, tab: str) -> None:
    """Every list with rows, the banner of the pause, each tab, and a row's buttons."""
    visit(page, busy, f"/#{tab}")
    for panel in ("todo", "running", "rejected", tab):
        expect(page.locator(f"#{panel} tbody tr")).to_have_count(1)
    expect(page.locator("#paused")).to_be_visible()
    expect(page.locator("#warnings li")).to_be_visible()
    page.locator(f"#{tab} tbody a").focus()
    assert NONE == faults(page)


def test_a_narrow_dashboard(busy: Site, page: Page) -> None:
    """One list at a time, the counts as tabs."""
    page.set_viewport_size({"width": 360, "height": 740})
    visit(page, busy, "/#rejected")
    expect(page.locator("#rejected")).to_be_visible()
    assert NONE == faults(page)


def test_a_dashboard_without_its_server_and_after_a_restart(site: Site, page: Page) -> None:
    """The word of the connection, and the note."""
    site.push("echo")
    visit(page, site)
    site.stop()
    expect(page.locator("#connection")).to_contain_text("reconnecting")
    assert NONE == faults(page)
    site.start()
    expect(page.locator("#restarted p")).to_be_visible()
    assert NONE == faults(page)


@pytest.mark.parametrize("kind", ["resize", "greet", "echo"])
def test_the_push_form_with_its_errors(site: Site, page: Page, kind: str) -> None:
    """What is wrong stands beside the fields; a kind without a schema has one for JSON."""
    visit(page, site)
    page.get_by_role("button", name="push a job").click()
    page.get_by_label("kind", exact=True).select_option(kind)
    if kind == "echo":
        page.get_by_label("payload", exact=True).fill("{oops")
    page.get_by_text("options", exact=True).click()
    page.get_by_role("button", name="push", exact=True).click()
    expect(page.locator("#push [data-error]:visible").first).to_be_visible()
    assert NONE == faults(page)


def test_a_rejected_push_in_the_form(busy: Site, page: Page) -> None:
    """Its values, and the server's words beside them."""
    visit(page, busy)
    refused = page.locator("#rejected tbody tr")
    refused.hover()
    refused.get_by_role("button", name="fix and push again").click()
    expect(page.locator('[data-error="email"]')).to_be_visible()
    assert NONE == faults(page)


def test_a_running_jobs_page(busy: Site, page: Page) -> None:
    """Progress and log."""
    visit(page, busy)
    page.locator("#running tbody a").click()
    expect(page.locator(".state")).to_have_text("running")
    expect(page.locator(".log li")).to_have_count(1)
    assert NONE == faults(page)


def test_a_failed_jobs_page(site: Site, page: Page) -> None:
    """Its error and the traceback, open."""
    visit(page, site, f"/jobs/{site.push('fail', message='on purpose')}")
    expect(page.locator(".state")).to_have_text("failed")
    page.locator(".attempts summary").click()
    expect(page.locator(".attempts pre")).to_be_visible()
    assert NONE == faults(page)


def test_the_page_of_no_job(site: Site, page: Page) -> None:
    """What an address says that outlived its job."""
    page.goto(site.url + "/jobs/999")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no job 999")
    assert NONE == faults(page)
    page.get_by_role("main").get_by_role("link").click()
    expect(page.locator("#connection")).to_have_text("connected")


def test_the_jobs_page(busy: Site, page: Page) -> None:
    """Rows in every state with their forms; a search that can't be meant."""
    page.goto(busy.url + "/jobs")
    expect(page.locator("tr.row")).to_have_count(6)
    assert NONE == faults(page)
    page.goto(busy.url + "/jobs?q=state:nope")
    expect(page.get_by_role("alert")).to_be_visible()
    assert NONE == faults(page)


def test_the_failures_page(busy: Site, page: Page) -> None:
    """A group with its traceback open, and a notice of more; nothing at all."""
    visit(page, busy, "/failures")
    page.locator(".group summary").click()
    page.locator(".fresh").evaluate("(line) => { line.hidden = false; }")
    assert NONE == faults(page)
    busy.call("POST", "/jobs/retry", {"state": "failed"})
    visit(page, busy, "/failures")
    expect(page.locator(".empty")).to_be_visible()
    assert NONE == faults(page)


def test_the_charts_page(busy: Site, page: Page) -> None:
    """Every chart drawn, a table open."""
    visit(page, busy, "/charts")
    expect(page.locator(".chart canvas")).to_have_count(4)
    page.locator("#depth summary").click()
    expect(page.locator("#depth tbody tr").first).to_be_visible()
    assert NONE == faults(page)


def test_the_login(locked: Site, page: Page) -> None:
    """Before anything was typed, and after a token that is wrong."""
    page.goto(locked.url + "/")
    assert NONE == faults(page)
    page.locator("#token").fill("not this one")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("This token is wrong.")
    assert NONE == faults(page)
