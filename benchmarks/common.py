"""What the benchmarks share: a server of its own process, a client that costs little, and rounds taken in turn."""

import http.client
import json
import selectors
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.servers import Server

APP = """
import threading
from flask import Flask
from webqueue import WebQueue

app = Flask("shop")
jobs = WebQueue()

@app.get("/empty")
def empty():
    return "", 204

@jobs.handler
def noop(**payload):
    pass

@jobs.handler
def compute(seconds: float):
    import time
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        for _ in range(10000):
            number = (number * 31 + 7) % 1000003

jobs.init_app(app, url_prefix="/queue")
"""


@contextmanager
def server(store: str = "sqlite:///bench.db", **env: str) -> Iterator[Server]:
    """``webqueue run`` with an empty view, and the queue with the kinds noop and compute under /queue."""
    with tempfile.TemporaryDirectory(prefix="webqueue-bench-") as name:
        folder = Path(name)
        (folder / "shop.py").write_text(APP)
        with Server(folder, "shop.py", "--store", store, **env) as running:
            yield running


def request(method: str, path: str, body: Any = None) -> bytes:
    """A whole HTTP request as bytes."""
    data = b"" if body is None else json.dumps(body).encode()
    lines = (
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(data)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + data


def blast(port: int, sent: bytes, seconds: float, connections: int = 8, expect: bytes = b"HTTP/1.1 20") -> float:
    """Answers a second, over so many connections, each sending the next request when it has its answer."""
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(one, selectors.EVENT_READ, bytearray())
        one.sendall(sent)
    answers, began = 0, time.perf_counter()
    while (now := time.perf_counter()) - began < seconds:
        for key, _ in selector.select(1):
            buffer = key.data
            buffer += key.fileobj.recv(262144)
            if _complete(buffer):
                assert buffer.startswith(expect), bytes(buffer[:300])
                buffer.clear()
                key.fileobj.sendall(sent)
                answers += 1
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    return answers / (now - began)


def _complete(buffer: bytearray) -> bool:
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = bytes(buffer[:end]).lower()
    at = head.find(b"content-length:")
    length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return len(buffer) >= end + 4 + length


def latencies(port: int, path: str, body: Any, number: int) -> list[float]:
    """Seconds of each of so many requests, one after the other over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    data, taken = json.dumps(body), []
    for _ in range(number):
        began = time.perf_counter()
        connection.request("POST", path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        taken.append(time.perf_counter() - began)
        assert 202 == answer.status
    connection.close()
    return taken


def in_turn(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Every measure once a round, so that a busy moment hits all of them."""
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            taken[name].append(measure())
    return taken


def ratio(taken: Mapping[str, list[float]], name: str, to: str) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(one / other for one, other in zip(taken[name], taken[to], strict=True))


def percentile(values: list[float], part: float) -> float:
    """The value below which *part* (0..1) of all lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]
