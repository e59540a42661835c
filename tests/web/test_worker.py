"""The main loop of the worker, step by step."""

import selectors
import socket
from collections.abc import Iterator

import pytest
from gunicorn.config import Config
from werkzeug.exceptions import BadRequest

from tests.servers import PATIENCE
from webqueue.web.connection import Connection
from webqueue.web.sending import Socket
from webqueue.web.worker import Worker


@pytest.fixture(name="worker")
def _worker() -> Iterator[Worker]:
    """One that has room for one client, and waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as listener, selectors.DefaultSelector() as poller:
        worker = Worker(1, 1, [listener], None, 30, Config(), None)
        worker.poller, worker.worker_connections = poller, 1
        worker.set_accept_enabled(True)
        yield worker
        while worker.nr_conns:
            worker._make_room()
        worker.tmp.close()


def _come(worker: Worker) -> socket.socket:
    return socket.create_connection(worker.sockets[0].getsockname(), PATIENCE)


@pytest.mark.parametrize("closing", [False, True])
def test_who_is_cut_to_make_room_may_have_sent_something(worker: Worker, closing: bool) -> None:
    """Where another one comes in the same round, what the first one sent is for nobody."""
    with _come(worker) as first:
        worker.wait_for_and_dispatch_events(PATIENCE)
        if closing:
            connection = worker.arriving.pop_first()
            worker.poller.unregister(connection.sock)
            worker._close(connection)
        with _come(worker) as second:
            first.sendall(b"GET ")
            worker.wait_for_and_dispatch_events(PATIENCE)

            assert (1, 1) == (worker.nr_conns, len(worker.arriving))
            assert second.getsockname() == worker.arriving.first().client


def _handed_over(length: bytes) -> tuple[Connection, socket.socket]:
    """A connection whose thread has begun with a request of that length; its client, who goes on sending."""
    ours, theirs = socket.socketpair()
    connection = Connection(Config(), Socket(ours), ("127.0.0.1", 1), ("127.0.0.1", 2))
    connection.arrived(b"POST / HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\nhello")
    connection.hand_over()
    theirs.sendall(b"more")
    return connection, theirs


def test_only_a_large_request_is_waited_for() -> None:
    """A thread that wants more of any other one is told that there is no more, however its parser came to want it."""
    small, client = _handed_over(b"5")
    with client, small.sock, pytest.raises(BadRequest, match="ends too soon"):
        small.parser.unreader.chunk()
    large, client = _handed_over(b"400000")
    with client, large.sock:
        assert b"more" == large.parser.unreader.chunk()
