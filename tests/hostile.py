"""Clients that do what no client does, a real one beside them that must not notice, and what the server pays for it."""

import base64
import contextlib
import http.client
import itertools
import json
import os
import re
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import socketio

from tests.servers import PATIENCE, Server

MIB = 1024 * 1024
QUICK = 1.0
"""Seconds within which a push is answered, and within which who sends nonsense is cut."""
MOST_CHANGES = 500
"""After more than so many changes at once a snapshot may be sent instead."""
MOST_STALLED = 3.0
"""Seconds that may be the machine's own: what a hostile client blocks, it blocks for longer."""
SNAPSHOT = -1
NAMESPACE = "/queue"
TEXT, BINARY, MORE = 1, 2, 0


class Stopwatch:
    """Seconds since it was made, but for those (MOST_STALLED at most) for which a busy machine made somebody wait."""

    def __init__(self) -> None:
        self._began, self._stalled = time.monotonic(), _stalled()

    def seconds(self) -> float:
        """So many until now."""
        return time.monotonic() - self._began - min(_stalled() - self._stalled, MOST_STALLED)


def frame(opcode: int, payload: bytes, *, last: bool = True, flags: int = 0, size: int | None = None) -> bytes:
    """A frame, masked with zeros, that says it has *size* bytes."""
    head = bytes([0x80 * last | flags | opcode])
    size = len(payload) if size is None else size
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = b"\xff" + struct.pack("!Q", size) if size > 65535 else b"\xfe" + struct.pack("!H", size)
    return head + length + bytes(4) + payload


class Raw:
    """A WebSocket client that does only what it is told to; it asks to join /queue and reads nothing of its own."""

    def __init__(self, server: Server, *headers: str, query: str = "", join: bool = True) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        lines = [
            f"GET /socket.io/?EIO=4&transport=websocket{query} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            *headers,
        ]
        self.socket.sendall("\r\n".join((*lines, "", "")).encode())
        self._head = b""
        if join:
            assert self.head().startswith(b"HTTP/1.1 101 "), self.head()
            self.text("40/queue,")

    def head(self) -> bytes:
        """The answer to the handshake, waited for."""
        while b"\r\n\r\n" not in self._head:
            received = self.socket.recv(1)
            assert received, self._head
            self._head += received
        return self._head

    def hears(self, text: str) -> bool:
        """Whether it gets a frame with *text*, waited for."""
        received = b""
        while text.encode() not in received:
            more = self.socket.recv(65536)
            if not more:
                return False
            received += more
        return True

    def send(self, *frames: bytes) -> None:
        """Send frames, or what takes their place, all at once."""
        self.socket.sendall(b"".join(frames))

    def text(self, text: str) -> None:
        """Send a text message."""
        self.send(frame(TEXT, text.encode()))

    def seconds_until_cut(self) -> float:
        """Read until the server has ended the connection; who still sends is woken."""
        watch = Stopwatch()
        with contextlib.suppress(ConnectionResetError):
            while self.socket.recv(65536):
                pass
        seconds = watch.seconds()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        return seconds

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


class Plain:
    """One HTTP request that has been sent; its answer can wait."""

    def __init__(self, server: Server, method: str, path: str, body: bytes = b"", *headers: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        lines = (f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {len(body)}")
        self.socket.sendall("\r\n".join((*lines, *headers, "", "")).encode() + body)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """(status, headers by small names, body), waited for."""
        with self.socket, http.client.HTTPResponse(self.socket) as answer:
            answer.begin()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def status(self) -> int:
        """The status of the answer, waited for."""
        return self.answer()[0]


class Poller:
    """A long-polling client that has shaken hands, and does only what it is told to."""

    PATH = "/socket.io/?EIO=4&transport=polling"

    def __init__(self, server: Server) -> None:
        self._server = server
        status, _, body = self.shake(server).answer()
        assert 200 == status, body
        self.sid = json.loads(body[1:])["sid"]

    @classmethod
    def shake(cls, server: Server) -> Plain:
        """The handshake, sent."""
        return Plain(server, "GET", cls.PATH)

    def poll(self) -> Plain:
        """Ask for what there is."""
        return Plain(self._server, "GET", f"{self.PATH}&sid={self.sid}")

    def post(self, body: bytes, *headers: str) -> Plain:
        """Send packets."""
        return Plain(self._server, "POST", f"{self.PATH}&sid={self.sid}", body, "Content-Type: text/plain", *headers)

    def upgrade(self) -> Raw:
        """Ask for a WebSocket, and say nothing more."""
        return Raw(self._server, query=f"&sid={self.sid}", join=False)


class Witness:
    """A real client that pushes and listens all the while. On leaving, all that was to be heard has been heard."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._client = socketio.Client(reconnection=False)
        self._pusher = threading.Thread(target=self._push, daemon=True)
        self._over = threading.Event()
        self.slowest = 0.0
        """Seconds that the slowest push took, by a Stopwatch."""
        self.statuses = set[int]()
        self.missed: list[str] = []
        """What an undisturbed client does not see: holes between frames, needless snapshots, an end."""
        self._heard = threading.Condition()
        # All below is guarded by _heard.
        self._frames: list[tuple[int, int]] = []
        """(seq, from) of each, in no order: python-socketio has a thread for each; a snapshot is from -1."""
        self._ends: list[str] = []

    def __enter__(self) -> "Witness":
        self._client.on("snapshot", lambda body: self._on_frame(body["seq"], SNAPSHOT), NAMESPACE)
        self._client.on("changes", lambda body: self._on_frame(body["seq"], body["from"]), NAMESPACE)
        self._client.on("disconnect", self._on_disconnect, NAMESPACE)
        self._client.connect(self._server.url, namespaces=[NAMESPACE], transports=["websocket"])
        self._wait_for(0)
        self._pusher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pusher.join(PATIENCE)
        self._server.finished(self._server.push("echo")["id"])
        self._wait_for(self._server.call("GET", "/queue")[1]["seq"])
        with self._heard:
            self.missed = _holes(self._frames) + self._ends
        self._client.disconnect()
        self._client.shutdown()

    def _push(self) -> None:
        while not self.statuses or not self._over.wait(0.05):
            watch = Stopwatch()
            self.statuses.add(self._server.call("POST", "/push-job", {"kind": "echo"})[0])
            self.slowest = max(self.slowest, watch.seconds())

    def _wait_for(self, seq: int) -> None:
        with self._heard:
            self._heard.wait_for(lambda: self._knows(seq), PATIENCE)
            assert max(self._frames, default=(-1, 0))[0] >= seq, f"{seq} was not heard of, {self._ends}"

    def _knows(self, seq: int) -> bool:
        return max(self._frames, default=(-1, 0))[0] >= seq and not _holes(self._frames)

    def _on_frame(self, seq: int, start: int) -> None:
        with self._heard:
            self._frames.append((seq, start))
            self._heard.notify_all()

    def _on_disconnect(self, reason: Any) -> None:
        with self._heard:
            self._ends.append(f"disconnected: {reason}")


def _stalled() -> float:
    """Seconds for which someone on this machine has waited for a processor; 0 where the kernel does not count them."""
    try:
        return int(Path("/proc/pressure/cpu").read_text().split("\n")[0].rpartition("=")[2]) / 1e6
    except OSError:
        return 0.0


def _holes(frames: list[tuple[int, int]]) -> list[str]:
    """What is wrong between one frame and the next; a snapshot may stand for many changes."""
    told = sorted(frames)
    return [
        f"after {before} came {seq} from {start}"
        for (before, _), (seq, start) in itertools.pairwise(told)
        if start != before and (start != SNAPSHOT or seq - before <= MOST_CHANGES)
    ]


def threads(server: Server) -> int:
    """How many threads the worker has."""
    return len(os.listdir(f"/proc/{server.worker()}/task"))


def rested(server: Server, most: int) -> int:
    """How many threads the worker has once they are *most* or fewer, or after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while (now := threads(server)) > most and time.monotonic() < deadline:
        server.call("GET", "/healthz")
    return now


def resident(server: Server) -> int:
    """Bytes of the worker in memory: the least of five readings."""
    return min(_reading(server) for _ in range(5))


def _reading(server: Server) -> int:
    server.call("GET", "/healthz")
    return _status(server, "VmRSS")


def forget_peak(server: Server) -> int:
    """From now on :func:`peak` counts anew; what the worker has now."""
    Path(f"/proc/{server.worker()}/clear_refs").write_text("5")
    return resident(server)


def peak(server: Server) -> int:
    """The most bytes that the worker had in memory since :func:`forget_peak`."""
    return _status(server, "VmHWM")


def _status(server: Server, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{server.worker()}/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024
