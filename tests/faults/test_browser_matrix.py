"""Everything that a page elsewhere could make a browser send, and what it gets: one written table, over real sockets.

The statuses are written down from the contract, not computed: what keeps foreign pages out must agree with each row.
"""

from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Final
from urllib.parse import urlencode

import pytest

from tests.web.conftest import PATIENCE, Server
from webqueue import WebQueue
from webqueue.demo import register_demo

HOST: Final = "localhost:8000"
"""The name by which our own page was loaded; the port need not be that of the socket."""
OWN: Final = f"http://{HOST}"
EVIL: Final = "http://evil.example"
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"

PUSH: Final = ("POST", "/push-job", b'{"kind": "echo"}')
PAUSE: Final = ("POST", "/queue/pause", b"{}")
BARE: Final = ("POST", "/queue/pause", b"")
JOBS: Final = ("GET", "/jobs", b"")
POLL: Final = ("GET", "/socket.io/?EIO=4&transport=polling", b"")
SEND: Final = ("POST", "/socket.io/?EIO=4&transport=polling&sid=x", b"40/queue,")
WS: Final = ("GET", "/socket.io/?EIO=4&transport=websocket", b"")

OPEN, MISSING, WRONG, RIGHT, COOKIE, STALE = "no token set", "missing", "wrong", "right", "cookie", "stale cookie"
"""Which server is asked, and with what: the first has no token, the others have one."""

# what is asked, Host, Origin, Content-Type, Sec-Fetch-Site, token, status; None: the header is not sent
TABLE: Final = [
    # our own page, and programs that are no browsers
    (PUSH, HOST, None, JSON, None, OPEN, 202),
    (PUSH, HOST, OWN, JSON, "same-origin", OPEN, 202),
    (PUSH, HOST, OWN, JSON, None, OPEN, 202),
    (PUSH, HOST, "HTTP://LOCALHOST:8000", JSON, "same-origin", OPEN, 202),
    (PUSH, "127.0.0.1:8000", "http://127.0.0.1:8000", JSON, "same-origin", OPEN, 202),
    (PUSH, "[::1]:8000", "http://[::1]:8000", JSON, "same-origin", OPEN, 202),
    (PUSH, "localhost", "http://localhost:80", JSON, "same-origin", OPEN, 202),
    (PAUSE, HOST, OWN, JSON, "same-origin", OPEN, 200),
    (BARE, HOST, OWN, None, "same-origin", OPEN, 200),
    (JOBS, HOST, None, None, "none", OPEN, 200),
    (JOBS, HOST, None, None, "same-origin", OPEN, 200),
    (POLL, HOST, None, None, None, OPEN, 200),
    (POLL, HOST, OWN, None, "same-origin", OPEN, 200),
    (WS, HOST, None, None, None, OPEN, 101),
    (WS, HOST, OWN, None, "same-origin", OPEN, 101),
    # CSRF: a form or a script elsewhere
    (PUSH, HOST, EVIL, JSON, "cross-site", OPEN, 403),
    (PUSH, HOST, EVIL, JSON, None, OPEN, 403),
    (PUSH, HOST, None, JSON, "cross-site", OPEN, 403),
    (PUSH, HOST, EVIL, "text/plain", "cross-site", OPEN, 403),
    (PUSH, HOST, EVIL, FORM, "cross-site", OPEN, 403),
    (PUSH, HOST, "null", "text/plain", "cross-site", OPEN, 403),
    (PUSH, HOST, "null", JSON, None, OPEN, 403),
    (PUSH, HOST, "", JSON, None, OPEN, 403),
    (PUSH, HOST, "file://", JSON, None, OPEN, 403),
    (PUSH, HOST, "https://localhost:8000", JSON, None, OPEN, 403),
    (PUSH, HOST, "http://localhost:8001", JSON, "same-site", OPEN, 403),
    (PUSH, HOST, "http://localhost", JSON, None, OPEN, 403),
    (PUSH, HOST, "http://127.0.0.1:8000", JSON, "cross-site", OPEN, 403),
    (PUSH, HOST, "http://localhost:8000.evil.example", JSON, None, OPEN, 403),
    (PUSH, HOST, "http://localhost:8000@evil.example", JSON, None, OPEN, 403),
    (PUSH, HOST, "http://evil.example/http://localhost:8000", JSON, None, OPEN, 403),
    (PUSH, HOST, f"{OWN}, {EVIL}", JSON, None, OPEN, 403),
    (PUSH, HOST, f"{OWN} {EVIL}", JSON, None, OPEN, 403),
    (PUSH, HOST, OWN, JSON, "cross-site", OPEN, 403),
    (PUSH, HOST, OWN, JSON, "same-site", OPEN, 403),
    (PUSH, HOST, OWN, JSON, "Cross-Site", OPEN, 403),
    (PUSH, HOST, OWN, JSON, "nonsense", OPEN, 403),
    (PUSH, HOST, EVIL, JSON, "same-origin", OPEN, 403),
    (PAUSE, HOST, EVIL, "text/plain", "cross-site", OPEN, 403),
    (PAUSE, HOST, None, JSON, "same-site", OPEN, 403),
    (BARE, HOST, EVIL, FORM, "cross-site", OPEN, 403),
    (BARE, HOST, "null", FORM, "cross-site", OPEN, 403),
    (BARE, HOST, EVIL, None, "cross-site", OPEN, 403),
    # what a form can send, from a browser too old to say where it comes from: no JSON
    (PUSH, HOST, None, "text/plain", None, OPEN, 415),
    (PUSH, HOST, None, FORM, None, OPEN, 415),
    (PUSH, HOST, None, "multipart/form-data; boundary=x", None, OPEN, 415),
    (PUSH, HOST, None, "text/plain; application/json", None, OPEN, 415),
    (PUSH, HOST, None, "text/plain, application/json", None, OPEN, 415),
    (PUSH, HOST, None, None, None, OPEN, 415),
    (PAUSE, HOST, None, "text/plain", None, OPEN, 415),
    (PAUSE, HOST, None, FORM, None, OPEN, 415),
    # links and scripts that read: no change, and nothing that a foreign page could read
    (JOBS, HOST, None, None, "cross-site", OPEN, 200),
    (JOBS, HOST, EVIL, None, "cross-site", OPEN, 200),
    (JOBS, HOST, "null", None, None, OPEN, 200),
    # DNS rebinding: the page's own name leads to our address
    (PUSH, "evil.example:8000", "http://evil.example:8000", JSON, "same-origin", OPEN, 421),
    (PUSH, "evil.example", None, JSON, None, OPEN, 421),
    (PAUSE, "evil.example:8000", "http://evil.example:8000", JSON, "same-origin", OPEN, 421),
    (JOBS, "evil.example:8000", None, None, "same-origin", OPEN, 421),
    (JOBS, "localhost.evil.example", None, None, None, OPEN, 421),
    (JOBS, "127.0.0.1.evil.example", None, None, None, OPEN, 421),
    (JOBS, "192.168.0.1", None, None, None, OPEN, 421),
    (JOBS, "0.0.0.0:8000", None, None, None, OPEN, 421),
    (JOBS, "evil.example#localhost", None, None, None, OPEN, 400),
    (JOBS, "localhost, evil.example", None, None, None, OPEN, 400),
    (JOBS, "", None, None, None, OPEN, 400),
    (POLL, "evil.example:8000", "http://evil.example:8000", None, "same-origin", OPEN, 421),
    (WS, "evil.example:8000", "http://evil.example:8000", None, "same-origin", OPEN, 421),
    (WS, "a b", None, None, None, OPEN, 400),
    # sockets from elsewhere, to which no CORS applies
    (POLL, HOST, EVIL, None, "cross-site", OPEN, 403),
    (POLL, HOST, "null", None, None, OPEN, 403),
    (POLL, HOST, None, None, "cross-site", OPEN, 403),
    (POLL, HOST, None, None, "same-site", OPEN, 403),
    (SEND, HOST, EVIL, "text/plain", "cross-site", OPEN, 403),
    (WS, HOST, EVIL, None, "cross-site", OPEN, 403),
    (WS, HOST, EVIL, None, None, OPEN, 403),
    (WS, HOST, "null", None, None, OPEN, 403),
    (WS, HOST, "http://localhost:8001", None, "same-site", OPEN, 403),
    (WS, HOST, "https://localhost:8000", None, None, OPEN, 403),
    (WS, HOST, None, None, "cross-site", OPEN, 403),
    # JSONP: refused where engine.io would do it, and unknown elsewhere: plain JSON, which no browser runs as a script
    (("GET", "/jobs?callback=steal", b""), HOST, None, None, "cross-site", OPEN, 200),
    (("GET", "/jobs?jsonp=steal", b""), HOST, None, None, "cross-site", OPEN, 200),
    (("GET", "/queue?callback=steal", b""), HOST, None, None, "cross-site", OPEN, 200),
    (("GET", "/socket.io/?EIO=4&transport=polling&j=0", b""), HOST, None, None, None, OPEN, 403),
    (("GET", "/socket.io/?EIO=4&transport=polling&%6A=0", b""), HOST, OWN, None, "same-origin", OPEN, 403),
    (("GET", "/socket.io/?EIO=4&transport=polling&j=0", b""), HOST, EVIL, None, "cross-site", OPEN, 403),
    # a server with a token
    (PUSH, HOST, OWN, JSON, "same-origin", MISSING, 401),
    (PUSH, HOST, OWN, JSON, "same-origin", WRONG, 403),
    (PUSH, HOST, OWN, JSON, "same-origin", STALE, 401),
    (PUSH, HOST, None, JSON, None, RIGHT, 202),
    (PUSH, HOST, OWN, JSON, "same-origin", COOKIE, 202),
    (PUSH, HOST, EVIL, JSON, "cross-site", RIGHT, 403),
    (PUSH, HOST, EVIL, JSON, "cross-site", COOKIE, 403),
    (PUSH, HOST, EVIL, "text/plain", "cross-site", COOKIE, 403),
    (PUSH, HOST, None, "text/plain", None, COOKIE, 415),
    (PUSH, HOST, EVIL, JSON, "cross-site", MISSING, 403),
    (PUSH, "evil.example", EVIL, JSON, "same-origin", MISSING, 401),
    (PAUSE, HOST, OWN, JSON, "same-origin", COOKIE, 200),
    (PAUSE, HOST, OWN, JSON, "same-origin", MISSING, 401),
    (BARE, HOST, "null", FORM, "cross-site", COOKIE, 403),
    (BARE, HOST, "http://localhost:8001", FORM, "same-site", COOKIE, 403),
    (JOBS, HOST, None, None, None, MISSING, 401),
    (JOBS, HOST, None, None, None, WRONG, 403),
    (JOBS, HOST, None, None, None, RIGHT, 200),
    (JOBS, HOST, None, None, "same-origin", COOKIE, 200),
    (JOBS, HOST, None, None, None, STALE, 401),
    (JOBS, "evil.example", None, None, "same-origin", MISSING, 401),
    (POLL, HOST, OWN, None, "same-origin", COOKIE, 200),
    (POLL, HOST, OWN, None, "same-origin", WRONG, 403),
    (POLL, HOST, EVIL, None, "cross-site", COOKIE, 403),
    (POLL, HOST, None, None, None, RIGHT, 200),
    (WS, HOST, None, None, None, RIGHT, 101),
    (WS, HOST, OWN, None, "same-origin", COOKIE, 101),
    (WS, HOST, OWN, None, "same-origin", WRONG, 403),
    (WS, HOST, EVIL, None, "cross-site", COOKIE, 403),
    (WS, HOST, EVIL, None, "cross-site", RIGHT, 403),
    # the token is looked at when /queue is joined: it may be in "auth"
    (POLL, HOST, OWN, None, "same-origin", MISSING, 200),
    (WS, HOST, OWN, None, "same-origin", MISSING, 101),
]


def _paused(**settings: str) -> Server:
    """A server on which nothing runs, so that nothing changes but by a request."""
    jobs = WebQueue(store="memory:", **settings)
    register_demo(jobs.handlers)
    server = Server(jobs.create_app())
    server.engine.pause()
    return server


@pytest.fixture(name="servers", scope="module")
def _servers() -> Iterator[dict[bool, Server]]:
    """By whether a token is needed."""
    made = {False: _paused(), True: _paused(token="all")}
    yield made
    for server in made.values():
        server.close()


@pytest.fixture(name="session", scope="module")
def _session(servers: dict[bool, Server]) -> str:
    """The cookie of a browser that has logged in, as it sends it."""
    status, headers = _answer(
        servers[True], ("POST", "/login", urlencode({"token": "all"}).encode()), {"Host": HOST, "Content-Type": FORM}
    )
    assert 303 == status
    return headers["Set-Cookie"].partition(";")[0]


def _answer(server: Server, asked: tuple[str, str, bytes], headers: dict[str, str]) -> tuple[int, dict[str, str]]:
    """Status and headers of the answer to exactly these headers; the connection is closed, whatever it became."""
    method, path, body = asked
    connection = HTTPConnection(server.root.removeprefix("http://"), timeout=PATIENCE)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if method == "POST":
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    answer.close()
    connection.close()
    return answer.status, dict(answer.headers)


def _upgrade(asked: tuple[str, str, bytes]) -> dict[str, str]:
    if asked is not WS:
        return {}
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }


def _shown(token: str, session: str) -> dict[str, str]:
    return {
        OPEN: {},
        MISSING: {},
        WRONG: {"Authorization": "Bearer wrong"},
        RIGHT: {"Authorization": "Bearer all"},
        COOKIE: {"Cookie": session},
        STALE: {"Cookie": "webqueue_session=" + "x" * 43},
    }[token]


@pytest.mark.parametrize(("asked", "host", "origin", "media_type", "site", "token", "status"), TABLE)
def test_what_browsers_send(
    servers: dict[bool, Server],
    session: str,
    asked: tuple[str, str, bytes],
    host: str,
    origin: str | None,
    media_type: str | None,
    site: str | None,
    token: str,
    status: int,
) -> None:
    """The status that is written; a refusal changes nothing, and no answer lets a foreign page read it."""
    server = servers[token != OPEN]
    said = {"Host": host, "Origin": origin, "Content-Type": media_type, "Sec-Fetch-Site": site}
    headers = {name: value for name, value in said.items() if value is not None}
    before = server.engine.overview()["seq"]

    got, told = _answer(server, asked, headers | _upgrade(asked) | _shown(token, session))

    assert status == got
    assert (got == 101) or "nosniff" == told["X-Content-Type-Options"]
    assert [] == [name for name in told if name.lower().startswith("access-control-")]
    if got == 200 and asked not in (POLL, WS):
        assert JSON == told["Content-Type"]
    if got >= 400:
        assert "application/problem+json" == told["Content-Type"]
        assert before == server.engine.overview()["seq"]
