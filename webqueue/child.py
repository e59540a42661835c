"""The other end of ``process=True``: runs handlers in a process of their own, and dies with its parent.

Started by ``processes.py`` as ``python -m webqueue.child FD``; speaks over that socket. What comes: ``(Call, ...)``
once a job, ``"stop"`` when it is no longer wanted. What goes: ``(word, ...)``, the last of them ``done`` or ``failed``.
"""

import contextlib
import ctypes
import importlib
import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple

from webqueue import context
from webqueue.attempt import attempt, judge
from webqueue.handlers import Handler
from webqueue.job import Job, LogLine, Progress

IN_CHILD: Final = "WEBQUEUE_CHILD"
"""Set in such a process: an application that its module makes on import must not start a second queue."""
_PR_SET_PDEATHSIG: Final = 1


class Call(NamedTuple):
    """What to run: the function's module, file and name, and the job."""

    module: str
    file: str | None
    name: str
    path: Sequence[str]
    job: Job
    results: list[Any]
    """What those returned that it comes after."""


class _Reports:
    """Sends what the handler tells to the parent."""

    def __init__(self, pipe: Connection, results: list[Any]) -> None:
        self._pipe = pipe
        self._results = results
        self._lock = threading.Lock()

    def progress(self, claimed: Job, progress: Progress) -> None:
        """See context.Reports."""
        self.send("progress", progress)

    def log(self, id: int, lines: Sequence[LogLine]) -> None:
        """See context.Reports."""
        self.send("log", list(lines))

    def unwanted(self, id: int) -> bool:
        """See context.Reports; here a message says so."""
        return False

    def results(self, job: Job) -> list[Any]:
        """See context.Reports; here they came with the call."""
        return self._results

    def send(self, *message: Any) -> None:
        """One message; a parent that is gone hears nothing."""
        with self._lock, contextlib.suppress(OSError):
            self._pipe.send(message)


def main(descriptor: int) -> None:
    """Serve one parent until it closes the socket, or dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # Linux: else an orphan would run beside its own retry
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    context.capture_logging()
    pipe = Connection(descriptor)
    calls: list[context.Run] = []
    with contextlib.suppress(EOFError, OSError):
        while True:
            call = pipe.recv()
            if call == "stop":
                for run in calls:
                    run.cancelled = True
                continue
            calls.clear()
            threading.Thread(target=_serve, args=(pipe, call, calls), daemon=True).start()
    os._exit(0)


def _serve(pipe: Connection, call: Call, calls: list[context.Run]) -> None:
    reports = _Reports(pipe, call.results)
    run = context.Run(call.job, reports, lambda: time.time_ns() // 1000)
    calls.append(run)
    try:
        handler = find(call)
    except BaseException as error:  # noqa: BLE001 - the user's module does as it likes, and may well exit
        reports.send("end", judge(None, call.job, error))
        return
    reports.send("end", attempt(handler, run, contextlib.nullcontext))


def find(call: Call) -> Handler[..., Any]:
    """The handler in its module, which is imported here a second time where it was the parent's main program."""
    sys.path[:] = call.path
    module = _module(call)
    found: Any = module
    for part in call.name.split("."):
        found = getattr(found, part)
    if not isinstance(found, Handler):
        name = f"{call.module}.{call.name}"
        raise LookupError(f"{name} is not a handler: process=True needs it by that name in its module.")
    return found


def _module(call: Call) -> Any:
    if call.module in sys.modules and call.module != "__main__":
        return sys.modules[call.module]
    if call.module != "__main__":
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(call.module)
    if call.file is None:
        raise LookupError(f"The module {call.module} has no file: process=True can't import it.")
    name = Path(call.file).stem if call.module == "__main__" else call.module
    spec = importlib.util.spec_from_file_location(name, call.file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[call.module if call.module != "__main__" else name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(int(sys.argv[1]))
