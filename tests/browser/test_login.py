"""Behind a token: a form, a session, and the way out."""


import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site


def log_in(page: Page, site: Site, token: str) -> None:
    """Fill in the form."""
    page.goto(site.url + "/")
    page.get_by_label("The token").fill(token)
    page.get_by_role("button", name="Log in").click()


def test_in_and_out(locked: Site, page: Page) -> None:
    """The page is live once one is in; after the way out its cookie is gone, and the old one opens nothing."""
    log_in(page, locked, "a token of this test")
    expect(page.locator("#connection")).to_have_text("connected")
    (cookie,) = page.context.cookies()
    assert ("webqueue_session", True, "Strict") == (cookie["name"], cookie["httpOnly"], cookie["sameSite"])
    page.get_by_role("button", name="log out").click()
    expect(page.get_by_label("The token")).to_be_visible()
    assert [] == page.context.cookies()
    page.context.add_cookies([cookie])
    page.goto(locked.url + "/")
    expect(page.get_by_label("The token")).to_be_visible()


def test_a_wrong_token(locked: Site, page: Page) -> None:
    """The form again, with what is wrong, and the theme to choose."""
    log_in(page, locked, "not this one")
    expect(page.get_by_role("alert")).to_have_text("This token is wrong.")
    expect(page.get_by_role("button", name="log out")).to_have_count(0)
    page.get_by_role("button", name="theme:").click()
    expect(page.get_by_role("button", name="theme:")).to_have_accessible_name("theme: light")


@pytest.mark.parametrize("path", ["/", "/jobs", "/jobs/1", "/jobs/99"])
def test_every_page_has_the_way_out(locked: Site, page: Page, path: str) -> None:
    """And the theme; a viewer may leave as well."""
    locked.engine.push({"kind": "echo"})
    log_in(page, locked, "another one")
    page.goto(locked.url + path)
    expect(page.get_by_role("button", name="theme:")).to_be_visible()
    page.get_by_role("button", name="log out").click()
    expect(page.get_by_label("The token")).to_be_visible()


def test_without_a_token_there_is_nothing_to_leave(site: Site, page: Page) -> None:
    """No button without a session."""
    page.goto(site.url + "/jobs")
    expect(page.get_by_role("button", name="theme:")).to_be_visible()
    expect(page.get_by_role("button", name="log out")).to_have_count(0)
