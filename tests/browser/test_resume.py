"""What a page missed it makes up for: cut off at random, or with a frame lost on the way."""

import random

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Site, picture, visit

SEED = 5
CUTS = 20
STEPS = (
    ["cut"] * CUTS
    + ["hasty_cut"] * 10
    + ["echo"] * 40
    + ["fail"] * 15
    + ["refuse"] * 15
    + ["cancel"] * 15
    + ["forget"] * 15
)
LATER = {"kind": "echo", "payload": {"due": "in an hour"}, "delay": 3600}
LOSSY = """
const say = (name, value) => document.documentElement.setAttribute(`data-${name}`, value);
window.lose = 0;
let joined = 0;
let lost = 0;
window.WebSocket = class extends WebSocket {
  constructor(...all) {
    super(...all);
    say("joined", joined += 1);
    this.addEventListener("message", (event) => {
      if (!lose || !/^42.queue,."changes"/.test(event.data)) return;
      lose -= 1;
      say("lost", lost += 1);
      event.stopImmediatePropagation();
    });
  }
};
"""
"""So many frames are lost as ``lose`` says; the document's element tells how many were, and counts the connections."""


class Life:
    """What goes on in the queue while the page is cut off and comes back, by the dice."""

    def __init__(self, site: Site, dice: random.Random) -> None:
        self._site = site
        self._dice = dice
        self._later: list[int] = []
        self._ended: list[int] = []

    def step(self, name: str) -> None:
        """A push that is run, fails or is refused, or a job that is cancelled or forgotten."""
        getattr(self, name)()

    def echo(self) -> None:
        """It will be done."""
        self._site.push("echo", number=self._dice.random())

    def fail(self) -> None:
        """It will fail."""
        self._site.push("fail", message="x")

    def refuse(self) -> None:
        """It never becomes a job."""
        self._site.reject("greet", name="Zoë", email="nobody")

    def cancel(self) -> None:
        """A job that is due later is pushed; every other one is cancelled."""
        self._later.append(self._site.call("POST", "/push-job", LATER)[1]["id"])
        if len(self._later) > 1:
            id = self._later.pop(self._dice.randrange(len(self._later)))
            assert self._site.call("POST", f"/jobs/{id}/cancel")[0] == 200
            self._ended.append(id)

    def forget(self) -> None:
        """A cancelled job is deleted."""
        if self._ended:
            self._site.engine.forget(self._ended.pop(self._dice.randrange(len(self._ended))))


def agree(site: Site, page: Page, context: BrowserContext) -> None:
    """All has come to rest, and the page says field by field what one says that was opened only now."""
    last = site.push("gate", last=True)
    site.gate.wait()
    seen = [page, context.new_page()]
    visit(seen[1], site)
    for one in seen:
        expect(one.locator("#connection")).to_have_text("connected")
        expect(one.locator(f'#running [data-id="{last}"]')).to_contain_text("at the gate")
    old, fresh = (picture(one) for one in seen)
    site.gate.open()
    assert fresh == old


def test_cut_at_random_points_it_ends_as_a_fresh_page(site: Site, page: Page, context: BrowserContext) -> None:
    """Thirty cuts while jobs come, run, fail, are refused, cancelled and deleted: nothing is missing or stale."""
    page.add_init_script(LOSSY)
    visit(page, site)
    dice = random.Random(SEED)
    steps = dice.sample(STEPS, len(STEPS))
    life = Life(site, dice)
    for step in steps:
        if step == "cut":
            cut(site, page)
        elif step == "hasty_cut":  # the page may be on its way back from the one before
            site.cut()
        else:
            life.step(step)
    agree(site, page, context)


def cut(site: Site, page: Page) -> None:
    """Once the page is live it is cut off; it is on its way back."""
    expect(page.locator("#connection")).to_have_text("connected")
    html = page.locator("html")
    joined = html.get_attribute("data-joined") or ""
    site.cut()
    expect(html).not_to_have_attribute("data-joined", joined)


def test_a_lost_frame_is_noticed_and_made_up_for(site: Site, page: Page, context: BrowserContext) -> None:
    """The frame after a hole is not taken in: the page asks for what came since, over a new connection."""
    page.add_init_script(LOSSY)
    visit(page, site)
    life = Life(site, random.Random(7))
    for lost, name in enumerate(("echo", "fail", "refuse", "cancel", "cancel", "forget"), 1):
        page.evaluate("lose = 1")
        life.step(name)
        expect(page.locator("html")).to_have_attribute("data-lost", str(lost))
        life.echo()
        expect(page.locator("html")).to_have_attribute("data-joined", str(1 + lost))
        expect(page.locator("#connection")).to_have_text("connected")
    agree(site, page, context)
