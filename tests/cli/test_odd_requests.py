"""Requests that no client of good sense sends: refused at once and in our words, and they hold no thread."""

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Final

import pytest

from tests.hostile import threads
from tests.servers import PATIENCE, Server

PUSH: Final = b'{"kind": "echo"}'
HOST: Final = b"Host: localhost\r\n"
POST: Final = b"POST /push-job HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST
CHUNKED: Final = POST + b"Transfer-Encoding: chunked\r\n"
# gunicorn's parser in C (webqueue[fast]) has one word for both.
NOT_IMPLEMENTED, FAR_TOO_LARGE = {501, 400}, {413, 400}
UPLOAD: Final = POST.replace(b"push-job", b"push-jobs")


@pytest.fixture(name="client")
def _client(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        yield client


def _answer(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of the next answer, waited for."""
    with http.client.HTTPResponse(client) as answer:
        answer.begin()
        return answer.status, dict(answer.getheaders()), answer.read()


def _any_of(status: int | set[int]) -> set[int]:
    return status if isinstance(status, set) else {status}


def _length(text: bytes) -> bytes:
    return POST + b"Content-Length: " + text + b"\r\n\r\n" + PUSH


UNREADABLE: Final = {
    "a length with a sign": (400, _length(b"+16")),
    "a negative length": (400, _length(b"-16")),
    "a length in other digits": (400, _length(b"\xb9\xb2")),
    "a length in sixteens": (400, _length(b"0x10")),
    "a length with a comma": (400, _length(b"16,16")),
    "no length": (400, _length(b"")),
    "thousands of digits": (400, _length(b"0" * 5_000 + b"16")),
    "two lengths": (400, POST + b"Content-Length: 999\r\nContent-Length: 16\r\n\r\n" + PUSH),
    "a length after a bare line feed": (400, POST + b"A: b\nContent-Length: 999\r\n\r\n" + PUSH),
    "a length before a colon": (400, POST + b"Content-Length : 999\r\n\r\n" + PUSH),
    "a folded length": (400, POST + b"Content-Length:\r\n 999\r\n\r\n" + PUSH),
    "a length and chunks": (400, CHUNKED + b"Content-Length: 999\r\n\r\n0\r\n\r\n"),
    "chunks of HTTP/1.0": (400, CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n0\r\n\r\n"),
    "a body to the end": (400, POST + b"Transfer-Encoding: gzip\r\n\r\n"),
    "another coding": (NOT_IMPLEMENTED, POST + b"Transfer-Encoding: nonsense\r\n\r\n"),
    "another expectation": (417, POST + b"Expect: nonsense\r\n\r\n"),
    "blank lines": (400, b"\r\n\r\n"),
    "no request": (400, b"nonsense\r\n\r\n"),
    "two hosts": (400, b"GET /queue HTTP/1.1\r\n" + HOST + HOST + b"\r\n"),
    "HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a small method": (400, b"get /queue HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a long address": (414, b"GET /" + b"x" * 8_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a long field": (431, b"GET /queue HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 9_000 + b"\r\n\r\n"),
    "many fields": (431, b"GET /queue HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 101 + b"\r\n"),
    "another place in the tree": (400, b"GET /queue HTTP/1.1\r\n" + HOST + b"SCRIPT_NAME: /elsewhere\r\n\r\n"),
}
"""What is sent, and the status of its refusal."""


@pytest.mark.parametrize(("status", "sent"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_request_is_refused_at_once_and_in_our_words(
    server: Server, client: socket.socket, status: int | set[int], sent: bytes
) -> None:
    """A problem document with our headers, then the connection ends; who is cut for being late gets no answer."""
    client.sendall(sent)
    told, headers, body = _answer(client)

    assert told in _any_of(status)
    assert ("application/problem+json", "nosniff") == (headers["Content-Type"], headers["X-Content-Type-Options"])
    assert "close" == headers["Connection"]
    assert told == json.loads(body)["status"]
    assert b"" == client.recv(1)
    assert [] == server.stderr.all()[1:]


@pytest.mark.parametrize("length", [b"16", b"0" * 20 + b"16", b"0" * 4_000 + b"16", b" \t 16 \t "])
def test_a_length_is_read_as_it_is(client: socket.socket, length: bytes) -> None:
    """Zeros before it are legal, spaces round it too; what follows is the next request."""
    client.sendall(_length(length) * 2)

    assert [202, 202] == [_answer(client)[0], _answer(client)[0]]


HALVES: Final = {
    "a long length": _length(b"0" * 20 + b"99"),
    "a very long length": _length(b"0" * 4_000 + b"99"),
    "blank lines": b"\r\n",
    "a line": b"GET / HTTP/1.1\r\n",
    "a head": POST + b"Content-Length: 5\r\n",
    "the second request": b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n" + _length(b"99"),
}
"""What may be a request once more has come."""


@pytest.mark.parametrize("sent", HALVES.values(), ids=HALVES)
def test_half_a_request_holds_no_thread(server: Server, sent: bytes) -> None:
    """However it is cut: a hundred of them, and there are no more threads than for one request after the other."""
    server.call("GET", "/healthz")
    before, clients = threads(server), []
    try:
        for _ in range(100):
            clients.append(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
            clients[-1].sendall(sent)
            if sent.startswith(b"GET /healthz"):
                assert 200 == _answer(clients[-1])[0]
        server.call("GET", "/healthz")

        assert threads(server) <= before + 10
    finally:
        for client in clients:
            client.close()


ENDS: Final = {
    "too large, announced": (413, POST + b"Content-Length: 999999\r\n\r\n{"),
    "far too large": (FAR_TOO_LARGE, POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{"),
    "an upload that is too large": (413, UPLOAD + b"Content-Length: 99999999\r\n\r\n["),
    "too large for a form": (413, POST.replace(b"push-job", b"login") + b"Content-Length: 999999\r\n\r\n"),
    "an upload that nobody reads": (415, UPLOAD.replace(b"json", b"xml") + b"Content-Length: 1000000\r\n\r\n["),
    "a chunk without a size": (400, CHUNKED + b"\r\nnonsense\r\n"),
    "a chunk without an end": (400, CHUNKED + b"\r\n2\r\n{}no\r\n0\r\n\r\n"),
    "a bad trailer": (400, CHUNKED + b"\r\n2\r\n{}\r\n0\r\nno trailer\r\n\r\n"),
    "its own wish": (202, POST + b"Connection: close\r\nContent-Length: 16\r\n\r\n" + PUSH),
    "HTTP/1.0": (202, POST.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Content-Length: 16\r\n\r\n" + PUSH),
}
GOES_ON: Final = {
    "a push": (202, _length(b"16")),
    "a push in chunks": (202, CHUNKED + b"\r\n10\r\n" + PUSH + b"\r\n0\r\n\r\n"),
    "a push with a trailer": (202, CHUNKED + b"\r\n10\r\n" + PUSH + b"\r\n0\r\nX-Trailer: y\r\n\r\n"),
    "an upload": (202, UPLOAD + b"Content-Length: 400000\r\n\r\n[" + b" " * 399_998 + b"]"),
    "one that is unfit": (422, _length(b"16").replace(b"echo", b"none")),
    "one that is too large, whole": (413, POST + b"Content-Length: 300000\r\n\r\n" + b" " * 300_000),
    "one that nobody reads": (404, _length(b"16").replace(b"push-job", b"nowhere")),
    "a foreign one": (403, _length(b"16").replace(b"Host", b"Origin: http://evil.example\r\nHost")),
    "one without a host": (400, _length(b"16").replace(HOST, b"")),
    "a list": (200, b"GET /jobs HTTP/1.1\r\n" + HOST + b"\r\n"),
    "the wrong method": (405, b"GET /push-job HTTP/1.1\r\n" + HOST + b"\r\n"),
}


@pytest.mark.parametrize(("status", "sent"), ENDS.values(), ids=ENDS)
def test_what_ends_the_connection_says_so(client: socket.socket, status: int | set[int], sent: bytes) -> None:
    """``Connection: close``, and then it ends."""
    client.sendall(sent)
    told, headers, _ = _answer(client)

    assert told in _any_of(status)
    assert "close" == headers["Connection"]
    assert b"" == client.recv(1)


@pytest.mark.parametrize(("status", "sent"), GOES_ON.values(), ids=GOES_ON)
def test_what_does_not_say_so_takes_the_next_request(client: socket.socket, status: int, sent: bytes) -> None:
    """An answer that promises to go on goes on."""
    client.sendall(sent)
    told, headers, _ = _answer(client)
    client.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")

    assert (status, "keep-alive") == (told, headers["Connection"])
    assert 200 == _answer(client)[0]
