"""Everything by keys: the lists, the rows, what one does with a job; and a switch that turns them off."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Site, row, visit

LISTS = {"t": "todo", "r": "running", "j": "rejected", "s": "scheduled", "d": "done", "f": "failed", "c": "cancelled"}

AT_ONCE = """() => {
  for (const key of "gfj") document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
}"""


def press(page: Page, *keys: str) -> None:
    """One key after the other."""
    for key in keys:
        page.keyboard.press(key)


def cursor(page: Page) -> Locator:
    """The row that the keys act on."""
    return page.locator(".row:has(:focus)")


def on(page: Page, panel: str, id: int) -> None:
    """The cursor stands on job *id* in one list."""
    expect(row(page, panel, id).get_by_role("link")).to_be_focused()


@pytest.fixture(name="busy")
def _busy(site: Site) -> tuple[int, int, int]:
    """One job that runs, at the gate, and two behind it."""
    running = site.push("gate")
    site.gate.wait()
    return running, site.push("echo", n=1), site.push("echo", n=2)


def test_the_cursor_goes_through_all_lists_in_sight(site: Site, page: Page, busy: tuple[int, int, int]) -> None:
    """j and k step from row to row and from list to list, and stay at the ends."""
    running, one, two = busy
    site.reject("greet", name="Zoë")
    visit(page, site)
    expect(page.locator("#rejected tbody tr")).to_have_count(1)  # it is told apart from the jobs
    press(page, "j")
    on(page, "todo", one)
    press(page, "j")
    on(page, "todo", two)
    press(page, "j")
    on(page, "running", running)
    press(page, "j", "j")
    expect(cursor(page)).to_have_attribute("data-state", "rejected")
    press(page, "k", "k", "k", "k")
    on(page, "todo", one)
    expect(cursor(page)).not_to_have_css("box-shadow", "none")
    site.gate.open()


def test_lists_out_of_sight_are_left_out(site: Site, page: Page, busy: tuple[int, int, int]) -> None:
    """Below the three lists it goes on in the tab that shows."""
    running, one, two = busy
    for id in (one, two):
        site.call("POST", f"/jobs/{id}/cancel")
    _, later = site.call("POST", "/push-job", {"kind": "echo", "payload": {}, "delay": 3600})
    visit(page, site)
    press(page, "g", "s", "g", "r", "j")
    on(page, "running", running)
    press(page, "j")
    on(page, "scheduled", later["id"])
    site.gate.open()


def test_the_cursor_stays_on_its_job(site: Site, page: Page, busy: tuple[int, int, int]) -> None:
    """While jobs come and go around it the cursor is on the same job, and the next key is for that one."""
    running, one, two = busy
    visit(page, site)
    press(page, "j", "j")
    on(page, "todo", two)
    site.call("POST", f"/jobs/{one}/cancel")
    three = site.push("echo", n=3)
    expect(page.locator('#counts [data-state="cancelled"] .number')).to_have_text("1")
    on(page, "todo", two)
    press(page, "c")
    expect(page.locator('#counts [data-state="cancelled"] .number')).to_have_text("2")
    assert "cancelled" == site.call("GET", f"/jobs/{two}")[1]["state"]
    assert ["running", "todo"] == [site.call("GET", f"/jobs/{id}")[1]["state"] for id in (running, three)]
    site.gate.open()


def test_a_failed_job_is_retried(site: Site, page: Page) -> None:
    """g f, j, r: to the list of those that failed, onto the first, again; c does nothing to what is over."""
    job = site.push("fail", message="on purpose")
    sent: list[str] = []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    visit(page, site)
    expect(row(page, "failed", job)).to_have_count(1)
    press(page, "g", "f", "j")
    on(page, "failed", job)
    press(page, "c", "r")
    expect(page.locator("#said")).to_contain_text(f"Job {job} goes to the tail of todo again")
    assert [f"{site.url}/jobs/{job}/retry"] == [url for url in sent if "/jobs/" in url]


def test_without_a_cursor_no_job_is_touched(site: Site, page: Page, busy: tuple[int, int, int]) -> None:
    """r and c are for the row that one sees marked."""
    visit(page, site)
    press(page, "c", "r", "p")
    expect(page.locator("#push")).to_be_visible()
    assert ["running", "todo", "todo"] == [site.call("GET", f"/jobs/{id}")[1]["state"] for id in busy]
    site.gate.open()


def test_enter_opens_the_jobs_page(site: Site, page: Page) -> None:
    """The cursor is on the link itself."""
    job = site.push("echo")
    visit(page, site)
    expect(row(page, "done", job)).to_be_visible()
    press(page, "g", "d", "j", "Enter")
    expect(page).to_have_url(f"{site.url}/jobs/{job}")


@pytest.mark.parametrize("letter", LISTS)
def test_g_and_a_letter_go_to_a_list(site: Site, page: Page, letter: str) -> None:
    """Each list has a letter, and shows."""
    visit(page, site)
    press(page, "g", letter)
    expect(page).to_have_url(re.compile(f"#{LISTS[letter]}$"))
    expect(page.locator(f"#{LISTS[letter]}")).to_be_visible()


def test_the_cursor_begins_where_one_went(site: Site, page: Page, busy: tuple[int, int, int]) -> None:
    """After g and a letter, and after a digit, j begins in that list, also where the address was that already."""
    running, one, _ = busy
    visit(page, site)
    press(page, "g", "r", "j")
    on(page, "running", running)
    press(page, "1", "j")
    on(page, "todo", one)
    press(page, "j", "j")
    on(page, "running", running)
    press(page, "g", "t", "j")
    on(page, "todo", one)
    site.gate.open()


def test_keys_may_come_at_once(site: Site, page: Page) -> None:
    """g f j in one go, as a busy browser hands them on: the list shows before the next key."""
    job = site.push("fail", message="on purpose")
    visit(page, site)
    expect(row(page, "failed", job)).to_have_count(1)
    page.evaluate(AT_ONCE)
    on(page, "failed", job)


def test_the_dialog_lists_the_keys(site: Site, page: Page) -> None:
    """? opens it; inside it no key acts; Escape closes it and nothing else, and its button does."""
    visit(page, site)
    dialog = page.get_by_role("dialog", name="Keys")
    press(page, "p")
    page.get_by_role("button", name="push a job").focus()
    press(page, "?")
    expect(dialog).to_be_visible()
    for key in "jkxrcndhptu/?g":
        expect(dialog.locator("kbd", has_text=re.compile(f"^{re.escape(key)}$")).first).to_be_visible()
    press(page, "t")
    expect(page.locator("html")).to_have_attribute("data-theme", "system")
    press(page, "Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#push")).to_be_visible()
    page.get_by_role("button", name="keys").click()
    dialog.get_by_role("button", name="close").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="keys")).to_be_focused()


def test_keys_can_be_switched_off(site: Site, page: Page) -> None:
    """Kept over a reload, and the button still opens the dialog, to switch them on again."""
    visit(page, site)
    press(page, "?")
    page.get_by_label("single keys").uncheck()
    page.reload()
    press(page, "t", "g", "f", "?", "p")
    expect(page.locator("#push")).to_be_hidden()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page).to_have_url(f"{site.url}/")
    page.get_by_role("button", name="keys").click()
    page.get_by_label("single keys").check()
    press(page, "Escape", "t")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    expect(page.locator("#said")).to_have_text("theme: light")


def test_whoever_types_is_left_alone(site: Site, page: Page) -> None:
    """In a field a letter is a letter, and with Ctrl, Alt or Meta a key is the browser's."""
    visit(page, site)
    page.get_by_role("button", name="push a job").click()
    page.get_by_label("kind", exact=True).select_option("greet")
    page.get_by_label("name").press_sequentially("t?gf/1")
    expect(page.get_by_label("name")).to_have_value("t?gf/1")
    page.get_by_role("button", name="push a job").focus()
    press(page, "Alt+t", "Control+j", "Meta+t")
    expect(page.locator("html")).to_have_attribute("data-theme", "system")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page).to_have_url(f"{site.url}/")


def test_the_choices_are_announced(site: Site, page: Page) -> None:
    """t and u go to the next theme and the next way to tell times, and say which; a box is no field to type in."""
    site.engine.pause()
    site.push("echo")
    visit(page, site)
    for key, said in (("t", "theme: light"), ("u", "times: local"), ("u", "times: UTC")):
        press(page, key)
        expect(page.locator("#said")).to_have_text(said)
    page.get_by_role("checkbox", name="select job").focus()
    press(page, "u")
    expect(page.locator("#said")).to_have_text("times: relative")


def test_slash_goes_to_the_search_field(site: Site, page: Page) -> None:
    """Without one it does nothing; with one it is there, and no slash in it."""
    visit(page, site)
    page.evaluate("for (const one of document.querySelectorAll('input[type=search], [data-filter]')) one.remove()")
    press(page, "/")
    page.evaluate("document.body.prepend(Object.assign(document.createElement('input'), { type: 'search' }))")
    press(page, "/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    expect(page.get_by_role("searchbox")).to_have_value("")


def test_the_focus_stays_where_one_button_takes_the_others_place(site: Site, page: Page) -> None:
    """Pause and resume take turns, in the bar and in the banner; a job's page that loses its button has its heading."""
    visit(page, site)
    pause, resume = (page.locator(f'.bar [data-do="{name}"]') for name in ("pause", "resume"))
    pause.focus()
    press(page, "Enter")
    expect(resume).to_be_focused()
    press(page, "Enter")
    expect(pause).to_be_focused()
    press(page, "Enter")
    expect(resume).to_be_focused()
    page.locator('[data-do="resume-all"]').focus()
    press(page, "Enter")
    expect(pause).to_be_focused()
    site.engine.pause()
    visit(page, site, f"/jobs/{site.push('echo')}")
    page.get_by_role("button", name="cancel").focus()
    press(page, "Enter")
    expect(page.locator(".state")).to_have_text("cancelled")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
