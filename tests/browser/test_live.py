"""What happens in the queue is seen on the page, without a reload."""

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Site, count, row, visit


def test_a_pushed_job_goes_from_todo_to_running_to_done(site: Site, page: Page) -> None:
    """A job pushed by HTTP is seen in each of its states, and the counts follow."""
    visit(page, site)
    first, second = site.push("gate", name="first"), site.push("gate", name="second")
    site.gate.wait()
    expect(row(page, "running", first)).to_contain_text("gate")
    expect(row(page, "todo", second)).to_contain_text("#1")
    expect(count(page, "todo")).to_have_text("1")
    site.gate.open()
    site.gate.wait()
    expect(row(page, "done", first)).to_be_visible()
    expect(row(page, "running", second)).to_be_visible()
    site.gate.open()
    expect(count(page, "done")).to_have_text("2")
    expect(count(page, "running")).to_have_text("0")
    expect(page.locator("#todo tbody tr")).to_have_count(0)


def test_progress_is_shown_as_it_comes(site: Site, page: Page) -> None:
    """A running job's progress has a bar, a number and the handler's own words."""
    visit(page, site)
    running = row(page, "running", site.push("gate"))
    expect(running.locator("progress")).to_have_js_property("value", 0.5)
    expect(running).to_contain_text("50 %")
    expect(running).to_contain_text("at the gate")
    site.gate.open()


def test_an_unfit_push_is_seen_with_its_reasons_by_field(site: Site, page: Page) -> None:
    """Every viewer sees which field was wrong, why, and the value that it had."""
    visit(page, site)
    site.reject("resize", url="nowhere", width=5000)
    rejected = page.locator("#rejected tbody tr")
    expect(rejected).to_have_count(1)
    expect(rejected.locator(".fault", has_text="url")).to_contain_text('Not a valid URL. "nowhere"')
    expect(rejected.locator(".fault", has_text="width")).to_contain_text("5000")
    expect(count(page, "rejected")).to_have_text("1")


def test_an_unknown_kind_is_seen_as_rejected(site: Site, page: Page) -> None:
    """The kind itself may be what is wrong."""
    visit(page, site)
    site.reject("resise")
    expect(page.locator("#rejected tbody tr")).to_contain_text("resise")
    expect(page.locator("#rejected tbody tr .fault")).to_contain_text("kind")


def test_a_failed_job_says_why_in_its_tab(site: Site, page: Page) -> None:
    """The count of failed leads to the failed, and each says its error."""
    visit(page, site)
    failed = site.push("fail", message="the disk is on fire")
    expect(count(page, "failed")).to_have_text("1")
    page.locator('#counts [data-state="failed"]').click()
    expect(row(page, "failed", failed)).to_contain_text("RuntimeError: the disk is on fire")


def test_pausing_is_said_and_holds_until_resumed(site: Site, page: Page, context: BrowserContext) -> None:
    """One viewer pauses, every viewer sees it; the job waits, says why, and starts on resume."""
    visit(page, site)
    other = context.new_page()
    visit(other, site)
    page.get_by_role("button", name="pause").click()
    expect(other.locator("#paused")).to_contain_text("Paused")
    expect(other.locator("#paused")).to_contain_text("by 127.0.0.1, since")
    waiting = site.push("echo", name="patient")
    expect(row(other, "todo", waiting)).to_contain_text("paused")
    other.locator(".bar").get_by_role("button", name="resume").click()
    expect(row(page, "done", waiting)).to_be_visible()
    expect(page.locator("#paused")).to_be_hidden()


def test_a_job_is_cancelled_and_retried_from_its_row(site: Site, page: Page) -> None:
    """The buttons of a row do what they say, and the line at the foot reports it."""
    visit(page, site)
    running, waiting = site.push("gate"), site.push("echo")
    site.gate.wait()
    row(page, "todo", waiting).hover()
    row(page, "todo", waiting).get_by_role("button", name="cancel").click()
    expect(page.locator("#said")).to_contain_text(f"Job {waiting}")
    expect(row(page, "todo", waiting)).to_have_count(0)
    site.gate.open()
    expect(row(page, "done", running)).to_be_visible()
    page.locator('#counts [data-state="cancelled"]').click()
    row(page, "cancelled", waiting).hover()
    row(page, "cancelled", waiting).get_by_role("button", name="retry").click()
    expect(count(page, "done")).to_have_text("2")


def test_an_empty_queue_teaches_the_line_that_fills_it(site: Site, page: Page) -> None:
    """The first screen is a curl line; once something was pushed it makes room."""
    visit(page, site)
    expect(page.locator("#welcome .shell code")).to_contain_text(f"curl {site.url}/push-job")
    site.push("echo")
    expect(page.locator("#welcome")).to_be_hidden()


def test_all_lies_under_the_prefix(prefixed: Site, page: Page) -> None:
    """Inside somebody's own application the page, its files, its socket and its links stay under the prefix."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    visit(page, prefixed)
    done = prefixed.push("echo")
    row(page, "done", done).get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("echo")
    expect(page.locator("#connection")).to_have_text("connected")
    assert [url for url in asked if not url.startswith(f"{prefixed.url}/")] == []


def test_a_secret_is_not_shown_in_a_tab_that_the_page_asks_for(site: Site, page: Page) -> None:
    """A job older than the newest hundred that are finished comes whole: its row says nothing of its payload."""
    site.engine.pause()
    old = site.push("sign", pin="4711")
    site.call("POST", f"/jobs/{old}/cancel")
    site.engine.resume()
    site.call("POST", "/push-jobs", [{"kind": "echo", "payload": {}}] * 100)
    visit(page, site, "/#cancelled")
    expect(count(page, "done")).to_have_text("100")
    page.reload()
    expect(row(page, "cancelled", old)).to_be_visible()
    expect(row(page, "cancelled", old)).not_to_contain_text("4711")
