"""gunicorn as ``webqueue run`` starts it: one master, one worker of ours (:mod:`webqueue.web.worker`).

The master restarts a worker that died, hands SIGTERM on, and replaces the worker on SIGHUP: first the old one leaves,
then the new one starts, for a store has one owner. The listening socket stays open meanwhile, so clients just wait.
"""

import contextlib
import ipaddress
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from webqueue.errors import SettingsError
from webqueue.settings import Settings
from webqueue.version import VERSION
from webqueue.web import target
from webqueue.web.worker import STOPPERS, Worker

BACKLOG: Final = 2048
AT_MOST: Final = 24 * 3600
"""Seconds that the master waits for a worker that stops; the worker itself sees to it that it ends in time."""


def serve(where: str | None, host: str, port: int, settings: Mapping[str, Any]) -> None:
    """Serve the application at *where* (None: the demo) until a signal ends it; exits with 0 after SIGTERM and SIGINT.

    *settings* (by their lower-case names) beat the environment. Raises SettingsError where it can't start.
    """
    for name, value in settings.items():
        os.environ[f"WEBQUEUE_{name.upper()}"] = str(value)
    early = Settings.read(settings)
    listener = _listen(host, port)
    if where is None:
        _refuse_open_door(listener.getsockname()[0], early)
    Server(where, listener, settings).run()


class Server(BaseApplication):  # type: ignore[misc]
    """What gunicorn asks for its configuration, and in the worker for the application."""

    def __init__(self, where: str | None, listener: socket.socket, settings: Mapping[str, Any]) -> None:
        self.where = where
        self.settings = settings
        self.address = listener.getsockname()
        self.descriptor = listener.detach()
        super().__init__(prog="webqueue")

    def load_config(self) -> None:
        """One worker, whatever WEB_CONCURRENCY says; no limit to how long it works, no control socket."""
        options = {
            "bind": [f"fd://{self.descriptor}"],
            "workers": 1,
            "worker_class": Worker,
            "logger_class": Log,
            "loglevel": "warning",
            "proc_name": "webqueue",
            "timeout": 0,
            "graceful_timeout": AT_MOST,
            "control_socket_disable": True,
            "child_exit": _close_lifeline,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """In the worker: the application with its engine started, and one line that says what is served where."""
        app = target.load(self.where, self.settings)
        engine = app.extensions["webqueue"]
        try:
            _refuse_open_door(self.address[0], engine.settings)
        except SettingsError:
            engine.stop(0)
            raise
        sys.stderr.write(banner(engine, self.address) + "\n")
        sys.stderr.flush()
        return app

    def run(self) -> None:
        """Be the master."""
        Master(self).run()


class Log(Logger):  # type: ignore[misc]
    """gunicorn's log, without the lines that say once more what webqueue has said in one."""

    def error(self, msg: Any, *arguments: Any, **options: Any) -> None:
        """Log an error."""
        if not str(msg).startswith(("Worker (pid:%s) exited", "Shutting down", "Reason: ")):
            super().error(msg, *arguments, **options)


class Master(Arbiter):  # type: ignore[misc]
    """gunicorn's arbiter that never wakes up for nothing and has one worker at a time."""

    stopping = False

    def signal(self, sig: int, frame: Any) -> None:
        """Queue a signal; a second one to stop takes away the grace."""
        super().signal(signal.SIGQUIT if self.stopping and sig == signal.SIGTERM else sig, frame)

    def stop(self, graceful: bool = True) -> None:
        """Stop the worker, and see to it that nothing more is accepted here."""
        self.stopping = True
        super().stop(graceful)

    def spawn_worker(self) -> Any:
        """A signal that comes while the worker is being born waits until it can be heard."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPERS)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def handle_int(self) -> None:
        """Ctrl-C is as gentle as SIGTERM."""
        self.handle_term()

    def handle_ttin(self) -> None:
        """A second worker could not open the store."""

    def handle_usr2(self) -> None:
        """A second master could not either."""

    def init_signals(self) -> None:
        """Signals also write to a pipe: one that comes just before the master falls asleep would be lost else."""
        super().init_signals()
        self._awake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def wait_for_signals(self, timeout: float | None = None) -> list[int]:
        """Sleep until a signal comes: there is nothing to look after in between."""
        select.select([self._awake], [], [])
        os.read(self._awake, 4096)
        return list(super().wait_for_signals(timeout=0.001))

    def reload(self) -> None:
        """The old worker leaves within its grace period, then a new one starts."""
        self.kill_workers(signal.SIGTERM)
        while self.WORKERS:
            for sig in self.wait_for_signals():
                if sig in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
                    raise StopIteration
            self.reap_workers()
        super().reload()


def banner(engine: Any, address: tuple[Any, ...]) -> str:
    """What is served where, in one line."""
    store, consumers = engine.settings.store, sum(engine.settings.consumers_by_queue().values())
    kinds = ", ".join(sorted(handler.kind for handler in engine.handlers)) or "none"
    return (
        f"webqueue {VERSION} at {url(address)}, store {store} ({engine.durability}), "
        f"{consumers} consumer{'' if consumers == 1 else 's'}, {'demo ' if engine.demo else ''}kinds: {kinds}"
    )


def url(address: tuple[Any, ...]) -> str:
    """The address of a listening socket as a browser writes it."""
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"Can't listen at {host}:{port}: {reason}. Another port: --port {port + 1}") from None


def _refuse_open_door(host: str, settings: Settings) -> None:
    if not settings.token and not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        raise SettingsError(
            f"Off loopback ({host}) anybody could push jobs: set WEBQUEUE_TOKEN to a long secret, "
            "or serve at --host 127.0.0.1 behind a proxy that asks who comes."
        )


def _close_lifeline(_master: Any, worker: Any) -> None:
    for descriptor in worker.lifeline:
        with contextlib.suppress(OSError):
            os.close(descriptor)
