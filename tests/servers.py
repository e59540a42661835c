"""A real ``webqueue run`` in a process of its own, for tests from the outside."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATIENCE = 20.0
"""Seconds that a test waits for what must happen; far more than it takes."""
ROOT = Path(__file__).resolve().parent.parent


def environment(**more: str) -> dict[str, str]:
    """That of this process, without settings of its own."""
    ours = ("WEBQUEUE_", "WEB_CONCURRENCY", "GUNICORN")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return clean | {"PYTHONPATH": str(ROOT)} | more


def untraced(**more: str) -> dict[str, str]:
    """The same for a process that forks under threads: in the child nobody frees the lock of coverage's tracer."""
    return {name: value for name, value in environment(**more).items() if not name.startswith("COVERAGE_")}


def webqueue(*arguments: str, cwd: Path, stdin: str | None = None, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "webqueue", *arguments],
        cwd=cwd,
        env=environment(**env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )


class Lines:
    """What a process writes, line by line; who waits for a line is woken when it comes."""

    def __init__(self, stream: Any) -> None:
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._over = False
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: Any) -> None:
        with stream:
            for line in stream:
                self._add(line.rstrip("\n"))
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _add(self, line: str) -> None:
        with self._changed:
            self._lines.append(line)
            self._changed.notify_all()

    def find(self, pattern: str, times: int = 1) -> str:
        """The line that matches *pattern* for the so many-th time, waited for. AssertionError when none comes."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._matching(pattern)) >= times or self._over, PATIENCE)
            found = self._matching(pattern)
        assert len(found) >= times, f"{pattern!r} not among {self._lines}"
        return found[times - 1]

    def all(self) -> list[str]:
        """Everything so far."""
        with self._changed:
            return list(self._lines)

    def rest(self) -> list[str]:
        """Everything, once the process has closed the stream."""
        self._thread.join(PATIENCE)
        return self.all()

    def _matching(self, pattern: str) -> list[str]:
        return [line for line in self._lines if re.search(pattern, line)]


class Server:
    """One server. ``url`` is known once it answers; leaving the context ends it."""

    def __init__(self, folder: Path, *arguments: str, **env: str) -> None:
        command = [sys.executable, "-m", "webqueue", "run", *arguments, "--port", "0"]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment(**env), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.folder = folder
        self.stderr = Lines(self.process.stderr)
        self.url = ""

    def __enter__(self) -> "Server":
        match = re.search(r" at (http://\S+),", self.stderr.find(r"^webqueue \S+ at http"))
        assert match is not None
        self.url = match[1]
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.stderr.rest()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def worker(self) -> int:
        """The process id of the gunicorn worker."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def signal(self, number: int) -> None:
        """Send a signal to the master."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code, waited for."""
        return self.process.wait(PATIENCE)

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """(status, JSON of the body) of one request."""
        data = None if body is None else json.dumps(body).encode()
        wanted = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data, wanted, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE * 2) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def push(self, kind: str, **payload: Any) -> dict[str, Any]:
        """A job that was accepted."""
        status, job = self.call("POST", "/push-job", {"kind": kind, "payload": payload})
        assert 202 == status, job
        return dict(job)

    def finished(self, id: int) -> dict[str, Any]:
        """The job, waited for until it has finished."""
        return dict(self.call("GET", f"/jobs/{id}?wait=20")[1])

    def cli(self, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a client command against it."""
        return webqueue(*arguments, cwd=self.folder, stdin=stdin, WEBQUEUE_SERVER=self.url)
