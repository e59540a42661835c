"""How many sockets may be open at a time."""

import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from werkzeug.exceptions import ServiceUnavailable

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGI = Callable[[Environ, StartResponse], Iterable[bytes]]

SEAT: Final = "webqueue.seat"
"""In the environ of a handshake: the seat that it takes."""


class Seats:
    """So many sockets at a time: each holds a thread of the server for as long as it is open."""

    def __init__(self, most: int, taken: Callable[[], int]) -> None:
        self._most = most
        self._taken = taken
        self._lock = threading.Lock()
        self._coming = 0  # guarded by _lock

    def admit(self, sockets: WSGI, environ: Environ, start_response: StartResponse, handshake: bool) -> Iterable[bytes]:
        """Let *sockets* answer. Raises ServiceUnavailable for a handshake for which there is no seat."""
        if not handshake:
            return sockets(environ, start_response)
        with self._lock:
            if self._taken() + self._coming >= self._most:
                raise ServiceUnavailable(f"{self._most} sockets are open: no more are let in.")
            self._coming += 1
        seat = environ[SEAT] = Seat(self._leave)
        try:
            return sockets(environ, start_response)
        finally:
            seat.taken()

    def _leave(self) -> None:
        with self._lock:
            self._coming -= 1


class Seat:
    """One that is being taken: until :meth:`taken` it counts as coming, from then on as a socket."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave: Callable[[], None] | None = leave

    def taken(self) -> None:
        """The socket is counted by itself now, or will never come. By the request's own thread; twice is fine."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
