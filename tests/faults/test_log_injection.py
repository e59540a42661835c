"""Control characters, wherever a client can put them: none reaches the server's log, and none begins a line in it."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from tests.servers import PATIENCE, Lines, Server, environment

EVIL: Final = "x\nINJECTED \x1b[2J\x1b]0;title\x07\r\nINJECTED\u2028INJECTED\u0085INJECTED\x00y"
"""A line break of each sort, what clears a terminal, and NUL."""
RAW: Final = EVIL.encode()
UNHEARD: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]|^INJECTED|Traceback")
"""What must not be in a line."""
MALFORMED: Final = re.compile(
    r"\[[-0-9 :+]+\] \[\d+\] \[WARNING\] Invalid request from ip=127\.0\.0\.1: [A-Z][\x20-\x7e\xa1-\xff]*"
)
"""The one line of a request that is no HTTP; what it quotes is escaped."""

TARGET: Final = """
import logging
from webqueue import WebQueue

logging.basicConfig(level=logging.INFO)
jobs = WebQueue()

@jobs.handler
def echo(**payload):
    return payload

@jobs.handler(max_attempts=1)
def fail(message="no"):
    raise RuntimeError(message)
"""


PACKETS: Final = (b"42/queue,[" + json.dumps(EVIL).encode() + b"]", b"40/" + RAW, RAW)
"""The text in what Socket.IO sends."""


class Heard(Server):
    """A server of which both streams are kept, as one."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "webqueue", "run", "shop.py", "--store", "memory:", "--port", "0"]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.folder = folder
        self.stderr = Lines(self.process.stdout)
        self.url = ""


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[Heard]:
    (tmp_path / "shop.py").write_text(TARGET)
    with Heard(tmp_path) as running:
        yield running


def _lines(server: Heard) -> list[str]:
    """What it wrote until its end."""
    server.signal(signal.SIGTERM)
    assert 0 == server.wait()
    return server.stderr.rest()


def _send(server: Heard, head: bytes, body: bytes = b"") -> bytes:
    """The first line of the answer to exactly these bytes; empty where the connection was cut."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        length = b"Content-Length: %d\r\n" % len(body) if body else b""
        connection.sendall(head + b"\r\n" + length + b"Connection: close\r\n\r\n" + body)
        with connection.makefile("rb") as answer:
            first = answer.readline()
            answer.read()
    return first


def _heads() -> list[bytes]:
    """The text in each place of a request's head, escaped and raw."""
    escaped = quote(EVIL, safe="").encode()
    places = [b"GET /jobs/%s HTTP/1.1", b"GET /%s HTTP/1.1", b"GET /jobs?kind=%s&queue=%s HTTP/1.1",
              b"GET /jobs?%s HTTP/1.1", b"GET /socket.io/?EIO=4&transport=%s HTTP/1.1",
              b"GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1",
              b"POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1",
              b"GET /socket.io/?EIO=4&transport=websocket&sid=%s HTTP/1.1", b"POST /jobs/%s/cancel HTTP/1.1",
              b"%s / HTTP/1.1", b"GET / %s", b"GET / HTTP/%s"]  # fmt: skip
    headers = [b"X-Any: %s", b"%s: any", b"Cookie: webqueue_session=%s", b"Authorization: Bearer %s", b"Origin: %s",
               b"Content-Type: %s", b"Idempotency-Key: %s", b"Prefer: wait=%s", b"User-Agent: %s", b"Accept: %s",
               b"Content-Length: %s", b"Transfer-Encoding: %s", b"Expect: %s", b"Host: %s"]  # fmt: skip
    texts = [escaped, *_pieces()]
    return (
        [b"\r\n".join([place.replace(b"%s", text), b"Host: localhost"]) for place in places for text in texts]
        + [b"\r\n".join([b"GET /jobs HTTP/1.1", b"Host: localhost", header.replace(b"%s", text)])
           for header in headers for text in texts]
    )  # fmt: skip


def _pieces() -> list[bytes]:
    """The text raw, whole, and each of its characters alone: a parser that stops at the first would hide the others."""
    return [RAW, b"x\nINJECTED", b"x\rINJECTED", b"x\x1b[2J", b"x\x00y", "x\u2028INJECTED".encode(), b"x\x85INJECTED"]


def _bodies() -> list[object]:
    """The text in each field of a push."""
    return [
        {"kind": EVIL},
        {"kind": "echo", "payload": {EVIL: EVIL}},
        {"kind": "echo", "queue": EVIL},
        {"kind": "echo", "queue": "x\u2028INJECTED"},
        {"kind": "echo", "unique_key": EVIL},
        {"kind": "echo", EVIL: 1},
        {"kind": "echo", "run_at": EVIL},
        {"kind": "echo", "timeout": EVIL},
        {"kind": "fail", "payload": {"message": EVIL}},
        {"kind": "fail", "payload": {EVIL: 1}},
        EVIL,
    ]


def test_nothing_gets_into_the_log(server: Heard, tmp_path: Path) -> None:
    """Nothing that a client sends makes a line; what is no HTTP makes one, and only one, that quotes it escaped."""
    for body in _bodies():
        for path in ("/push-job", "/queue/pause", "/jobs/retry"):
            assert server.call("POST", path, body)[0] < 500
        assert server.call("POST", "/push-jobs", [body])[0] < 500
    server.call("POST", "/queue/pause", {"queue": EVIL, "why": EVIL, "who": EVIL})
    for head in _heads():
        assert not re.match(rb"HTTP/1.1 500", _send(server, head)), head
    for packet in PACKETS:
        _send(server, b"POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: localhost", packet)
    assert 200 == server.call("GET", "/healthz")[0]
    banner, *heard = _lines(server)
    with Heard(tmp_path) as idle:
        like = _lines(idle)
    assert [re.sub(r":\d+,", ":0,", banner)] == [re.sub(r":\d+,", ":0,", line) for line in like]
    assert [] == [line for line in heard if UNHEARD.search(line) or not MALFORMED.fullmatch(line)]
    assert len(heard) <= len(_heads()) + len(PACKETS)
