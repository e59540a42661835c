"""WebSockets that are silent, never read, or send what no client sends: cut in time, at the cost of nobody else."""

import base64
import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import PATIENCE, Server

INTERVAL, TIMEOUT = 1.0, 1.0
SEND_DEADLINE = 15.0
MIB = 1024 * 1024


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = {"WEBQUEUE_PING_INTERVAL": str(INTERVAL), "WEBQUEUE_PING_TIMEOUT": str(TIMEOUT)}
    with Server(tmp_path_factory.mktemp("server"), "--store", "memory:", **env) as running:
        yield running


class Raw:
    """A WebSocket client that does only what it is told to; it has joined /queue."""

    def __init__(self, server: Server, *headers: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        lines = [
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            *headers,
        ]
        self.socket.sendall("\r\n".join((*lines, "", "")).encode())
        self.head = b""
        while b"\r\n\r\n" not in self.head:
            self.head += self.socket.recv(1)
        self.text("40/queue,")

    def frame(self, opcode: int, payload: bytes, *, last: bool = True) -> None:
        """Send one frame, masked with zeros."""
        head = bytes([0x80 * last | opcode])
        size = len(payload)
        if size < 126:
            length = bytes([0x80 | size])
        else:
            length = b"\xff" + struct.pack("!Q", size) if size > 65535 else b"\xfe" + struct.pack("!H", size)
        self.socket.sendall(head + length + bytes(4) + payload)

    def text(self, text: str) -> None:
        """Send a text message."""
        self.frame(1, text.encode())

    def seconds_until_cut(self) -> float:
        """Read until the server has ended the connection."""
        began = time.monotonic()
        with self.socket, contextlib.suppress(ConnectionResetError):
            while self.socket.recv(65536):
                pass
        return time.monotonic() - began

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def threads(server: Server) -> int:
    """How many threads the worker has."""
    return len(os.listdir(f"/proc/{server.worker()}/task"))


def resident(server: Server) -> int:
    """Bytes of the worker in memory."""
    return int(Path(f"/proc/{server.worker()}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_silent_client_is_cut(server: Server) -> None:
    """Who answers no ping is gone after interval and timeout, and no thread of it is left."""
    for _ in range(20):  # so many threads have been started for requests by then
        server.call("GET", "/healthz")
    clients = [Raw(server) for _ in range(5)]
    assert INTERVAL < max(client.seconds_until_cut() for client in clients) < INTERVAL + TIMEOUT + 3
    before = threads(server)
    clients = [Raw(server) for _ in range(5)]
    for client in clients:
        client.seconds_until_cut()
    deadline = time.monotonic() + PATIENCE
    while threads(server) > before and time.monotonic() < deadline:
        server.call("GET", "/healthz")

    assert threads(server) <= before


def test_compression_is_not_offered(server: Server) -> None:
    """A small message can't become a large one."""
    client = Raw(server, "Sec-WebSocket-Extensions: permessage-deflate")

    assert client.head.startswith(b"HTTP/1.1 101 ")
    assert b"extensions" not in client.head.lower()
    client.close()


def test_a_message_that_is_too_large_is_not_gathered(server: Server) -> None:
    """In one frame, in pieces, or never finished: the connection ends, the memory stays."""
    before = resident(server)
    whole, pieces, crumbs = Raw(server), Raw(server), Raw(server)
    with contextlib.suppress(OSError):
        whole.frame(1, b"4" + b"2" * 8 * MIB)
    with contextlib.suppress(OSError):
        for number in range(64):
            pieces.frame(0 if number else 1, b"42" * 32_768, last=False)
    with contextlib.suppress(OSError):
        for number in range(10_000):
            crumbs.frame(0 if number else 1, b"4", last=False)

    assert max(client.seconds_until_cut() for client in (whole, pieces, crumbs)) < 1.0
    assert resident(server) - before < 8 * MIB


@pytest.mark.parametrize(
    "sent",
    ["", "9", "hello", "4[" + "[" * 5_000, "b4AAA", "42/queue,[[[[", "45999-/queue,[]", "2" + "[" * 5_000, "4"],
)
def test_what_no_client_sends_hurts_only_the_sender(server: Server, sent: str) -> None:
    """It is cut or ignored; nothing is logged, and everybody else is served."""
    logged = len(server.stderr.all())
    client = Raw(server)
    client.text(sent)

    assert client.seconds_until_cut() < INTERVAL + TIMEOUT + 3
    assert 200 == server.call("GET", "/healthz")[0]
    assert logged == len(server.stderr.all())


def test_a_client_that_never_reads_costs_nobody_anything(server: Server) -> None:
    """It answers every ping unread; it is cut within the deadline, meanwhile pushes are quick and memory is bounded."""
    client, over = Raw(server), threading.Event()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def answer_unread() -> None:
        with contextlib.suppress(OSError):
            while not over.wait(INTERVAL / 2):
                client.text("3")

    thread = threading.Thread(target=answer_unread)
    thread.start()
    before, slowest, began = resident(server), 0.0, time.monotonic()
    jobs = [{"kind": "echo", "payload": {"text": "x" * 150}}] * 100
    while thread.is_alive() and time.monotonic() - began < 4 * SEND_DEADLINE:
        pushed = time.monotonic()
        assert 202 == server.call("POST", "/push-jobs", jobs)[0]
        slowest = max(slowest, time.monotonic() - pushed)
        over.wait(0.05)
    cut = not thread.is_alive()
    grown = resident(server) - before
    over.set()
    thread.join()
    client.close()

    assert cut
    assert slowest < 1.0
    assert grown < 64 * MIB
