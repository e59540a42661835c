"""``webqueue watch``: the steps of all jobs, live."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import PATIENCE, Lines, Server, environment


class Watching:
    """A running ``webqueue watch``."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.stdout = Lines(process.stdout)
        self.stderr = Lines(process.stderr)


@contextmanager
def watching(server: Server, **env: str) -> Iterator[Watching]:
    """``webqueue watch``, connected: a job that was pushed before the server said so is not told."""
    command = [sys.executable, "-m", "webqueue", "watch", "--server", server.url]
    process = subprocess.Popen(
        command, cwd=server.folder, env=environment(**env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watch = Watching(process)
    try:
        _until_told(server, watch)
        yield watch
    finally:
        process.kill()
        process.wait(PATIENCE)
        watch.stdout.rest()
        watch.stderr.rest()


def _until_told(server: Server, watch: Watching) -> None:
    """Push until the watcher tells of a job: only then it is surely connected."""
    told = False
    while not told:
        id = server.push("echo")["id"]
        server.finished(id)
        told = any(line.startswith(f"{id} ") for line in watch.stdout.all()) or watch.process.poll() is not None


def test_a_line_a_step(server: Server) -> None:
    """ID KIND STATE, in the order in which it happened, the last line that of the end."""
    with watching(server) as watch:
        id = server.push("sleep", seconds=0.3)["id"]
        watch.stdout.find(f"^{id} sleep done$")
        mine = [line for line in watch.stdout.all() if line.startswith(f"{id} ")]

    assert [f"{id} sleep {state}" for state in ("todo", "running", "done")][-len(mine) :] == mine
    assert f"{id} sleep running" in mine


def test_interrupt_ends_it_with_0(server: Server) -> None:
    """Ctrl-C is how one stops watching; nothing is wrong then."""
    with watching(server) as watch:
        watch.process.send_signal(signal.SIGINT)

        assert 0 == watch.process.wait(PATIENCE)
        assert [] == watch.stderr.rest()


def test_it_comes_back_after_a_restart(tmp_path: Path) -> None:
    """When the worker is replaced the watch says so once, comes back, and tells what happens then."""
    with Server(tmp_path) as server, watching(server) as watch:
        server.signal(signal.SIGHUP)
        server.stderr.find(r"^webqueue \S+ at http", times=2)
        id = server.push("echo", after="restart")["id"]

        watch.stdout.find(f"^{id} echo done$")
        assert 1 == len(watch.stderr.all())


def test_a_wrong_token_is_told(tmp_path: Path) -> None:
    """No way in is one line and exit code 1, not an endless try."""
    with Server(tmp_path, "--store", "memory:", WEBQUEUE_TOKEN="right-and-long") as server:
        result = server.cli("watch", "--token", "wrong")

    assert (1, 1) == (result.returncode, result.stderr.count("\n"))
