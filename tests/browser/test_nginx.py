"""Behind the real nginx, under a path, with TLS and without: the README's snippet, the page live, two queues in one."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError

import pytest
import requests
import socketio
from playwright.sync_api import Page, expect

from tests.servers import PATIENCE, ROOT, Lines, Server

INSTALL: Final = "this test needs nginx: apt-get update && apt-get install -y --no-install-recommends nginx openssl"
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
    listen 127.0.0.1:{port}{tls};
    {more}
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


TLS: Final = "ssl_certificate {0}/cert.pem; ssl_certificate_key {0}/key.pem;"
CERTIFICATE: Final = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -keyout key.pem -out cert.pem "
    "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
)


class Nginx:
    """nginx in front of a server, by the README's snippet, with TLS or without; leaving the context ends it."""

    def __init__(self, folder: Path, server: Server, scheme: str, more: str = "") -> None:
        assert shutil.which("nginx"), INSTALL
        self.scheme, self._folder = scheme, folder
        listener = _listener()
        self.port = listener.getsockname()[1]
        tls = ""
        if scheme == "https":
            subprocess.run(CERTIFICATE.split(), cwd=folder, check=True, capture_output=True, timeout=PATIENCE)
            tls, more = " ssl", more + TLS.format(folder)
        here = snippet().replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        other = here.replace("/ops/queue/", "/ops/mail/")
        user = "user root;" if Path("/proc/self").stat().st_uid == 0 else ""
        config = folder / "nginx.conf"
        config.write_text(
            CONFIG.format(folder=folder, port=self.port, tls=tls, more=more, snippet=here, other=other, user=user)
        )
        with listener:  # nginx takes it over, as from a master before it: nobody else can have the port
            self._process = subprocess.Popen(
                ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(config)],
                stderr=subprocess.PIPE,
                text=True,
                pass_fds=[listener.fileno()],
                env={**os.environ, "NGINX": f"{listener.fileno()};"},
            )
        self._told = Lines(self._process.stderr)

    @property
    def url(self) -> str:
        """Where the browser goes."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def trust(self) -> str | None:
        """The file of the certificate, if there is one."""
        return str(self._folder / "cert.pem") if self.scheme == "https" else None

    def __enter__(self) -> "Nginx":
        self._told.find("start worker process")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)
        self._told.rest()


def _listener() -> socket.socket:
    """A socket as nginx makes one, on a port that was free."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=511)
    listener.setblocking(False)
    return listener


@pytest.fixture(name="proxy")
def _proxy(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Nginx]:
    """nginx, and behind it one process with two queues: /ops/queue (by its prefix) and /ops/mail (mounted)."""
    (tmp_path / "shop.py").write_text(TARGET)
    with Server(tmp_path, "shop.py") as server, Nginx(tmp_path, server, getattr(request, "param", "http")) as nginx:
        yield nginx


WITH_AND_WITHOUT_TLS: Final = pytest.mark.parametrize("proxy", ["http", "https"], indirect=True)


def push(proxy: Nginx, queue: str, kind: str, **headers: str) -> tuple[int, Any]:
    """Status and headers of a push through nginx."""
    request = urllib.request.Request(
        f"{proxy.url}{queue}/push-job",
        f'{{"kind": "{kind}"}}'.encode(),
        {"Content-Type": "application/json", **headers},
    )
    trusted = ssl.create_default_context(cafile=proxy.trust)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE, context=trusted) as answer:
            return answer.status, answer.headers
    except HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.headers


@WITH_AND_WITHOUT_TLS
def test_the_page_is_live_under_its_path(proxy: Nginx, page: Page) -> None:
    """Login, cookie and redirects stay under the path; the socket is a WebSocket; a job's page and the way out work.

    With TLS the cookie is for TLS alone, the socket too, and the page names its address as https.
    """
    sockets: list[str] = []
    page.on("websocket", lambda one: sockets.append(one.url))
    page.goto(f"{proxy.url}/ops/queue/")
    page.get_by_label("The token").fill("a token")
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{proxy.url}/ops/queue/")
    expect(page.locator("#connection")).to_have_text("connected")
    secure = proxy.scheme == "https"
    assert [("/ops/queue", secure)] == [(cookie["path"], cookie["secure"]) for cookie in page.context.cookies()]
    address = f"{proxy.url}/ops/queue/socket.io/".replace("http", "ws")
    assert [True] == [one.startswith(address) for one in sockets]
    expect(page.locator("#welcome .shell code")).to_contain_text(f"curl {proxy.url}/ops/queue/push-job ")

    status, headers = push(proxy, "/ops/queue", "resize", Authorization="Bearer a token")
    assert (202, "/ops/queue/jobs/1") == (status, headers["Location"])
    page.locator("#done tbody a").click()
    expect(page).to_have_url(f"{proxy.url}/ops/queue/jobs/1")
    expect(page.locator(".state")).to_have_text("done")
    expect(page.locator("#connection")).to_have_text("connected")
    page.get_by_role("button", name="log out").click()
    expect(page).to_have_url(f"{proxy.url}/ops/queue/login")
    assert [] == page.context.cookies()


@WITH_AND_WITHOUT_TLS
def test_forms_lead_back_to_where_they_came_from(proxy: Nginx, page: Page) -> None:
    """A form without scripts is accepted as its own page's, and answered with that page, on the same address."""
    assert 202 == push(proxy, "/ops/mail", "send")[0]
    page.goto(f"{proxy.url}/ops/mail/jobs")
    page.get_by_role("button", name="delete").first.click()
    expect(page).to_have_url(f"{proxy.url}/ops/mail/jobs?said=1+of+1+deleted.")
    expect(page.get_by_role("status").first).to_have_text("1 of 1 deleted.")


@WITH_AND_WITHOUT_TLS
@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_both_transports_pass(proxy: Nginx, transport: str) -> None:
    """WebSocket and, for those whose proxy knows none, polling."""
    session = requests.Session()
    session.verify, session.trust_env = proxy.trust or True, False
    client = socketio.SimpleClient(http_session=session)
    client.connect(
        proxy.url, namespace="/queue", socketio_path="/ops/queue/socket.io", transports=[transport],
        auth={"token": "a token"}, wait_timeout=PATIENCE,
    )  # fmt: skip
    assert "snapshot" == client.receive(timeout=PATIENCE)[0]
    assert transport == client.transport
    client.disconnect()
    session.close()


def test_two_queues_in_one_process(proxy: Nginx, page: Page) -> None:
    """Each page shows its own jobs, live; one wants a token, the other does not."""
    page.goto(f"{proxy.url}/ops/mail/")
    expect(page.locator("#connection")).to_have_text("connected")
    assert 202 == push(proxy, "/ops/queue", "resize", Authorization="Bearer a token")[0]
    assert 202 == push(proxy, "/ops/mail", "send")[0]
    expect(page.locator("#done tbody tr")).to_have_count(1)
    expect(page.locator("#done tbody tr")).to_contain_text("send")


@WITH_AND_WITHOUT_TLS
def test_only_its_own_origin_may_push_through_it(proxy: Nginx) -> None:
    """A page's own origin is the proxy's address and scheme, not those of the server behind it."""
    own = {"Origin": proxy.url, "Authorization": "Bearer a token"}
    assert 202 == push(proxy, "/ops/queue", "resize", **own)[0]
    other = {"http": "https", "https": "http"}[proxy.scheme]
    for foreign in ("http://evil.example", f"{other}://127.0.0.1:{proxy.port}"):
        assert 403 == push(proxy, "/ops/queue", "resize", **own | {"Origin": foreign})[0]


@pytest.mark.parametrize(("trusted", "status"), [("127.0.0.2", 202), ("127.0.0.1", 403)])
def test_only_a_trusted_proxy_is_believed(tmp_path: Path, trusted: str, status: int) -> None:
    """One that is not on loopback is named in FORWARDED_ALLOW_IPS; what any other says of TLS counts nothing."""
    (tmp_path / "shop.py").write_text(TARGET)
    with (
        Server(tmp_path, "shop.py", FORWARDED_ALLOW_IPS=trusted) as server,
        Nginx(tmp_path, server, "https", "proxy_bind 127.0.0.2;") as proxy,
    ):
        assert status == push(proxy, "/ops/mail", "send", Origin=proxy.url)[0]


SPELLINGS: Final = (
    "//ops/queue/{}", "///ops/queue/{}", "/ops//queue/{}", "/ops/queue//{}", "/%2Fops/queue/{}", "/ops/./queue/{}",
    "/x/../ops/queue/{}", "/ops/queue/%2F{}", "/ops/queue/x/../{}", "/ops/mail/../queue/{}", "/ops/queue;/{}",
)  # fmt: skip


def test_no_other_spelling_goes_round_the_token(proxy: Nginx) -> None:
    """nginx passes a path on as it was written, and takes it for another one itself."""
    asked = (("GET", "jobs", None), ("POST", "push-job", b'{"kind": "resize"}'))
    statuses: dict[str, int] = {}
    for spelling in SPELLINGS:
        for method, route, body in asked:
            connection = HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
            connection.request(method, spelling.format(route), body, {"Content-Type": "application/json"})
            with connection.getresponse() as answer:
                statuses[f"{method} {spelling}"] = answer.status
            connection.close()

    assert {} == {request: status for request, status in statuses.items() if status not in (401, 404)}
