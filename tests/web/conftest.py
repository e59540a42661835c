"""Real servers on port 0, real HTTP and real Socket.IO clients."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests
import socketio
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from webqueue import WebQueue
from webqueue.demo import register_demo

PATIENCE = 10.0
"""Seconds after which a test gives up waiting."""


class Quiet(WSGIRequestHandler):
    """Says nothing about the requests it answers."""

    def log(self, *_: Any, **__: Any) -> None:
        """Nothing."""


class Gate:
    """A handler that says when it was entered, and stays in it until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def run(self) -> str:
        self.entered.set()
        assert self.opened.wait(PATIENCE)
        return "through"


class Server:
    """One application behind a real server."""

    def __init__(self, app: Flask, prefix: str = "") -> None:
        self.app = app
        self.prefix = prefix
        self._server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.root = f"http://127.0.0.1:{self._server.port}"
        self.url = self.root + prefix
        self.http = requests.Session()
        self._thread.start()

    @property
    def engine(self) -> Any:
        return self.app.extensions["webqueue"]

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.http.get(self.url + path, timeout=PATIENCE, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> requests.Response:
        return self.http.post(self.url + path, json=json, timeout=PATIENCE, **options)

    def push(self, kind: str = "echo", wait: int | None = None, **payload: Any) -> Any:
        headers = {} if wait is None else {"Prefer": f"wait={wait}"}
        answer = self.post("/push-job", {"kind": kind, "payload": payload}, headers=headers)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    def close(self) -> None:
        self.http.close()
        self.app.extensions["webqueue.live"].close()
        self.engine.stop(0)
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()


class Client:
    """A Socket.IO client; what it is told lies in ``told`` as (event, body)."""

    def __init__(self, server: Server, auth: Any = None, **options: Any) -> None:
        self.told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.left = threading.Event()
        self._kept: list[tuple[str, Any]] = []
        self.io = socketio.Client(reconnection=False)
        for event in ("snapshot", "changes", "job_rejected", "job", "warnings"):
            self.io.on(event, lambda body, event=event: self.told.put((event, body)), namespace="/queue")
        self.io.on("disconnect", lambda *_: self.left.set(), namespace="/queue")
        self.io.connect(
            server.url,
            namespaces=["/queue"],
            socketio_path=f"{server.prefix}/socket.io",
            auth=auth,
            wait_timeout=PATIENCE,
            **{"transports": ["websocket"], **options},
        )

    def ask(self, event: str, *body: Any) -> Any:
        return self.io.call(event, body if body else None, namespace="/queue", timeout=PATIENCE)

    def next(self, *events: str, such: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next body of one of *events* that is *such*; what comes before it is dropped."""
        deadline = time.monotonic() + PATIENCE
        while True:
            event, body = self.told.get(timeout=max(0.01, deadline - time.monotonic()))
            if event in events and such(body):
                return body

    def frame(self) -> tuple[str, Any]:
        """The next ``snapshot`` or ``changes``."""
        while True:
            event, body = self.told.get(timeout=PATIENCE)
            if event in ("snapshot", "changes"):
                return event, body

    def close(self) -> None:
        self.io.disconnect()
        if self.io.eio.ws:  # left open where the server went first
            self.io.eio.ws.shutdown()


@pytest.fixture
def jobs() -> WebQueue:
    """A WebQueue with the demo kinds."""
    made = WebQueue(store="memory:")
    register_demo(made.handlers)
    return made


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    """What is entered here is closed when the test is over."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(jobs: WebQueue, closing: ExitStack) -> Callable[..., Server]:
    """Makes servers of applications with the demo kinds, or of the *app* given."""

    def make(app: Flask | None = None, prefix: str = "", **settings: Any) -> Server:
        server = Server(app or jobs.create_app(**settings), prefix)
        closing.callback(server.close)
        return server

    return make


@pytest.fixture(scope="module")
def standing() -> Iterator[Callable[..., Server]]:
    """Makes servers that stand until a module's tests are over, for tests that leave nothing behind."""
    made: dict[str, Server] = {}

    def make(**settings: Any) -> Server:
        key = repr(settings)
        if key not in made:
            jobs = WebQueue(store="memory:", **settings)
            register_demo(jobs.handlers)
            made[key] = Server(jobs.create_app())
        made[key].http.cookies.clear()
        return made[key]

    yield make
    for server in made.values():
        server.close()


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """An application with the demo kinds, as it comes."""
    return serve()


@pytest.fixture
def plain(standing: Callable[..., Server]) -> Server:
    """One for all tables of a module."""
    return standing()


@pytest.fixture
def connect(closing: ExitStack) -> Callable[..., Client]:
    """Makes clients of a server."""

    def make(server: Server, auth: Any = None, **options: Any) -> Client:
        client = Client(server, auth, **options)
        closing.callback(client.close)
        return client

    return make


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is inside takes no longer than *seconds*."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun <= seconds
