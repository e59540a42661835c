"""Rows do not move under the hand: pointer, keyboard, selection, or a button that holds all lists."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, count, row, visit


@pytest.fixture(name="still")
def _still(site: Site, page: Page) -> int:
    """The first of two jobs that wait, in sight; nothing starts."""
    site.engine.pause()
    first = site.push("echo", n=1)
    site.push("echo", n=2)
    visit(page, site)
    expect(page.locator("#todo tbody tr")).to_have_count(2)
    return first


def ids(page: Page, panel: str) -> list[str]:
    """The rows of one list, from above."""
    found: list[str] = page.locator(f"#{panel} tbody tr").evaluate_all("(rows) => rows.map((row) => row.dataset.id)")
    return found


def held(page: Page, panel: str, words: str) -> None:
    """The heading of a list says that it is held."""
    expect(page.locator(f"#{panel} .held")).to_have_text(words)


def free(page: Page, panel: str, rows: int) -> None:
    """A list shows the present."""
    expect(page.locator(f"#{panel} .held")).to_be_hidden()
    expect(page.locator(f"#{panel} tbody tr")).to_have_count(rows)


def test_under_the_pointer(site: Site, page: Page, still: int) -> None:
    """No row comes, goes or moves; what the rows say and the counts go on; leaving shows the present."""
    row(page, "todo", still).hover()
    site.call("POST", f"/jobs/{still}/cancel")
    third = site.push("echo")
    held(page, "todo", "Paused, 2 updates")
    expect(row(page, "todo", still)).to_have_attribute("data-state", "cancelled")
    expect(count(page, "cancelled")).to_have_text("1")
    assert [str(still), str(still + 1)] == ids(page, "todo")
    page.mouse.move(1, 1)
    free(page, "todo", 2)
    assert [str(still + 1), str(third)] == ids(page, "todo")


def test_under_the_keyboard(site: Site, page: Page, still: int) -> None:
    """While the cursor is in a list it stands; where it goes on to the next list this one goes on, too."""
    page.keyboard.press("j")
    expect(row(page, "todo", still).get_by_role("link")).to_be_focused()
    site.push("echo")
    held(page, "todo", "Paused, 1 update")
    assert 2 == len(ids(page, "todo"))
    page.get_by_role("button", name="keys").focus()
    free(page, "todo", 3)


def test_with_something_selected(site: Site, page: Page, still: int) -> None:
    """Its list stands, the others go on; letting go shows the present."""
    row(page, "todo", still).get_by_role("checkbox").check()
    page.mouse.move(1, 1)
    site.call("POST", f"/jobs/{still + 1}/cancel")
    site.push("echo")
    held(page, "todo", "Paused, 2 updates")
    page.locator('#counts [data-state="cancelled"]').click()
    expect(row(page, "cancelled", still + 1)).to_be_visible()
    page.keyboard.press("Escape")
    free(page, "todo", 2)


def test_all_lists_by_a_key_or_a_button(site: Site, page: Page, still: int) -> None:
    """It is said, for how long one likes, and how much waits; the counts go on."""
    hold = page.get_by_role("button", name="hold the lists still")
    page.keyboard.press("h")
    expect(page.locator("#said")).to_have_text("The lists stand still; the counts go on.")
    expect(hold).to_have_attribute("aria-pressed", "true")
    held(page, "rejected", "Paused")
    site.engine.resume()
    site.reject("greet", name="Zoë")
    held(page, "rejected", "Paused, 1 update")
    held(page, "todo", "Paused, 2 updates")
    held(page, "done", "Paused, 2 updates")
    expect(count(page, "done")).to_have_text("2")
    assert ([str(still), str(still + 1)], [], []) == tuple(ids(page, name) for name in ("todo", "done", "rejected"))
    hold.click()
    expect(page.locator("#said")).to_have_text("The lists go on.")
    for panel, rows in (("todo", 0), ("done", 2), ("rejected", 1)):
        free(page, panel, rows)


def test_an_update_is_counted_once(site: Site, page: Page) -> None:
    """A job on top of a hundred is one update, though all below it move and the last one goes."""
    site.call("POST", "/push-jobs", [{"kind": "echo", "payload": {}}] * 101)
    visit(page, site)
    expect(page.locator("#done tbody tr")).to_have_count(100)
    expect(count(page, "done")).to_have_text("101")
    page.keyboard.press("h")
    held(page, "done", "Paused")
    site.push("echo")
    expect(count(page, "done")).to_have_text("102")
    held(page, "done", "Paused, 1 update")
    site.engine.forget(90)
    expect(count(page, "done")).to_have_text("101")
    held(page, "done", "Paused, 2 updates")


def test_a_double_click_is_for_one_job(site: Site, page: Page) -> None:
    """The next row comes up between the two clicks: it is left alone."""
    site.engine.pause()
    first, second, third = (site.push("echo", n=n) for n in (1, 2, 3))
    visit(page, site)
    expect(page.locator("#todo tbody tr")).to_have_count(3)
    row(page, "todo", first).hover()
    button = row(page, "todo", first).get_by_role("button", name="cancel").bounding_box()
    assert button
    x, y = button["x"] + button["width"] / 2, button["y"] + button["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down(click_count=1)
    page.mouse.up(click_count=1)
    free(page, "todo", 2)
    expect(row(page, "todo", second).get_by_role("button", name="cancel")).to_be_visible()
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)
    page.evaluate("() => new Promise(requestAnimationFrame)")
    states = [site.call("GET", f"/jobs/{id}")[1]["state"] for id in (first, second, third)]
    assert ["cancelled", "todo", "todo"] == states


def test_no_other_button_comes_under_the_hand_when_a_job_is_due(site: Site, page: Page) -> None:
    """Who means to run it now does not cancel it."""
    site.engine.pause()
    _, job = site.call("POST", "/push-job", {"kind": "echo", "payload": {}, "delay": 3600})
    visit(page, site, "/#scheduled")
    line = row(page, "scheduled", job["id"])
    line.hover()
    before = line.get_by_role("button", name="cancel").bounding_box()
    site.call("POST", f"/jobs/{job['id']}/run")
    expect(line).to_have_attribute("data-state", "todo")
    expect(line.get_by_role("button", name="run now")).to_be_hidden()
    assert before == line.get_by_role("button", name="cancel").bounding_box()
