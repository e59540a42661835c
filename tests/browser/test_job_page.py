"""A job's own page keeps up with it."""

import re
import subprocess

import pytest
from playwright.sync_api import Browser, Page, Route, expect

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


UNANSWERED = """
let joined = 0;
window.WebSocket = class extends WebSocket {
  constructor(...all) {
    super(...all);
    document.documentElement.setAttribute("data-joined", joined += 1);
    if (joined > 1) return;
    this.addEventListener("message", (event) => /^43.queue,/.test(event.data) && event.stopImmediatePropagation());
  }
  send(data) {
    if (/"follow"/.test(data)) document.documentElement.setAttribute("data-asked", joined);
    super.send(data);
  }
};
"""
"""Over its first connection the page gets no answer to what it asks."""


def test_a_call_to_follow_that_gets_no_answer_is_made_again(site: Site, page: Page) -> None:
    """After five seconds, over another connection: the page does not stand still and say connected."""
    page.add_init_script(UNANSWERED)
    page.clock.install()
    page.goto(f"{site.url}/jobs/{site.push('gate')}")
    expect(page.locator("html")).to_have_attribute("data-asked", "1")
    expect(page.locator("#connection")).not_to_have_text("connected")
    page.clock.fast_forward(6_000)
    expect(page.locator("html")).to_have_attribute("data-joined", "2")
    site.gate.wait()
    site.gate.open()
    expect(page.locator(".state")).to_have_text("done")


def test_a_failed_job_shows_its_traceback_and_can_be_retried(site: Site, page: Page) -> None:
    """The error, the attempt with its traceback, and a way to try again; the history stays."""
    job = site.push("fail", message="on purpose")
    visit(page, site, f"/jobs/{job}")
    expect(page.locator(".state")).to_have_text("failed")
    page.locator(".attempts summary").click()
    expect(page.locator(".attempts pre")).to_contain_text("RuntimeError: on purpose")
    page.get_by_role("button", name="retry").click()
    expect(page.locator(".attempts li")).to_have_count(2)


def test_a_line_that_is_told_late_is_not_doubled(site: Site, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has read it from the store before the event comes."""
    monkeypatch.setattr("webqueue.web.emitter.PERIOD", 1.0)
    site.push("gate", name="first")
    site.gate.wait()
    second = site.push("gate", name="second")

    def read_once_it_has_logged(route: Route) -> None:
        site.gate.open()
        site.gate.wait()
        route.continue_()

    page.route("**/log?*", read_once_it_has_logged, times=1)
    visit(page, site, f"/jobs/{second}")
    expect(page.locator(".log li")).to_have_count(1)
    expect(page.locator(".state")).to_have_text("running")
    assert 1 == page.locator(".log li").count()
    site.gate.open()
    expect(page.locator(".state")).to_have_text("done")


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


def timeline(page: Page) -> list[str]:
    """What its steps are called."""
    return page.locator('[data-f="timeline"] [data-f="name"]').all_text_contents()


def test_the_timeline_tells_what_took_how_long(site: Site, page: Page) -> None:
    """Each attempt with how long it waited and ran; while it is still to come it counts down."""
    job = site.call("POST", "/push-job", {"kind": "fail", "payload": {"message": "x"}, "delay": 7259})[1]["id"]
    visit(page, site, f"/jobs/{job}")
    expect(page.locator('[data-step="due"] time')).to_have_text("in 2 h 0 min")
    page.get_by_role("button", name="run now").click()
    expect(page.locator(".state")).to_have_text("failed")
    expect(page.locator("#said")).to_have_text(f"Job {job} goes to the tail of todo.")
    words = page.locator('[data-step="attempt 1"] [data-f="words"]')
    expect(words).to_have_text(re.compile(r"^waited \d.* m?s, ran \d.* m?s: failed$"))
    assert ["pushed", "attempt 1", "failed"] == timeline(page)


def test_the_script_tells_the_same_as_the_server(site: Site, page: Page, browser: Browser) -> None:
    """The timeline without JavaScript has the same steps and words."""
    job = site.push("fail", message="x")
    site.call("GET", f"/jobs/{job}?wait=10")
    site.call("POST", f"/jobs/{job}/retry")
    site.call("GET", f"/jobs/{job}?wait=10")
    visit(page, site, f"/jobs/{job}")
    expect(page.locator(".attempts li")).to_have_count(2)
    plain = browser.new_context(java_script_enabled=False)
    still = plain.new_page()
    still.goto(f"{site.url}/jobs/{job}")
    steps = '[data-f="timeline"] li > span'
    expect(page.locator(steps)).to_have_text(still.locator(steps).all_text_contents())
    plain.close()


def test_who_cancelled_it_is_told(site: Site, page: Page, browser: Browser) -> None:
    """Live, in the page itself without JavaScript, and in the log."""
    site.engine.pause()
    job = site.push("echo")
    visit(page, site, f"/jobs/{job}")
    site.call("POST", f"/jobs/{job}/cancel", {"who": "ada", "why": "a mistake"})
    expect(page.locator('[data-f="by"]')).to_have_text("cancelled by ada: a mistake")
    expect(page.locator(".log li")).to_have_count(1)
    plain = browser.new_context(java_script_enabled=False)
    still = plain.new_page()
    still.goto(f"{site.url}/jobs/{job}")
    expect(still.locator('[data-f="by"]')).to_have_text("cancelled by ada: a mistake")
    plain.close()


def test_who_cancelled_it_before_a_retry_counts_no_more(site: Site, page: Page) -> None:
    """While it runs again nobody has asked it to stop; the log keeps the line."""
    site.engine.pause()
    job = site.push("gate")
    site.call("POST", f"/jobs/{job}/cancel", {"who": "ada"})
    site.call("POST", f"/jobs/{job}/retry")
    site.engine.resume()
    site.gate.wait()
    visit(page, site, f"/jobs/{job}")
    expect(page.locator('[data-f="attempts"][data-shown]')).to_be_attached()  # from here on the script has the word
    expect(page.locator(".log li")).to_have_count(2)
    assert "" == page.locator('[data-f="by"]').text_content()  # at once: later the gate gives up, and it is true
    site.gate.open()


def test_a_running_job_says_who_asked_it_to_stop(site: Site, page: Page) -> None:
    """From the address where nobody gave a name; one that ends all the same was not cancelled."""
    job = site.push("gate")
    site.gate.wait()
    visit(page, site, f"/jobs/{job}")
    page.get_by_role("button", name="cancel").click()
    expect(page.locator('[data-f="by"]')).to_have_text("cancelled by 127.0.0.1")
    expect(page.locator(".log li")).to_have_count(2)
    site.gate.open()
    expect(page.locator(".state")).to_have_text("done")
    expect(page.locator('[data-f="by"]')).to_have_text("")


def test_no_secret_is_shown(site: Site, page: Page) -> None:
    """Neither in the HTML, payload and result and curl line, nor once the script has drawn it."""
    site.engine.pause()
    job = site.push("echo", password="hunter2", user="ada", deep=[{"api_key": "hunter2"}])
    visit(page, site, f"/jobs/{job}")
    site.engine.resume()
    expect(page.locator('[data-f="result"]')).to_contain_text('"user": "ada"')
    assert "hunter2" not in page.content()
    page.reload()
    expect(page.locator('[data-f="payload"]')).to_contain_text('"password": "•••"')
    expect(page.locator('[data-f="result"]')).to_contain_text('"api_key": "•••"')
    assert "hunter2" not in page.content()


def test_a_field_that_its_schema_calls_secret_is_hidden(site: Site, page: Page) -> None:
    """By the server and by the script."""
    job = site.push("sign", pin="1234", name="ada")
    visit(page, site, f"/jobs/{job}")
    expect(page.locator('[data-f="result"]')).to_contain_text('"name": "ada"')
    expect(page.locator('[data-f="payload"]')).to_contain_text('"pin": "•••"')
    assert "1234" not in page.content()


@pytest.mark.parametrize(("what", "copied"), [("id", "1"), ("payload", '{\n  "text": "it\'s"\n}'), ("result", None)])
def test_it_is_copied(site: Site, page: Page, what: str, copied: str | None) -> None:
    """The id, the payload, the result, each by a button of its own."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    site.push("echo", text="it's")
    visit(page, site, "/jobs/1")
    expect(page.locator(".state")).to_have_text("done")
    page.get_by_role("button", name=f"copy the {what}").click()
    expect(page.get_by_role("button", name=f"copy the {what}")).to_have_text("copied")
    assert (copied or '{\n  "text": "it\'s"\n}') == page.evaluate("navigator.clipboard.readText()")


def test_the_curl_line_pushes_the_same_again(site: Site, page: Page) -> None:
    """Run as it stands, a quote in the payload and all."""
    site.push("echo", text="it's")
    visit(page, site, "/jobs/1")
    line = page.locator('[data-f="curl"]').inner_text()
    subprocess.run(["sh", "-c", f"{line} -s -o /dev/null"], timeout=10, check=True)
    assert {"text": "it's"} == site.call("GET", "/jobs/2")[1]["payload"]
