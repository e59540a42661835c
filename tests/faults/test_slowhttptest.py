"""The real slowhttptest against ``webqueue run``: who is slow is cut at the deadline, and disturbs nobody meanwhile."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.servers import PATIENCE, Server

INSTALL: Final = "needs slowhttptest: apt-get update && apt-get install -y --no-install-recommends slowhttptest"
REQUEST, ANSWER = 15.0, 30.0
"""Seconds within which a request must be complete, and an answer must have been taken."""
MARGIN: Final = 15.0
"""Seconds within which all of them have come, on a busy machine."""
MANY: Final = 300
BURSTS, AT_ONCE = 2, 130
THREADS: Final = 4
MIB: Final = 1024 * 1024


class Attack(NamedTuple):
    """Options of slowhttptest, what it asks for, and seconds until the first and the last one are cut."""

    options: str
    path: str
    first: float
    last: float


ATTACKS: Final = {
    "heads": Attack("-H -i 3", "/", REQUEST, REQUEST),
    "bodies": Attack("-B -i 3 -f application/json -s 8192", "/push-job", REQUEST, REQUEST),
    # Few threads read them: who has to wait for one is told to come back after 15 s, who gets one then has 15 s more.
    "uploads": Attack("-B -i 3 -f application/json -s 1000000", "/push-jobs", REQUEST, 2 * REQUEST),
    "readers": Attack("-X -w 64 -y 128 -n 2 -z 8", "/jobs/1", ANSWER, ANSWER),
}


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[Server]:
    """With as few threads as there may be, and a job of 250 KB, which is more than the kernel keeps for a client."""
    env = {"WEBQUEUE_HTTP_THREADS": str(THREADS), "WEBQUEUE_MAX_SOCKETS": "20"}
    with Server(tmp_path, "--store", "memory:", "--consumers", "0", **env) as running:
        running.push("echo", text="x" * 250_000)
        yield running


class Worker:
    """What the server's worker holds, compared to now. One less at least of the threads that it keeps has started."""

    def __init__(self, server: Server) -> None:
        self._server = server
        with ExitStack() as stack:
            held = [stack.enter_context(asked(server, "/jobs/1?wait=1")) for _ in range(THREADS // 2)]
            self.healthz()
            for client in held:
                client.recv(1)
        self.in_time = 1.0 + 10 * max(self.healthz() for _ in range(10))
        """Seconds that /healthz may take: 1, and more on a machine that is so busy that it is slow on its own."""
        self._threads, self._descriptors, self._resident = self._count("task"), self._count("fd"), self._memory()

    def clients(self) -> int:
        """How many connections more."""
        return self._count("fd") - self._descriptors

    def threads(self) -> int:
        """How many threads more."""
        return self._count("task") - self._threads

    def resident(self) -> int:
        """How many bytes of memory more."""
        return self._memory() - self._resident

    def healthz(self) -> float:
        """Seconds until it has answered."""
        began = time.monotonic()
        assert 200 == self._server.call("GET", "/healthz")[0]
        return time.monotonic() - began

    def _count(self, what: str) -> int:
        return len(os.listdir(f"/proc/{self._server.worker()}/{what}"))

    def _memory(self) -> int:
        pages = Path(f"/proc/{self._server.worker()}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")


def asked(server: Server, path: str) -> socket.socket:
    """A client that has asked, and has hardly any room for the answer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", server.port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return client


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_slow_clients(server: Server, attack: Attack) -> None:
    """300: /healthz within 1 s throughout; none is cut before its deadline, all are then, and no thread is left."""
    assert shutil.which("slowhttptest"), INSTALL
    command = ["slowhttptest", "-c", str(MANY), "-r", str(MANY), "-l", "55", *attack.options.split()]
    worker = Worker(server)
    most, slowest, fewer_after = 0, 0.0, 0.0
    began = time.monotonic()
    with subprocess.Popen([*command, "-u", server.url + attack.path], stdout=subprocess.DEVNULL) as process:
        while (clients := worker.clients()) > 2 or most < 0.9 * MANY:
            passed = time.monotonic() - began
            assert passed < attack.last + MARGIN, f"{clients} of {most} are not cut"
            most = max(most, clients)
            if not fewer_after and clients < 0.9 * most and most > 0.9 * MANY:
                fewer_after = passed
            slowest = max(slowest, worker.healthz())
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        process.terminate()

    assert slowest < worker.in_time
    assert fewer_after > attack.first - 1
    assert worker.threads() <= 2
    assert not any(line.startswith("Traceback") for line in server.stderr.all())


def test_readers_of_large_lists(server: Server) -> None:
    """260 ask for 4 MB each and do not read: /healthz within 1 s, + 160 MiB; refusals say Retry-After."""
    jobs = [{"kind": "echo", "payload": {"text": "x" * 250_000}}] * 16
    assert 202 == server.call("POST", "/push-jobs", jobs)[0]
    worker = Worker(server)
    heads, slowest, largest = [], 0.0, 0
    with ExitStack() as stack:
        for _ in range(BURSTS):
            for client in [stack.enter_context(asked(server, "/jobs?limit=200")) for _ in range(AT_ONCE)]:
                slowest = max(slowest, worker.healthz())
                with suppress(ConnectionResetError):  # its answer had to make room for others'
                    heads.append(client.recv(1000))
            largest = max(largest, worker.resident())
    began = time.monotonic()
    while worker.clients() > 2:
        assert time.monotonic() - began < PATIENCE
        worker.healthz()

    refused = [head for head in heads if head.startswith(b"HTTP/1.1 503 ")]
    assert len(heads) - len(refused) == sum(head.startswith(b"HTTP/1.1 200 ") for head in heads) > 0
    assert refused
    assert all(b"\r\nRetry-After: " in head for head in refused)
    assert slowest < worker.in_time
    assert largest < 160 * MIB
    assert worker.threads() <= 2
