"""``webqueue watch``: the steps of all jobs, live; and what is drawn on a terminal, by ``push --wait`` as well."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.servers import PATIENCE, Lines, Server, environment


class Watching:
    """A running ``webqueue watch``."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.stdout = Lines(process.stdout)
        self.stderr = Lines(process.stderr)


@contextmanager
def watching(server: Server, *options: str, **env: str) -> Iterator[Watching]:
    """``webqueue watch``, connected: a job that was pushed before the server said so is not told."""
    command = [sys.executable, "-m", "webqueue", "watch", "--server", server.url, *options]
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
        mine = re.compile(rf'^({id} |{{"id": {id},)')
        told = any(map(mine.match, watch.stdout.all())) or watch.process.poll() is not None


def test_a_line_a_step(server: Server) -> None:
    """ID KIND STATE, in the order in which it happened, the last line that of the end."""
    with watching(server) as watch:
        id = server.push("sleep", seconds=0.3)["id"]
        watch.stdout.find(f"^{id} sleep done$")
        mine = [line for line in watch.stdout.all() if line.startswith(f"{id} ")]

    assert [f"{id} sleep {state}" for state in ("todo", "running", "done")][-len(mine) :] == mine
    assert f"{id} sleep running" in mine


def test_as_json_a_line_a_step(server: Server) -> None:
    """--json has the job as the API tells it in lists."""
    with watching(server, "--json") as watch:
        id = server.push("echo", a="\x9b")["id"]
        line = watch.stdout.find(f'^{{"id": {id}, .*"state": "done"')

    assert ('{"a":"\x9b"}', None) == (json.loads(line)["preview"], json.loads(line)["error"])
    assert "\x9b" not in line


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


class Output:
    """What is written to a pseudo-terminal, as a stream of lines that ends when nobody has it open any more."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, encoding="utf-8")

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[str]:
        with suppress(OSError):  # that is how Linux tells the end
            yield from self._file


@contextmanager
def on_a_terminal(server: Server, *words: str, stream: str) -> "Iterator[tuple[subprocess.Popen[str], Lines]]":
    """A command whose *stream*, stdout or stderr, is a terminal of 24 lines of 60 columns; and what stands on it."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 60))
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: its}
    env = environment(WEBQUEUE_SERVER=server.url, TERM="xterm")
    process = subprocess.Popen([sys.executable, "-m", "webqueue", *words], env=env, text=True, **streams)
    os.close(its)
    lines = Lines(Output(ours))
    try:
        yield process, lines
    finally:
        process.kill()
        process.communicate()
        lines.rest()


def test_on_a_terminal_running_jobs_have_a_bar(server: Server) -> None:
    """The bar grows in place, steps go past above it, and it is gone when the job is; Ctrl-C ends that with 0 too."""
    id = server.push("sleep", seconds=20)["id"]
    with on_a_terminal(server, "watch", stream="stdout") as (process, terminal):
        terminal.find(rf"^\x1b\[1A\x1b\[J{id} sleep running \[#+-+\] \d+ % [\d.]+ of 20 s$")
        assert f"{id} sleep running, asked to stop\n" == server.cli("cancel", str(id)).stdout
        ended = terminal.find(rf"^\x1b\[1A\x1b\[J.*{id} sleep cancelled$")
        failed = server.push("fail", message="\x1b[2Jgone")["id"]
        terminal.find(rf"{failed} fail .*RuntimeError: �\[2Jgone")
        process.send_signal(signal.SIGINT)

        assert 0 == process.wait(PATIENCE)
        lines = terminal.rest()
        assert not [line for line in lines[lines.index(ended) :] if f"{id} sleep running" in line]
        assert not [line for line in lines if "\x1b[2J" in line]


def test_push_wait_draws_a_bar_on_a_terminal(server: Server) -> None:
    """On stderr, if that is one; stdout has the job's JSON and nothing else."""
    with on_a_terminal(server, "push", "sleep", '{"seconds": 20}', "--wait", stream="stderr") as (process, terminal):
        line = terminal.find(r"sleep running \[#+-+\] \d+ % [\d.]+ of 20 s$")
        id = int(re.findall(r"(\d+) sleep", line)[0])
        server.call("POST", f"/jobs/{id}/cancel")
        stdout, _ = process.communicate(timeout=PATIENCE)

        assert (id, "cancelled", 1) == (json.loads(stdout)["id"], json.loads(stdout)["state"], process.returncode)


def test_jobs_on_a_terminal_are_cut_to_its_width(server: Server) -> None:
    """No line breaks: what does not fit ends with an ellipsis."""
    push = {"kind": "fail", "payload": {"message": "long " * 40}, "max_attempts": 1}
    server.finished(server.call("POST", "/push-job", push)[1]["id"])
    with on_a_terminal(server, "jobs", "--kind", "fail", stream="stdout") as (process, terminal):
        assert 0 == process.wait(PATIENCE)
        lines = terminal.rest()

    assert 60 == max(map(len, lines))
    assert any(line.endswith("…") for line in lines)
