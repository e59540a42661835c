"""The page of failures stays as it was loaded, and says when more came."""

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site, visit


def broken(site: Site, message: str = "on purpose") -> None:
    """A job that failed."""
    site.call("GET", f"/jobs/{site.push('fail', message=message)}?wait=10")


def test_more_failures_are_told(site: Site, page: Page) -> None:
    """Live, without moving what one reads; a reload shows them."""
    broken(site)
    visit(page, site, "/failures")
    fresh = page.locator(".fresh")
    expect(fresh).to_be_hidden()
    broken(site)
    expect(fresh).to_have_text("1 more failure since, reload")
    broken(site)
    expect(fresh).to_have_text("2 more failures since, reload")
    expect(page.locator(".group .number")).to_have_text("1")
    fresh.get_by_role("link").click()
    expect(page.locator(".group .number")).to_have_text("3")
    expect(page.locator("#connection")).to_have_text("connected")
    expect(fresh).to_be_hidden()


def test_without_scripts_a_group_is_retried(site: Site, browser: Browser) -> None:
    """The windows are links, the traceback opens, the button is a form."""
    broken(site)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.url + "/")
    page.get_by_role("link", name="failures").click()
    page.get_by_role("link", name="1 hour").click()
    expect(page).to_have_url(f"{site.url}/failures?within=1h")
    page.locator("summary").click()
    expect(page.locator("pre")).to_contain_text("RuntimeError: on purpose")
    site.engine.pause()
    page.get_by_role("button", name="retry all 1").click()
    expect(page.get_by_text("1 of 1 retried.")).to_be_visible()
    expect(page.locator(".empty")).to_have_text("Nothing failed in this time. All quiet.")
    context.close()
