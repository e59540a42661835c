"""It fits every width, and one can use it without a mouse or colours."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site, row, visit

STYLES = Path(__file__).resolve().parents[2] / "static" / "css"
PHYSICAL = re.compile(
    r"(?:margin|padding|border|scroll-margin|scroll-padding)-(?:left|right|top|bottom)\b"
    r"|(?<![-\w])(?:left|right|top|bottom|(?:min-|max-)?(?:width|height)|float)\s*:"
    r"|text-align:\s*(?:left|right)"
)
"""Properties that mean a side of the screen rather than of the text."""

OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("width", [320, 360, 768, 1280, 2560, 3840])
def test_nothing_runs_out_of_the_page(site: Site, page: Page, width: int) -> None:
    """No width scrolls sideways, with long texts and the form open."""
    page.set_viewport_size({"width": width, "height": 800})
    site.reject("x" * 150, **{"y" * 100: "z" * 200})
    job = site.push("echo", **{"long" * 40: "w" * 300})
    visit(page, site)
    assert page.evaluate(OVERFLOW) <= 0
    page.get_by_role("button", name="push a job").click()
    assert page.evaluate(OVERFLOW) <= 0
    visit(page, site, f"/jobs/{job}")
    assert page.evaluate(OVERFLOW) <= 0
    for path in ("/jobs", "/jobs/99"):
        page.goto(site.url + path)
        assert page.evaluate(OVERFLOW) <= 0


def test_narrow_pages_show_one_list_at_a_time(site: Site, page: Page) -> None:
    """Below 900 px the counts are tabs."""
    page.set_viewport_size({"width": 360, "height": 740})
    done = site.push("echo")
    visit(page, site)
    expect(page.locator("#todo")).to_be_visible()
    expect(page.locator("#running")).to_be_hidden()
    page.locator('#counts [data-state="done"]').click()
    expect(row(page, "done", done)).to_be_visible()
    expect(page.locator("#todo")).to_be_hidden()
    page.reload()
    expect(row(page, "done", done)).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_in_both_schemes(site: Site, browser: Browser, scheme: str) -> None:
    """Every text has a contrast of 4.5 to its ground at least."""
    site.reject("greet", name="Zoë")
    site.push("fail", message="x")
    site.push("gate")
    site.gate.wait()
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    visit(page, site)
    page.get_by_role("button", name="push a job").click()
    expect(page.locator("#running tbody tr")).to_have_count(1)
    assert page.evaluate(FAINT) == []
    context.close()
    site.gate.open()


FAINT = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgb = (color, under = [255, 255, 255]) => {
    canvas.fillStyle = `rgb(${under})`; canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (c) => c.reduce((sum, v, i) => sum + linear(v / 255) * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    const chain = [];
    for (let at = e; at; at = at.parentElement) chain.unshift(getComputedStyle(at).backgroundColor);
    return chain.reduce((under, color) => rgb(color, under), [255, 255, 255]);
  };
  const contrast = (e) => {
    const under = ground(e), [a, b] = [light(rgb(getComputedStyle(e).color, under)), light(under)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  document.getAnimations().forEach((a) => a.finish());
  return [...document.querySelectorAll("body *")]
    .filter((e) => e.checkVisibility({ opacityProperty: true }))
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((e) => [e.textContent.slice(0, 40), contrast(e)])
    .filter(([, ratio]) => ratio < 4.5);
}"""


def test_the_focus_stays_where_it_is(site: Site, page: Page) -> None:
    """Updates do not take the keyboard away from a row; if the row goes, its neighbour has it."""
    visit(page, site)
    first, second, third = (site.push("gate") for _ in range(3))
    site.gate.wait()
    link = row(page, "todo", second).get_by_role("link")
    link.focus()
    page.keyboard.press("Shift")
    site.push("gate")
    expect(link).to_be_focused()
    for _ in range(4):
        site.gate.open()
    assert first < second < third


def test_a_list_of_thousands_is_capped(site: Site, page: Page) -> None:
    """A hundred rows a list; the rest is a number."""
    site.push("gate")
    site.gate.wait()
    status, _ = site.call("POST", "/push-jobs", [{"kind": "echo", "payload": {"n": n}} for n in range(1200)])
    assert status == 202
    visit(page, site)
    expect(page.locator("#todo tbody tr")).to_have_count(100)
    expect(page.locator("#todo .more")).to_have_text("+1,100 more")
    site.gate.open()
    expect(page.locator('#counts [data-state="done"] .number')).to_have_text("1,201")
    expect(page.locator("#done tbody tr")).to_have_count(100)
    expect(page.locator("#todo tbody tr")).to_have_count(0)


def test_no_style_knows_left_from_right() -> None:
    """Every property is logical, but for what a media query asks of the window."""
    found = {}
    for sheet in STYLES.glob("*.css"):
        text = re.sub(r"@(?:media|container)[^{]*\{|/\*.*?\*/", "", sheet.read_text(), flags=re.DOTALL)
        found[sheet.name] = PHYSICAL.findall(text)
    assert {name: [] for name in found} == found


MOVING = """() => {
  window.moved = 0;
  const animate = Element.prototype.animate;
  Element.prototype.animate = function (...all) { window.moved += 1; return animate.apply(this, all); };
  document.addEventListener("transitionrun", () => { window.moved += 1; }, true);
  document.addEventListener("animationstart", () => { window.moved += 1; }, true);
}"""


@pytest.mark.parametrize(("motion", "moves"), [("reduce", False), ("no-preference", True)])
def test_nothing_moves_for_those_who_want_no_motion(site: Site, page: Page, motion: str, moves: bool) -> None:
    """No tint, no transition, while a job goes through its states; who doesn't mind sees the tint."""
    page.emulate_media(reduced_motion=motion)
    first = site.push("gate")
    site.gate.wait()
    visit(page, site)
    expect(row(page, "running", first)).to_be_visible()
    page.evaluate(MOVING)
    second = site.push("gate")
    expect(row(page, "todo", second)).to_be_visible()
    site.gate.open()
    expect(row(page, "done", first)).to_be_visible()
    expect(row(page, "running", second)).to_be_visible()
    site.gate.open()
    expect(row(page, "done", second)).to_be_visible()
    assert moves == (page.evaluate("window.moved") > 0)


def test_the_tint_of_a_new_row_fades(site: Site, page: Page) -> None:
    """It says that something came, and is gone."""
    site.engine.pause()
    visit(page, site)
    fresh = row(page, "todo", site.push("echo"))
    expect(fresh).to_be_visible()
    expect(fresh).to_have_css("background-color", "rgba(0, 0, 0, 0)")
