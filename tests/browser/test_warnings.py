"""Warnings and the banner: words and a sign, only while something is wrong or held."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, visit


def test_a_warning_comes_and_goes(site: Site, page: Page) -> None:
    """Pushed, in words and with a sign; nothing where all is well."""
    visit(page, site)
    lines = page.locator("#warnings li")
    expect(page.locator("#warnings ul")).to_be_hidden()
    site.engine._meters.commit = 100.0
    site.push("echo")
    expect(lines).to_have_count(1)
    expect(lines.first).to_contain_text("warning: Commits take over 0.5 s")
    expect(lines.locator(".sign")).to_be_visible()
    site.engine._meters.commit = 0.0
    site.push("echo")
    expect(lines).to_have_count(0)
    expect(page.locator("#warnings ul")).to_be_hidden()


def test_it_is_there_without_script(site: Site, page: Page) -> None:
    """The server renders the same line, and the banner with who, when (UTC) and why."""
    site.engine._meters.commit = 100.0
    site.call("POST", "/queue/pause", {"why": "the disk is swapped", "who": "Ada"})
    site.engine._meters.commit = 100.0
    plain = page.context.browser.new_context(java_script_enabled=False).new_page()
    plain.goto(site.url)
    expect(plain.locator("#warnings li")).to_contain_text("warning: Commits")
    expect(plain.locator("#paused")).to_contain_text("by Ada, since")
    expect(plain.locator("#paused")).to_contain_text("UTC: the disk is swapped.")
    plain.context.close()


def test_the_end_is_said(site: Site, page: Page) -> None:
    """Shutting down, told over the socket; there is nothing to resume."""
    visit(page, site)
    site.engine.drain()
    site.engine.feed.poke()
    expect(page.locator("#paused")).to_contain_text("Shutting down: takes no more pushes, since")
    expect(page.get_by_role("button", name="resume")).to_have_count(0)
