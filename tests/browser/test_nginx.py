"""Behind the real nginx, under a path: the README's snippet, the page live in a browser, two queues in one process."""

import re
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import socketio
from playwright.sync_api import Page, expect

from tests.servers import PATIENCE, ROOT, Lines, Server

INSTALL: Final = "this test needs nginx: apt-get update && apt-get install -y --no-install-recommends nginx"
TARGET: Final = """
import threading
from flask import Flask
from webqueue import WebQueue
from werkzeug.middleware.dispatcher import DispatcherMiddleware

jobs, mail = WebQueue(store="memory:", token="a token"), WebQueue(store="memory:")

@jobs.handler
def resize(**payload):
    return payload

@mail.handler
def send(**payload):
    return payload

app = Flask("shop")
jobs.init_app(app, url_prefix="/ops/queue")
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/ops/mail": mail.create_app()})
"""
CONFIG: Final = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    {snippet}
    {other}
  }}
}}
"""


def snippet() -> str:
    """What the README says to write into nginx's configuration."""
    found = re.search(r"```nginx\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def free_port() -> int:
    """One that nobody listens on just now; nginx can't choose its own."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Nginx:
    """nginx in front of a server, by the README's snippet; leaving the context ends it."""

    def __init__(self, folder: Path, server: Server) -> None:
        assert shutil.which("nginx"), INSTALL
        self.port = free_port()
        here = snippet().replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        other = here.replace("/ops/queue/", "/ops/mail/")
        user = "user root;" if Path("/proc/self").stat().st_uid == 0 else ""
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, port=self.port, snippet=here, other=other, user=user))
        self._process = subprocess.Popen(
            ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(config)], stderr=subprocess.PIPE, text=True
        )
        self._told = Lines(self._process.stderr)

    @property
    def url(self) -> str:
        """Where the browser goes."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Nginx":
        self._told.find("start worker process")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)
        self._told.rest()


@pytest.fixture(name="proxy")
def _proxy(tmp_path: Path) -> Iterator[Nginx]:
    """nginx, and behind it one process with two queues: /ops/queue (by its prefix) and /ops/mail (mounted)."""
    (tmp_path / "shop.py").write_text(TARGET)
    with Server(tmp_path, "shop.py") as server, Nginx(tmp_path, server) as nginx:
        yield nginx


def push(proxy: Nginx, queue: str, kind: str, **headers: str) -> tuple[int, Any]:
    """Status and headers of a push through nginx."""
    request = urllib.request.Request(
        f"{proxy.url}{queue}/push-job",
        f'{{"kind": "{kind}"}}'.encode(),
        {"Content-Type": "application/json", **headers},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.status, answer.headers


def test_the_page_is_live_under_its_path(proxy: Nginx, page: Page) -> None:
    """Login, cookie and redirects stay under the path; the socket is a WebSocket; a job's page and the way out work."""
    sockets: list[str] = []
    page.on("websocket", lambda one: sockets.append(one.url))
    page.goto(f"{proxy.url}/ops/queue/")
    page.get_by_label("The token").fill("a token")
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{proxy.url}/ops/queue/")
    expect(page.locator("#connection")).to_have_text("connected")
    assert ["/ops/queue"] == [cookie["path"] for cookie in page.context.cookies()]
    assert [True] == [one.startswith(f"ws://127.0.0.1:{proxy.port}/ops/queue/socket.io/") for one in sockets]

    status, headers = push(proxy, "/ops/queue", "resize", Authorization="Bearer a token")
    assert (202, "/ops/queue/jobs/1") == (status, headers["Location"])
    page.locator("#done tbody a").click()
    expect(page).to_have_url(f"{proxy.url}/ops/queue/jobs/1")
    expect(page.locator(".state")).to_have_text("done")
    expect(page.locator("#connection")).to_have_text("connected")
    page.get_by_role("button", name="log out").click()
    expect(page).to_have_url(f"{proxy.url}/ops/queue/login")
    assert [] == page.context.cookies()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_both_transports_pass(proxy: Nginx, transport: str) -> None:
    """WebSocket and, for those whose proxy knows none, polling."""
    client = socketio.SimpleClient()
    client.connect(
        proxy.url, namespace="/queue", socketio_path="/ops/queue/socket.io", transports=[transport],
        auth={"token": "a token"}, wait_timeout=PATIENCE,
    )  # fmt: skip
    assert "snapshot" == client.receive(timeout=PATIENCE)[0]
    assert transport == client.transport
    client.disconnect()


def test_two_queues_in_one_process(proxy: Nginx, page: Page) -> None:
    """Each page shows its own jobs, live; one wants a token, the other does not."""
    page.goto(f"{proxy.url}/ops/mail/")
    expect(page.locator("#connection")).to_have_text("connected")
    assert 202 == push(proxy, "/ops/queue", "resize", Authorization="Bearer a token")[0]
    assert 202 == push(proxy, "/ops/mail", "send")[0]
    expect(page.locator("#done tbody tr")).to_have_count(1)
    expect(page.locator("#done tbody tr")).to_contain_text("send")


def test_only_its_own_origin_may_push_through_it(proxy: Nginx) -> None:
    """A page's own origin is the proxy's address, not the server's behind it."""
    port = proxy.port
    own = {"Origin": f"http://127.0.0.1:{port}", "Authorization": "Bearer a token"}
    assert 202 == push(proxy, "/ops/queue", "resize", **own)[0]
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        push(proxy, "/ops/queue", "resize", **own | {"Origin": "http://evil.example"})
    refused.value.close()
