"""The deadlines of ``webqueue run``: a client that keeps it waiting is cut, and disturbs nobody meanwhile."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile import threads
from tests.servers import PATIENCE, Server

DEADLINE = 15.0
POST = b"POST /push-job HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SLOW = {
    "nothing": b"",
    "half a head": b"GET / HTTP/1.1\r\nHost: loc",
    "half a body": POST + b"Content-Length: 100\r\n\r\n{",
    "half a large body": POST.replace(b"push-job", b"push-jobs") + b"Content-Length: 1000000\r\n\r\n[",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
}


@pytest.fixture(name="clients")
def _clients(server: Server) -> Iterator[tuple[float, dict[str, socket.socket]]]:
    """One for each of SLOW by its name; none had come before the time that is told with them."""
    began, clients = time.monotonic(), {}
    for name, sent in SLOW.items():
        clients[name] = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        clients[name].sendall(sent)
    yield began, clients
    for client in clients.values():
        client.close()


def _read(client: socket.socket) -> bytes:
    """All that comes until the server has ended the connection."""
    with client.makefile("rb") as stream:
        return stream.read()


def test_what_is_not_complete_within_15_s_is_cut(
    server: Server, clients: tuple[float, dict[str, socket.socket]]
) -> None:
    """Each of them, whatever is missing, not before and soon after; a drop of data now and then helps nothing."""
    began, slow = clients
    slow["half a head"].sendall(b"alhost\r\nX-Slow: y\r\n")
    answers = {}
    for name, client in slow.items():
        client.settimeout(2 * DEADLINE)
        answers[name] = client.recv(1000)
        assert time.monotonic() - began > DEADLINE - 1, name

    assert {b"", b"HTTP/1.1 408"} >= {answer[:12] for answer in answers.values()}
    assert not any(line.startswith("Traceback") for line in server.stderr.all())


def test_a_thousand_slow_clients_disturb_nobody(server: Server) -> None:
    """They hold no thread, and /healthz answers beside them."""
    server.call("GET", "/healthz")
    slow, before = [], threads(server)
    try:
        for _ in range(1_000):
            client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
            slow.append(client)
            client.sendall(SLOW["half a body"])

        assert 200 == server.call("GET", "/healthz")[0]
        assert threads(server) <= before + 10
    finally:
        for client in slow:
            client.close()


def test_a_long_head_is_refused_at_once(server: Server) -> None:
    """It is not even gathered; the answer is a problem document as any refusal."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 40_000)
        head, body = _read(client).split(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert {b"Content-Type: application/problem+json", b"X-Content-Type-Options: nosniff"} < set(head.split(b"\r\n"))
    assert 431 == json.loads(body)["status"]


def test_uploads_that_wait_are_told_so_at_the_end(tmp_path: Path) -> None:
    """Few threads read uploads: one that has found none when webqueue ends is told to come back."""
    upload = SLOW["half a large body"]
    with (
        Server(tmp_path, "--store", "memory:", WEBQUEUE_HTTP_THREADS="4") as server,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as first,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as second,
    ):
        first.sendall(upload)
        server.call("GET", "/healthz")  # it has been seen to
        second.sendall(upload)
        server.call("GET", "/healthz")
        server.signal(signal.SIGTERM)
        head, body = _read(second).split(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert {b"Content-Type: application/problem+json", b"Retry-After: 5"} < set(head.split(b"\r\n"))
    assert 503 == json.loads(body)["status"]


def test_an_answer_is_whole_for_who_reads_slowly(server: Server) -> None:
    """What the kernel does not take at once is sent as it is read, also behind another answer."""
    ids = [server.push("echo", text="x" * 250_000)["id"] for _ in range(8)]
    assert "done" == server.call("GET", f"/jobs/{ids[-1]}?wait={PATIENCE:.0f}")[1]["state"]
    expected = server.call("GET", "/jobs?limit=8")[1]
    request = b"GET /jobs?limit=8 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", server.port))
        client.sendall(request + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answers = _read(client).split(b"HTTP/1.1 200 OK\r\n")

    assert [expected] * 2 == [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers[1:]]


def test_requests_in_a_row_are_answered_in_order(server: Server) -> None:
    """Pipelined requests, which arrive together, get an answer each."""
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        client.sendall(request * 3 + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        with client.makefile("rb") as answers:
            received = answers.read()

    assert 4 == received.count(b"HTTP/1.1 200 ")
