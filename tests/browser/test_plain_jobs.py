"""Without JavaScript jobs are found, paged through and acted upon: with links and forms alone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site


@pytest.fixture
def plain(browser: Browser) -> Iterator[Page]:
    """A page in a browser with JavaScript switched off."""
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_find_page_and_act(site: Site, plain: Page) -> None:
    """Search, older, newest; cancel one, retry some that were chosen, cancel all that match; a mistake is explained."""
    site.engine.pause()
    for number in range(5):
        site.push("echo", number=number)
    plain.goto(f"{site.url}/jobs?limit=3")
    rows = plain.locator("tr.row")
    expect(rows).to_have_count(3)
    plain.get_by_role("link", name="older").click()
    expect(rows).to_have_count(2)
    plain.get_by_role("link", name="newest").click()
    expect(rows).to_have_count(3)

    plain.get_by_role("searchbox").fill('kind:echo "number":3')
    plain.get_by_role("button", name="search").click()
    expect(rows).to_have_count(1)
    expect(plain).to_have_url(f"{site.url}/jobs?q=kind%3Aecho+%22number%22%3A3")
    plain.get_by_role("row").get_by_role("button", name="cancel").click()
    expect(plain.get_by_role("status")).to_have_text("1 of 1 cancelled.")
    expect(rows).to_have_attribute("data-state", "cancelled")
    expect(plain.get_by_role("searchbox")).to_have_value('kind:echo "number":3')

    plain.get_by_role("checkbox", name="choose 4").check()
    plain.locator("#chosen").get_by_role("button", name="retry").click()
    expect(plain.get_by_role("status")).to_have_text("1 of 1 retried.")
    expect(rows).to_have_attribute("data-state", "todo")

    plain.goto(f"{site.url}/jobs?q=state:todo")
    plain.get_by_text("cancel all 5 that match").click()
    plain.get_by_role("button", name="yes, cancel them").click()
    expect(plain.get_by_role("status")).to_have_text("5 of 5 cancelled.")
    expect(plain.locator(".empty")).to_have_text("No job matches.")

    plain.get_by_role("searchbox").fill("state:nope")
    plain.get_by_role("button", name="search").click()
    expect(plain.get_by_role("alert")).to_contain_text("There is no state nope")
