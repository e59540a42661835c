"""Without JavaScript the page is complete, if still."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site, count, row


@pytest.fixture
def plain(browser: Browser) -> Iterator[Page]:
    """A page in a browser with JavaScript switched off."""
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_lists_and_counts_are_there(site: Site, plain: Page) -> None:
    """Every list with its rows, every count, and the connection line says that this is a picture of a moment."""
    site.reject("greet", name="Zoë")
    failed = site.push("fail", message="on purpose")
    running = site.push("gate")
    site.gate.wait()
    todo = site.push("echo", wait=True)
    plain.goto(site.url)
    expect(row(plain, "running", running)).to_contain_text("gate")
    expect(row(plain, "todo", todo)).to_contain_text('{"wait":true}')
    expect(row(plain, "failed", failed)).to_be_visible()
    expect(plain.locator("#rejected tbody tr")).to_contain_text("email")
    expect(count(plain, "failed")).to_have_text("1")
    expect(plain.locator("#connection")).to_contain_text("as it was when this page was loaded")
    expect(plain.get_by_role("button")).to_have_count(0)
    expect(plain.get_by_role("checkbox")).to_have_count(0)
    expect(plain.locator("#selection")).to_be_hidden()
    site.gate.open()


def test_a_jobs_page_is_there(site: Site, plain: Page) -> None:
    """Payload, error, log and attempts stand in the HTML itself."""
    job = site.push("gate", name="Zoë <b>")
    site.gate.wait()
    plain.goto(f"{site.url}/jobs/{job}")
    expect(plain.get_by_role("heading", level=1)).to_contain_text("gate")
    expect(plain.locator('[data-f="payload"]')).to_contain_text('"name": "Zoë <b>"')
    expect(plain.locator(".log")).to_contain_text("waiting at the gate")
    site.gate.open()


def test_an_empty_queue_shows_a_line_that_works(site: Site, plain: Page) -> None:
    """The curl line of the first screen, run as it stands, is accepted."""
    import subprocess

    plain.goto(site.url)
    line = plain.locator("#welcome .shell code").inner_text()
    command = f"{line} -s -o /dev/null -w '%{{http_code}}'"
    answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=10, check=True)
    assert answer.stdout == "202"


def test_a_jobs_page_acts(site: Site, plain: Page) -> None:
    """Run now, retry, cancel and delete are plain forms; each says what it did."""
    job = site.call("POST", "/push-job", {"kind": "fail", "payload": {"message": "x"}, "delay": 3600})[1]["id"]
    plain.goto(f"{site.url}/jobs/{job}")
    actions = plain.locator("#plain")  # until the style sheet is there, the buttons for scripts can be seen, too
    actions.get_by_role("button", name="run now").click()
    expect(plain.get_by_text("1 of 1 put into todo.")).to_be_visible()
    assert "failed" == site.call("GET", f"/jobs/{job}?wait=10")[1]["state"]
    site.engine.pause()
    plain.reload()
    actions.get_by_role("button", name="retry").click()
    expect(plain.get_by_text("1 of 1 retried.")).to_be_visible()
    actions.get_by_role("button", name="cancel").click()
    expect(plain.locator('[data-f="by"]')).to_have_text("cancelled by 127.0.0.1")
    actions.get_by_role("button", name="delete").click()
    expect(plain.get_by_role("heading", level=1)).to_have_text(f"There is no job {job}")


def test_the_dashboard_says_what_came_of_a_form(site: Site, plain: Page) -> None:
    """Where a form's ``back`` leads nowhere, the answer is on the dashboard, as text."""
    plain.goto(f"{site.url}/?said=1+of+1+<b>cancelled</b>.")
    expect(plain.locator("#said")).to_have_text("1 of 1 <b>cancelled</b>.")
