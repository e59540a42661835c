"""The gunicorn worker of ``webqueue run``: gthread, but no client can hold a thread by being slow.

gthread gives a thread to each connection that was accepted, without a deadline for headers, body or answer. Here the
main loop gathers a request until it is complete, and only then a thread works on it:

    accept ─► arriving (15 s) ─► a thread ─► answering (30 s) ─► idle (75 s) ─► arriving ...
                  │ late: cut                    │ late: cut └─► closing (2 s: what the client still sends is read, so
                  │                                                        that it sees the answer)
                  └─► later (15 s) ─► a thread

A large body (an upload for /push-jobs) is read by the thread, within the same deadline, in few threads at a time: it
may have to come later. Of an answer the thread sends what the kernel takes at once, and the main loop the rest.
"""

import ctypes
import gc
import logging
import os
import queue
import resource
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from gunicorn import http, util
from gunicorn.workers import gthread
from werkzeug.exceptions import HTTPException, RequestHeaderFieldsTooLarge, ServiceUnavailable

from webqueue.errors import WebqueueError
from webqueue.web import sockets
from webqueue.web.connection import READ, REQUEST_DEADLINE, Body, Connection, Waiting, announcing_close
from webqueue.web.sending import ANSWER_DEADLINE, Socket, refusal
from webqueue.web.turns import MOST_LISTS
from webqueue.web.unreadable import refusal_of

MOST_UNSENT: Final = 64 * 1024 * 1024
"""Bytes of answers that may wait for their readers; beyond that who has been reading for longest is cut."""
IDLE_DEADLINE: Final = 75.0
"""Seconds that a connection is kept for the next request."""
CLOSING_DEADLINE: Final = 2.0
LAST_ANSWERS: Final = 3.0
"""Seconds that requests which are being answered get once the engine has stopped."""
LAST_RESORT: Final = 10.0
"""Seconds past the grace period after which the process ends whatever holds it."""
MAX_CONNECTIONS: Final = 4_096
STOPPERS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""Signals that must not be lost while a worker is being born."""
SWITCH_INTERVAL: Final = 0.0005
"""A handler that computes holds the interpreter for so many seconds at a time, instead of 5 ms."""
COLLECTED_AFTER: Final = (5_000, 20, 10)
"""The garbage collector looks for circles after so many allocations: a batch of jobs is many objects and no circle.

Yet a circle may hold a large body, and one of a socket that was open for hours is only found when all is looked at.
"""
HEAPS: Final = 2
"""So many the threads share: else glibc gives each its own, and what is free in one is of no use to the others."""
_M_ARENA_MAX: Final = -8  # malloc.h

log = logging.getLogger(__name__)


class Threads:
    """Daemon threads, started as they are needed, *limit* at most; of those that rest *kept* stay."""

    def __init__(self, limit: int, kept: int) -> None:
        self.limit = limit
        self.kept = kept
        self._calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        # All below is guarded by _lock.
        self._alive = 0
        self._resting = 0
        """Threads that wait for a call which is not in the queue yet."""
        self._waiting = 0
        """Calls in the queue for which no thread rests."""

    def submit(self, call: Callable[[], object]) -> None:
        """Let a thread run *call*, which must not raise; it waits for one where all are busy."""
        self._calls.put(call)
        if (number := self._engage()) is not None:
            threading.Thread(target=self._run, name=f"webqueue-http-{number}", daemon=True).start()

    def _engage(self) -> int | None:
        """See to it that a thread takes the next call; its number where it is to be started for that."""
        with self._lock:
            if self._resting:
                self._resting -= 1
            elif self._alive < self.limit:
                self._alive += 1
                return self._alive
            else:
                self._waiting += 1
            return None

    def _run(self) -> None:
        more = True
        while more:
            self._calls.get()()
            more = self._stays()

    def _stays(self) -> bool:
        """A thread has done its call: whether it takes another one."""
        with self._lock:
            if self._waiting:
                self._waiting -= 1
            elif self._resting < self.kept:
                self._resting += 1
            else:
                self._alive -= 1
                return False
            return True


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """The process that serves. It ends when the engine has come to rest after SIGTERM or SIGINT, or alone."""

    wsgi: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lifeline = os.pipe()
        """(read, write): the write end is held by the master alone, so the read end tells of its death."""
        self.engine: Any = None
        self.arriving = Waiting(REQUEST_DEADLINE)
        self.idle = Waiting(IDLE_DEADLINE)
        self.closing = Waiting(CLOSING_DEADLINE)
        self.answering = Waiting(ANSWER_DEADLINE)
        self.unsent = 0
        """Bytes that those in ``answering`` have not taken yet."""
        self.uploads = 0
        self.later = Waiting(REQUEST_DEADLINE)
        self.stopping = False

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Nothing: the number of threads follows from the settings."""

    # -- start

    def init_process(self) -> None:
        """In the new process: from here until the end."""
        os.close(self.lifeline[1])
        sys.setswitchinterval(SWITCH_INTERVAL)
        gc.set_threshold(*COLLECTED_AFTER)
        with suppress(AttributeError):  # another libc than glibc
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, HEAPS)
        self.worker_connections = min(MAX_CONNECTIONS, _raise_descriptors() - 256)
        super().init_process()

    def get_thread_pool(self) -> Threads:
        """The threads that answer; how many is known once the application is loaded."""
        return Threads(self.cfg.threads, self.cfg.threads)

    def init_signals(self) -> None:
        """Ctrl-C is as gentle as SIGTERM; a hang-up is the master's to answer."""
        super().init_signals()
        signal.signal(signal.SIGINT, self.handle_exit)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPERS)

    def load_wsgi(self) -> None:
        """Load the application and its engine; what is wrong with them is one line."""
        try:
            super().load_wsgi()
        except WebqueueError as error:
            sys.stderr.write(f"webqueue: {error}\n")
            sys.stderr.flush()
            sys.exit(3)
        self.engine = self.wsgi.extensions["webqueue"]
        self.wsgi = announcing_close(self.wsgi)
        settings = self.engine.settings
        # What may hold a thread for long has a share each; the rest is left for what is quick.
        self.threads_for_uploads = settings.http_threads // 4
        # A socket that is being upgraded holds two: for its last poll, and for its WebSocket.
        self.tpool.limit = 2 * settings.max_sockets + settings.http_threads + MOST_LISTS
        self.tpool.kept = settings.http_threads

    # -- the main loop

    def run(self) -> None:
        """Serve until the engine has stopped, then end."""
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        self.poller.register(self.lifeline[0], selectors.EVENT_READ, self.on_master_gone)
        # A signal may come to another thread, or just before this one falls asleep: the pipe wakes it all the same.
        self.poller.register(self.PIPE[0], selectors.EVENT_READ, lambda pipe: os.read(pipe, 4096))
        self.set_accept_enabled(True)
        while self.alive:
            self.wait_for_and_dispatch_events(self._until_deadline())
            self._cut_late()
        self._finish()

    def _until_deadline(self) -> float | None:
        """Seconds until a connection has waited long enough; None (for ever) when none waits."""
        waiting = (self.arriving, self.idle, self.closing, self.answering, self.later)
        first = min(one.deadline() for one in waiting)
        return None if first == float("inf") else max(0.0, first - time.monotonic())

    def _cut_late(self) -> None:
        now = time.monotonic()
        for waiting in (self.arriving, self.idle, self.closing):
            while waiting.deadline() <= now:
                self._forget(waiting.first(), waiting)
        while self.answering.deadline() <= now:
            self._cut_reader()
        while self.later.deadline() <= now:
            self._turn_away()

    def accept(self, listener: Any) -> None:
        """A client has come; who waits longest makes room where there is none."""
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        try:
            sock, client = listener.accept()
        except OSError:
            self._make_room()  # it is gone again, or there are too many descriptors
            return
        self.nr_conns += 1
        self._wait_for_request(Connection(self.cfg, Socket(sock), client, listener.getsockname()))

    def _make_room(self) -> None:
        for waiting in (self.closing, self.idle, self.arriving, self.later):
            if waiting:
                self._forget(waiting.first(), waiting)
                return
        self._cut_reader()

    def _wait_for_request(self, connection: Connection, kept: bool = False) -> None:
        waiting = self.idle if kept and not connection.buffer else self.arriving
        waiting.add(connection, connection.since)
        self._watch(connection, selectors.EVENT_READ, self._on_readable)

    def _watch(self, connection: Connection, events: int, call: Callable[[Connection], None]) -> None:
        """Let the main loop *call* when there are *events*, until it is unregistered."""

        def on_event(sock: Socket) -> None:
            if sock.fileno() >= 0:  # else it was cut in this very round, to make room
                call(connection)

        self.poller.register(connection.sock, events, on_event)

    def _on_readable(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(connection, self.arriving if connection in self.arriving else self.idle)
            return
        if self.idle.pop(connection, None) is not None:
            self.arriving.add(connection)
        connection.arrived(data)
        if connection.ready or connection.headless:
            self.poller.unregister(connection.sock)
            del self.arriving[connection]
            self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        """A request has arrived, or will never."""
        if connection.headless:
            self._refuse(connection, RequestHeaderFieldsTooLarge("The head of the request is too long."))
        elif connection.large and self.uploads >= self.threads_for_uploads:
            self.later.add(connection)
        else:
            self.uploads += connection.large
            connection.hand_over()
            self.tpool.submit(partial(self._answer, connection))

    def _answer(self, connection: Connection) -> None:
        """In a thread: one request, one answer."""
        kept = self.handle(connection)
        self.method_queue.defer(self.finish_request, connection, kept)

    def finish_request(self, connection: Connection, kept: bool) -> None:
        """The thread is done with it; *kept*: the client may send the next request."""
        if connection.large:
            self.uploads -= 1
            self._next_upload()
        connection.kept = kept
        self._deliver(connection)

    def _next_upload(self) -> None:
        connection = self.later.pop_first()
        if connection is not None:
            connection.since = time.monotonic()
            self._go_on(connection)

    def _turn_away(self) -> None:
        """The upload that has waited longest for a thread finds none."""
        connection = self.later.pop_first()
        if connection is not None:
            self._refuse(connection, ServiceUnavailable("Too many uploads are on their way."))

    def _refuse(self, connection: Connection, error: HTTPException) -> None:
        connection.kept = False
        _tell(connection.sock, error)
        self._deliver(connection)

    # -- answers

    def _deliver(self, connection: Connection) -> None:
        """The client has its answer, or gets the rest of it as it reads."""
        if not connection.sock.unsent:
            self._answered(connection)
            return
        self.unsent += connection.sock.unsent
        self.answering.add(connection)
        self._watch(connection, selectors.EVENT_WRITE, self._on_writable)
        while self.unsent > MOST_UNSENT and len(self.answering) > 1:
            self._cut_reader()

    def _on_writable(self, connection: Connection) -> None:
        try:
            self.unsent -= connection.sock.send_on()
        except OSError:
            self._cut_reader(connection)
            return
        if not connection.sock.unsent:
            del self.answering[connection]
            self.poller.unregister(connection.sock)
            self._answered(connection)

    def _cut_reader(self, connection: Connection | None = None) -> None:
        """Cut *connection*, or who has been reading its answer for longest."""
        connection = connection or self.answering.first()
        if connection is not None:
            self.unsent -= connection.sock.unsent
            self._forget(connection, self.answering)

    def _answered(self, connection: Connection) -> None:
        if not connection.kept or not self.alive:
            self._close(connection)
            return
        connection.take_back()
        if connection.ready or connection.headless:
            self._go_on(connection)
        else:
            self._wait_for_request(connection, kept=True)

    def _close(self, connection: Connection) -> None:
        """Half-close it, and read what still comes: else the client may lose the answer (RFC 9112, 9.6)."""
        try:
            connection.sock.setblocking(False)
            connection.sock.shutdown(socket.SHUT_WR)
            self._watch(connection, selectors.EVENT_READ, self._on_rest)
        except (OSError, ValueError):
            self._forget(connection)
        else:
            self.closing.add(connection)

    def _on_rest(self, connection: Connection) -> None:
        try:
            over = not connection.sock.recv(READ)
        except BlockingIOError:
            over = False
        except OSError:
            over = True
        if over:
            self._forget(connection, self.closing)

    def _forget(self, connection: Connection | None, waiting: Waiting | None = None) -> None:
        if connection is None:
            return
        if waiting is not None:
            del waiting[connection]
        if waiting is not None and waiting is not self.later:
            self.poller.unregister(connection.sock)
        self.nr_conns -= 1
        connection.sock.cut() if waiting is self.answering else util.close(connection.sock)

    # -- in a thread

    def handle(self, conn: Any) -> bool:
        """Answer the request that *conn* holds; True where the next one may follow. Raises nothing."""
        request = None
        try:
            request = next(conn.parser)
            if conn.large:
                request.body.reader = Body(request)
            # What the application did not read of the body is not the next request; all of it is there.
            return bool(self.handle_request(request, conn) and conn.parser.finish_body())
        except (http.errors.NoMoreData, StopIteration):
            conn.sock.drop()  # the client is gone, or it was a WebSocket and that has ended
        except OSError as error:
            conn.sock.drop()
            self.log.debug("The client is gone, or too slow: %s", error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - gunicorn's own answer to it, which logs the traceback
            self.handle_error(request, conn.sock, conn.client, error)
        return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what is no request; what is not the client's fault gunicorn logs, and answers itself."""
        refused = refusal_of(exc)
        if refused is None:
            super().handle_error(req, client, addr, exc)
        else:
            self.log.debug("Refused: %s", refused)
            _tell(client, refused)

    # -- end

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM, SIGINT: once is enough, twice is no more. Answering goes on until the engine has come to rest."""
        if self.engine is not None:
            self.engine.drain()
        self.method_queue.defer(self._stop, None)  # while the application is still being loaded: once it is

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGQUIT, which is what the master makes of a second signal: as SIGTERM, without grace."""
        if self.engine is None:
            sys.exit(0)
        self.engine.drain()
        self.method_queue.defer(self._stop, 0.0)

    def on_master_gone(self, _descriptor: int) -> None:
        """Nobody would restart or stop this process: make room for the next at once."""
        self.poller.unregister(self.lifeline[0])
        self.set_accept_enabled(False)
        self.engine.drain()
        self._stop(0.0)

    def _stop(self, grace: float | None) -> None:
        if grace is not None:
            self.engine.hurry()
        if self.stopping:
            return
        self.stopping = True
        seconds = self.engine.settings.grace if grace is None else grace
        threading.Thread(target=self._come_to_rest, args=(seconds,), name="webqueue-stop", daemon=True).start()
        last = threading.Timer(seconds + LAST_RESORT, os._exit, args=(0,))
        last.daemon = True
        last.start()

    def _come_to_rest(self, grace: float) -> None:
        try:
            self.engine.stop(grace)
        except Exception:
            log.exception("The engine did not stop as it should.")
        self.method_queue.defer(self._stopped)

    def _stopped(self) -> None:
        self.alive = False

    def _finish(self) -> None:
        """Let the last answers out, then close everything."""
        self.set_accept_enabled(False)
        sockets.close_all()
        for waiting in (self.idle, self.arriving):
            while waiting:
                self._forget(waiting.first(), waiting)
        while self.later:
            self._turn_away()
        end = time.monotonic() + LAST_ANSWERS
        while self.nr_conns > 0 and time.monotonic() < end:
            self.wait_for_and_dispatch_events(end - time.monotonic())
        self.poller.close()
        self.method_queue.close()
        for listener in self.sockets:
            listener.close()


def _tell(sock: Socket, error: HTTPException) -> None:
    """Send the whole answer for *error*, or keep it to be sent."""
    try:
        sock.sendall(refusal(error))
    except OSError:
        sock.drop()


def _raise_descriptors() -> int:
    """Allow this process as many descriptors as it may have, up to what it needs; how many it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + 1_024
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
