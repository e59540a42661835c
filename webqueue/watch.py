"""The steps of all jobs, live, as ``webqueue watch`` prints them."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final

from webqueue.client import CallFailed, Client
from webqueue.job import State
from webqueue.socket_client import Connection, Refused

NAMESPACE: Final = "/queue"
REMEMBERED: Final = 10_000
"""So many jobs' revisions are kept, so that nothing is told twice."""
PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between two attempts to come back; the last one again and again."""


class Watch:
    """Yields each job that takes a step from now on, and comes back by itself when the connection is lost."""

    def __init__(self, client: Client, told: Callable[[str], object], wake: int | None = None) -> None:
        self._client = client
        self._told = told
        self._wake = wake
        self._since: dict[str, Any] | None = None
        self._known: OrderedDict[int, int] = OrderedDict()
        self.running: dict[int, dict[str, Any]] = {}
        """The jobs that run, by id, as summaries with their newest progress."""

    def steps(self) -> Iterator[dict[str, Any]]:
        """Jobs as summaries, in the order of their steps, without end. Raises CallFailed where it can't begin."""
        for news in self.frames():
            yield from news

    def frames(self) -> Iterator[list[dict[str, Any]]]:
        """The same, all that the server told at once in one list; an empty one where only ``running`` is new."""
        failures = 0
        while True:
            try:
                for event, body in self._events():
                    failures = 0
                    yield self._news(event, body)
            except CallFailed as error:
                if self._since is None or error.status in {401, 403}:
                    raise
                if failures == 0:
                    self._told(f"{error} Trying again.")
                threading.Event().wait(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1

    def _events(self) -> Iterator[tuple[str, Any]]:
        """What the server sends until the connection ends, which raises CallFailed."""
        auth = {name: value for name, value in (("token", self._client.token), ("since", self._since)) if value}
        connection = None
        try:
            connection = Connection(self._client.server, NAMESPACE, auth, self._client.token, self._wake)
            while True:
                yield connection.receive()
        except Refused as error:
            raise CallFailed(f"No way in at {self._client.server}: {error}.", error.status) from None
        except (OSError, ValueError) as error:
            raise CallFailed(f"No answer from {self._client.server}: {_reason(error)}.") from None
        finally:
            if connection is not None:
                connection.close()

    def _news(self, event: str, body: Any) -> list[dict[str, Any]]:
        if event not in {"snapshot", "changes"}:
            return []
        self._see_running(event, body)
        first = self._since is None
        self._since = {"epoch": body["epoch"], "seq": body["seq"]}
        news = [job for job in _jobs(event, body) if self._is_news(job)]
        return [] if first else sorted(news, key=_last_step)

    def _see_running(self, event: str, body: dict[str, Any]) -> None:
        if event == "snapshot":
            self.running = {}
        for job in _jobs(event, body):
            if job["state"] == State.RUNNING:
                self.running[job["id"]] = job
            else:
                self.running.pop(job["id"], None)
        for id, progress in (body.get("progress") or {}).items():
            if int(id) in self.running:
                self.running[int(id)]["progress"] = progress

    def _is_news(self, job: dict[str, Any]) -> bool:
        id, revision = job["id"], job["revision"]
        if self._known.get(id, 0) >= revision:
            return False
        self._known[id] = revision
        self._known.move_to_end(id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return True


def _jobs(event: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    lists = ("jobs",) if event == "changes" else ("finished", "running", "todo", "scheduled")
    return [job for name in lists for job in body.get(name) or []]


def _last_step(job: dict[str, Any]) -> tuple[str, int]:
    return job["finished_at"] or job["started_at"] or job["created_at"], job["id"]


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
