"""The form pushes any kind, and says what is wrong where it is wrong."""

import json

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, row, visit


def opened(page: Page, site: Site, kind: str) -> None:
    """The form for *kind*, open."""
    visit(page, site)
    page.get_by_role("button", name="push a job").click()
    page.get_by_label("kind", exact=True).select_option(kind)


def test_it_is_made_from_the_schema(site: Site, page: Page) -> None:
    """Types, choices, ranges, defaults and what is required become fields; the job has what was typed."""
    opened(page, site, "resize")
    page.get_by_label("url").fill("https://example.org/a.png")
    page.get_by_label("width").fill("640")
    page.get_by_label("format").select_option("jpeg")
    page.get_by_label("sharpen").check()
    page.get_by_role("button", name="push", exact=True).click()
    expect(page.locator(".pushed")).to_contain_text("Accepted: job 1")
    expect(row(page, "done", 1)).to_be_visible()
    _, job = site.call("GET", "/jobs/1")
    assert job["payload"] == {"url": "https://example.org/a.png", "width": 640, "format": "jpeg", "sharpen": True}


def test_the_browser_checks_first(site: Site, page: Page) -> None:
    """What is missing or out of range is said beside the field, and nothing is sent."""
    opened(page, site, "resize")
    page.get_by_label("width").fill("5000")
    page.get_by_role("button", name="push", exact=True).click()
    expect(page.locator('[data-error="url"]')).to_be_visible()
    expect(page.locator('[data-error="width"]')).to_contain_text("4000")
    expect(page.locator("#rejected tbody tr")).to_have_count(0)


def test_the_servers_faults_stand_beside_their_fields(site: Site, page: Page) -> None:
    """A check that only the server can make ends up at the field it is about."""
    opened(page, site, "greet")
    page.get_by_label("name").fill("Zoë")
    page.get_by_label("email").fill("zoe@elsewhere.org")
    page.get_by_role("button", name="push", exact=True).click()
    expect(page.locator('[data-error="email"]')).to_have_text("Not one of ours.")
    expect(page.get_by_label("email")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#rejected tbody tr")).to_contain_text("zoe@elsewhere.org")
    page.get_by_label("email").fill("zoe@example.org")
    page.get_by_role("button", name="push", exact=True).click()
    expect(page.locator(".pushed")).to_be_visible()
    expect(page.locator('[data-error="email"]')).to_be_hidden()


def test_a_rejection_is_fixed_and_pushed_again(site: Site, page: Page) -> None:
    """The form opens with the refused push in it, its fault beside the field."""
    visit(page, site)
    site.reject("greet", name="Zoë", email="zoe@elsewhere.org")
    refused = page.locator("#rejected tbody tr")
    refused.hover()
    refused.get_by_role("button", name="fix and push again").click()
    expect(page.get_by_label("name")).to_have_value("Zoë")
    expect(page.locator('[data-error="email"]')).to_have_text("Not one of ours.")
    page.get_by_label("email").fill("zoe@example.org")
    page.get_by_role("button", name="push", exact=True).click()
    expect(row(page, "done", 1)).to_be_visible()


def test_a_payload_can_be_written_as_json(site: Site, page: Page) -> None:
    """A kind without a schema, or whoever prefers it: an editor; what is not JSON is said before anything is sent."""
    opened(page, site, "echo")
    editor = page.get_by_label("payload", exact=True)
    editor.fill("{oops")
    page.get_by_role("button", name="push", exact=True).click()
    expect(page.locator('[data-f="raw"] .problem')).to_contain_text("not JSON")
    editor.fill('{"deep": [1, {"a": null}]}')
    page.get_by_role("button", name="push", exact=True).click()
    expect(row(page, "done", 1)).to_contain_text("deep")


def test_the_curl_line_is_the_same_push(site: Site, page: Page) -> None:
    """Whatever stands in the form stands in the line, quoted for a shell."""
    opened(page, site, "greet")
    page.get_by_label("name").fill("O'Neill $HOME")
    page.get_by_label("email").fill("o@example.org")
    line = page.locator("#push code").inner_text()
    import shlex

    words = shlex.split(line)
    assert words[:2] == ["curl", f"{site.url}/push-job"]
    assert json.loads(words[-1]) == {"kind": "greet", "payload": {"name": "O'Neill $HOME", "email": "o@example.org"}}


def test_it_stands_beside_the_lists_and_closes_by_key(site: Site, page: Page) -> None:
    """`p` opens it, Escape closes it and gives the focus back; it covers no list."""
    visit(page, site)
    page.keyboard.press("p")
    form, lists = page.locator("#push").bounding_box(), page.locator(".lists").bounding_box()
    assert form is not None
    assert lists is not None
    assert lists["x"] + lists["width"] <= form["x"] + 1
    page.keyboard.press("Escape")
    expect(page.locator("#push")).to_be_hidden()
    expect(page.get_by_role("button", name="push a job")).to_be_focused()
