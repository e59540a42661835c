"""Signals × states of ``webqueue run``: it ends in time with code 0, loses nothing, and uses up no attempt."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from tests.faults.rounds import engine_on
from tests.faults.test_kill_server import Load
from tests.servers import PATIENCE, Server
from tests.web.conftest import Client
from webqueue.handlers import Handlers

GRACE: Final = 0.5
IN_TIME: Final = GRACE + 4.0
"""Seconds from the signal to the end, on a busy machine: the grace period, and what the last answers get."""

TARGET: Final = """
import os, pathlib, threading
from webqueue import WebQueue, current_job

jobs = WebQueue()

def note():
    with open("runs", "a") as file:
        file.write(f"{current_job.id} {current_job.attempt} {os.getpid()}\\n")

@jobs.handler
def echo(**payload):
    return payload

@jobs.handler
def once():
    note()

@jobs.handler
def hold():
    note()
    threading.Event().wait(60)

@jobs.handler(process=True)
def apart():
    note()
    threading.Event().wait(60)
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(TARGET)
    return tmp_path


@contextmanager
def _idle(_: Server) -> Iterator[list[int]]:
    yield []


@contextmanager
def _running(server: Server) -> Iterator[list[int]]:
    yield [_started(server, "hold"), server.push("echo")["id"]]


@contextmanager
def _apart(server: Server) -> Iterator[list[int]]:
    yield [_started(server, "apart"), server.push("echo")["id"]]


@contextmanager
def _pushing(server: Server) -> Iterator[list[int]]:
    accepted: list[int] = []
    with Load(server.port, 0) as load:
        assert load.enough.wait(PATIENCE)
        yield accepted
        server.wait()
    accepted += load.acknowledged


def _started(server: Server, kind: str) -> int:
    """A job whose handler has begun."""
    id = int(server.push(kind)["id"])
    runs = server.folder / "runs"
    end = time.monotonic() + PATIENCE
    while not (runs.exists() and f"{id} 1 " in runs.read_text()):
        assert time.monotonic() < end, "the handler never began"
        server.call("GET", f"/jobs/{id}?wait=0.05")
    return id


STATES: Final[dict[str, Callable[[Server], Any]]] = {
    "idle": _idle, "running": _running, "in a process": _apart, "pushing": _pushing
}  # fmt: skip
SIGNALS: Final = {
    "TERM": (signal.SIGTERM,),
    "INT": (signal.SIGINT,),
    "TERM twice": (signal.SIGTERM, signal.SIGTERM),
    "INT twice": (signal.SIGINT, signal.SIGINT),
    "INT and TERM": (signal.SIGINT, signal.SIGTERM),
    "HUP and TERM": (signal.SIGHUP, signal.SIGTERM),
    "HUP twice and TERM": (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM),
}


@pytest.mark.parametrize("signals", SIGNALS.values(), ids=SIGNALS.keys())
@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_signal(folder: Path, state: Callable[[Server], Any], signals: tuple[int, ...]) -> None:
    """Code 0 within the grace period and 4 s; every accepted job is there; no attempt and no crash is charged."""
    with Server(folder, "shop.py", WEBQUEUE_GRACE=str(GRACE)) as server:
        with state(server) as accepted:
            began = time.monotonic()
            for number in signals:
                server.signal(number)
            assert 0 == server.wait()
            took = time.monotonic() - began
        assert "Traceback" not in "\n".join(server.stderr.rest())
    assert took <= IN_TIME * (2 if signal.SIGHUP in signals else 1)
    _check_stored(folder, accepted)


def _check_stored(folder: Path, accepted: list[int]) -> None:
    """All that was accepted is there, nothing is charged, and no process of a handler is left."""
    successor = engine_on(str(folder / "webqueue.db"), Handlers())
    successor.start()  # it would charge what looks like a crash
    successor.stop()
    jobs = _stored(folder / "webqueue.db")
    assert set(accepted) <= set(jobs)
    for id, (stored, attempt, crashes, history) in jobs.items():
        assert (stored, attempt) in (("todo", 0), ("done", 1)), id
        assert 0 == crashes, id
        assert history == (None if stored == "todo" else history), "interrupted is no attempt"
    assert [] == [pid for pid in _pids(folder) if os.path.exists(f"/proc/{pid}")], "a process of a handler is left"


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_hangup(folder: Path, state: Callable[[Server], Any]) -> None:
    """The old worker is gone within the grace period and 4 s, the new one serves, nothing is lost or charged."""
    with Server(folder, "shop.py", WEBQUEUE_GRACE=str(GRACE)) as server:
        with state(server) as accepted:
            began, old = time.monotonic(), server.worker()
            server.signal(signal.SIGHUP)
            server.stderr.find(r"^webqueue \S+ at http", times=2)
            assert time.monotonic() - began <= IN_TIME
            assert not os.path.exists(f"/proc/{old}")
            assert 202 == server.call("POST", "/push-job", {"kind": "echo"})[0]
            server.signal(signal.SIGTERM)
            assert 0 == server.wait()
        assert "Traceback" not in "\n".join(server.stderr.rest())
    _check_stored(folder, accepted)


def test_five_hangups_with_a_socket_open(folder: Path) -> None:
    """Each old worker is gone in time, though a client holds its socket; each job runs once, and none is lost."""
    pushed, workers = [], set()
    with Server(folder, "shop.py", WEBQUEUE_GRACE=str(GRACE)) as server:
        for number in range(5):
            with closing(Client(SimpleNamespace(url=server.url, prefix=""))) as client:
                client.next("snapshot")
                pushed += [int(server.push("once")["id"]) for _ in range(4)]
                began, old = time.monotonic(), server.worker()
                server.signal(signal.SIGHUP)
                server.stderr.find(r"^webqueue \S+ at http", times=number + 2)
                assert time.monotonic() - began <= IN_TIME
                assert not os.path.exists(f"/proc/{old}")
                assert client.left.wait(PATIENCE), "the socket ends with its worker"
                workers.add(old)
        assert ["done"] * 20 == [server.finished(id)["state"] for id in pushed]
        server.signal(signal.SIGTERM)
        assert 0 == server.wait()
    assert 5 == len(workers)
    assert pushed == [int(line.split()[0]) for line in (folder / "runs").read_text().splitlines()]


def _stored(store: Path) -> dict[int, tuple[str, int, int, str | None]]:
    with closing(sqlite3.connect(store)) as connection:
        rows = connection.execute("SELECT id, state, attempt, crashes, history FROM jobs").fetchall()
    return {id: (state, attempt, crashes, history) for id, state, attempt, crashes, history in rows}


def _pids(folder: Path) -> list[int]:
    runs = folder / "runs"
    return [int(line.split()[2]) for line in runs.read_text().splitlines()] if runs.exists() else []
