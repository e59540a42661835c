"""One Socket.IO connection as a client has it: WebSocket, engine.io 4, socket.io 5, one namespace, texts only."""

import contextlib
import json
import select
import socket
import ssl
import time
from collections import deque
from typing import Any, Final
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import CloseConnection, Ping, RejectConnection, Request, TextMessage
from wsproto.utilities import ProtocolError

PATIENCE: Final = 20.0
"""Seconds to wait for the connection and for the server's greeting."""


class Refused(Exception):
    """The server does not let us in; ``status`` is HTTP's, 403 where the namespace refused."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Connection:
    """A connection to *namespace* of the server at base URL *server*. One thread's own.

    Who waits in :meth:`receive` is woken when *wake*, a descriptor, can be read: so a signal is heard that comes just
    before it falls asleep. Raises Refused, and OSError when there is no server or the connection is lost.
    """

    def __init__(
        self, server: str, namespace: str, auth: dict[str, Any], token: str | None = None, wake: int | None = None
    ) -> None:
        self._wake: list[Any] = [] if wake is None else [wake]
        self._namespace = namespace
        self._texts: deque[str] = deque()
        self._parts: list[str] = []
        self._silence = PATIENCE
        self._websocket = WSConnection(ConnectionType.CLIENT)
        self._socket = _connect(server)
        try:
            self._shake_hands(server, token)
            self._greet(auth)
        except BaseException:
            self._socket.close()
            raise

    def receive(self) -> tuple[str, Any]:
        """The next event of the namespace and its first argument; a ping is answered on the way."""
        while True:
            packet = self._text()
            if packet == "2":
                self._send("3")
            elif packet.startswith(f"44{self._namespace},"):
                raise Refused(403, _message(packet))
            elif packet.startswith(f"42{self._namespace},"):
                event, *arguments = json.loads(packet.partition(",")[2])
                return event, arguments[0] if arguments else None
            elif packet == "1" or packet.startswith(f"41{self._namespace}"):
                raise OSError("the server said goodbye")

    def close(self) -> None:
        """Say goodbye and hang up. Twice is fine."""
        with contextlib.suppress(OSError, ProtocolError):
            self._send("1")
            self._write(CloseConnection(code=1000))
        self._socket.close()

    def _shake_hands(self, server: str, token: str | None) -> None:
        parts = urlsplit(server)
        headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []
        target = f"{parts.path.rstrip('/')}/socket.io/?EIO=4&transport=websocket"
        self._write(Request(host=parts.netloc.rpartition("@")[2], target=target, extra_headers=headers))

    def _greet(self, auth: dict[str, Any]) -> None:
        greeting = json.loads(self._text()[1:])
        self._silence = (greeting["pingInterval"] + greeting["pingTimeout"]) / 1000
        self._send(f"40{self._namespace}," + json.dumps(auth))

    def _text(self) -> str:
        """The next text message; OSError where none comes for as long as the server should ping."""
        deadline = time.monotonic() + self._silence
        while not self._texts:
            if self._readable(deadline - time.monotonic()):
                self._take(self._socket.recv(65536))
        return self._texts.popleft()

    def _readable(self, seconds: float) -> bool:
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        readable, _, _ = select.select([self._socket, *self._wake], [], [], max(0.0, seconds))
        if not readable:
            raise TimeoutError("the server said nothing")
        return self._socket in readable

    def _take(self, data: bytes) -> None:
        if not data:
            raise OSError("the server hung up")
        try:
            self._websocket.receive_data(data)
            for event in self._websocket.events():
                self._on(event)
        except ProtocolError as error:
            raise OSError(str(error)) from error

    def _on(self, event: Any) -> None:
        if isinstance(event, TextMessage):
            self._parts.append(event.data)
            if event.message_finished:
                self._texts.append("".join(self._parts))
                self._parts.clear()
        elif isinstance(event, Ping):
            self._write(event.response())
        elif isinstance(event, RejectConnection):
            raise Refused(event.status_code, f"the server answered {event.status_code}")
        elif isinstance(event, CloseConnection):
            raise OSError("the server hung up")

    def _send(self, text: str) -> None:
        self._write(TextMessage(data=text))

    def _write(self, event: Any) -> None:
        self._socket.settimeout(PATIENCE)
        self._socket.sendall(self._websocket.send(event))


def _connect(server: str) -> socket.socket:
    parts = urlsplit(server)
    secure = parts.scheme == "https"
    plain = socket.create_connection((parts.hostname or "", parts.port or (443 if secure else 80)), PATIENCE)
    return ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname) if secure else plain


def _message(packet: str) -> str:
    try:
        body = json.loads(packet.partition(",")[2])
    except ValueError:
        body = None
    return str(body.get("message")) if isinstance(body, dict) else "the server refused the connection"
