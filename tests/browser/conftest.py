"""A real server on a free port, and Debian's Chromium in front of it. Whatever it complains about fails the test."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from marshmallow import Schema, fields, validate
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from webqueue import Unfit, WebQueue, current_job

PATIENCE = 10.0
"""Seconds after which something that should have happened counts as not happening."""
UNAVOIDABLE = ("the server responded with a status of 4", "net::ERR_", "WebSocket connection to")
"""What Chromium itself writes to the console about an answer 4xx, or a server that is away."""

expect.set_options(timeout=PATIENCE * 1000)


class Gate:
    """A handler that waits for the test: ``entered`` once it runs, goes on once ``opened``."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.opened = threading.Semaphore(0)

    def pass_through(self) -> None:
        self.entered.release()
        if not self.opened.acquire(timeout=PATIENCE):
            raise TimeoutError("Nobody opened the gate.")

    def wait(self) -> None:
        assert self.entered.acquire(timeout=PATIENCE), "No job came to the gate."

    def open(self) -> None:
        self.opened.release()


class Resize(Schema):
    """A payload with something of everything that the form makes fields of."""

    url = fields.Url(required=True)
    width = fields.Integer(load_default=200, validate=validate.Range(1, 4000))
    format = fields.String(validate=validate.OneOf(["webp", "jpeg"]), load_default="webp")
    sharpen = fields.Boolean(load_default=False)


class Greet(Schema):
    """A payload of which the server knows more than the browser."""

    name = fields.String(required=True)
    email = fields.Email(required=True)


class Sign(Schema):
    """A payload with a secret that has no telling name."""

    pin = fields.String(metadata={"secret": True})
    name = fields.String()


class Site:
    """One webqueue on one file and one port; it may be stopped and started again."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self._folder = folder
        self._prefix = prefix
        self._port = 0
        self.gate = Gate()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{self._prefix}"

    def start(self) -> None:
        jobs = WebQueue(store=f"sqlite:///{self._folder}/queue.db")
        self._register(jobs)
        self.app = self._application(jobs)
        application = remembered(self.app)
        self._server = make_server("127.0.0.1", self._port, application, threaded=True, request_handler=Silent)
        self._port = self._server.port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self.cut()
        self.engine.stop(grace=0)
        self._server.server_close()

    def cut(self) -> None:
        """Ends all sockets; the server stays."""
        self.app.extensions["webqueue.live"].close()

    @property
    def engine(self) -> Any:
        return self.app.extensions["webqueue"]

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One HTTP call, as curl would make it: status and JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urlopen(request, timeout=PATIENCE) as response:
                return response.status, json.load(response)
        except HTTPError as error:
            return error.code, json.load(error)

    def push(self, kind: str, **payload: Any) -> int:
        """The id of an accepted job."""
        status, body = self.call("POST", "/push-job", {"kind": kind, "payload": payload})
        assert status == 202, body
        return int(body["id"])

    def reject(self, kind: str, **payload: Any) -> None:
        status, body = self.call("POST", "/push-job", {"kind": kind, "payload": payload})
        assert status == 422, body

    def _application(self, jobs: WebQueue) -> Any:
        if not self._prefix:
            return jobs.create_app()
        from flask import Flask

        app = Flask("shop")
        jobs.init_app(app, url_prefix=self._prefix)
        return app

    def _register(self, jobs: WebQueue) -> None:
        self._register_gated(jobs)
        self._register_plain(jobs)

    def _register_gated(self, jobs: WebQueue) -> None:
        gate = self.gate

        @jobs.handler(kind="gate")
        def through_gate(**payload: Any) -> dict[str, Any]:
            """Waits until the test lets it go on."""
            current_job.log(f"waiting at the gate with {payload}")
            current_job.progress(0.5, "at the gate")
            gate.pass_through()
            return payload

        @jobs.handler
        def chatty(lines: int) -> None:
            """Logs so many lines, and one more when the test lets it."""
            for number in range(lines):
                current_job.log(f"line {number}")
            gate.pass_through()
            current_job.log("last")

    def _register_plain(self, jobs: WebQueue) -> None:
        @jobs.handler
        def echo(**payload: Any) -> dict[str, Any]:
            """Returns its payload."""
            return payload

        @jobs.handler(max_attempts=1)
        def fail(message: str) -> None:
            """Fails with a message."""
            raise RuntimeError(message)

        @jobs.handler(schema=Resize)
        def resize(url: str, width: int, format: str, sharpen: bool) -> dict[str, Any]:
            """Shrinks a picture."""
            return {"url": url, "width": width, "format": format, "sharpen": sharpen}

        @jobs.handler(schema=Sign)
        def sign(**payload: str) -> dict[str, str]:
            """Returns its payload, a secret in it."""
            return payload

        @jobs.handler(schema=Greet)
        def greet(name: str, email: str) -> str:
            """Says hello."""
            return f"Hello, {name}!"

        @greet.fit
        def is_ours(name: str, email: str) -> None:
            if not email.endswith("example.org"):
                raise Unfit({"email": ["Not one of ours."]})


def remembered(application: Any) -> Any:
    """The same, with each answer kept in its environ until the request is over."""

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        environ["tests.answer"] = application(environ, start_response)
        return environ["tests.answer"]

    return answer


class Silent(WSGIRequestHandler):
    """Logs nothing; closes the answer to a client that is gone, which Werkzeug 3.1 may leave open (a file, then)."""

    def log(self, type: str, message: str, *arguments: Any) -> None:
        """Says nothing."""

    def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
        """The client went away before the end."""
        close = getattr((environ or {}).get("tests.answer"), "close", None)
        if close is not None:
            close()


def _served(site: Site) -> Iterator[Site]:
    site.start()
    yield site
    site.stop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A server with one consumer."""
    yield from _served(Site(tmp_path))


class Locked(Site):
    """One that wants a token."""

    def _application(self, jobs: WebQueue) -> Any:
        return jobs.create_app(token="a token of this test", view_token="another one")


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Site]:
    """A server behind a token."""
    yield from _served(Locked(tmp_path))


@pytest.fixture
def prefixed(tmp_path: Path) -> Iterator[Site]:
    """The same inside somebody's own application, under /tools/queue."""
    yield from _served(Site(tmp_path, "/tools/queue"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, once for all tests."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("The browser tests need Debian's Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A profile of its own, in which nothing may go wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, ignore_https_errors=True)
    context.set_default_timeout(PATIENCE * 1000)
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(words in message.text for words in UNAVOIDABLE):
            complaints.append(message.text)

    context.on("console", hear)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    yield context
    context.close()
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """An empty page in that profile."""
    return context.new_page()


def visit(page: Page, site: Site, path: str = "/") -> None:
    """Opens the page and waits until it is live."""
    page.goto(site.url + path)
    expect(page.locator("#connection")).to_have_text("connected")


def row(page: Page, panel: str, id: int) -> Any:
    """The row of job *id* in one list."""
    return page.locator(f'#{panel} tbody [data-id="{id}"]')


def count(page: Page, state: str) -> Any:
    """The number that the top strip says."""
    return page.locator(f'#counts [data-state="{state}"] .number')


PICTURE = """() => Object.fromEntries([...document.querySelectorAll(".panel")].map((panel) => [panel.id, {
  rows: [...panel.querySelectorAll("tbody tr")].map((row) => [row.dataset.id, row.dataset.state,
    ...["kind", "overdue", "tries", "note", "preview", "percent", "faults"].map(
      (name) => row.querySelector(`[data-f="${name}"]`)?.textContent.replace(/\\s+/g, " ").trim())]),
  more: panel.querySelector(".more").hidden ? "" : panel.querySelector(".more").textContent,
  count: document.querySelector(`#counts [data-state="${panel.id}"] .number`).textContent,
}]))"""


def picture(page: Page) -> Any:
    """What the page says of the queue, but for the times: by list its rows, what is not shown, and the count."""
    return page.evaluate(PICTURE)
