"""Answers go out as their clients read them: no thread waits for one, and neither kernel nor process keeps much."""

import contextlib
import select
import socket
import struct
import time
from collections import deque
from http import HTTPStatus
from typing import Any, Final

from werkzeug.exceptions import HTTPException

from webqueue import strictjson
from webqueue.web import problems
from webqueue.web.guard import HEADERS

ANSWER_DEADLINE: Final = 30.0
"""Seconds within which a client must have taken what is kept for it."""
MOST_IN_KERNEL: Final = 128 * 1024
"""Bytes that the kernel takes of an answer beyond those that are on their way; on its own it takes 2.5 MB."""
MOST_AHEAD: Final = 64 * 1024
"""Bytes that may be kept when more is to be sent: a head has its body, but a stream waits for its client."""
PIECE: Final = 1024 * 1024
"""Bytes of a file that are read at once."""


class Socket(socket.socket):
    """Sends without waiting: :meth:`sendall` keeps what the kernel does not take, :meth:`send_on` sends more of it.

    Only who sends piece after piece, as a stream does, is held back, by a client that does not read. For one thread at
    a time. While it has a timeout (a WebSocket's) it is a socket like any other.
    """

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        self.setblocking(False)
        with contextlib.suppress(OSError):  # not every kernel can
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_IN_KERNEL)
        self._pieces: deque[memoryview] = deque()
        self.unsent = 0
        """Bytes that are kept."""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send *data* (bytes), or keep it. Raises OSError when the client is gone, or does not read a stream."""
        if self.gettimeout() != 0:
            super().sendall(data, flags)
            return
        self._wait_until_read()
        if data:
            self._pieces.append(memoryview(data))
            self.unsent += len(data)
        while self.unsent and self.send_on():
            pass

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send *count* bytes of *file*, all without it, as a stream; how many there were. Raises as :meth:`sendall`."""
        file.seek(offset)
        sent = 0
        while piece := file.read(PIECE if count is None else min(PIECE, count - sent)):
            self.sendall(piece)
            sent += len(piece)
        return sent

    def send_on(self) -> int:
        """Send what the kernel takes at once of what is kept; how many bytes that was. Raises OSError."""
        sent = 0
        with contextlib.suppress(BlockingIOError):
            sent = self.send(self._pieces[0])
        self.unsent -= sent
        rest = self._pieces[0][sent:]
        if not rest:
            self._pieces.popleft()
        elif 2 * len(rest) < memoryview(rest.obj).nbytes:
            self._pieces[0] = memoryview(bytes(rest))  # else its last byte would hold all of it
        else:
            self._pieces[0] = rest
        return sent

    def drop(self) -> None:
        """Keep nothing: what was begun is not sent to its end."""
        self._pieces.clear()
        self.unsent = 0

    def cut(self) -> None:
        """Close it, and let the kernel keep nothing either: it would go on offering that for minutes."""
        with contextlib.suppress(OSError):
            self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def _wait_until_read(self) -> None:
        end = time.monotonic() + ANSWER_DEADLINE
        writable = select.poll()
        writable.register(self, select.POLLOUT)
        while self.unsent > MOST_AHEAD:
            if not writable.poll(max(0.0, end - time.monotonic()) * 1000):
                raise TimeoutError("The client does not read its answer.")
            self.send_on()


def refusal(error: HTTPException) -> bytes:
    """The whole answer for *error*, for a request that no thread has looked at; the connection ends with it."""
    status, body, headers = problems.problem(error)
    content = strictjson.dump(body)
    fields = {
        **headers,
        **dict(HEADERS),
        "Content-Type": problems.MEDIA_TYPE,
        "Content-Length": str(len(content)),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + content
