"""A client of ``webqueue run``: what has arrived of its request, and how long it may wait for what.

A request that is not *large* is complete before a thread sees it, so that thread never waits for its client: whatever
the parser would still want to read of it is refused.
"""

import io
import re
import time
from typing import Any, Final

from gunicorn import http
from gunicorn.http.unreader import SocketUnreader
from werkzeug.exceptions import BadRequest, RequestTimeout

from webqueue.web.seats import WSGI
from webqueue.web.sending import Socket

REQUEST_DEADLINE: Final = 15.0
"""Seconds after its first byte (or after the connection was accepted) within which a request must be complete."""
READ: Final = 64 * 1024
MOST_READ: Final = 1024 * 1024
"""Bytes of a large body that are read at once: each read gives the interpreter away, and has to wait for it again."""
MAX_HEAD: Final = 32 * 1024
MAX_GATHERED: Final = 320 * 1024
"""Bytes of a request that the main loop gathers: the largest push and its head."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*(?=\r\n)", re.IGNORECASE)
_READ_ON: Final = re.compile(rb"\r\n(transfer-encoding|expect):", re.IGNORECASE)


class Unreader(SocketUnreader):  # type: ignore[misc]
    """Reads the rest of a large request, in a thread, until its deadline."""

    deadline: float | None = None
    """None: there is no rest."""
    buf: io.BytesIO

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The next bytes. Raises BadRequest where there is no rest, TimeoutError past the deadline."""
        if self.deadline is None:
            raise BadRequest("The request ends too soon.")
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("The request was not complete in time.")
        self.sock.settimeout(remaining)
        try:
            return bytes(self.sock.recv(max(READ, min(size_hint or 0, MOST_READ))))
        finally:
            self.sock.setblocking(False)

    def rest(self) -> bytes:
        """What was read too much; it is given away."""
        data = self.buf.getvalue()
        self.buf = io.BytesIO()
        return bytes(data)


class Body:
    """The body of a large request, which a thread reads: what goes wrong is the client's fault, and no 500."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._reader = request.body.reader
        self._over = False

    def read(self, size: int) -> bytes:
        """As gunicorn's readers. Raises RequestTimeout past the deadline, BadRequest when the body is none."""
        try:
            data = bytes(self._reader.read(size))
        except TimeoutError:
            raise RequestTimeout("The request was not complete in time.") from None
        except (OSError, http.errors.ParseException) as error:
            raise BadRequest(f"The body can't be read: {error}") from None
        self._over = not data or getattr(self._reader, "length", None) == 0
        return data

    def leave(self) -> None:
        """The answer begins: where the body has not been read to its end the connection ends with it, and says so."""
        if not self._over:
            self._request.force_close()


def announcing_close(app: WSGI) -> WSGI:
    """*app*, whose answers say ``Connection: close`` where it has not read the whole of a large request."""

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        body = environ["wsgi.input"].reader
        if not isinstance(body, Body):
            return app(environ, start_response)

        def start(*arguments: Any) -> Any:
            body.leave()
            return start_response(*arguments)

        return app(environ, start)

    return answer


class Connection:
    """One client. The main loop's own, but for the time in which a thread answers a request."""

    def __init__(self, cfg: Any, sock: Socket, client: Any, server: Any) -> None:
        self.sock, self.client, self.server = sock, client, server
        self.parser = http.get_parser(cfg, sock, client)
        self.parser.unreader = Unreader(sock)
        self.buffer = bytearray()
        self.searched = 0
        self.needed = 0
        """Bytes of the whole request; 0 until its head is complete."""
        self.large = False
        self.kept = False
        """Whether the client may send the next request, once it has its answer."""
        self.since = time.monotonic()

    def arrived(self, data: bytes) -> None:
        """*data* is part of the next request."""
        if not self.buffer:
            self.since = time.monotonic()
        self.buffer += data
        if not self.needed:
            self._look_for_head()

    def _look_for_head(self) -> None:
        end = self.buffer.find(b"\r\n\r\n", self.searched)
        self.searched = max(0, len(self.buffer) - 3)
        if end < 0:
            return
        head = bytes(self.buffer[: end + 2])
        self.needed = end + 4 + _announced(head)
        self.large = self.needed > MAX_GATHERED or _READ_ON.search(head) is not None

    @property
    def ready(self) -> bool:
        """Whether a thread may take it."""
        return bool(self.needed) and (self.large or len(self.buffer) >= self.needed)

    @property
    def headless(self) -> bool:
        """Whether its head is longer than any request's of ours."""
        return not self.needed and len(self.buffer) > MAX_HEAD

    def hand_over(self) -> None:
        """Give what has arrived to the parser; the thread's from now on."""
        self.parser.unreader.unread(bytes(self.buffer))
        self.parser.unreader.deadline = self.since + REQUEST_DEADLINE if self.large else None
        self.buffer.clear()
        self.searched = self.needed = 0

    def take_back(self) -> None:
        """The main loop's again, with what the thread read too much."""
        self.since = time.monotonic()
        self.large = False
        rest = self.parser.unreader.rest()
        if rest:
            self.arrived(rest)


def _announced(head: bytes) -> int:
    """Bytes of the body that *head* announces; 0 where it announces none, or as the parser will not have it."""
    lengths = _LENGTH.findall(head)
    try:
        return int(lengths[0]) if len(lengths) == 1 else 0
    except ValueError:  # Python reads no number of thousands of digits
        return 0


class Waiting(dict[Connection, float]):
    """Connections that may wait so many seconds each, the longest waiting first. The main loop's own."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def add(self, connection: Connection, since: float | None = None) -> None:
        """*connection* waits, *since* then or now."""
        self[connection] = (time.monotonic() if since is None else since) + self.seconds

    def first(self) -> Connection | None:
        """Who has waited longest."""
        return next(iter(self), None)

    def pop_first(self) -> Connection | None:
        """Who has waited longest; it waits no more."""
        first = self.first()
        if first is not None:
            del self[first]
        return first

    def deadline(self) -> float:
        """When the first of them has waited long enough."""
        return next(iter(self.values()), float("inf"))
