"""Answers for those who read slowly, or not at all."""

import io
import socket
import threading
import weakref
from collections.abc import Iterator

import pytest

from tests.servers import PATIENCE
from webqueue.web import sending
from webqueue.web.sending import MOST_AHEAD, Socket

LARGE = bytes(range(256)) * 4 * 4096
"""4 MiB: more than the kernel takes."""


@pytest.fixture(name="pair")
def _pair() -> Iterator[tuple[Socket, socket.socket]]:
    """(server's, client's) end of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        client.settimeout(PATIENCE)
        client.connect(listener.getsockname())
        with Socket(listener.accept()[0]) as server:
            yield server, client


def _received(client: socket.socket, count: int) -> bytes:
    with client.makefile("rb") as stream:
        return stream.read(count)


class Reader(threading.Thread):
    """Reads so many bytes beside the test."""

    def __init__(self, client: socket.socket, count: int) -> None:
        super().__init__()
        self._client, self._count = client, count
        self._data = b""
        self.start()

    def run(self) -> None:
        """Read."""
        self._data = _received(self._client, self._count)

    def data(self) -> bytes:
        """What came, once it has."""
        self.join(PATIENCE)
        return self._data


def test_what_is_not_read_is_kept(pair: tuple[Socket, socket.socket]) -> None:
    """A head and its body are sent without waiting for the client; little is in the kernel, the rest goes on later."""
    server, client = pair
    server.sendall(b"head")
    server.sendall(LARGE)
    assert len(LARGE) - 1024 * 1024 < server.unsent < len(LARGE)

    reader = Reader(client, 4 + len(LARGE))
    while server.unsent:
        server.send_on()

    assert b"head" + LARGE == reader.data()


class Answer(bytearray):
    """One that can be watched."""


def test_what_was_read_is_given_back(pair: tuple[Socket, socket.socket]) -> None:
    """Who reads all but a little holds only that: so much is counted as well."""
    server, client = pair
    answer = Answer(LARGE)
    held = weakref.ref(answer)
    server.sendall(answer)
    del answer

    reader = Reader(client, len(LARGE))
    while server.unsent > len(LARGE) // 4:
        server.send_on()
    assert held() is None

    while server.unsent:
        server.send_on()
    assert LARGE == reader.data()


def test_a_stream_waits_for_its_reader(pair: tuple[Socket, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """One piece is kept, not all there are; and who never reads is not waited for without end."""
    monkeypatch.setattr(sending, "ANSWER_DEADLINE", 0.1)
    server, _ = pair
    server.sendall(LARGE)

    with pytest.raises(TimeoutError):
        server.sendall(LARGE)
    assert MOST_AHEAD < server.unsent < len(LARGE)


def test_a_file_is_a_stream(pair: tuple[Socket, socket.socket]) -> None:
    """All of it arrives, from where it is wanted; it is not read into memory as a whole."""
    server, client = pair
    reader = Reader(client, len(LARGE) - 100)

    assert len(LARGE) - 100 == server.sendfile(io.BytesIO(LARGE), 100)
    while server.unsent:
        server.send_on()
    assert LARGE[100:] == reader.data()


def test_who_is_cut_is_told_at_once(pair: tuple[Socket, socket.socket]) -> None:
    """The kernel does not go on offering what it holds."""
    server, client = pair
    server.sendall(LARGE)
    server.cut()

    with pytest.raises(ConnectionResetError):
        _received(client, len(LARGE))
