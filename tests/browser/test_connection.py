"""The page is never silently stale, and what it missed it makes up for."""

import random

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Site, count, picture, row, visit


def test_the_words_tell_when_the_server_goes_and_comes_back(site: Site, page: Page, context: BrowserContext) -> None:
    """Connected, reconnecting with its age, connected: in line, title and icon; then the page is as a fresh one."""
    visit(page, site)
    done = site.push("echo", name="before")
    expect(row(page, "done", done)).to_be_visible()
    site.stop()
    expect(page.locator("#connection")).to_contain_text("reconnecting · last heard")
    expect(page).to_have_title("(reconnecting) webqueue")
    expect(page.locator("#favicon")).to_have_attribute("href", "/static/favicon/reconnecting.svg")
    site.start()
    expect(page.locator("#connection")).to_have_text("connected")
    expect(page.locator("#said")).to_contain_text("restarted")
    site.push("echo", name="after")
    expect(count(page, "done")).to_have_text("2")
    expect(page.locator("#favicon")).to_have_attribute("href", "/static/favicon/connected.svg")
    fresh = context.new_page()
    visit(fresh, site)
    assert picture(fresh) == picture(page)


def test_what_was_missed_is_made_up_for(site: Site, page: Page, context: BrowserContext) -> None:
    """Sockets cut at random points, work going on: in the end the page is as a fresh one."""
    visit(page, site)
    dice = random.Random(3)
    for _ in range(60):
        if dice.random() < 0.2:
            site.reject("greet", name="Zoë", email="nobody")
        else:
            site.push("echo" if dice.random() < 0.8 else "fail", message="x")
        if dice.random() < 0.15:
            site.cut()
    site.push("gate", last=True)
    site.gate.wait()
    expect(page.locator("#connection")).to_have_text("connected")
    expect(page.locator("#running tbody tr")).to_contain_text("at the gate")
    fresh = context.new_page()
    visit(fresh, site)
    expect(fresh.locator("#running tbody tr")).to_contain_text("at the gate")
    assert picture(fresh) == picture(page)
    site.gate.open()


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


def test_a_browser_without_network_says_so_at_once(site: Site, page: Page, context: BrowserContext) -> None:
    """Offline is disconnected, in words; online again it is live again."""
    visit(page, site)
    context.set_offline(True)
    expect(page.locator("#connection")).to_contain_text("disconnected · last heard")
    context.set_offline(False)
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
