"""A client of a running webqueue, over HTTP: what the command line needs, on the standard library."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from webqueue import strictjson
from webqueue.errors import WebqueueError
from webqueue.job import FINISHED

PATIENCE: Final = 75.0
"""Seconds to wait for an answer; longer than the server holds one."""


class CallFailed(WebqueueError):
    """The server refused, or did not answer; ``status`` is None where there was no answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Answer(NamedTuple):
    """What came back: the status, and the JSON of the body (None where there is none)."""

    status: int
    body: Any


class Client:
    """Calls one server. ``server`` is its base URL, a prefix included; ``token`` is sent as a Bearer token."""

    def __init__(self, server: str, token: str | None = None) -> None:
        self.server = server.rstrip("/")
        self.token = token
        if urllib.parse.urlsplit(self.server).scheme not in {"http", "https"}:
            raise CallFailed(f"{server} is no address of a server, such as http://127.0.0.1:8000")

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at *path*. Raises CallFailed."""
        wanted = {name: value for name, value in query.items() if value is not None}
        return self.call("GET", path + ("?" + urllib.parse.urlencode(wanted) if wanted else "")).body

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send *body* as JSON to *path*. Raises CallFailed."""
        return self.call("POST", path, strictjson.dump(body) if body is not None else b"", headers)

    def delete(self, path: str) -> None:
        """Delete what is at *path*. Raises CallFailed."""
        self.call("DELETE", path)

    def log(self, id: int) -> Iterator[dict[str, Any]]:
        """All lines of a job's log, oldest first. Raises CallFailed."""
        cursor, more = None, True
        while more:
            page = self.get(f"/jobs/{id}/log", cursor=cursor, limit=1000)
            yield from page["lines"]
            cursor = page["next"]
            more = cursor is not None

    def finished(self, job: dict[str, Any]) -> dict[str, Any]:
        """*job* once it has finished. Raises CallFailed.

        The server holds each request; where it is too busy to, a second passes between two.
        """
        id = job["id"]
        while job["state"] not in FINISHED:
            began = time.monotonic()
            try:
                job = self.get(f"/jobs/{id}", wait=60)
            except CallFailed as error:
                raise CallFailed(f"Job {id} was accepted, its end is not known: {error}", error.status) from None
            if job["state"] not in FINISHED and time.monotonic() - began < 1:
                threading.Event().wait(1)
        return job

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request. Raises CallFailed, with the reason in one line, for no answer and for 400 and above."""
        try:
            request = urllib.request.Request(self.server + path, body, self._headers(body, headers), method=method)
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                result = Answer(answer.status, _body(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                raise CallFailed(refusal(error.code, _body(error.read())), error.code) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CallFailed(f"No answer from {self.server}: {_reason(error)}") from None
        if result.status != 204 and not isinstance(result.body, dict):
            raise CallFailed(f"{self.server} is no webqueue: it answered {result.status} without a JSON object")
        return result

    def _headers(self, body: bytes | None, headers: Mapping[str, str] | None) -> dict[str, str]:
        result = {"Accept": "application/json", **(headers or {})}
        if body:
            result["Content-Type"] = "application/json"
        if self.token:
            result["Authorization"] = f"Bearer {self.token}"
        return result


def refusal(status: int, problem: Any) -> str:
    """A problem document in one line: its detail, and the errors by field."""
    if not isinstance(problem, dict):
        return f"The server answered {status} {http.client.responses.get(status, '')}".rstrip()
    detail = problem.get("detail") or problem.get("title") or f"The server answered {status}"
    errors = [f"{path}: {text}" if path else text for path, text in _flat(problem.get("errors") or {})]
    line = " ".join([str(detail), "; ".join(errors)]).strip()
    return " ".join(line.split())


def _flat(errors: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(errors, dict):
        return [pair for name, inner in errors.items() for pair in _flat(inner, f"{path}.{name}".strip("."))]
    if isinstance(errors, list):
        return [pair for inner in errors for pair in _flat(inner, path)]
    return [(path.removesuffix("._schema").removesuffix("_schema"), str(errors))]


def _body(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", error)
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return " ".join(str(text).split())
