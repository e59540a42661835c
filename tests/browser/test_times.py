"""Times: as ages, on one's own clock, or in UTC; right also where the browser's clock is not; no timer while hidden."""

import re

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE, Site, row, visit

AN_HOUR_LATE = "const real = Date.now; Date.now = () => real() + 3600000;"
COUNT_TIMERS = """
window.timers = new Set();
const [set, clear] = [window.setInterval, window.clearInterval];
window.setInterval = (...all) => { const id = set(...all); window.timers.add(id); return id; };
window.clearInterval = (id) => { window.timers.delete(id); clear(id); };
"""
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_the_switch_goes_round_and_is_kept(site: Site, browser: Browser) -> None:
    """Relative, local, UTC; the title is absolute in each, and a fresh page remembers."""
    context = browser.new_context(timezone_id="Asia/Kolkata")
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    visit(page, site)
    id = site.push("echo")
    time = row(page, "done", id).locator("time")
    expect(time).to_have_text(re.compile("now|ago"))
    iso = time.get_attribute("datetime")
    button = page.get_by_role("button", name="times:")
    button.click()
    expect(button).to_have_text("times: local")
    expect(time).to_have_text(re.compile(r"^(\S+ )?\d\d:\d\d:\d\d$"))
    local = time.text_content()
    button.click()
    expect(time).to_have_text(re.compile(rf"{iso[11:19]} UTC$"))
    assert local[-8:-6] + local[-5:-3] != iso[11:13] + iso[14:16]
    assert iso in time.get_attribute("title")
    fresh = context.new_page()
    visit(fresh, site)
    expect(row(fresh, "done", id).locator("time")).to_have_text(re.compile("UTC$"))
    visit(fresh, site, f"/jobs/{id}")
    expect(fresh.locator(".timeline time").first).to_have_text(re.compile("UTC$"))
    fresh.get_by_role("button", name="times: UTC").click()
    expect(fresh.locator(".timeline time").first).to_have_text(re.compile("now|ago"))
    context.close()


def test_a_clock_that_is_off_is_corrected(site: Site, page: Page) -> None:
    """The browser's is an hour late: a job that has just ended is seconds old."""
    page.add_init_script(AN_HOUR_LATE)
    visit(page, site)
    id = site.push("echo")
    expect(row(page, "done", id).locator("time")).to_have_text(re.compile(r"^(now|\d+ s ago)$"))


def test_a_hidden_page_has_no_timer(site: Site, page: Page) -> None:
    """One a second while it is looked at."""
    page.add_init_script(COUNT_TIMERS)
    visit(page, site)
    seen = page.evaluate("timers.size")
    page.evaluate(HIDE, True)
    assert seen - 1 == page.evaluate("timers.size")
    page.evaluate(HIDE, False)
    assert seen == page.evaluate("timers.size")


def test_without_script_it_is_utc(site: Site, page: Page) -> None:
    """With its date."""
    site.push("fail", message="x")
    site.engine.wait(1, PATIENCE)
    plain = page.context.browser.new_context(java_script_enabled=False).new_page()
    plain.goto(site.url)
    expect(plain.locator('[data-id="1"] time').first).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$"))
    plain.context.close()
