"""Ten times as much as is allowed, of everything: memory stays, what was accepted runs, what is refused says when."""

import ctypes
import json
import os
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import socketio

from tests.servers import PATIENCE, Server

MAX_TODO: Final = 200
SOCKETS: Final = 10
LINES: Final = 10_000
"""Log lines that an attempt may keep."""
MOST: Final = 64 * 1024 * 1024
"""Bytes by which the server may grow."""
TARGET: Final = f"""
import ctypes, threading
from pathlib import Path
from webqueue import WebQueue, current_job

jobs, gate = WebQueue(), threading.Event()

@jobs.handler
def wait():
    gate.wait(60)

@jobs.handler(kind="open")
def open_gate():
    gate.set()

@jobs.handler
def work(n: int):
    with open("runs", "a") as file:
        file.write(f"{{n}}\\n")

@jobs.handler
def heaps():
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    file = ctypes.c_void_p(libc.fopen(b"heaps.xml", b"w"))
    libc.malloc_info(0, file)
    libc.fclose(file)
    return Path("heaps.xml").read_text().count("<heap nr=")

@jobs.handler
def chatty():
    for number in range({10 * LINES}):
        current_job.log(f"line {{number}} " + "x" * 60)
        current_job.progress(number / {10 * LINES}, "y" * 60)
"""


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "shop.py").write_text(TARGET)
    limits = {"WEBQUEUE_MAX_TODO": str(MAX_TODO), "WEBQUEUE_MAX_SOCKETS": str(SOCKETS)}
    with Server(tmp_path, "shop.py", WEBQUEUE_QUEUES="default=1,other=1", **limits) as running:
        for _ in range(50):  # its threads have been started, its modules loaded
            running.finished(running.push("work", n=-1)["id"])
        yield running


def resident(server: Server) -> int:
    """Bytes of the worker in memory."""
    return int(Path(f"/proc/{server.worker()}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def post(server: Server, body: Any) -> tuple[int, Any, str | None]:
    """(status, body, ``Retry-After``) of a push."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(server.url + "/push-job", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer), None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), error.headers["Retry-After"]


def test_flood_of_pushes(server: Server) -> None:
    """Ten times what todo holds: what is accepted runs once each, every refusal has a Retry-After, + < 64 MiB."""
    server.push("wait")
    before, accepted, refused = resident(server), set[int](), list[str | None]()

    def push(numbers: range) -> None:
        for n in numbers:
            status, _, after = post(server, {"kind": "work", "payload": {"n": n}})
            assert status in (202, 429)
            accepted.add(n) if status == 202 else refused.append(after)

    together([lambda part=part: push(range(part, 10 * MAX_TODO, 4)) for part in range(4)])
    gate = {"kind": "open", "queue": "other"}
    bulk = server.call("POST", "/push-jobs", [{"kind": "work", "payload": {"n": 0}}] * 10_000)[1]
    grown = resident(server) - before
    while post(server, gate)[0] != 202:  # there is no room in todo: the flood has an end some day
        first = server.call("GET", "/jobs?state=todo&limit=1")[1]["jobs"][0]
        server.call("POST", f"/jobs/{first['id']}/cancel")
        accepted.discard(first["payload"]["n"])
    drained(server)
    runs = Counter(int(line) for line in (server.folder / "runs").read_text().splitlines())

    assert (MAX_TODO, 9 * MAX_TODO) == (len(accepted) + 1, len(refused))
    assert ([], 10_000) == (bulk["accepted"], len(bulk["rejected"]))
    assert all(after is not None and int(after) >= 1 for after in refused)
    assert dict.fromkeys(accepted, 1) == {n: times for n, times in runs.items() if n >= 0}
    assert grown < MOST


def together(calls: list[Any]) -> None:
    """Each call in a thread of its own, waited for."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * 2)


def drained(server: Server) -> None:
    """Wait until nothing is to be done any more."""
    for job in server.call("GET", "/jobs?state=todo&limit=200")[1]["jobs"]:
        server.finished(job["id"])


def test_flood_of_rejections(server: Server) -> None:
    """20,000 unfit pushes of 1 KB, where 1,000 are kept: + < 64 MiB, and a fit one is run afterwards."""
    before = resident(server)
    unfit = [{"kind": "work", "payload": {"n": "no", "text": "x" * 1_000}}] * 1_000
    for _ in range(20):
        answer = server.call("POST", "/push-jobs", unfit)[1]
        assert (0, 1_000) == (len(answer["accepted"]), len(answer["rejected"]))
    grown = resident(server) - before

    assert "done" == server.finished(server.push("work", n=1)["id"])["state"]
    assert grown < MOST


@pytest.mark.parametrize(
    ("number", "payload"),
    [(300, {"n": "no", "text": "x" * 250_000}), (30, {str(n): 0 for n in range(20_000)})],
    ids=["long", "many fields"],
)
def test_flood_of_large_rejections(server: Server, number: int, payload: dict[str, Any]) -> None:
    """Unfit pushes as large as they may be, 20,000 wrong fields in one: + < 64 MiB, and a fit one is run afterwards."""
    before = resident(server)
    for _ in range(number):
        assert 422 == server.call("POST", "/push-job", {"kind": "work", "payload": payload})[0]
    grown = resident(server) - before

    assert "done" == server.finished(server.push("work", n=1)["id"])["state"]
    assert grown < MOST


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="another libc than glibc")
def test_threads_share_heaps(server: Server) -> None:
    """However many threads there are, two heaps hold what they ask of malloc."""
    asked = [lambda: server.call("GET", "/jobs?limit=200") for _ in range(8)]
    together(asked)

    assert 2 == server.finished(server.push("heaps")["id"])["result"]


def test_flood_of_log_lines(server: Server) -> None:
    """Ten times what is kept of an attempt, and as much progress: + < 64 MiB; it ends, and 10,000 lines are there."""
    before = resident(server)
    job = server.push("chatty")
    assert "done" == server.finished(job["id"])["state"]
    grown, cursor, lines = resident(server) - before, "", 0
    while cursor is not None:
        page = server.call("GET", f"/jobs/{job['id']}/log?limit=1000" + (f"&cursor={cursor}" if cursor else ""))[1]
        cursor, lines = page["next"], lines + len(page["lines"])

    assert LINES <= lines <= LINES + 1, "one more may say that lines are missing"
    assert grown < MOST


def test_flood_of_followers(server: Server) -> None:
    """As many sockets as there may be follow 1,000 jobs each, ten times as many are refused with Retry-After."""
    before = resident(server)
    clients = [socketio.Client(reconnection=False) for _ in range(SOCKETS)]
    for client in clients:
        client.connect(server.url, namespaces=["/queue"], transports=["websocket"])
    refused = []
    for _ in range(9 * SOCKETS):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(server.url + "/socket.io/?EIO=4&transport=polling", timeout=PATIENCE)
        refusal.value.close()
        refused.append((refusal.value.code, refusal.value.headers["Retry-After"]))
    acks = Counter(
        clients[n % SOCKETS].call("follow", {"id": 1 + n % 50}, namespace="/queue", timeout=PATIENCE)["status"]
        for n in range(1_000)
    )
    finished = [server.finished(server.push("work", n=n)["id"])["state"] for n in range(50)]
    grown = resident(server) - before
    for client in clients:
        client.disconnect()
        client.shutdown()

    assert {503} == {status for status, _ in refused}
    assert all(after is not None for _, after in refused)
    assert {200: 1_000} == acks
    assert ["done"] * 50 == finished
    assert grown < MOST
