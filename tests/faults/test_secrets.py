"""Secrets in payloads: no list, rejection or log tells one; whoever asks for the job itself has it whole."""

import hmac
import json
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from tests.servers import PATIENCE, Server
from tests.web.conftest import Client
from webqueue.settings import Settings
from webqueue.web.access import Keys

TARGET: Final = """
import logging
from marshmallow import INCLUDE, Schema, fields, validate
from webqueue import WebQueue, current_job

logging.basicConfig(level=logging.DEBUG)
jobs = WebQueue()

class Login(Schema):
    class Meta:
        unknown = INCLUDE

    pin = fields.String(metadata={"secret": True}, validate=validate.Length(max=20))
    user = fields.String(validate=validate.Length(max=20))

@jobs.handler(schema=Login)
def login(**payload):
    current_job.log("logged in")

@jobs.handler
def echo(**payload):
    pass

@jobs.handler(schema=Login, max_attempts=1)
def refuse(**payload):
    logging.debug("DEBUG is heard")
    raise RuntimeError("refused " + payload["user"])
"""
SECRET: Final = "hunter2-\u00e4\u00df"
"""Short enough to be fit."""
NAMES: Final = ["password", "token", "secret", "api_key", "authorization", "Api-Key", "db_passwd", "X_AUTH_TOKEN"]
SHOWN: Final = "shown-to-all"
"""What stands under a plain name, so that one sees that payloads are shown at all."""

PAYLOADS: Final = [
    *({name: SECRET, "user": SHOWN} for name in NAMES),
    *({"user": SHOWN, "deep": [{"er": {name: SECRET}}]} for name in NAMES),
    {"user": SHOWN, "credentials": {"list": [SECRET], "a": {"b": SECRET}}},
]


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "shop.py").write_text(TARGET)
    with Server(tmp_path, "shop.py", "--store", "memory:") as running:
        yield running


def _page(server: Server, path: str, accept: str) -> str:
    request = urllib.request.Request(server.url + path, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def _push(server: Server, kind: str, payload: Any, **more: Any) -> tuple[int, str]:
    status, told = server.call("POST", "/push-job", {"kind": kind, "payload": payload, **more})
    return status, json.dumps(told, ensure_ascii=False)


def _fit(server: Server) -> None:
    """Jobs that wait, and one that is done."""
    for payload in PAYLOADS:
        assert 202 == _push(server, "echo", payload, delay=3600)[0]
    assert 202 == _push(server, "login", {"pin": SECRET, "user": SHOWN}, delay=3600)[0]
    done = server.push("login", pin=SECRET, user=SHOWN)
    assert "done" == server.finished(done["id"])["state"]
    failed = server.push("refuse", pin=SECRET, password=SECRET, user=SHOWN)
    error = server.finished(failed["id"])["error"]
    assert ("RuntimeError", True) == (error["type"], SHOWN in error["message"])
    assert SECRET not in json.dumps(error, ensure_ascii=False), "nor does the traceback tell what the handler was given"


def _unfit(server: Server) -> list[str]:
    """What is answered to pushes that don't fit: no such kind, a field of the schema, a field of the push."""
    told = [_push(server, "nope", payload) for payload in PAYLOADS]
    told += [_push(server, "echo", payload, priority="x") for payload in PAYLOADS]
    told += [_push(server, "login", {"pin": SECRET * 9, "user": SHOWN}), _push(server, "login", {"pin": [SECRET]}),
             _push(server, "login", {"pin": SECRET, "user": SHOWN * 9})]  # fmt: skip
    assert {422} == {status for status, _ in told}
    return [text for _, text in told]


def _joined(server: Server) -> "closing[Client]":
    return closing(Client(SimpleNamespace(url=server.url, prefix="")))


def _frames(server: Server, act: Callable[[], Any]) -> str:
    """What a client is told that sees *act* happen, and one that joins afterwards."""
    frames: list[Any] = []
    with _joined(server) as client:
        client.next("snapshot")  # it is in: from here on it misses nothing
        act()
        while not all(any(frame.get(name) for frame in frames) for name in ("jobs", "rejections", "reason")):
            frames.append(client.next("changes", "job_rejected"))
    with _joined(server) as late:
        frames.append(late.next("snapshot"))
    return json.dumps(frames, ensure_ascii=False)


def test_no_list_tells_a_secret(server: Server) -> None:
    """Neither dashboard and pages of jobs, nor rejections and their answers, nor frames, figures and the log."""
    answers: list[str] = []
    told = {"frames": _frames(server, lambda: (answers.extend(_unfit(server)), _fit(server)))}
    told["answers"] = "".join(answers)
    told["dashboard"] = _page(server, "/", "text/html")
    told["list"] = _page(server, "/jobs?q=state:failed", "text/html") + _page(server, "/jobs", "text/html")
    told["lines"] = "".join(_page(server, f"/jobs/{id}/log", "*/*") for id in range(1, len(PAYLOADS) + 4))
    told["pages"] = "".join(_page(server, f"/jobs/{id}", "text/html") for id in range(1, len(PAYLOADS) + 4))
    told["rejections"] = _page(server, "/rejections?limit=200", "application/json")
    for path in ("/queue", "/kinds", "/metrics"):
        told[path] = _page(server, path, "*/*")
    server.signal(signal.SIGTERM)
    assert 0 == server.wait()
    told["log"] = "\n".join(server.stderr.rest())
    assert "DEBUG is heard" in told["log"]
    assert [] == [place for place, text in told.items() if "hunter2" in text]
    assert ["dashboard", "frames", "list", "pages", "rejections"] == sorted(
        place for place, text in told.items() if SHOWN in text
    )


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of them, whatever the first comparison says, and whatever was given."""
    compared: list[bytes] = []

    def compare(given: bytes, token: bytes) -> bool:
        compared.append(token)
        return given == token

    monkeypatch.setattr(hmac, "compare_digest", compare)
    keys = Keys(Settings.read({"token": "all", "view_token": "view"}, {}, {}))
    for given in ("all", "view", "wrong", "", None, 7):
        keys.of_token(given)

    assert [b"all", b"view"] * 6 == compared


def test_the_job_itself_is_whole(server: Server) -> None:
    """Who asks for one job as JSON gets what was pushed."""
    for payload in PAYLOADS:
        job = server.push("echo", **payload)
        assert payload == server.call("GET", f"/jobs/{job['id']}")[1]["payload"]
