"""The pages beside what is stored: how long the server takes for each, and Chromium to the first paint."""

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import Browser, sync_playwright

from tests.servers import Server

SIZES = [int(word) for word in sys.argv[1:]] or [100, 1_000, 100_000, 1_000_000]
PAGES = ("/", "/jobs", "/jobs?q=state:done", "/jobs?q=state:failed", "/jobs?state=done", "/failures")
VISITS = 30
PAINTS = 7
PAINTED = "performance.getEntriesByName('first-contentful-paint')"

APP = """
from webqueue import WebQueue
from flask import request

jobs = WebQueue(keep_finished=2_000_000, max_todo=2_000_000)

@jobs.handler(max_attempts=1)
def work(n):
    # One in a hundred fails.
    if n % 100 == 0:
        raise ValueError("on purpose")

app = jobs.create_app()
engine = app.extensions["webqueue"]

@app.get("/fill")
def fill():
    last = None
    for begin in range(0, int(request.args["jobs"]), 1_000):
        numbers = range(begin, min(begin + 1_000, int(request.args["jobs"])))
        last = engine.push_many([{"kind": "work", "payload": {"n": n}} for n in numbers])[-1]
    engine.wait(last.job.id, 600)
    return engine.overview()["counts"]
"""


@contextmanager
def filled(jobs: int) -> Iterator[str]:
    """The address of a server with so many jobs that have ended."""
    with tempfile.TemporaryDirectory(prefix="webqueue-bench-") as name:
        folder = Path(name)
        (folder / "shop.py").write_text(APP)
        with Server(folder, "shop.py", "--store", "sqlite:///bench.db") as running:
            urlopen(f"{running.url}/fill?jobs={jobs}", timeout=900).close()
            yield running.url


def visit(url: str) -> float:
    """Seconds until a page is there, asked for as a browser does."""
    began = time.perf_counter()
    with urlopen(Request(url, headers={"Accept": "text/html"}), timeout=60) as answer:
        answer.read()
    return time.perf_counter() - began


def paint(browser: Browser, url: str) -> float:
    """Seconds until Chromium, with an empty cache, shows something."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(url)
    page.wait_for_function(f"{PAINTED}.length")
    seconds = page.evaluate(f"{PAINTED}[0].startTime") / 1e3
    context.close()
    return float(seconds)


def in_turn(urls: list[str], rounds: int, measure: Callable[[str], float]) -> list[float]:
    """The median for each, measured one after the other in each round."""
    taken = [[measure(url) for url in urls] for _ in range(rounds + 1)][1:]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def show(name: str, figures: list[float]) -> None:
    """One line: ms by size, and how much more the largest takes than 1,000 (or the smallest)."""
    cells = "".join(f"{one * 1e3:>12.1f}" for one in figures)
    base = SIZES.index(1_000) if 1_000 in SIZES else 0
    print(f"  {name:<28}{cells}   {figures[-1] / figures[base]:.2f} ×", flush=True)


def main() -> None:
    """Print the figures."""
    with ExitStack() as stack:
        urls = [stack.enter_context(filled(jobs)) for jobs in SIZES]
        print(f"  {'ms with so many stored jobs':<28}" + "".join(f"{jobs:>12,}" for jobs in SIZES) + "   (at most 2)")
        for path in PAGES:
            show(path, in_turn([url + path for url in urls], VISITS, visit))
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        show("first paint of /", in_turn(urls, PAINTS, lambda url: paint(browser, url)))
        browser.close()


if __name__ == "__main__":
    main()
