"""Light, dark, or as the system has it: chosen once, and there before anything is painted."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Site, visit

LIGHT = "rgb(251, 251, 249)"
DARK = "rgb(18, 20, 22)"
"""--paper of tokens.css, as the browser computes it."""

FIRST_PAINT = """
document.addEventListener("DOMContentLoaded", () => { window.parsed = document.documentElement.dataset.theme; });
new MutationObserver((_, observer) => {
  if (!document.body) return;
  observer.disconnect();
  window.begun = document.documentElement.dataset.theme;
}).observe(document, { childList: true, subtree: true });
"""


def switch(page: Page) -> Locator:
    """The button, by what it says."""
    return page.get_by_role("button", name="theme:")


def ground(page: Page, colour: str) -> None:
    """The page stands on *colour*."""
    expect(page.locator("html")).to_have_css("background-color", colour)


def test_the_system_is_followed(site: Site, page: Page) -> None:
    """Unless one chooses, the page changes with the system."""
    page.emulate_media(color_scheme="light")
    visit(page, site)
    expect(switch(page)).to_have_accessible_name("theme: system")
    ground(page, LIGHT)
    page.emulate_media(color_scheme="dark")
    ground(page, DARK)


def test_a_choice_goes_before_the_system(site: Site, page: Page) -> None:
    """The button goes from system to light to dark and back, and says where it is."""
    page.emulate_media(color_scheme="dark")
    visit(page, site)
    for name, colour in (("light", LIGHT), ("dark", DARK), ("system", DARK), ("light", LIGHT)):
        switch(page).click()
        expect(switch(page)).to_have_accessible_name(f"theme: {name}")
        ground(page, colour)
    page.emulate_media(color_scheme="light")
    switch(page).click()
    ground(page, DARK)


@pytest.mark.parametrize("path", ["/", "/jobs/1", "/login"])
def test_it_is_there_before_the_first_paint(site: Site, page: Page, path: str) -> None:
    """A stored choice is on the root before the body begins, on every page."""
    site.push("echo")
    page.emulate_media(color_scheme="light")
    visit(page, site)
    page.evaluate("localStorage.setItem('webqueue.theme', 'dark')")
    page.add_init_script(FIRST_PAINT)
    page.goto(site.url + path)
    assert ["dark", "dark"] == page.evaluate("[window.begun, window.parsed]")
    ground(page, DARK)


def test_it_outlives_a_reload(site: Site, page: Page) -> None:
    """What was chosen is kept by the browser."""
    page.emulate_media(color_scheme="light")
    visit(page, site)
    switch(page).click()
    switch(page).click()
    page.reload()
    expect(switch(page)).to_have_accessible_name("theme: dark")
    ground(page, DARK)


def test_other_tabs_follow(site: Site, page: Page) -> None:
    """A choice in one tab is the choice in all."""
    other = page.context.new_page()
    for one in (other, page):
        one.emulate_media(color_scheme="dark")
        visit(one, site)
    switch(page).click()
    ground(other, LIGHT)


def test_without_storage_it_is_a_switch_still(site: Site, page: Page) -> None:
    """Where the browser stores nothing the choice lasts as long as the page."""
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no'); } })")
    page.emulate_media(color_scheme="dark")
    visit(page, site)
    switch(page).click()
    ground(page, LIGHT)


def test_a_value_that_is_no_theme_is_the_systems(site: Site, page: Page) -> None:
    """Whatever else is stored under the name is passed over."""
    visit(page, site)
    page.evaluate("localStorage.setItem('webqueue.theme', 'mauve')")
    page.reload()
    expect(switch(page)).to_have_accessible_name("theme: system")
