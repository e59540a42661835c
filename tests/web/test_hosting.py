"""An application that is created where that is usually wrong, against the real servers."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
import socketio

from tests.servers import PATIENCE, Lines, environment

APP = """
import threading
from webqueue import WebQueue

jobs = WebQueue(store="sqlite:///jobs.db", grace=1)

@jobs.handler
def add(a: int, b: int):
    return a + b

@jobs.handler
def hold(seconds: float):
    open("held", "a").write("x")
    threading.Event().wait(seconds)

@jobs.handler(process=True)
def far(a: int):
    return a

app = jobs.create_app()

if __name__ == "__main__":
    app.run(port=0, debug=True)
"""
ADDRESS = r"(?:Running on|Listening at:) (http://127\.0\.0\.1:\d+)"
GUNICORN = ("-m", "gunicorn", "-b", "127.0.0.1:0", "--no-control-socket")


class Program:
    """A Python program in a process of its own."""

    def __init__(self, folder: Path, *arguments: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment(PYTHONUNBUFFERED="1", **env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.said = Lines(self.process.stdout)

    @property
    def url(self) -> str:
        """Where it listens, once it does."""
        match = re.search(ADDRESS, self.said.find(ADDRESS))
        assert match is not None
        return match[1]

    def push(self, kind: str = "add", wait: int | None = 10, **payload) -> requests.Response:
        """The answer to a push, repeated until the server is up (or back)."""
        headers = {"Prefer": f"wait={wait}", "Idempotency-Key": os.urandom(8).hex()} if wait is not None else {}
        answer = requests.Session()
        retry = requests.adapters.Retry(
            60, backoff_factor=0.1, backoff_max=0.5, allowed_methods=None, respect_retry_after_header=False
        )
        answer.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        with answer:
            body = {"kind": kind, "payload": payload or {"a": 1, "b": 2}}
            return answer.post(self.url + "/push-job", json=body, headers=headers, timeout=PATIENCE)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End it, and all that it started."""
        if self.process.poll() is None:
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self.said.rest()


@pytest.fixture
def folder(tmp_path):
    """A folder with an application in app.py."""
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@pytest.fixture
def program(folder, closing):
    """Starts programs in that folder."""

    def start(*arguments: str, **env: str) -> Program:
        made = Program(folder, *arguments, **env)
        closing.callback(made.close)
        return made

    return start


def done(answer: requests.Response) -> bool:
    """Whether a push was run to its end."""
    return (answer.status_code, answer.json().get("result")) == (200, 3)


@pytest.mark.parametrize(
    "command", [("-m", "flask", "run", "--debug", "--port", "0"), ("app.py",)], ids=["flask run", "app.run"]
)
def test_a_reloader_has_one_engine(program, folder, command):
    """Parent and child don't fight over the store, and a changed file hands it over."""
    server = program(*command)
    server.said.find("Restarting with")
    assert done(server.push())
    (folder / "app.py").write_text(APP + "\n# changed\n")
    server.said.find("Restarting with", times=2)
    assert done(server.push())
    assert server.end() in (0, -signal.SIGTERM)
    assert not [line for line in server.said.rest() if "Traceback" in line]


@pytest.mark.parametrize("command", [("routes",), ("shell",), ("--help",)], ids=" ".join)
def test_flask_commands_leave_the_store_alone(program, command):
    """They work beside a server that owns it."""
    server = program("-m", "flask", "run", "--port", "0")
    assert done(server.push())
    other = program("-m", "flask", *command)
    assert 0 == other.process.wait(PATIENCE)
    assert not [line for line in other.said.rest() if "Traceback" in line]


def test_flask_run_ends_gently(program):
    """SIGTERM lets go of the store, so that nothing looks like a crash."""
    server = program("-m", "flask", "run", "--port", "0")
    server.push("hold", None, seconds=60)
    assert 0 == server.end()
    again = program("-m", "flask", "run", "--port", "0")
    again.push(wait=None)
    job = requests.get(again.url + "/jobs/1", timeout=PATIENCE).json()
    assert (0, 1) == (job["crashes"], job["attempt"])


@pytest.mark.parametrize(
    "options", [("-w", "2"), ("-w", "3", "--preload"), ()], ids=["-w 2", "--preload", "WEB_CONCURRENCY"]
)
def test_many_workers_are_refused(program, options):
    """An exit code that is not 0, and one line that names -w 1."""
    server = program(*GUNICORN, *options, "app:app", **({} if options else {"WEB_CONCURRENCY": "2"}))
    assert 3 == server.process.wait(PATIENCE)
    said = server.said.rest()
    assert 1 == len([line for line in said if "-w 1" in line])
    assert not [line for line in said if "Traceback" in line]


def test_a_preloaded_application_does_nothing_by_itself(program):
    """A push is 503, and says what to do in post_fork."""
    server = program(*GUNICORN, "--preload", "--threads", "4", "app:app")
    refused = server.push(wait=None)
    assert (503, True) == (refused.status_code, "post_fork" in refused.json()["detail"])
    assert 0 == server.end()


def test_a_preloaded_application_is_started_in_post_fork(program, folder):
    """As that message says; and it ends as gently as any."""
    (folder / "conf.py").write_text(
        "def post_fork(server, worker):\n    from app import app\n    app.extensions['webqueue'].start()\n"
    )
    server = program(*GUNICORN, "--preload", "-c", "conf.py", "--threads", "4", "app:app")
    assert done(server.push())
    server.push("hold", None, seconds=60)
    assert 0 == server.end()
    again = program(*GUNICORN, "--threads", "4", "app:app")
    again.push(wait=None)
    job = requests.get(again.url + "/jobs/2", timeout=PATIENCE).json()
    assert 0 == job["crashes"]


def test_a_second_server_is_refused(program):
    """With an exit code that is not 0, and one line that names the holder."""
    server = program(*GUNICORN, "--threads", "4", "app:app")
    assert done(server.push())
    for command in ((*GUNICORN, "app:app"), ("-m", "flask", "run", "--port", "0")):
        other = program(*command)
        assert 0 != other.process.wait(PATIENCE)
        said = other.said.rest()
        assert 1 == len([line for line in said if "jobs.db is in use by pid" in line])
        assert not [line for line in said if "Traceback" in line]


def test_an_ordinary_gunicorn_ends_gently(program, folder):
    """On SIGTERM what runs gets its grace, then it is put back without a crash or an attempt; exit code 0."""
    server = program(*GUNICORN, "--threads", "4", "app:app")
    server.push("hold", None, seconds=60)
    assert 0 == server.end()
    again = program(*GUNICORN, "--threads", "4", "app:app")
    again.push(wait=None)
    job = requests.get(again.url + "/jobs/1", timeout=PATIENCE).json()
    assert (0, 1, []) == (job["crashes"], max(1, job["attempt"]), job["history"])
    assert not [line for line in server.said.rest() if "Traceback" in line]


def test_a_reloaded_gunicorn_hands_the_store_over(program):
    """Five hang-ups, with a socket open: the old worker lets go, the new one takes over, and every push is run once."""
    server = program(*GUNICORN, "--threads", "8", "app:app")
    assert done(server.push())
    for time in range(2, 7):
        client = socketio.Client(reconnection=False)
        client.connect(server.url, namespaces=["/queue"], transports=["websocket"])
        server.process.send_signal(signal.SIGHUP)
        server.said.find("Booting worker", times=time)
        server.said.find("Worker exiting", times=time - 1)
        assert done(server.push())
        client.disconnect()
        client.eio.ws.shutdown()
    assert 6 == requests.get(server.url + "/queue", timeout=PATIENCE).json()["totals"]["done"]
    assert 0 == server.end()
    assert not [line for line in server.said.rest() if "Traceback" in line]


def test_handlers_in_processes_start_no_second_engine(program):
    """A child of multiprocessing imports the user's module again."""
    server = program(*GUNICORN, "--threads", "4", "app:app")
    answer = server.push("far", a=7)
    assert (200, 7) == (answer.status_code, answer.json()["result"])
