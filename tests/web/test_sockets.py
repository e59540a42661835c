"""The WebSockets themselves, without a client library around them."""

import socket
import time
from types import SimpleNamespace

from webqueue.web import sockets
from webqueue.web.sockets import GOODBYE, WebSocket

NUMBER = 20
SERVER = SimpleNamespace(ping_interval=25, ping_timeout=20, max_http_buffer_size=1_000)


def test_all_say_goodbye_together() -> None:
    """The end of a server does not wait for each of those who do not read in turn."""
    stuck, peers = [], []
    for _ in range(NUMBER):
        one = WebSocket(lambda _: None, SERVER)
        one._peer, peer = socket.socketpair()
        one._sending.acquire()
        stuck.append(one)
        peers.append(peer)
    sockets._open.update(stuck)
    began = time.monotonic()
    sockets.close_all()
    seconds = time.monotonic() - began
    for one in stuck:
        one._peer.close()

    assert seconds < NUMBER * GOODBYE / 2
    for peer in peers:
        with peer:
            assert b"" == peer.recv(1)
