"""A flood of changes costs the page bounded work; it stays usable meanwhile, and true."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, CDPSession, Page, expect

from tests.browser.conftest import count, picture
from tests.servers import PATIENCE, Server

BATCH = 300
"""So many jobs are on their way at a time; each of them takes three steps: todo, running, done."""
ROUNDS = 20
SECONDS = 12.0
"""... or as many as go into so long, where the machine is busy."""
FRAMES = 5
"""A round is over after so many frames: a quarter of a second at 20 a second."""
WAITING = 150
"""More than a list has rows."""
WATCH = """
window.seen = { frames: 0, resyncs: 0, drawings: 0, rows: 0, outside: 0, delays: [] };
const later = window.requestAnimationFrame.bind(window);
const bodies = () => [...document.querySelectorAll("tbody")];
const observer = new MutationObserver((records) => { seen.outside += records.length; });
addEventListener("DOMContentLoaded", () => bodies().forEach((body) => observer.observe(body, { childList: true })));
window.requestAnimationFrame = (call) => later((time) => {
  seen.drawings += 1;
  call(time);
  observer.takeRecords();
  seen.rows = Math.max(seen.rows, ...bodies().map((body) => body.children.length));
});
let due = () => {};
window.WebSocket = class extends WebSocket {
  constructor(...all) {
    super(...all);
    this.addEventListener("message", ({ data }) => {
      if (!/^42.queue,."(snapshot|changes)"/.test(data)) return;
      seen.frames += 1;
      due();
    });
  }
  send(data) {
    if (/^42.queue,\\d*."resync"/.test(data)) seen.resyncs += 1;
    super.send(data);
  }
};
window.further = (frames, patience) => new Promise((done, fail) => {
  const wanted = seen.frames + frames;
  due = () => seen.frames >= wanted && done();
  setTimeout(() => fail(new Error("No more frames.")), patience);
});
addEventListener("keydown", (event) => later(() => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => seen.delays.push(performance.now() - event.timeStamp);
  port2.postMessage(0);
}), true);
"""
"""Counts frames that come, drawings (calls back by ``requestAnimationFrame``), changes of rows outside of drawings; the
most rows that a list ever had; ms from each key to the paint after it."""


APP = f"""
import threading
from webqueue import WebQueue

jobs = WebQueue()
calm = threading.Event()

@jobs.handler
def echo(**payload):
    return payload

app = jobs.create_app()
engine = app.extensions["webqueue"]

def push():
    while not calm.is_set():
        last = engine.push_many([{{"kind": "echo"}}] * {BATCH})[-1].job
        engine.wait(last.id, 20)

flood = threading.Thread(target=push)

@app.get("/flood")
def begin():
    flood.start()
    return []

@app.get("/calm")
def end():
    calm.set()
    flood.join()
    return engine.overview()["counts"]
"""
"""It floods itself: a batch is pushed whenever the last of the batch before is done."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server in a process of its own, so that its flood does not slow the hand that presses the keys."""
    (tmp_path / "flood.py").write_text(APP)
    with Server(tmp_path, "flood.py", "--store", "sqlite:///flood.db") as server:
        yield server


class Watched:
    """A page under watch: what it did since it was made, and its heap."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.heaps: list[float] = []
        self._tools: CDPSession = page.context.new_cdp_session(page)
        self._tools.send("Performance.enable")
        self._before = self._seen()

    def go_on(self) -> None:
        """Two keys are pressed in the search field, some frames come, and the heap is measured."""
        self.page.keyboard.press("a")
        self.page.keyboard.press("b")
        self.page.evaluate(f"further({FRAMES}, {PATIENCE * 1000})")
        self.heaps.append(self._heap())

    def since(self) -> dict[str, Any]:
        """Seconds, frames, resyncs and drawings since it was made; the rest of ``seen`` as it is."""
        now = self._seen()
        return now | {name: now[name] - self._before[name] for name in ("seconds", "frames", "resyncs", "drawings")}

    def _seen(self) -> dict[str, Any]:
        seen: dict[str, Any] = self.page.evaluate("({ ...seen, seconds: performance.now() / 1000 })")
        return seen

    def _heap(self) -> float:
        """MB that live after a collection."""
        self._tools.send("HeapProfiler.collectGarbage")
        metrics = self._tools.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "JSHeapUsedSize")) / 1e6


@pytest.fixture
def watched(server: Server, page: Page) -> Watched:
    """The page, live, its lists full, somebody at its search field."""
    page.add_init_script(WATCH)
    page.goto(server.url)
    server.call("POST", "/push-jobs", [{"kind": "echo"}] * BATCH)
    expect(count(page, "done")).to_have_text(str(BATCH))
    page.get_by_label("find jobs").focus()
    return Watched(page)


def test_a_flood_costs_bounded_work_and_ends_in_the_truth(
    server: Server, watched: Watched, context: BrowserContext
) -> None:
    """Frames, drawings, rows and heap have bounds, keys are answered; in the end the page is as a fresh one."""
    server.call("GET", "/flood")
    begun = time.monotonic()
    while len(watched.heaps) < ROUNDS and time.monotonic() < begun + SECONDS:
        watched.go_on()
    seen = watched.since()
    done = server.call("GET", "/calm")[1]["done"]
    assert seen["frames"] <= 20 * seen["seconds"] + seen["resyncs"] + 2
    # A drawing for each frame, and two for what the page asks for at most once a second.
    assert seen["drawings"] <= seen["frames"] + 2 * seen["seconds"] + 2
    assert 0 == seen["outside"], "Rows came or went outside of a drawing."
    assert 100 == seen["rows"]
    assert statistics.median(seen["delays"]) < 1000, "ms; 100 where nothing else goes on"
    third = -(-len(watched.heaps) // 3)
    assert statistics.median(watched.heaps[-third:]) <= 1.25 * statistics.median(watched.heaps[:third])
    agree(server, watched.page, context, done)


def agree(server: Server, page: Page, context: BrowserContext, done: int) -> None:
    """With more jobs waiting than a list has rows the page says of all lists what one says that was opened only now."""
    server.call("POST", "/queue/pause")
    server.call("POST", "/push-jobs", [{"kind": "echo"}] * WAITING)
    fresh = context.new_page()
    fresh.goto(server.url)
    for one in (page, fresh):
        expect(one.locator("#connection")).to_have_text("connected")
        expect(count(one, "done")).to_have_text(f"{done:,}")
        expect(one.locator("#todo .more")).to_have_text(f"+{WAITING - 100} more")
        expect(one.locator("#todo tbody tr").last).to_contain_text("paused")
    assert f"+{done - 100:,} more" == page.locator("#done .more").text_content()
    assert picture(fresh) == picture(page)
