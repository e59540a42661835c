"""The WebSockets of engine.io as webqueue wants them: nobody can hold a thread, or memory, for ever.

:func:`install` puts two classes in engine.io's own seams (``_async["websocket"]``, ``_async["queue"]``), because

- simple_websocket waits without end for a silent client, and sends without end to one that does not read;
- it checks a message's size after it was put together, and always offers permessage-deflate (64 KB made 79 MB);
- engine.io's queue to a client has no bound;
- it starts a thread for each ping, and polls all sockets to see whose pong is missing. :func:`beat` is instead of that.

Framing of what is received is wsproto's; what is sent is framed here (a header of 2 to 10 bytes, and no state to share
between the reading and the sending thread).
"""

import base64
import binascii
import contextlib
import hashlib
import queue
import re
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn
from weakref import WeakSet

from engineio import packet
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import ProtocolError

SEND_DEADLINE: Final = 15.0
"""Seconds within which one message must have gone out; a client that does not read is cut then."""
SEND_BUFFER: Final = 128 * 1024
"""Bytes that the kernel may hold for one client."""
MAX_PIECES: Final = 1_000
"""A message may come in so many pieces."""
MAX_PACKETS: Final = 256
"""So many packets may wait for one client..."""
MAX_BYTES: Final = 8 * 1024 * 1024
"""... or so many characters."""
GOODBYE: Final = 0.25
"""Seconds that a goodbye waits for the frame that is being sent."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE, _PONG = 1, 2, 8, 10
FROM_CLIENT: Final = re.compile(r"4\d|[1-6](?:probe)?\Z")
"""How a text of a Socket.IO client may begin; engine.io raises on others, and parses JSON of any depth after a 4."""

_open: "WeakSet[WebSocket]" = WeakSet()
_open_lock = threading.Lock()


def install(server: Any) -> None:
    """Make *server* (an ``engineio.Server`` in threading mode) use the classes of this module."""
    server._async = {**server._async, "websocket": WebSocket, "queue": Outbox}
    server.start_service_task = False


def beat(socket: Any) -> None:
    """Give *socket* (an ``engineio.Socket`` that is being opened) a heart: who does not answer its ping is cut."""
    Heart(socket)


def lingering(server: Any) -> int:
    """How many WebSockets of *server* hold threads although engine.io has closed them: those that are being sent to."""
    with _open_lock:
        return sum(one.lingers_at(server) for one in _open)


def close_all() -> None:
    """End every WebSocket of this process, within GOODBYE: their threads return soon after."""
    with _open_lock:
        sockets = list(_open)
    end = time.monotonic() + GOODBYE
    for one in sockets:
        one.close(max(0.0, end - time.monotonic()))


def is_no_handshake(environ: dict[str, Any]) -> bool:
    """Whether a request asks for a WebSocket as none may: engine.io would answer it with what is no answer."""
    return environ.get("HTTP_UPGRADE", "").lower() == "websocket" and _answer(environ) is None


class Heart:
    """Sends one socket its pings, in a thread that sleeps in between, and ends with the socket."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._changed = threading.Condition()
        self._answered = False
        self._over = False
        self._thread = threading.Thread(target=self._run, name="webqueue-heart", daemon=True)
        # What engine.io calls once the socket is open, and at each pong; and where a socket ends, whoever ends it.
        self._end = socket.close
        socket.schedule_ping, socket.close = self._on_pong, self._on_close

    def _on_pong(self) -> None:
        with self._changed:
            self._answered = True
            self._changed.notify_all()
            if self._thread.ident is None:
                self._socket.last_ping = None  # engine.io's own check, at each packet sent, is not needed any more
                self._thread.start()

    def _on_close(self, *arguments: Any, **options: Any) -> None:
        try:
            self._end(*arguments, **options)
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _run(self) -> None:
        server = self._socket.server
        while not self._wait(lambda: self._over, server.ping_interval):
            self._answered = False
            self._socket.queue.put(packet.Packet(packet.PING))
            if not self._wait(lambda: self._answered or self._over, server.ping_timeout):
                self._on_close(wait=False, abort=True, reason=server.reason.PING_TIMEOUT)
        # engine.io would do this once the WebSocket's WSGI call returns, but that ends by raising: see _leave.
        server.sockets.pop(self._socket.sid, None)
        del self._socket.schedule_ping, self._socket.close  # its heart no more: no circle stays

    def _wait(self, for_what: Callable[[], bool], seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(for_what, seconds)


class Outbox(queue.Queue[Any]):
    """What waits to be sent to one client: bounded. Who lets it run over is told to go, and comes back with since."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._size = 0
        self._over = False

    def _put(self, item: Any) -> None:
        # Called with the queue's own mutex held; put() counts the item in unfinished_tasks afterwards.
        if self._over and item is not None:
            self.unfinished_tasks -= 1
            return
        self._size += _length(item)
        super()._put(item)
        if len(self.queue) > MAX_PACKETS or self._size > MAX_BYTES:
            self._run_over()

    def _get(self) -> Any:
        item = super()._get()
        self._size -= _length(item)
        return item

    def _run_over(self) -> None:
        if len(self.queue) == 1:
            return  # one large message is none too many
        self._over = True
        self.unfinished_tasks += 2 - len(self.queue)
        self.queue.clear()
        self.queue.extend([packet.Packet(packet.CLOSE), None])
        self._size = 0


def _length(item: Any) -> int:
    data = getattr(item, "data", None)
    return len(data) if isinstance(data, str | bytes) else 0


class WebSocket:
    """One client's WebSocket. :meth:`wait` is for the request's own thread; :meth:`send` and :meth:`close` for any."""

    def __init__(self, handler: Callable[["WebSocket"], Any], server: Any) -> None:
        self._handler = handler
        self._server = server
        self._silence = float(server.ping_interval + server.ping_timeout)
        self._limit = int(server.max_http_buffer_size)
        self._connection = Connection(ConnectionType.SERVER)
        self._messages: deque[str | bytes] = deque()
        self._pieces: list[Any] = []
        self._size = 0
        self._heard = time.monotonic()
        self._ended = False
        self._sending = threading.Lock()
        """Held while one frame goes out, SEND_DEADLINE at most."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve the WebSocket until it ends; as a WSGI application it has nothing to answer after that."""
        sock = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
        accept = _answer(environ)
        if sock is None or accept is None:
            start_response("400 Bad Request", [("Content-Type", "text/plain"), ("X-Content-Type-Options", "nosniff")])
            return (b"This is no WebSocket handshake.",)  # what is a list engine.io takes for packets
        self._open(sock, accept)
        try:
            self._handler(self)
        finally:
            self.close()
            with _open_lock:
                _open.discard(self)
        _leave(environ)

    def send(self, message: str | bytes) -> None:
        """Send one message. Raises OSError when the client is gone, or has not read for SEND_DEADLINE."""
        if isinstance(message, str):
            self._send(_TEXT, message.encode())
        else:
            self._send(_BINARY, bytes(message))

    def wait(self) -> str | bytes | None:
        """The next message; None when the connection has ended, or no message came for ping interval and timeout."""
        while not self._messages:
            data = self._receive()
            if not data:
                self._end()
                return None
            self._take(data)
        self._heard = time.monotonic()
        return self._messages.popleft()

    def lingers_at(self, server: Any) -> bool:
        """Whether it is one of *server* whose engine.io socket has been closed."""
        return self._server is server and bool(getattr(getattr(self._handler, "__self__", None), "closed", False))

    def close(self, within: float = GOODBYE) -> None:
        """Say goodbye, if that can begin *within* so many seconds, and end the connection. Twice is fine."""
        self._leave_with(1000, within)

    def _open(self, sock: socket.socket, accept: str) -> None:
        self._peer = sock  # under the names _sock and socket engine.io would look for it, and set its own timeout
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.settimeout(SEND_DEADLINE)
        lines = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
        sock.sendall("\r\n".join((*lines, f"Sec-WebSocket-Accept: {accept}", "", "")).encode())
        self._heard = time.monotonic()
        with _open_lock:
            _open.add(self)

    def _receive(self) -> bytes:
        """What has arrived; nothing when it ended, or the time for a message is over."""
        remaining = self._heard + self._silence - time.monotonic()
        if self._ended or remaining <= 0:
            return b""
        readable = select.poll()
        try:
            readable.register(self._peer, select.POLLIN)
            return self._peer.recv(65536) if readable.poll(remaining * 1000) else b""
        except (OSError, ValueError):
            return b""

    def _take(self, data: bytes) -> None:
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                self._on(event)
                if self._ended:
                    return
            if self._size + self._announced() > self._limit:
                self._leave_with(1009)
        except (ProtocolError, OSError):
            self._leave_with(1002)

    def _on(self, event: Any) -> None:
        if isinstance(event, TextMessage | BytesMessage):
            self._gather(event)
        elif isinstance(event, Ping):
            self._send(_PONG, bytes(event.payload))
        elif isinstance(event, CloseConnection):
            self._leave_with(1000)

    def _announced(self) -> int:
        """Bytes that are missing from a frame whose head has come; wsproto knows, and tells nobody."""
        decoder = self._connection._proto._frame_decoder
        return 0 if decoder.header is None else decoder.header.payload_len - decoder.payload_consumed

    def _gather(self, event: Any) -> None:
        self._pieces.append(event.data)
        self._size += len(event.data)
        if self._size > self._limit or len(self._pieces) > MAX_PIECES:
            self._leave_with(1009)
        elif event.message_finished:
            message = self._pieces[0][:0].join(self._pieces)
            self._pieces, self._size = [], 0
            self._deliver(message)

    def _deliver(self, message: str | bytes) -> None:
        if isinstance(message, str) and not FROM_CLIENT.match(message):
            self._leave_with(1008)
        else:
            self._messages.append(bytes(message) if isinstance(message, bytearray) else message)

    def _leave_with(self, code: int, within: float = GOODBYE) -> None:
        if self._ended:
            return
        if self._sending.acquire(timeout=within):
            try:
                self._say_goodbye(code)
            finally:
                self._sending.release()
        self._end()

    def _say_goodbye(self, code: int) -> None:
        writable = select.poll()
        with contextlib.suppress(OSError, ValueError):
            writable.register(self._peer, select.POLLOUT)
            if writable.poll(0):
                self._peer.send(_frame(_CLOSE, struct.pack("!H", code)))

    def _send(self, opcode: int, payload: bytes) -> None:
        with self._sending:
            if self._ended:
                raise OSError("The WebSocket has ended.")
            try:
                self._peer.sendall(_frame(opcode, payload))
            except OSError:
                self._end()
                raise

    def _end(self) -> None:
        """Whoever waits on the socket, to read or to send, is woken. Closing it is the server's."""
        self._ended = True
        self._messages.clear()
        with contextlib.suppress(OSError):
            self._peer.shutdown(socket.SHUT_RDWR)


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x80 | opcode, size) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def _answer(environ: dict[str, Any]) -> str | None:
    """The answer to the client's key (RFC 6455, 4.2.2); None when this is no handshake (4.2.1)."""
    key = str(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")).encode("latin-1", "replace")
    try:
        fits = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        fits = False
    fits &= "upgrade" in [word.strip() for word in environ.get("HTTP_CONNECTION", "").lower().split(",")]
    if not fits or environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13" or environ.get("REQUEST_METHOD") != "GET":
        return None
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()


def _leave(environ: dict[str, Any]) -> NoReturn:
    """How a server is told that the connection is no longer its own."""
    if "gunicorn.socket" in environ:
        raise StopIteration
    raise ConnectionError("The WebSocket has ended.")
