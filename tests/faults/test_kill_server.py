"""``kill -9`` of the whole server under push load over HTTP: its worker, its master, or both at once."""

import contextlib
import http.client
import json
import os
import signal
import threading
import time
from pathlib import Path

from tests.servers import PATIENCE, Server

ROUNDS = int(os.environ.get("WEBQUEUE_TEST_SERVER_KILLS", "20"))
PUSHERS = 4
A_ROUND = 30
"""So many pushes are answered before the kill."""
WHOM = ("worker", "master", "both")
AGAIN = 3.0
"""Seconds after a kill within which it answers again, start of the interpreter included."""


class Load:
    """Pushes from some threads until the server is gone, and keeps what was answered ``202``."""

    def __init__(self, port: int, first: int) -> None:
        self.acknowledged: dict[int, int] = {}
        """Job id -> the number that was pushed."""
        self.enough = threading.Event()
        self._port = port
        self._first = first
        self._threads = [threading.Thread(target=self._push, args=(number,)) for number in range(PUSHERS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)

    def _push(self, start: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        number = self._first + start
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            while True:
                body = json.dumps({"kind": "echo", "payload": {"n": number}})
                connection.request("POST", "/push-job", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                job = json.loads(answer.read())
                if answer.status == 202:
                    self.acknowledged[job["id"]] = number
                    number += PUSHERS
                if len(self.acknowledged) >= A_ROUND:
                    self.enough.set()


def _answers(server: Server, since: float) -> float:
    """Seconds from *since* until it answers."""
    assert 200 == server.call("GET", "/healthz")[0]
    return time.monotonic() - since


def _kill(server: Server, whom: str) -> float:
    """Kill the worker, the master (its worker leaves by itself), or both at once; when that was."""
    worker = server.worker()
    if whom == "both":
        server.signal(signal.SIGSTOP)  # it must not put another worker in the place of the killed one
    if whom != "master":
        os.kill(worker, signal.SIGKILL)
    if whom != "worker":
        server.process.kill()
    return time.monotonic()


def test_kill_server_under_push_load(tmp_path: Path) -> None:
    """20 rounds: 0 acknowledged are lost, ids keep their payloads, and it answers within 3 s of each kill."""
    acknowledged: dict[int, int] = {}
    took: dict[str, list[float]] = {whom: [] for whom in WHOM}
    killed, whom = time.monotonic(), "both"
    for number in range(ROUNDS):
        with Server(tmp_path) as server:
            took[whom].append(_answers(server, killed))
            with Load(server.port, number * 1_000_000) as load:
                assert load.enough.wait(PATIENCE)
                whom = WHOM[number % len(WHOM)]
                killed = _kill(server, whom)
                if whom == "worker":
                    took[whom].append(_answers(server, killed))
            acknowledged.update(load.acknowledged)
            if whom == "worker":
                killed, whom = _kill(server, "both"), "both"
    with Server(tmp_path) as server:
        took[whom].append(_answers(server, killed))
        kept = {id: server.call("GET", f"/jobs/{id}")[1].get("payload", {}).get("n") for id in acknowledged}
        totals = server.call("GET", "/queue")[1]["totals"]

    assert acknowledged == kept
    assert len(acknowledged) >= ROUNDS * A_ROUND
    assert totals["accepted"] >= len(acknowledged)
    assert {whom: [] for whom in WHOM} == {whom: [one for one in took[whom] if one > AGAIN] for whom in WHOM}
    assert sum(map(len, took.values())) >= ROUNDS
