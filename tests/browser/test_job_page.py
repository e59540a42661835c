"""A job's own page keeps up with it."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, visit


def test_it_follows_the_job_to_its_end(site: Site, page: Page) -> None:
    """State, progress, log and result come without a reload."""
    first, second = site.push("gate", name="first"), site.push("gate", name="second")
    visit(page, site, f"/jobs/{second}")
    expect(page.locator(".state")).to_have_text("todo")
    site.gate.open()
    expect(page.locator(".state")).to_have_text("running")
    expect(page.locator(".log li")).to_have_count(1)
    expect(page.locator("main progress")).to_have_js_property("value", 0.5)
    site.gate.open()
    expect(page.locator(".state")).to_have_text("done")
    expect(page.locator('[data-f="result"]')).to_contain_text('"name": "second"')
    expect(page.locator(".attempts li")).to_contain_text("attempt 1: done")
    assert first < second


def test_a_failed_job_shows_its_traceback_and_can_be_retried(site: Site, page: Page) -> None:
    """The error, the attempt with its traceback, and a way to try again; the history stays."""
    job = site.push("fail", message="on purpose")
    visit(page, site, f"/jobs/{job}")
    expect(page.locator(".state")).to_have_text("failed")
    page.locator(".attempts summary").click()
    expect(page.locator(".attempts pre")).to_contain_text("RuntimeError: on purpose")
    page.get_by_role("button", name="retry").click()
    expect(page.locator(".attempts li")).to_have_count(2)


def test_no_log_line_is_lost_or_doubled_over_a_cut(site: Site, page: Page) -> None:
    """After a reconnect the log is what the server has."""
    job = site.push("gate")
    site.gate.wait()
    visit(page, site, f"/jobs/{job}")
    site.cut()
    expect(page.locator("#connection")).to_have_text("connected")
    site.gate.open()
    expect(page.locator(".state")).to_have_text("done")
    expect(page.locator(".log li")).to_have_count(1)


def test_lines_logged_while_nobody_followed_are_shown(site: Site, page: Page) -> None:
    """Those before the page was opened (more than it renders at first), and those while its socket was down."""
    job = site.push("chatty", lines=150)
    site.gate.wait()
    visit(page, site, f"/jobs/{job}")
    expect(page.locator(".log li")).to_have_count(150)
    site.cut()
    site.gate.open()
    assert site.call("GET", f"/jobs/{job}?wait=10")[1]["state"] == "done"
    expect(page.locator(".log li")).to_have_count(151)
    expect(page.locator(".log li").last).to_contain_text("last")
