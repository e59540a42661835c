"""The page is never silently stale: what it is to be trusted for stands in line, title and icon."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Site, count, picture, row, visit

HELD = """
window.hold = false;
const held = [];
window.release = () => { hold = false; held.splice(0).forEach((pass) => pass()); };
window.WebSocket = class extends WebSocket {
  constructor(...all) {
    super(...all);
    this.addEventListener("message", (event) => {
      if (!hold || !/^42.queue,..(snapshot|changes)"/.test(event.data)) return;
      event.stopImmediatePropagation();
      held.push(() => this.dispatchEvent(new MessageEvent("message", { data: event.data })));
    });
  }
};
"""
"""What the server tells reaches the page only once ``release()`` was called, while ``hold`` is true."""
COLOUR = "(line) => getComputedStyle(line).color"
LIVE = ["/", "/charts", "/failures", "/jobs/1"]
"""The pages that are live."""


def says(page: Page, word: str, title: str, icon: str) -> str:
    """Waits until line, title and icon of the page say so; returns the colour in which the line does."""
    line = page.locator("#connection")
    expect(line).to_have_text(re.compile(word))
    expect(page).to_have_title(re.compile(title))
    expect(page.locator("#favicon")).to_have_attribute("href", f"/static/favicon/{icon}.svg")
    return str(line.evaluate(COLOUR))


@pytest.mark.parametrize("path", LIVE)
def test_the_words_tell_when_the_server_goes_and_comes_back(site: Site, page: Page, path: str) -> None:
    """Connected, reconnecting with its age, restarted (a note with the time) until that is closed, connected."""
    site.push("echo", name="before")
    visit(page, site, path)
    at_rest = says(page, "^connected$", "^(?!.restarted)", "connected")
    site.stop()
    away = says(page, r"^reconnecting · last heard \d+ s ago$", r"^\(reconnecting\) webqueue$", "reconnecting")
    site.start()
    assert at_rest == says(page, "^connected$", r"^\(restarted\) .+ – webqueue$", "restarted")
    assert at_rest != away
    note = page.locator("#restarted p")
    expect(note).to_contain_text(re.compile(r"^The server was restarted at (\S+ )?\d\d:\d\d:\d\d(\.|; )"))
    started_at = site.call("GET", "/charts?step=10")[1]["started_at"]
    expect(note.locator("time")).to_have_attribute("datetime", started_at)
    note.get_by_role("button", name="close").click()
    expect(note).to_be_hidden()
    says(page, "^connected$", "^(?!.restarted)", "connected")


def test_after_a_restart_the_lists_are_fresh(site: Site, page: Page, context: BrowserContext) -> None:
    """As the note says."""
    visit(page, site)
    site.push("echo", name="before")
    expect(count(page, "done")).to_have_text("1")
    site.stop()
    site.start()
    expect(page.locator("#restarted p")).to_contain_text("; the lists are fresh.")
    site.push("echo", name="after")
    expect(count(page, "done")).to_have_text("2")
    fresh = context.new_page()
    visit(fresh, site)
    assert picture(fresh) == picture(page)


def test_a_restart_is_said_until_it_was_to_be_seen_for_a_while(site: Site, page: Page) -> None:
    """Twenty seconds on the screen; a page in the background says it as long as it stays there."""
    page.clock.install()
    visit(page, site)
    site.stop()
    expect(page.locator("#connection")).to_contain_text("reconnecting")
    site.start()
    note = page.locator("#restarted p")
    while not note.is_visible():
        page.clock.run_for(500)
    page.clock.run_for(15_000)
    expect(note).to_be_visible()
    page.evaluate(HIDE, True)
    page.clock.run_for(600_000)
    expect(page).to_have_title(re.compile("^.restarted."))
    page.evaluate(HIDE, False)
    page.clock.run_for(10_000)
    expect(note).to_be_hidden()


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.mark.parametrize("path", LIVE)
def test_until_it_has_what_it_missed_it_is_resyncing(site: Site, page: Page, path: str) -> None:
    """A connection alone makes nothing fresh: the word, in a colour of its own, stays until the answer is there."""
    page.add_init_script(HELD)
    site.push("echo", name="before")
    visit(page, site, path)
    at_rest = says(page, "^connected$", "webqueue", "connected")
    page.evaluate("hold = true")
    site.cut()
    assert at_rest != says(page, "^resyncing$", r"^\(resyncing\) webqueue$", "resyncing")
    page.evaluate("release()")
    assert at_rest == says(page, "^connected$", "^(?!.resyncing)", "connected")


def test_it_is_connected_no_sooner_than_the_lists_are_drawn(site: Site, page: Page) -> None:
    """Whenever the line says connected, the jobs that were missed stand in the lists."""
    page.add_init_script(HELD)
    visit(page, site)
    page.evaluate("hold = true")
    done = site.push("echo", name="missed")
    site.call("GET", f"/jobs/{done}?wait=10")
    site.cut()
    expect(page.locator("#connection")).to_have_text("resyncing")
    page.evaluate(NOTE)
    page.evaluate("release()")
    expect(row(page, "done", done)).to_be_visible()
    expect(page.locator("#connection")).to_have_text("connected")
    assert page.evaluate("noted") == [["connected", 1]]


NOTE = """() => {
  window.noted = [];
  const line = document.querySelector("#connection");
  const note = () => noted.push([line.textContent, document.querySelectorAll("#done tbody tr").length]);
  new MutationObserver(note).observe(line, { childList: true, characterData: true, subtree: true });
}"""


def test_the_page_without_script_says_the_same(site: Site, page: Page) -> None:
    """What the server renders is what the script makes of it: one markup, one set of words."""
    visit(page, site)
    site.reject("resize", url="<b>", width={"a": [1, None]})
    site.reject("nothing")
    site.push("fail", message="<i>no</i>")
    site.push("gate", note="Zoë & co")
    site.gate.wait()
    site.push("echo", waiting=1)
    expect(page.locator("#running tbody tr")).to_contain_text("at the gate")
    expect(page.locator("#todo tbody tr")).to_have_count(1)
    live = picture(page)
    plain = page.context.browser.new_context(java_script_enabled=True).new_page()
    plain.route("**/*.js", lambda route: route.abort())
    plain.goto(site.url)
    assert picture(plain) == live
    plain.context.close()
    site.gate.open()


@pytest.mark.parametrize("path", LIVE)
def test_a_browser_without_network_says_so_at_once(site: Site, page: Page, context: BrowserContext, path: str) -> None:
    """Offline, in a colour of its own, and not that it is reconnecting; online again it is live again."""
    site.push("echo", name="before")
    visit(page, site, path)
    at_rest = says(page, "^connected$", "webqueue", "connected")
    context.set_offline(True)
    assert at_rest != says(page, r"^offline · last heard \d+ s ago$", r"^\(offline\) webqueue$", "offline")
    site.cut()
    says(page, r"^offline · last heard [1-9]\d* s ago$", r"^\(offline\) webqueue$", "offline")
    context.set_offline(False)
    assert at_rest == says(page, "^connected$", "^(?!.offline)", "connected")


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_moves_when_the_connection_is_lost_or_the_server_restarted(site: Site, page: Page, width: int) -> None:
    """Not the lists under the hand: the word has room in the bar, and the note lies at the foot."""
    page.set_viewport_size({"width": width, "height": 740})
    visit(page, site)
    before = page.locator("#todo").bounding_box()
    site.stop()
    expect(page.locator("#connection")).to_contain_text("reconnecting · last heard")
    assert before == page.locator("#todo").bounding_box()
    site.start()
    expect(page.locator("#restarted p")).to_be_visible()
    assert before == page.locator("#todo").bounding_box()


def test_a_server_on_this_machine_needs_no_network(site: Site, page: Page) -> None:
    """Where the browser is offline but the server answers it is connected."""
    visit(page, site)
    page.evaluate("dispatchEvent(new Event('offline'))")
    expect(page.locator("#connection")).to_have_text("connected")


RULES = """async (url) => {
  const { State } = await import(url);
  const job = (id, state, revision = 1, more = {}) =>
    ({ id, state, revision, priority: 0, position: null, kind: "k", ...more });
  const body = (more) => ({
    epoch: "e", counts: { todo: 2 }, paused: false, paused_queues: {}, jobs: [], rejections: [], forgotten: [], ...more,
  });
  const state = new State();
  const ids = (name) => state.list(name).map((one) => one.id);
  const todo = [job(1, "todo"), job(2, "todo")];
  state.snapshot({ ...body({ seq: 5 }), todo, scheduled: [], running: [], finished: [] });
  const said = [];
  said.push(state.changes(body({ from: 7, seq: 8 })));
  said.push(state.changes({ ...body({ from: 5, seq: 6 }), epoch: "f" }), state.seq);
  const claimed = [job(1, "running", 2)];
  said.push(state.changes(body({ from: 5, seq: 6, counts: { todo: 1 }, jobs: claimed })), ids("todo"), ids("running"));
  const late = [job(1, "todo", 1), job(3, "todo", 1, { priority: 9 })];
  said.push(state.changes(body({ from: 4, seq: 7, counts: { todo: 2 }, jobs: late })), ids("todo"), ids("running"));
  said.push(state.changes(body({ from: 7, seq: 8, forgotten: [2] })), ids("todo"), state.seq);
  return said;
}"""


def test_the_newest_revision_wins_and_gaps_are_found(site: Site, page: Page) -> None:
    """A hole or another epoch changes nothing and is said; an older revision never covers a newer one."""
    visit(page, site)
    said = page.evaluate(RULES, f"{site.url}/static/js/state.js")
    assert said == [False, False, 5, True, [2], [1], True, [3, 2], [1], True, [3], 8]


AGAIN = """async (url) => {
  const { State } = await import(url);
  const job = (id, more = {}) => ({ id, state: "todo", revision: 1, priority: 0, position: id, ...more });
  const told = (todo) => ({
    epoch: "e", seq: 1, counts: {}, paused: false, todo, scheduled: [], running: [], finished: [],
    rejections: [{ id: 1, errors: { a: ["b"] } }],
  });
  const state = new State();
  const known = () => [...state.list("todo"), ...state.rejections];
  state.snapshot(told([job(1), job(2), job(3)]));
  const before = known();
  state.snapshot(told([job(1), job(2, { position: 1 }), job(3, { revision: 2 })]));
  return known().map((one, index) => one === before[index]);
}"""


def test_what_a_second_snapshot_tells_again_is_kept(site: Site, page: Page) -> None:
    """A row whose job is the same, place and all, is not filled in again; nor is a refusal."""
    visit(page, site)
    assert [True, False, False, True] == page.evaluate(AGAIN, f"{site.url}/static/js/state.js")
