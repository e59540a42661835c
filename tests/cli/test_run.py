"""``webqueue run``: what it serves, how it refuses to start, how it ends."""

import os
import re
import select
import signal
import socket
from pathlib import Path

import pytest

from tests.servers import PATIENCE, Server, webqueue

SHOP = """
import threading
from flask import Flask
from webqueue import WebQueue

jobs = WebQueue()
gate = threading.Event()

@jobs.handler
def nap(seconds: float):
    gate.wait(seconds)
    return "slept"
"""
AS_APP = SHOP + "\napp = Flask('shop')\njobs.init_app(app, url_prefix='/queue')\n"
AS_FACTORY = SHOP + "\ndef create_app():\n    return jobs.create_app()\n"


def shop(folder: Path, text: str = SHOP) -> Path:
    """A module shop.py in *folder*."""
    (folder / "shop.py").write_text(text)
    return folder


# -- what it serves


def test_the_banner_names_address_store_durability_consumers_and_kinds(tmp_path: Path) -> None:
    """One line at start; without TARGET it says that these are the demo kinds."""
    with Server(tmp_path, "--consumers", "2") as server:
        line = server.stderr.all()[-1]

    assert 1 == len(server.stderr.all())
    assert re.search(
        r"at http://127\.0\.0\.1:\d+, store sqlite:///webqueue\.db \(.*flush.*\), 2 consumers, demo kinds: ", line
    )
    assert line.endswith("echo, fail, greet, sleep")


@pytest.mark.parametrize(
    ("text", "target", "prefix"),
    [
        (SHOP, "shop", ""),
        (SHOP, "shop:jobs", ""),
        (SHOP, "shop.py", ""),
        (AS_APP, "shop.py", "/queue"),
        (AS_APP, "shop:app", "/queue"),
        (AS_FACTORY, "shop:create_app", ""),
    ],
)
def test_targets(tmp_path: Path, text: str, target: str, prefix: str) -> None:
    """A module, an attribute or a file; a WebQueue, an application or a factory."""
    with Server(shop(tmp_path, text), target, "--store", "memory:") as server:
        status, answer = server.call("GET", f"{prefix}/kinds")

    assert (200, ["nap"]) == (status, [kind["kind"] for kind in answer["kinds"]])


# -- how it refuses


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nothere"], "There is no module nothere"),
        (["nothere.py"], "There is no file nothere.py"),
        (["shop:nothere"], "shop has no nothere"),
        (["shop:nap"], "shop:nap"),
        (["empty.py"], "empty.py holds no WebQueue"),
        (["--store", "nonsense:"], "is not a store"),
        (["--host", "0.0.0.0"], "WEBQUEUE_TOKEN"),
        (["shop", "--host", "0.0.0.0"], "WEBQUEUE_TOKEN"),
        (["--host", "no.such.host.invalid"], "Can't listen at"),
    ],
)
def test_it_refuses_in_one_line(tmp_path: Path, arguments: list[str], expected: str) -> None:
    """What can't be served is one line on stderr that says why, exit code not 0, no traceback."""
    (tmp_path / "empty.py").write_text("")

    result = webqueue("run", *arguments, "--port", "0", cwd=shop(tmp_path))

    assert 0 != result.returncode
    assert 1 == result.stderr.count("\n"), result.stderr
    assert expected in result.stderr


def test_a_module_that_raises_shows_its_traceback_then_one_line(tmp_path: Path) -> None:
    """The user's own mistake is shown as Python shows it, without frames of ours."""
    (tmp_path / "bad.py").write_text("def broken():\n    1 / 0\n\nbroken()\n")

    result = webqueue("run", "bad.py", "--port", "0", cwd=tmp_path)
    lines = result.stderr.splitlines()

    assert 0 != result.returncode
    assert "Traceback (most recent call last):" == lines[0]
    assert lines[1].endswith('bad.py", line 4, in <module>')
    assert "webqueue: bad.py raised ZeroDivisionError while it was loaded." == lines[-1]


def test_a_port_in_use_is_told_with_a_way_out(tmp_path: Path) -> None:
    """At once, without a retry."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = webqueue("run", "--port", str(port), "--store", "memory:", cwd=tmp_path)

    assert (1, 1) == (result.returncode, result.stderr.count("\n"))
    assert "Address already in use" in result.stderr
    assert f"--port {port + 1}" in result.stderr


def test_a_second_server_on_one_file_names_the_holder(tmp_path: Path) -> None:
    """A store has one owner; the second leaves with one line that names it."""
    with Server(tmp_path) as server:
        result = webqueue("run", "--port", "0", cwd=tmp_path)

        assert str(server.worker()) in result.stderr
    assert 0 != result.returncode
    assert 1 == result.stderr.count("\n")


# -- how it ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_it_ends_at_once_with_0(tmp_path: Path, number: int) -> None:
    """SIGTERM and Ctrl-C are gentle, and nothing is said."""
    with Server(tmp_path) as server:
        server.signal(number)

        assert 0 == server.wait()
    assert 1 == len(server.stderr.rest())


def test_sigterm_goes_on_answering_while_jobs_end(tmp_path: Path) -> None:
    """New pushes and /readyz get 503, what runs ends, what waits is still there at the next start; exit code 0."""
    with Server(shop(tmp_path), "shop") as server:
        running, waiting = server.push("nap", seconds=1.0)["id"], server.push("nap", seconds=0.0)["id"]
        server.signal(signal.SIGTERM)
        while server.call("GET", "/readyz")[0] == 200:
            pass
        answers = [
            server.call("GET", "/healthz")[0],
            server.call("GET", f"/jobs/{running}")[1]["state"],
            server.call("POST", "/push-job", {"kind": "nap", "payload": {"seconds": 0}})[0],
        ]

        assert 0 == server.wait()
    assert [200, "running", 503] == answers
    with Server(tmp_path, "shop") as server:
        assert "done" == server.call("GET", f"/jobs/{running}")[1]["state"]
        assert "done" == server.finished(waiting)["state"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_takes_the_grace_away(tmp_path: Path, number: int) -> None:
    """What still runs goes back to the front of the queue without using up an attempt; exit code 0."""
    with Server(shop(tmp_path), "shop") as server:
        id = server.push("nap", seconds=60)["id"]
        while server.call("GET", f"/jobs/{id}")[1]["state"] != "running":
            pass
        server.signal(number)
        while server.call("GET", "/readyz")[0] == 200:
            pass
        server.signal(number)

        assert 0 == server.wait()
    with Server(tmp_path, "shop") as server:
        job = server.call("GET", f"/jobs/{id}")[1]
    assert (1, 0, []) == (job["attempt"], job["crashes"], job["history"])


def test_grace_over_the_job_is_returned(tmp_path: Path) -> None:
    """After WEBQUEUE_GRACE seconds it ends, whatever still runs."""
    with Server(shop(tmp_path), "shop", WEBQUEUE_GRACE="0.3") as server:
        id = server.push("nap", seconds=60)["id"]
        while server.call("GET", f"/jobs/{id}")[1]["state"] != "running":
            pass
        server.signal(signal.SIGTERM)

        assert 0 == server.wait()
    with Server(tmp_path, "shop") as server:
        assert 0 == server.call("GET", f"/jobs/{id}")[1]["crashes"]


def test_hangup_replaces_the_worker(tmp_path: Path) -> None:
    """The old worker leaves, then the new one starts, and no request in between is refused."""
    with Server(tmp_path) as server:
        before = server.worker()
        id = server.push("echo", a=1)["id"]
        server.finished(id)
        server.signal(signal.SIGHUP)
        server.stderr.find(r"^webqueue \S+ at http", times=2)

        assert "done" == server.call("GET", f"/jobs/{id}")[1]["state"]
        assert before != server.worker()


def test_without_a_master_the_worker_leaves(tmp_path: Path) -> None:
    """After kill -9 of the master its store and its port are free for the next."""
    with Server(tmp_path) as server:
        worker, port = server.worker(), server.port
        watched = os.pidfd_open(worker)
        os.kill(server.process.pid, signal.SIGKILL)
        ended, _, _ = select.select([watched], [], [], PATIENCE)
        os.close(watched)
        with socket.create_server(("127.0.0.1", port)):
            pass

    assert [watched] == ended


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    """The master starts the next one; the job that was running is run again, at once."""
    with Server(shop(tmp_path), "shop") as server:
        id = server.push("nap", seconds=60)["id"]
        while server.call("GET", f"/jobs/{id}")[1]["state"] != "running":
            pass
        os.kill(server.worker(), signal.SIGKILL)
        server.stderr.find(r"^webqueue \S+ at http", times=2)
        while (job := server.call("GET", f"/jobs/{id}")[1])["state"] != "running":
            pass

    assert (1, 1) == (job["attempt"], job["crashes"])
