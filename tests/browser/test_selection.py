"""Several jobs at once: what is selected, what is done to it, what came of it."""

from typing import Any

from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from tests.browser.conftest import Site, count, row, visit
from tests.browser.test_accessibility import NONE, faults
from tests.browser.test_looks import OVERFLOW


def failed(site: Site, page: Page, number: int) -> list[int]:
    """So many failed jobs, in sight."""
    ids = [site.push("fail", message="on purpose") for _ in range(number)]
    visit(page, site, "/#failed")
    expect(page.locator("#failed tbody tr")).to_have_count(number)
    return ids


def due_later(site: Site) -> int:
    """A job that is scheduled."""
    _, job = site.call("POST", "/push-job", {"kind": "echo", "payload": {}, "delay": 3600})
    return int(job["id"])


def pick(page: Page, panel: str, *ids: int) -> None:
    """Ticks their boxes."""
    for id in ids:
        row(page, panel, id).get_by_role("checkbox", name=f"select job {id}").check()


def bar(page: Page) -> Locator:
    """Where it is said how many are selected."""
    return page.locator("#selection")


def state(site: Site, id: int) -> Any:
    """Of one job, as the server has it."""
    return site.call("GET", f"/jobs/{id}")[1]["state"]


def test_a_lost_race_is_named(site: Site, page: Page) -> None:
    """Of three that are selected one is retried by somebody else, and fails again: it is left alone, and named."""
    one, two, three = failed(site, page, 3)
    pick(page, "failed", one, two, three)
    expect(bar(page).locator(".count")).to_have_text("3 selected")
    site.call("POST", f"/jobs/{two}/retry")
    again = site.call("GET", f"/jobs/{two}?wait=10")[1]["revision"]
    expect(row(page, "failed", two)).to_have_attribute("data-revision", str(again))
    expect(row(page, "failed", two).get_by_role("checkbox")).to_be_checked()
    site.engine.pause()
    bar(page).get_by_role("button", name="retry", exact=True).click()
    report = bar(page).locator(".report")
    lines = ["2 retried, 1 not:", f"Job {two} is failed by now, at revision {again}."]
    expect(report.locator("p")).to_have_text(lines)
    assert ["todo", "failed", "todo"] == [state(site, id) for id in (one, two, three)]
    expect(page.locator(".pick:checked")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(bar(page)).to_be_hidden()


LATE = """() => {
  const job = document.getElementById("job");
  const seen = new Proxy({ ...job.dataset, revision: "1" }, { set: () => true });
  Object.defineProperty(job, "dataset", { value: seen });
}"""
"""As if the news of the job had not come yet, whatever comes."""


def test_a_row_and_a_job_page_say_what_they_showed(site: Site, page: Page) -> None:
    """Each single action carries the revision, too; one that came too late says why."""
    (job,) = failed(site, page, 1)
    sent: list[Request] = []
    page.on("request", lambda request: request.method != "GET" and sent.append(request))
    site.engine.pause()
    row(page, "failed", job).hover()
    row(page, "failed", job).get_by_role("button", name="retry").click()
    expect(row(page, "todo", job)).to_be_visible()
    visit(page, site, f"/jobs/{job}")
    page.evaluate(LATE)
    page.get_by_role("button", name="cancel").click()
    expect(page.locator("#said")).to_have_text(f"Job {job} is todo by now, at revision 4.")
    page.reload()
    page.get_by_role("button", name="cancel").click()
    expect(page.locator(".state")).to_have_text("cancelled")
    actions = [request.headers.get("if-match") for request in sent if "/jobs/" in request.url]
    assert ['"3"', '"1"', '"4"'] == actions


def test_keys_select_and_act(site: Site, page: Page) -> None:
    """x picks, c is for what is picked, wherever the cursor is; Escape lets go."""
    site.engine.pause()
    one, two, three = (site.push("echo", n=n) for n in (1, 2, 3))
    visit(page, site)
    expect(row(page, "todo", three)).to_be_visible()
    for key in "jxjx":
        page.keyboard.press(key)
    expect(bar(page).locator(".count")).to_have_text("2 selected")
    page.keyboard.press("Escape")
    expect(bar(page)).to_be_hidden()
    expect(page.locator(".pick:checked")).to_have_count(0)
    for key in "xkxjjc":
        page.keyboard.press(key)
    expect(page.locator("#said")).to_contain_text("2 cancelled")
    assert ["cancelled", "cancelled", "todo"] == [state(site, id) for id in (one, two, three)]


def test_what_does_not_fit_is_not_offered(site: Site, page: Page) -> None:
    """What one may do depends on the states of what is picked, in any list."""
    site.engine.pause()
    waits, later = site.push("echo"), due_later(site)
    visit(page, site, "/#scheduled")
    shown = bar(page).locator("[data-verb]:visible")
    pick(page, "todo", waits)
    expect(shown).to_have_text(["cancel"])
    pick(page, "scheduled", later)
    expect(shown).to_have_text(["cancel", "run now"])
    expect(bar(page).get_by_role("button", name="select all")).to_have_count(0)
    bar(page).get_by_role("button", name="run now").click()
    expect(page.locator("#said")).to_have_text("1 put into todo.")
    assert ["todo", "todo"] == [state(site, id) for id in (waits, later)]


def test_only_deleting_is_asked_about(site: Site, page: Page) -> None:
    """All of a list, in a dialog that says how many; who keeps them loses nothing, the selection neither."""
    one, *_ = failed(site, page, 3)
    pick(page, "failed", one)
    bar(page).get_by_role("button", name="select all 3 failed").click()
    expect(bar(page).locator(".count")).to_have_text("all 3 failed selected")
    delete = bar(page).get_by_role("button", name="delete")
    dialog = page.get_by_role("dialog", name="Delete 3 jobs for good")
    for way_out in ("Escape", "Enter"):  # the button that has the focus keeps them
        delete.click()
        expect(dialog).to_be_visible()
        page.keyboard.press(way_out)
        expect(dialog).to_be_hidden()
        expect(delete).to_be_focused()
        expect(bar(page).locator(".count")).to_have_text("all 3 failed selected")
    expect(count(page, "failed")).to_have_text("3")
    page.keyboard.press("d")
    dialog.get_by_role("button", name="delete").click()
    expect(page.locator("#said")).to_have_text("3 deleted.")
    expect(page.locator("#failed tbody tr")).to_have_count(0)


def test_all_of_a_list_are_ten_thousand_at_most(site: Site, page: Page) -> None:
    """It says so before, and afterwards how many are left. The answer is made up: ten thousand steps take long."""
    asked: list[Any] = []

    def answer(route: Route) -> None:
        asked.append(route.request.post_data_json)
        route.fulfill(json={"matched": 10_005, "done": 10_000})

    page.route("**/jobs/cancel", answer)
    site.engine.pause()
    for many in (10_000, 5):
        site.call("POST", "/push-jobs", [{"kind": "echo", "payload": {}}] * many)
    visit(page, site)
    pick(page, "todo", 1)
    bar(page).get_by_role("button", name="select all 10,005 todo").click()
    expect(bar(page).locator(".count")).to_have_text("all 10,005 todo selected, the oldest 10,000 at a time")
    bar(page).get_by_role("button", name="cancel").click()
    said = "10,000 cancelled, or asked to stop. 5 more match: do it again for the rest."
    expect(page.locator("#said")).to_have_text(said)
    assert [{"state": "todo", "limit": 10_000}] == asked


def test_a_jobs_page_asks_before_it_deletes(site: Site, page: Page) -> None:
    """In the same dialog; then there is nothing more to see, and the dashboard is."""
    job = site.push("echo")
    site.call("GET", f"/jobs/{job}?wait=10")
    visit(page, site, f"/jobs/{job}")
    delete = page.get_by_role("main").get_by_role("button", name="delete")
    delete.click()
    dialog = page.get_by_role("dialog", name=f"Delete job {job} for good")
    dialog.get_by_role("button", name="keep").click()
    expect(dialog).to_be_hidden()
    delete.click()
    dialog.get_by_role("button", name="delete").click()
    expect(page).to_have_url(f"{site.url}/")
    assert 404 == site.call("GET", f"/jobs/{job}")[0]


def test_the_focus_is_never_lost(site: Site, page: Page) -> None:
    """With keys alone: it stays on the box while the lists change, and goes from the bar back to the list."""
    site.engine.pause()
    one = site.push("echo")
    visit(page, site)
    box = row(page, "todo", one).get_by_role("checkbox")
    box.focus()
    page.keyboard.press("Space")
    two = site.push("echo")
    expect(count(page, "todo")).to_have_text("2")
    expect(box).to_be_focused()
    bar(page).get_by_role("button", name="cancel").focus()
    page.keyboard.press("Enter")
    expect(bar(page)).to_be_hidden()
    expect(page.locator("#todo .scroll")).to_be_focused()
    expect(row(page, "todo", two)).to_be_visible()
    page.keyboard.press("j")
    link = row(page, "todo", two).get_by_role("link")
    expect(link).to_be_focused()
    page.keyboard.press("c")
    expect(row(page, "todo", two)).to_have_attribute("data-state", "cancelled")
    expect(link).to_be_focused()


def test_who_may_only_read_has_no_boxes(locked: Site, browser: Browser) -> None:
    """Neither boxes nor a bar."""
    context = browser.new_context(extra_http_headers={"Authorization": "Bearer another one"})
    page = context.new_page()
    locked.engine.pause()
    locked.engine.push({"kind": "echo"})
    page.goto(locked.url)
    expect(page.locator("#todo tbody tr")).to_have_count(1)
    expect(page.locator(".pick, #selection, #confirm")).to_have_count(0)
    context.close()


def test_axe_finds_nothing(site: Site, page: Page) -> None:
    """With something selected and the lists held, with the dialog open, with a report; wide and narrow."""
    one, two, three = failed(site, page, 3)
    page.keyboard.press("h")
    pick(page, "failed", one, two)
    site.push("fail", message="on purpose")
    expect(page.locator("#failed .held")).to_have_text("Paused, 1 update")
    assert NONE == faults(page)
    bar(page).get_by_role("button", name="delete").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert NONE == faults(page)
    page.keyboard.press("Escape")
    site.call("POST", f"/jobs/{one}/retry")
    bar(page).get_by_role("button", name="retry", exact=True).click()
    expect(bar(page).locator(".report p")).to_have_count(2)
    page.set_viewport_size({"width": 360, "height": 740})
    pick(page, "failed", three)
    assert NONE == faults(page)
    assert page.evaluate(OVERFLOW) <= 0


def test_what_was_ticked_before_the_script_came_is_selected(site: Site, page: Page) -> None:
    """The boxes stand in the page as it is loaded; the script may be slow."""
    site.engine.pause()
    one = site.push("echo")
    late: list[Route] = []
    page.route("**/js/main.js*", lambda route: late.append(route))
    page.goto(site.url, wait_until="commit")
    pick(page, "todo", one)
    expect(bar(page)).to_be_hidden()
    late[0].continue_()
    expect(bar(page).locator(".count")).to_have_text("1 selected")
    bar(page).get_by_role("button", name="cancel").click()
    expect(page.locator("#said")).to_contain_text("1 cancelled")


def test_the_focus_goes_to_the_list_in_sight(site: Site, page: Page) -> None:
    """Where the tab that was picked from is hidden by now."""
    (job,) = failed(site, page, 1)
    pick(page, "failed", job)
    page.locator('#counts [data-state="cancelled"]').click()
    bar(page).get_by_role("button", name="clear").focus()
    page.keyboard.press("Enter")
    expect(bar(page)).to_be_hidden()
    expect(page.locator("#cancelled .scroll")).to_be_focused()


def test_the_note_of_a_restart_leaves_the_bar_free(site: Site, page: Page) -> None:
    """Both stand at the foot, at any width: one above the other."""
    (job,) = failed(site, page, 1)
    pick(page, "failed", job)
    site.stop()
    site.start()
    note = page.locator("#restarted p")
    expect(note).to_be_visible()
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 740})
        above, below = bar(page).bounding_box(), note.bounding_box()
        assert above
        assert below
        assert above["y"] + above["height"] <= below["y"]
    bar(page).get_by_role("button", name="clear").click()
