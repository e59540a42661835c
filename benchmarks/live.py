"""The live page: how soon a commit is seen, what a flood costs the page, and what viewers cost the consumers.

Chromium, the server and the viewers share this machine; each viewer but the page only reads and drops bytes. Times of
both sides are of the same system clock (``time.time`` and ``Date.now``), so there is no offset to guess.
"""

import base64
import os
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import percentile
from playwright.sync_api import Page, sync_playwright

from tests.servers import Server

SECONDS = float(sys.argv[1]) if len(sys.argv) == 2 else 30.0
"""How long the flood lasts."""
STEPS = 3
"""Transitions of a job: todo, running, done."""
VIEWERS = 20
JOBS = 30_000
ROUNDS = 5
PAUSE = threading.Event()

APP = """
import threading
import time
from webqueue import WebQueue
from flask import request

jobs = WebQueue()
ended, done = {}, threading.Event()
wanted = 0

@jobs.handler
def noop():
    pass

app = jobs.create_app()
engine = app.extensions["webqueue"]

def stamp(steps):
    now = time.time()
    ended.update((job.id, now) for job in steps if job.finished)
    if len(ended) >= wanted:
        done.set()

engine.feed.observe(stamp)

def begin(number):
    global wanted
    done.clear()
    ended.clear()
    wanted = number

@app.get("/drive")
def drive():
    # So many jobs a second for so many seconds, a batch each 10 ms, in step with the clock.
    rate, seconds = float(request.args["rate"]), float(request.args["seconds"])
    begin(int(rate * seconds))
    pause, began, pushed = threading.Event(), time.perf_counter(), 0
    while pushed < wanted:
        due = min(wanted, int((time.perf_counter() - began) * rate))
        if due > pushed:
            engine.push_many([{"kind": "noop"}] * (due - pushed))
            pushed = due
        pause.wait(0.01)
    done.wait(60)
    return {"took": time.perf_counter() - began, "ended": ended}

@app.get("/bulk")
def bulk():
    number = int(request.args["jobs"])
    begin(number)
    began = time.perf_counter()
    for _ in range(number // 1000):
        engine.push_many([{"kind": "noop"}] * 1000)
    done.wait(60)
    return {"rate": number / (time.perf_counter() - began)}
"""

WATCH = """
window.seen = { frames: 0, drawings: 0, bytes: 0, delays: [], rows: 0, done: {} };
window.WebSocket = class extends WebSocket {
  constructor(...all) {
    super(...all);
    this.addEventListener("message", ({ data }) => {
      if (!/^42\\/queue,\\["(snapshot|changes)"/.test(data)) return;
      seen.frames += 1;
      seen.bytes += data.length;
    });
  }
};
addEventListener("keydown", (event) => requestAnimationFrame(() => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => seen.delays.push(performance.now() - event.timeStamp);
  port2.postMessage(0);
}), true);
addEventListener("DOMContentLoaded", () => new MutationObserver((records) => {
  const now = Date.now() / 1000;
  for (const { addedNodes } of records) for (const row of addedNodes) seen.done[row.dataset?.id] ??= now;
  seen.drawings += 1;
  seen.rows = Math.max(seen.rows, ...[...document.querySelectorAll("tbody")].map((body) => body.children.length));
}).observe(document.querySelector("#done tbody"), { childList: true }));
"""


@contextmanager
def server() -> Iterator[Server]:
    """The application above on a file that keeps as much from round to round.

    Nobody is pinged, as the viewers would not answer.
    """
    with tempfile.TemporaryDirectory(prefix="webqueue-bench-") as name:
        folder = Path(name)
        (folder / "shop.py").write_text(APP)
        settings = {"WEBQUEUE_PING_INTERVAL": "900", "WEBQUEUE_KEEP_FINISHED": "10000"}
        with Server(folder, "shop.py", "--store", "sqlite:///bench.db", **settings) as running:
            yield running


@contextmanager
def visited(url: str) -> Iterator[Page]:
    """The page in Chromium, connected."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.add_init_script(WATCH)
        page.goto(url)
        page.locator('body[data-connection="connected"], body[data-connection="live"]').wait_for()
        yield page
        browser.close()


# -- what the page sees


def seen_after(running: Server, page: Page, rate: float, seconds: float) -> list[float]:
    """Seconds from the commit of each job's end to its row in the page, at *rate* transitions a second."""
    _, told = running.call("GET", f"/drive?rate={rate / STEPS}&seconds={seconds}")
    page.wait_for_timeout(1000)
    seen = page.evaluate("seen.done")
    return [seen[id] - at for id, at in told["ended"].items() if id in seen]


class Flood:
    """The server floods the page; meanwhile keys are pressed in it."""

    def __init__(self, running: Server, page: Page, rate: float) -> None:
        self._page = page
        self._devtools = page.context.new_cdp_session(page)
        self._devtools.send("Performance.enable")
        before = page.evaluate("({ frames: seen.frames, drawings: seen.drawings, bytes: seen.bytes })")
        self.told: Any = None
        thread = threading.Thread(target=self._drive, args=(running, rate))
        thread.start()
        heaps = self._type(thread)
        thread.join()
        seen = page.evaluate("seen")
        self.rate = STEPS * len(self.told["ended"]) / self.told["took"]
        self.frames, self.drawings, self.bytes = (
            (seen[name] - before[name]) / self.told["took"] for name in ("frames", "drawings", "bytes")
        )
        self.rows, self.delays = seen["rows"], seen["delays"]
        self.heap = heaps[len(heaps) // 3], heaps[-1]

    def _drive(self, running: Server, rate: float) -> None:
        _, self.told = running.call("GET", f"/drive?rate={rate / STEPS}&seconds={SECONDS}")

    def _type(self, thread: threading.Thread) -> list[float]:
        heaps = []
        while thread.is_alive():
            for _ in range(10):
                self._page.keyboard.press("Shift")
                self._page.wait_for_timeout(100)
            heaps.append(self._heap())
        return heaps

    def _heap(self) -> float:
        """MB that live after a collection."""
        self._devtools.send("HeapProfiler.collectGarbage")
        metrics = self._devtools.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "JSHeapUsedSize")) / 1e6


# -- what viewers cost


def view(port: int) -> None:
    """Join as VIEWERS clients, say so, then read and drop whatever comes until stdin closes. A process of its own."""
    clients = [joined(port) for _ in range(VIEWERS)]
    print("joined", flush=True)
    buffer, ready = bytearray(1 << 20), select.epoll()
    for one in clients:
        ready.register(one, select.EPOLLIN)
    ready.register(0, select.EPOLLIN | select.EPOLLHUP)
    by_number = {one.fileno(): one for one in clients}
    while True:
        for number, _ in ready.poll():
            if number == 0:
                return
            if not by_number[number].recv_into(buffer):
                raise SystemExit("A viewer was cut off.")


def joined(port: int) -> socket.socket:
    """One WebSocket that has joined the namespace."""
    one = socket.create_connection(("127.0.0.1", port))
    lines = (
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
    )
    one.sendall("\r\n".join((*lines, "", "")).encode())
    assert one.recv(65536).startswith(b"HTTP/1.1 101")
    join = b"40/queue,"
    one.sendall(bytes((0x81, 0x80 | len(join), 0, 0, 0, 0)) + join)
    one.recv(65536)
    return one


@contextmanager
def viewers(port: int) -> Iterator[None]:
    """VIEWERS clients in a process of their own."""
    command = [sys.executable, __file__, "--view", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "joined\n" == process.stdout.readline()
        yield
        assert process.poll() is None, "A viewer was cut off."
        process.communicate()


def bulk(running: Server) -> float:
    """Jobs pushed and run, a second."""
    return float(running.call("GET", f"/bulk?jobs={JOBS}")[1]["rate"])


def cost(running: Server) -> tuple[list[float], list[float]]:
    """Jobs a second without and with viewers, by round, in turn."""
    alone, watched = [], []
    bulk(running)
    for _ in range(ROUNDS):
        alone.append(bulk(running))
        with viewers(running.port):
            watched.append(bulk(running))
    return alone, watched


def woken(running: Server, seconds: float = 5.0) -> tuple[int, int]:
    """(system calls, context switches) of the server's process in so many seconds with idle viewers."""
    with viewers(running.port):
        PAUSE.wait(2)
        before = switches(running.worker())
        PAUSE.wait(seconds)
        after = switches(running.worker())
    names = before.keys() & after.keys()
    changed = {name: after[name] - before[name] for name in names if after[name] != before[name]}
    return len(names), sum(changed.values())


def switches(process: int) -> dict[str, int]:
    """By thread, how often it gave up the processor."""
    found = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        lines = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        found[f"{task.name} {lines['Name']}"] = int(lines["voluntary_ctxt_switches"])
    return found


def show(what: str, value: str, wanted: str = "") -> None:
    """One line."""
    print(f"  {what:<52}{value:>20}{f'   ({wanted})' if wanted else ''}", flush=True)


def main() -> None:
    """Print the figures."""
    with server() as running:
        threads, wakes = woken(running)
        show(f"{VIEWERS} idle viewers: wake-ups in 5 s", f"{wakes} of {threads} threads", "none but gunicorn's own")
        alone, watched = cost(running)
        ratio = statistics.median(one / other for one, other in zip(watched, alone, strict=True))
        show("jobs/s without viewers", f"{statistics.median(alone):,.0f}")
        show(f"jobs/s with {VIEWERS} viewers", f"{statistics.median(watched):,.0f}")
        show("with / without", f"{ratio:.3f} ×", "at least 0.95")
    with server() as running, visited(running.url) as page:
        seen_after(running, page, 1_000, 2)
        late = [seconds * 1e3 for seconds in seen_after(running, page, 1_000, 10)]
        show("commit to DOM at 1,000 transitions/s, p50", f"{percentile(late, 0.5):.0f} ms")
        show("... p99", f"{percentile(late, 0.99):.0f} ms", "below 100")
        show("... of so many jobs", f"{len(late):,}")
        flood = Flood(running, page, 10_000)
    show(f"flood of {SECONDS:.0f} s: transitions/s", f"{flood.rate:,.0f}", "10,000")
    show("... frames/s", f"{flood.frames:.1f}, {flood.bytes / 1e6:.2f} MB/s", "at most 20")
    show("... drawings/s", f"{flood.drawings:.1f}", "at most one a frame")
    show("... rows of the longest list", f"{flood.rows}", "at most 100")
    show("... heap after a third, at the end", f"{flood.heap[0]:.1f}, {flood.heap[1]:.1f} MB", "flat")
    show("... from a key to the next paint, p50, worst", delays(flood.delays), "below 100 ms")


def delays(values: list[float]) -> str:
    """The middle and the worst."""
    return f"{percentile(values, 0.5):.0f}, {max(values):.0f} ms of {len(values)}"


if __name__ == "__main__":
    if "--view" in sys.argv:
        view(int(sys.argv[-1]))
    else:
        main()
