"""The one thread that tells the sockets what happened. It waits for news, gathers them for 50 ms, and never polls.

Whoever calls it from another thread leaves a note and is gone: all state belongs to the emitter's thread, so no lock is
held while something is sent, and a client that can't be reached costs the others nothing.
"""

import logging
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from webqueue.engine import Engine
from webqueue.errors import JobNotFound, NotRunning
from webqueue.feed import Feed, Followed
from webqueue.job import Job, LogLine, Progress, Rejection
from webqueue.views import job_json, log_json, progress_json, rejection_json
from webqueue.web.wire import Wire

PERIOD: Final = 0.05
"""Seconds between two frames to one client, at least."""
FLOOD_PERIOD: Final = 0.5
"""... and while more changes than a frame tells: each is a whole picture then, and the consumers come first."""
SHARE: Final = 0.03
"""Of one processor's time the emitter takes no more: where frames cost much they come less often."""
LONGEST_REST: Final = 0.5
"""... but after so many seconds, whatever a frame costs."""
MOST_REJECTIONS: Final = 20
"""``job_rejected`` events a second, at most."""
MOST_QUEUED: Final = 2 * MOST_REJECTIONS
"""A client for which more packets wait gets no further frames: a snapshot, once it has read them.

More than what one round may hold for it, or a burst of refusals would make any client a slow one.
"""
SLOW_SECONDS: Final = 15.0
"""... or it is cut, after so long."""
LOOK_AGAIN: Final = 0.25
"""Seconds between two looks at a slow client; nobody else makes the emitter look without news."""
NO_CHANGE: Final = sys.maxsize
"""Who hears only of what it follows waits for no change as such."""
LOBBY_SECONDS: Final = 15.0
"""A socket that has not joined by then is cut: it takes a seat."""

_log = logging.getLogger(__name__)


def _warnings(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {name: snapshot[name] for name in ("warnings", "draining")}


class Client:
    """One socket that has joined."""

    def __init__(self, socket: str, since: int | None, hears_all: bool = True) -> None:
        self.socket = socket
        self.hears_all = hears_all
        """Whether it is told of everything; else only of the jobs that it follows."""
        self.since = since
        """The number of the last change it knows of, from an earlier connection in this epoch."""
        self.at: int | None = None
        """The number of the last change that it was told; None: it is owed its first frame."""
        self.warned: object = None
        """What it was told last to be wrong; None where that is not known."""
        self.slow_since: float | None = None
        self.held: dict[int, list[Any] | None] = {}
        """The jobs that it follows; until it has its ack what it will be told about one is held back here."""


class Emitter:
    """Tells every client of one engine the news, each in its turn and without holes."""

    def __init__(self, engine: Engine, wire: Wire) -> None:
        self._engine = engine
        self._wire = wire
        self._notes: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None  # guarded by _starting
        self._pause = threading.Event()
        # All below is the thread's own.
        self._clients: dict[str, Client] = {}
        self._lobby: dict[str, float] = {}
        self._followers: dict[int, dict[str, Client]] = defaultdict(dict)
        self._rejected_at: deque[float] = deque(maxlen=MOST_REJECTIONS)
        self._snapshot: Any = None
        self._flooded = False
        """Whether more changed since the last round than a frame tells."""

    # -- notes, from any thread ----------------------------------------------------------------------------------

    def arrive(self, socket: str) -> None:
        """A socket is open; it has LOBBY_SECONDS to join."""
        self._note(self._on_arrive, socket, time.monotonic() + LOBBY_SECONDS)

    def join(self, sid: str, socket: str, since: int | None, hears_all: bool) -> None:
        """A client is in the namespace and wants to know everything, or what came after change number *since*.

        One that does not hear all is told nothing but the steps of what it follows.
        """
        self._note(self._on_join, sid, Client(socket, since, hears_all))

    def leave(self, sid: str) -> None:
        """A client has left the namespace."""
        self._note(self._on_leave, sid)

    def depart(self, socket: str) -> None:
        """A socket is closed."""
        self._note(self._on_depart, socket)

    def follow(self, sid: str, id: int) -> None:
        """A client wants to know each step of a job, from now on but not before :meth:`acked`."""
        self._engine.feed.follow(id)
        self._note(self._on_follow, sid, id)

    def acked(self, sid: str, id: int) -> None:
        """The client has its answer: the steps may follow it."""
        self._note(self._on_acked, sid, id)

    def unfollow(self, sid: str, id: int) -> None:
        """A client has seen enough of a job."""
        self._note(self._on_unfollow, sid, id)

    def resync(self, sid: str) -> None:
        """A client wants to be told afresh where everything stands."""
        self._note(self._on_resync, sid)

    def _note(self, what: Callable[..., None], *arguments: Any) -> None:
        self._notes.append((what, arguments))
        self._start()
        self._engine.feed.poke()

    def _start(self) -> None:
        # Started with the first socket, so that no process has a thread for nobody, and a forked one gets its own.
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                feed = self._engine.feed
                self._thread = threading.Thread(target=self._run, args=(feed,), name="webqueue-emitter", daemon=True)
                self._thread.start()

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self, feed: Feed) -> None:
        while True:
            feed.wait(self._heard(), self._patience())
            begun, spent = time.monotonic(), time.thread_time()
            try:
                told = self._tell(feed, begun)
            except NotRunning:
                told = self._cut_all()  # the engine has stopped: they come back to its successor
            except Exception:  # noqa: BLE001 - logged, and those who missed something are told afresh
                _log.exception("The news could not be told; the clients are cut and will come back for it")
                told = self._cut_all()
            if feed.closed:
                self._cut_all()
                return
            if told:
                rest = min(LONGEST_REST, (time.thread_time() - spent) / SHARE)
                period = FLOOD_PERIOD if self._flooded else PERIOD
                self._pause.wait(max(rest, begun + period - time.monotonic()))

    def _heard(self) -> int | None:
        """The number of the change up to which everybody knows; None where nobody listens."""
        known = (NO_CHANGE if not client.hears_all else client.at for client in self._clients.values())
        return min((at for at in known if at is not None), default=None)

    def _patience(self) -> float | None:
        """Seconds until something must be done without news; None where nothing must."""
        if any(client.slow_since is not None for client in self._clients.values()):
            return LOOK_AGAIN
        return max(0.0, next(iter(self._lobby.values())) - time.monotonic()) if self._lobby else None

    def _tell(self, feed: Feed, now: float) -> bool:
        """Tell all that there is to tell; whether there was anything."""
        self._snapshot = None
        while self._notes:
            what, arguments = self._notes.popleft()
            what(*arguments)
        self._mind_the_slow(now)
        told = self._welcome(now)
        told |= self._tell_followers(feed.take_followed(), now)
        told |= self._tell_rejections(feed.take_rejections(), now)
        told |= self._tell_changes(feed.take_progress(), now)
        return self._tell_warnings(now) or told

    # -- what is told --------------------------------------------------------------------------------------------

    def _welcome(self, now: float) -> bool:
        hearing = [client for client in self._clients.values() if client.hears_all]
        new = [client for client in hearing if client.at is None and client.slow_since is None]
        strangers = [client for client in new if not self._tell_what_it_missed(client)]
        if strangers:
            whole = self._whole()
            self._send(strangers, "snapshot", whole)
            for client in strangers:
                client.at, client.warned = whole["seq"], _warnings(whole)
        return bool(new)

    def _tell_what_it_missed(self, client: Client) -> bool:
        """Tell one that was away what it missed; False where it must have a snapshot."""
        missed = None if client.since is None else self._engine.changes(client.since)
        client.since = None
        if missed is None:
            return False
        self._send([client], "changes", missed | {"progress": {}})
        client.at, client.warned = missed["seq"], None
        return True

    def _tell_changes(self, progress: dict[int, Progress], now: float) -> bool:
        further = {str(id): progress_json(one) for id, one in progress.items()}
        groups: dict[int, list[Client]] = defaultdict(list)
        for client in self._ready(now):
            if client.at is not None:
                groups[client.at].append(client)
        told = self._flooded = False
        for at, clients in groups.items():
            changes = self._engine.changes(at)
            if changes is None:
                self._flooded = True
                event, body = "snapshot", self._whole()
            elif changes["seq"] == at and not further:
                continue
            else:
                event, body = "changes", changes | {"progress": further}
            self._send(clients, event, body)
            for client in clients:
                client.at = body["seq"]
                client.warned = _warnings(body) if event == "snapshot" else client.warned
            told = True
        return told

    def _tell_warnings(self, now: float) -> bool:
        """What is wrong, where a client was told otherwise. Only what goes wrong wakes the emitter for it."""
        ready = [client for client in self._ready(now) if client.at is not None]
        if not ready:
            return False
        wrong = self._engine.warnings()
        behind = [client for client in ready if client.warned != wrong]
        for client in behind:
            client.warned = wrong
        if behind:
            self._send(behind, "warnings", wrong)
        return bool(behind)

    def _tell_rejections(self, rejections: list[Rejection], now: float) -> bool:
        told = False
        for rejection in rejections:
            if len(self._rejected_at) == MOST_REJECTIONS and now - self._rejected_at[0] < 1.0:
                break
            self._rejected_at.append(now)
            self._send(self._ready(now), "job_rejected", rejection_json(rejection))
            told = True
        return told

    def _tell_followers(self, news: list[Followed], now: float) -> bool:
        by_job: dict[int, list[Followed]] = defaultdict(list)
        for one in news:
            by_job[one[0]].append(one)
        for id, steps in by_job.items():
            for job, lines in self._frames(id, steps):
                self._tell_job(id, job, lines, now)
        return bool(by_job)

    def _frames(self, id: int, steps: Iterable[Followed]) -> Iterable[tuple[Job, list[LogLine]]]:
        """Each step with the lines before it; lines after the last one with the job as it is now."""
        lines: list[LogLine] = []
        newest = 0
        for _, job, logged in steps:
            lines += logged
            # Progress comes after all steps, also where one has overtaken it.
            if job is not None and job.revision >= newest:
                newest = job.revision
                yield job, lines
                lines = []
        if lines:
            try:
                yield self._engine.job(id), lines
            except JobNotFound:
                return

    def _tell_job(self, id: int, job: Job, lines: list[LogLine], now: float) -> None:
        frame = self._wire.encode("job", {"job": job_json(job), "log": [log_json(line) for line in lines]})
        for client in self._followers.get(id, {}).values():
            held = client.held.get(id)
            if held is not None:
                held.append(frame)
            elif self._is_ready(client, now):
                self._wire.send(client.socket, frame)

    def _whole(self) -> Any:
        """The snapshot of this round: one for all who need it."""
        if self._snapshot is None:
            self._snapshot = self._engine.snapshot()
        return self._snapshot

    def _send(self, clients: list[Client], event: str, body: object) -> None:
        frame = self._wire.encode(event, body)
        for client in clients:
            self._wire.send(client.socket, frame)

    # -- who is slow ---------------------------------------------------------------------------------------------

    def _ready(self, now: float) -> list[Client]:
        return [client for client in self._clients.values() if client.hears_all and self._is_ready(client, now)]

    def _is_ready(self, client: Client, now: float) -> bool:
        if client.slow_since is None and (self._wire.queued(client.socket) or 0) > MOST_QUEUED:
            client.slow_since, client.at = now, None
        return client.slow_since is None

    def _mind_the_slow(self, now: float) -> None:
        """Who has caught up is told afresh where everything stands; who does not is cut, as is who never joined."""
        for client in list(self._clients.values()):
            if client.slow_since is None:
                continue
            if self._wire.queued(client.socket) == 0:
                client.slow_since = None
                self._catch_up(client)
            elif now - client.slow_since > SLOW_SECONDS:
                self._wire.cut(client.socket)
        for socket, until in list(self._lobby.items()):
            if now >= until:
                del self._lobby[socket]
                self._wire.cut(socket)

    def _catch_up(self, client: Client) -> None:
        for id, held in client.held.items():
            if held is None:
                self._tell_now(client, id)

    def _tell_now(self, client: Client, id: int) -> None:
        try:
            job = self._engine.job(id)
        except JobNotFound:
            return
        self._wire.send(client.socket, self._wire.encode("job", {"job": job_json(job), "log": []}))

    def _cut_all(self) -> bool:
        for client in list(self._clients.values()):
            self._wire.cut(client.socket)
        return True

    # -- what the notes say --------------------------------------------------------------------------------------

    def _on_arrive(self, socket: str, until: float) -> None:
        self._lobby[socket] = until

    def _on_join(self, sid: str, client: Client) -> None:
        self._lobby.pop(client.socket, None)
        self._clients[sid] = client
        self._engine.feed.listen()  # before it is told how things stand, so that it misses nothing after that

    def _on_leave(self, sid: str) -> None:
        client = self._clients.pop(sid, None)
        if client is not None:
            for id in list(client.held):
                self._forget(sid, client, id)

    def _on_depart(self, socket: str) -> None:
        self._lobby.pop(socket, None)

    def _on_follow(self, sid: str, id: int) -> None:
        client = self._clients.get(sid)
        if client is None or id in client.held:
            self._engine.feed.unfollow(id)
            return
        client.held[id] = []
        self._followers[id][sid] = client

    def _on_acked(self, sid: str, id: int) -> None:
        client = self._clients.get(sid)
        held = client.held.get(id) if client is not None else None
        if client is not None and held is not None:
            client.held[id] = None
            for frame in held:
                self._wire.send(client.socket, frame)

    def _on_resync(self, sid: str) -> None:
        client = self._clients.get(sid)
        if client is not None:
            client.at = client.since = None

    def _on_unfollow(self, sid: str, id: int) -> None:
        client = self._clients.get(sid)
        if client is not None and id in client.held:
            self._forget(sid, client, id)

    def _forget(self, sid: str, client: Client, id: int) -> None:
        del client.held[id]
        followers = self._followers[id]
        del followers[sid]
        if not followers:
            del self._followers[id]
        self._engine.feed.unfollow(id)
