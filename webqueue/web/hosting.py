"""What kind of process this is, and what follows: whether it runs the jobs, and what happens when it ends.

An application may be created where nothing must run: in the parent of a reloader, in a gunicorn master that preloads,
in a ``flask`` command, in a child of multiprocessing. None of them says so in an interface of its own, hence this.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final, NoReturn

import click
from flask import Flask
from flask.cli import ScriptInfo
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

from webqueue.engine import Engine
from webqueue.errors import StoreError

DEVELOPMENT_GRACE: Final = 1.0
"""Seconds that running jobs get where a code change or Ctrl-C ends a development server."""
PATIENCE: Final = 10.0
"""Seconds after which a worker that waits to be sent away goes by itself."""
WORKER_BOOT_ERROR: Final = 3
"""The exit code at which gunicorn's master gives up, rather than start the next worker."""


def bring_up(app: Flask, engine: Engine, close: Callable[[], None]) -> None:
    """Start *engine* if this is the process that serves, and see to it that it ends well; *close* ends the sockets.

    Raises StoreError where the store can't be opened; under gunicorn it ends the process with one line instead.
    """
    end = Ending(engine, close)
    master, worker = _gunicorn()
    if master is not None or worker is not None:
        _refuse_many(worker, (worker or master).cfg.workers, engine)
        _start_under_gunicorn(engine, worker, end)
    elif not _serves_nothing():
        if engine.settings.start:
            _start(engine)
        atexit.register(end.now)
        _mind_app_run(app, end)
        if _flask_command() is not None:
            _be_quick(end)


class Ending:
    """The end of an engine: asked for by a signal, once, or reached at the end of the process."""

    def __init__(self, engine: Engine, close: Callable[[], None]) -> None:
        self._engine = engine
        self._close = close
        self._asked = threading.Event()
        self._pid = os.getpid()
        self.grace: float | None = None
        """Seconds that running jobs get; None: those of the settings."""

    def ask(self) -> None:
        """Come to an end, beside what goes on. Safe in a signal handler: it only sets flags."""
        self._engine.drain()
        self._asked.set()

    def wait_for_ask(self) -> None:
        """From now on there is a thread that waits for :meth:`ask`."""
        threading.Thread(target=self._when_asked, name="webqueue-stop", daemon=True).start()

    def now(self) -> None:
        """Stop the engine, then end the sockets."""
        if self._pid == os.getpid():  # at the end of a forked child there is nothing of ours to end
            self._engine.stop(self.grace)
            self._close()

    def of_this_process(self) -> "Ending":
        """The same for a process that was forked meanwhile."""
        return Ending(self._engine, self._close)

    def _when_asked(self) -> None:
        self._asked.wait()
        self.now()


# -- gunicorn ----------------------------------------------------------------------------------------------------------


def _gunicorn() -> tuple[Any, Any]:
    """gunicorn's master and worker, None where the application is not being loaded by them."""
    base, arbiter = sys.modules.get("gunicorn.workers.base"), sys.modules.get("gunicorn.arbiter")
    if base is None or arbiter is None:
        return None, None
    owners = [frame.f_locals.get("self") for frame in _frames()]
    worker = next((owner for owner in owners if isinstance(owner, base.Worker)), None)
    return next((owner for owner in owners if isinstance(owner, arbiter.Arbiter)), None), worker


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def _refuse_many(worker: Any, number: int, engine: Engine) -> None:
    """Two workers would each want the store for themselves; many are for a store that many may share."""
    if number == 1 or engine.settings.store.startswith("postgres"):
        return
    if worker is not None and worker.age % number != 1:
        # One of them says it, and ends the master. gunicorn trips over a second worker that fails to boot meanwhile.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if worker.alive:  # else the signal has come already
            threading.Event().wait(PATIENCE)
        raise SystemExit(0)
    _give_up(
        f"{engine.name} belongs to one process, and gunicorn was told to start {number}: "
        "start it with -w 1 (WEB_CONCURRENCY=1) and as many --threads as you like."
    )


def _start_under_gunicorn(engine: Engine, worker: Any, end: Ending) -> None:
    if worker is None:
        # --preload: this is the master. Its workers are forks; in each of them the user's post_fork hook may start it.
        os.register_at_fork(after_in_child=lambda: _follow_worker(_worker_being_born(), end.of_this_process()))
        return
    try:
        if engine.settings.start:
            engine.start()
    except StoreError as error:
        if _is_ours(worker):
            raise  # it says so itself
        _give_up(str(error))
    if not _is_ours(worker):
        _follow_worker(worker, end)


def _is_ours(worker: Any) -> bool:
    """Whether it is the worker of ``webqueue run``, which ends the engine itself."""
    return any(kind.__module__ == "webqueue.web.worker" for kind in type(worker).__mro__)


def _worker_being_born() -> Any:
    base = sys.modules["gunicorn.workers.base"]
    return next((one for frame in _frames() if isinstance(one := frame.f_locals.get("worker"), base.Worker)), None)


def _follow_worker(worker: Any, end: Ending) -> None:
    """When *worker* is told to go the engine goes too, at once: its successor waits for the store."""
    if worker is None:
        return
    theirs = worker.handle_exit

    def handle_exit(number: int, frame: FrameType | None) -> None:
        end.ask()
        theirs(number, frame)

    worker.handle_exit = handle_exit
    if signal.getsignal(signal.SIGTERM) == theirs:  # set already; in a worker that is being born it will be
        signal.signal(signal.SIGTERM, handle_exit)
        signal.siginterrupt(signal.SIGTERM, False)
    end.wait_for_ask()
    atexit.register(end.now)


def _give_up(line: str) -> NoReturn:
    sys.stderr.write(f"webqueue: {line}\n")
    sys.stderr.flush()
    raise SystemExit(WORKER_BOOT_ERROR)


# -- Flask's own server and commands -----------------------------------------------------------------------------------


def _start(engine: Engine) -> None:
    """Start it; under ``flask run`` what is wrong with the store is one line, and no traceback."""
    try:
        engine.start()
    except StoreError as error:
        if _flask_command() is None or is_running_from_reloader():
            raise
        raise click.ClickException(str(error)) from error


def _flask_command() -> click.Context | None:
    """The ``flask`` command that is at work, None in any other program."""
    context = click.get_current_context(silent=True)
    return context if context is not None and context.find_object(ScriptInfo) is not None else None


def _serves_nothing() -> bool:
    """Whether this process was not started to serve: a helper process, a ``flask`` command, or a reloader's parent."""
    if multiprocessing.parent_process() is not None:
        return True
    context = _flask_command()
    if context is None:
        return False
    return context.info_name != "run" or _reloads(context.params.get("reload"))


def _reloads(wanted: bool | None) -> bool:
    """Whether this is the parent of a reloader, whose child serves."""
    return bool(get_debug_flag() if wanted is None else wanted) and not is_running_from_reloader()


def _mind_app_run(app: Flask, end: Ending) -> None:
    """``app.run(debug=True)`` starts this program a second time: what runs here by then makes room."""
    run = app.run

    def run_alone(*arguments: Any, **options: Any) -> None:
        _be_quick(end)
        if not is_running_from_reloader() and _will_reload(app, arguments, options):
            end.now()
        run(*arguments, **options)

    app.run = run_alone  # type: ignore[method-assign]


def _be_quick(end: Ending) -> None:
    """This is a development server: it ends soon, and SIGTERM ends it as Ctrl-C does."""
    end.grace = DEVELOPMENT_GRACE
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def _will_reload(app: Flask, arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
    debug = options.get("debug", arguments[2] if len(arguments) > 2 else None)
    if debug is None:
        debug = get_debug_flag() if "FLASK_DEBUG" in os.environ else app.debug
    return bool(options.get("use_reloader", debug)) and os.environ.get("FLASK_RUN_FROM_CLI") != "true"
