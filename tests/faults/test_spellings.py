"""However a path is written, who may not ask for it may not ask for it: each route × each spelling × each refusal."""

import http.client
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from flask import Flask

from tests.servers import PATIENCE, Server
from webqueue import WebQueue
from webqueue.web.connection import MAX_GATHERED
from webqueue.web.incoming import BULK_BYTES

TARGET: Final = """
from flask import Flask
from webqueue import WebQueue

jobs = WebQueue(store="memory:", token="all", view_token="view")

@jobs.handler
def echo(**payload):
    return payload

app = Flask("shop")
app.add_url_rule("/about", "about", lambda: "the shop")
app.add_url_rule("/jobs/mine", "mine", lambda: "the shop's own jobs")
"""
PLACES: Final = {
    "under a prefix": ("/queue", 'jobs.init_app(app, url_prefix="/queue")'),
    "among a shop's pages": ("", "jobs.init_app(app)"),
    "alone": ("", "app = jobs.create_app()"),
}
"""Where a queue may lie: its prefix, and how it is put there."""
ALL, VIEW = ({"Authorization": f"Bearer {token}"} for token in ("all", "view"))
SAFE: Final = {"GET", "HEAD", "OPTIONS"}
PUSH: Final = b'{"kind": "echo"}'


class Ask(NamedTuple):
    """A request by somebody who may not make it."""

    method: str
    path: str
    headers: Mapping[str, str]
    expected: int
    """The status of its refusal where the path is written as it should be."""
    announced: int = len(PUSH)
    """Bytes of a body that it says it has; where they are more than a push may have, it is not waited for."""


class Caller:
    """Sends paths as they are. Each answer is read; the connection is made anew where the server has closed it."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)

    def status(self, ask: Ask, path: str) -> int:
        """The status of the answer to *ask* with *path* instead of its own."""
        self._connection.putrequest(ask.method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": "localhost", **ask.headers}.items():
            self._connection.putheader(name, value)
        if ask.method not in SAFE:
            self._connection.putheader("Content-Type", "application/json")
            self._connection.putheader("Content-Length", str(ask.announced))
        self._connection.endheaders(PUSH if ask.method not in SAFE else None)
        with self._connection.getresponse() as answer:
            answer.read()
            return answer.status

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def routes(prefix: str) -> list[tuple[str, str]]:
    """(method, path) of each route of ours, made of the routes themselves, for job 1."""
    app = Flask("shop")
    WebQueue(store="memory:", start=False).init_app(app, prefix)
    ours = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("webqueue.")]
    paths = {rule.rule: re.sub("<[^>]*>", "1", rule.rule.replace("<path:filename>", "js/main.js")) for rule in ours}
    return sorted({(method, paths[rule.rule]) for rule in ours for method in rule.methods or () if method != "OPTIONS"})


def asks(prefix: str) -> Iterator[Ask]:
    """Whatever must be refused: without a token, with one that only reads, for a foreign page, what is too large."""
    open_to_all = {prefix + path for path in ("/healthz", "/readyz", "/login")}
    for method, path in routes(prefix):
        if path not in open_to_all and "/static/" not in path:
            yield Ask(method, path, {}, 401)
        if method in SAFE:
            continue
        if not path.endswith(("/login", "/logout")):
            yield Ask(method, path, VIEW, 403)
        yield Ask(method, path, ALL | {"Origin": "http://evil.example"}, 403)
        yield Ask(method, path, ALL, 413, (BULK_BYTES if path.endswith("/push-jobs") else MAX_GATHERED) + 1)
    for method in ("GET", "POST"):
        socket = f"{prefix}/socket.io/?EIO=4&transport=polling"
        yield Ask(method, socket, ALL | {"Origin": "http://evil.example"}, 403)


BEFORE: Final = ("/", "//", "/.", "/x/..", "/;", "/%2F", "/%2f", "/%2e", "/%2e%2e", "/%5c", "//localhost")
BETWEEN: Final = ("//", "/./", "/x/../", "%2F", "%2f", ";/", "%5c", "%c0%af")
AFTER: Final = ("/", "//", "/.", "/..", "/./", ";", ";a=b", "%2F", "%2e", "%00", "%0a", "%20", "%ff", "%c0%af", "#")


def spellings(path: str) -> Iterator[str]:
    """Other ways to write *path*, some of which a server, a proxy or a router takes for the same."""
    target, _, query = path.partition("?")
    yield from (before + path for before in BEFORE)
    yield from (f"{target}{after}?{query}" for after in AFTER)
    for at in (at for at, character in enumerate(target) if character == "/"):
        yield from (f"{path[:at]}{between}{path[at + 1 :]}" for between in BETWEEN if at or between != "%2F")
    yield from (path.upper(), path.title(), f"/%{ord(path[1:2] or 'x'):02x}{path[2:]}")
    yield from (f"http://{host}{path}" for host in ("localhost", "localhost/", "evil.example"))


@pytest.fixture(name="place", params=PLACES, scope="module")
def _place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Server]]:
    """A prefix, and a server with one job behind it, which can't start."""
    prefix, put = PLACES[request.param]
    folder: Path = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(TARGET + put)
    with Server(folder, "shop.py:app") as server:
        server.call("POST", f"{prefix}/queue/pause", None, ALL)
        assert 202 == server.call("POST", f"{prefix}/push-job", {"kind": "echo"}, ALL)[0]
        yield prefix, server


def _state(server: Server, prefix: str) -> dict[str, Any]:
    queue = server.call("GET", f"{prefix}/queue", None, ALL)[1]
    return {name: queue[name] for name in ("seq", "counts", "totals", "paused", "paused_queues")}


def test_whoever_may_not_ask_may_not_ask_in_other_words(place: tuple[str, Server]) -> None:
    """A path that is written otherwise is refused alike, or leads nowhere (400, 404, 405); nothing changes."""
    prefix, server = place
    caller, before, wrong, number = Caller(server), _state(server, prefix), [], 0
    for ask in asks(prefix):
        for path in (ask.path, *spellings(ask.path)):
            status, number = caller.status(ask, path), number + 1
            leads_nowhere = path != ask.path and status in {400, 404, 405}
            if status != ask.expected and not leads_nowhere:
                wrong.append((ask.method, path, status, ask))
    caller.close()

    assert [] == wrong
    assert number > 2_000
    assert before == _state(server, prefix)
    assert [] == [line for line in server.stderr.all() if "Traceback" in line]
