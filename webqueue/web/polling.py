"""Long polling as webqueue wants it: one client holds a few threads at most, and what it sends is read strictly.

:class:`Polling` puts itself before two methods of an ``engineio.Socket`` that has just been opened, because engine.io

- lets any number of requests wait for one client, a thread each: polls, and WebSockets that never say *upgrade*;
- waits, when a client posts a packet of a type that it does not know, until that client has read everything: for ever;
- answers 200 to a body that it could not read, and first parses the JSON in it, of any depth;
- loses all packets of a body that holds more than 16, which browsers do send.
"""

import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, NoReturn

from engineio.exceptions import EngineIOError, UnknownPacketError
from engineio.packet import Packet
from engineio.socket import Socket

from webqueue.web.sockets import FROM_CLIENT

MOST_PACKETS: Final = 256
"""A body may hold so many packets."""
_BETWEEN: Final = "\x1e"


class Polling:
    """The requests of one *socket*: one at a time that polls, upgrades, posts. Whoever sends others is *cut*."""

    def __init__(self, socket: Any, cut: Callable[[], None]) -> None:
        self._cut = cut
        self._socket = weakref.proxy(socket)  # whoever calls these methods holds it; no circle stays of it
        self._polls, self._upgrades, self._posts = threading.Lock(), threading.Lock(), threading.Lock()
        """Each is held for as long as such a request holds its thread."""
        socket.handle_get_request, socket.handle_post_request = self.get, self.post

    def get(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """A poll, or a WebSocket for as long as it is open. Raises EngineIOError where another one waits."""
        turn = self._upgrades if "HTTP_UPGRADE" in environ else self._polls
        self._begin(turn)
        try:
            return Socket.handle_get_request(self._socket, environ, start_response)
        finally:
            turn.release()

    def post(self, environ: dict[str, Any]) -> None:
        """Packets in a body. Raises EngineIOError for what no client sends."""
        self._begin(self._posts)
        try:
            for text in self._texts(environ):
                self._socket.receive(Packet(encoded_packet=text))
        except (UnicodeDecodeError, UnknownPacketError):
            self._refuse()
        finally:
            self._posts.release()

    def _begin(self, turn: threading.Lock) -> None:
        if not turn.acquire(blocking=False):
            self._refuse()

    def _texts(self, environ: dict[str, Any]) -> list[str]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        texts = body.decode().split(_BETWEEN, MOST_PACKETS)
        if len(texts) > MOST_PACKETS or not all(map(FROM_CLIENT.match, texts)):
            self._refuse()
        return list(texts)

    def _refuse(self) -> NoReturn:
        self._cut()  # engine.io does it too when it sees the error, but waits for the client
        raise EngineIOError("No client of webqueue does that.")
