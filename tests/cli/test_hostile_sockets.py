"""Sockets that are silent, never read, or come in hundreds: pushes stay quick, and what they held is given back."""

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hostile import (
    MIB,
    QUICK,
    TEXT,
    Plain,
    Poller,
    Raw,
    Stopwatch,
    Witness,
    forget_peak,
    frame,
    peak,
    resident,
    rested,
    threads,
)
from tests.servers import PATIENCE, Server

INTERVAL, TIMEOUT = 1.0, 5.0
SEND_DEADLINE = 15.0
HTTP_THREADS = 8
CAP = 100
MOST = 16 * MIB
PINGED = {"WEBQUEUE_PING_INTERVAL": str(INTERVAL), "WEBQUEUE_PING_TIMEOUT": str(TIMEOUT)}


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with _serving(tmp_path_factory.mktemp("server"), **PINGED) as running:
        yield running


@pytest.fixture(name="full_server", scope="module")
def _full_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that pings nobody while the test lasts."""
    with _serving(tmp_path_factory.mktemp("full")) as running:
        yield running


@contextlib.contextmanager
def _serving(folder: Path, **env: str) -> Iterator[Server]:
    """A server of whose threads so many rest as will ever do: a few clients have come and gone."""
    limits = {"WEBQUEUE_HTTP_THREADS": str(HTTP_THREADS), "WEBQUEUE_MAX_SOCKETS": str(CAP)}
    with Server(folder, "--store", "memory:", WEBQUEUE_KEEP_FINISHED="1000", **limits, **env) as running:
        most = threads(running) + HTTP_THREADS + 2
        clients = [Raw(running) for _ in range(3 * HTTP_THREADS)]
        for client in clients:
            client.close()
        assert rested(running, most) <= most
        yield running


@contextlib.contextmanager
def undisturbed(server: Server) -> Iterator[Witness]:
    """Meanwhile pushes take less than 1 s, and a real client misses nothing; what was held is given back afterwards."""
    logged = len(server.stderr.all())
    with Witness(server) as witness:
        before, memory = threads(server), resident(server)
        yield witness
        after = rested(server, before + 2)
        grown = resident(server) - memory

    assert witness.slowest < QUICK
    assert {202} == witness.statuses
    assert [] == witness.missed
    assert -2 <= after - before <= 2
    assert grown <= MOST
    assert [] == server.stderr.all()[logged:]


def test_who_is_silent_is_cut(server: Server) -> None:
    """Whether it has joined, never joins or polls: after ping interval and timeout it is gone."""
    with undisturbed(server):
        joined, others = [Raw(server) for _ in range(30)], [Raw(server, join=False) for _ in range(30)]
        polls = [Poller(server).poll() for _ in range(30)]
        watch = Stopwatch()
        for client in (*joined, *others):
            client.seconds_until_cut()
            client.close()
        for poll in polls:
            poll.answer()
        seconds = watch.seconds()

    assert INTERVAL < seconds < INTERVAL + TIMEOUT + 3


class Deaf:
    """A client that never reads, and answers each ping as if it had: in a thread, until it is cut or told to stop."""

    def __init__(self, server: Server) -> None:
        self.client, self._over = Raw(server), threading.Event()
        self.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over.wait(INTERVAL / 2):
                self.client.text("3")

    @property
    def cut(self) -> bool:
        """Whether the server has ended the connection."""
        return not self._thread.is_alive()

    def close(self) -> None:
        """Hang up."""
        self._over.set()
        self._thread.join()
        self.client.close()


def test_who_never_reads_is_cut(server: Server) -> None:
    """Although it answers pings; the news of 100 jobs at a time wait for it meanwhile, within + 16 MiB."""
    jobs = [{"kind": "echo", "payload": {"text": "x" * 150}}] * 100
    with undisturbed(server):
        deaf, began = [Deaf(server) for _ in range(5)], time.monotonic()
        before = forget_peak(server)
        while not all(client.cut for client in deaf) and time.monotonic() - began < 2 * SEND_DEADLINE:
            accepted = server.call("POST", "/push-jobs", jobs)[1]["accepted"]
            server.finished(accepted[-1]["id"])
        cut = [client.cut for client in deaf]
        for client in deaf:
            client.close()
        most = peak(server) - before

    assert [True] * 5 == cut
    assert most <= MOST


def _ask_for_much(server: Server, client: Raw) -> None:
    """Ask 500 times for a job of 100 KB."""
    id = server.push("echo", text="x" * 100_000)["id"]
    server.finished(id)
    client.send(*(frame(TEXT, f'42/queue,{n}["follow",{{"id":{id}}}]'.encode()) for n in range(500)))


def test_who_asks_and_never_reads_is_cut(full_server: Server) -> None:
    """After 15 s, long before a ping would be due; what waits for it is thrown away when it is too much."""
    with undisturbed(full_server):
        deaf, began = Deaf(full_server), time.monotonic()
        before = forget_peak(full_server)
        _ask_for_much(full_server, deaf.client)
        while not deaf.cut and time.monotonic() - began < 2 * SEND_DEADLINE:
            full_server.finished(full_server.push("echo")["id"])
        cut = deaf.cut
        deaf.close()
        most = peak(full_server) - before

    assert cut
    assert most <= MOST


def test_who_still_holds_threads_holds_a_seat(tmp_path: Path) -> None:
    """A client that misses its pings, but says other things, makes no room while the server still sends to it."""
    limits = {"WEBQUEUE_PING_INTERVAL": "1", "WEBQUEUE_PING_TIMEOUT": "1", "WEBQUEUE_MAX_SOCKETS": "1"}
    with Server(tmp_path, "--store", "memory:", **limits) as server:
        client, over = Raw(server), threading.Event()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        _ask_for_much(server, client)
        began, statuses = time.monotonic(), set[int]()
        while time.monotonic() - began < SEND_DEADLINE / 2:
            client.text("6")
            statuses.add(Poller.shake(server).status())
            over.wait(0.1)
        client.close()
        _let_in(server, 1)[0].close()

    assert {503} == statuses


def test_500_polling_handshakes(full_server: Server) -> None:
    """All at once: so many get in as there are seats, the others get 503; who then says nothing is cut."""
    with undisturbed(full_server):
        handshakes = [Poller.shake(full_server) for _ in range(500)]
        answers = [handshake.answer() for handshake in handshakes]
        refused = [answer for answer in answers if answer[0] != 200]
        for client in _let_in(full_server, CAP - 1):
            client.close()

    assert Counter({200: CAP - 1, 503: 500 - CAP + 1}) == Counter(status for status, _, _ in answers), (
        "one is a witness"
    )
    assert {"application/problem+json"} == {headers["content-type"] for _, headers, _ in refused}
    assert {f"{CAP} sockets are open: no more are let in."} == {json.loads(body)["detail"] for _, _, body in refused}
    assert all(int(headers["retry-after"]) > 0 for _, headers, _ in refused)


def _let_in(server: Server, number: int) -> list[Raw]:
    """So many clients, once there are seats for them."""
    clients, deadline = list[Raw](), time.monotonic() + 2 * PATIENCE
    while len(clients) < number and time.monotonic() < deadline:
        client = Raw(server, join=False)
        if client.head().startswith(b"HTTP/1.1 101 "):
            client.text("40/queue,")
            clients.append(client)
        else:
            client.close()
    assert number == len(clients)
    return clients


def test_above_the_cap_who_is_there_goes_on(full_server: Server) -> None:
    """They push and are answered while others are refused; where one leaves, one is let in."""
    with undisturbed(full_server):
        clients = _let_in(full_server, CAP - 1)
        refused = [Raw(full_server, join=False) for _ in range(50)]
        heads = {client.head()[:12] for client in refused}
        for client in clients:
            client.text('42/queue,7["push_job",{"kind":"echo"}]')
        answered = [client.hears('43/queue,7[{"status":202,') for client in clients]
        clients.pop().close()
        clients += _let_in(full_server, 1)
        for client in (*clients, *refused):
            client.close()

    assert {b"HTTP/1.1 503"} == heads
    assert [True] * (CAP - 1) == answered


def test_who_has_left_and_goes_on_is_refused(server: Server) -> None:
    """Also while its end is still on its way: engine.io looks for it in vain then, and raises."""
    with undisturbed(server):
        clients = [Poller(server) for _ in range(20)]
        posts = [client.post(b"1") for client in clients for _ in range(3)]
        statuses = {post.status() for post in posts}

    assert {200, 400} == statuses


@pytest.mark.parametrize("missing", ["Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key"])
@pytest.mark.parametrize("joined", [False, True])
def test_half_a_handshake_is_refused(server: Server, missing: str, joined: bool) -> None:
    """As any bad request, whether it comes first or from one that polls."""
    fields = {
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "A" * 22 + "==",
    }
    headers = [f"{name}: {value}" for name, value in fields.items() if name != missing]
    with undisturbed(server):
        path = f"/socket.io/?EIO=4&transport=websocket{f'&sid={Poller(server).sid}' if joined else ''}"
        status, answered, _ = Plain(server, "GET", path, b"", *headers).answer()

    assert (400, "application/problem+json") == (status, answered["content-type"])


def _polls(client: Poller) -> Callable[[], object]:
    return client.poll


def _upgrades(client: Poller) -> Callable[[], object]:
    return client.upgrade


def _posts(client: Poller) -> Callable[[], object]:
    return lambda: client.post(b"6")


@pytest.mark.parametrize("request_of", [_polls, _upgrades, _posts])
def test_one_client_holds_no_more_threads_than_its_own(
    server: Server, request_of: Callable[[Poller], Callable[[], object]]
) -> None:
    """300 requests of one that polls: more than there are threads, and the pushes beside them are as quick as ever."""
    with undisturbed(server):
        ask = request_of(Poller(server))
        asked = [ask() for _ in range(300)]
        server.finished(server.push("echo")["id"])
        for one in asked:
            one.socket.close()
