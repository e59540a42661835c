"""Handlers in processes of their own: killed at their deadline, and when they don't heed a cancel.

A child runs one job at a time and is kept for the next one, so that its imports are paid once. It is a fresh Python
(``python -m webqueue.child``), never a fork: a fork would copy locks that other threads hold (signal-safety(7)).
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from webqueue import context
from webqueue.attempt import Verdict, timeout
from webqueue.child import IN_CHILD, Call
from webqueue.handlers import Handler
from webqueue.job import Failure

HEED: Final = 5.0
"""Seconds that a cancelled process is given to end by itself."""


class Child:
    """One process. Used by one consumer's thread at a time."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            descriptor = theirs.fileno()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "webqueue.child", str(descriptor)],
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                env={**os.environ, IN_CHILD: "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            self.pipe = Connection(ours.detach())

    def kill(self) -> int:
        """End it, now. Returns how it ended, as Popen.returncode."""
        self.process.kill()
        self.pipe.close()
        return self.process.wait()


class Processes:
    """The children of one engine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._busy: set[Child] = set()

    def attempt(self, handler: Handler[..., Any], run: context.Run) -> Verdict:
        """Call the handler in a child, and wait for its end, its deadline or a cancel. Never raises."""
        try:
            with _Bell() as bell, self._lent() as child:
                run.on_stop = bell.ring
                if run.cancelled:
                    bell.ring()
                return _call_in(child, handler, run, bell)
        except OSError as error:  # no process or no descriptor to be had just now
            return Verdict(failure=Failure("NoProcess", f"No process could be started for it: {error}.", ""))

    def close(self) -> None:
        """Kill all of them: what runs is put back by the store."""
        with self._lock:
            children = [*self._idle, *self._busy]
            self._idle.clear()
        for child in children:
            child.process.kill()
            child.process.wait()

    @contextlib.contextmanager
    def _lent(self) -> Iterator[Child]:
        """A child for one call; kept afterwards if it lives. Raises OSError where none can be started."""
        with self._lock:
            child = self._idle.pop() if self._idle else None
        child = child or Child()
        with self._lock:
            self._busy.add(child)
        try:
            yield child
        finally:
            with self._lock:
                self._busy.discard(child)
                if child.process.poll() is None:
                    self._idle.append(child)


class _Bell:
    """Rung from any thread; wakes who waits for its descriptor. Silent once closed: a file may have its number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.descriptor, self._rope = os.pipe()
        self._closed = False

    def ring(self) -> None:
        """Wake whoever waits now or later."""
        with self._lock:
            if not self._closed:
                os.write(self._rope, b"x")

    def __enter__(self) -> "_Bell":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            os.close(self.descriptor)
            os.close(self._rope)


class _Watch:
    """Waits for one call to end."""

    def __init__(self, child: Child, run: context.Run, bell: _Bell) -> None:
        self._child = child
        self._run = run
        self._waits_for: list[Any] = [child.pipe, bell.descriptor]
        self._stop = bell.descriptor
        self._deadline = None if run.job.timeout is None else time.monotonic() + run.job.timeout

    def wait(self) -> Verdict:
        """The verdict on the call."""
        while True:
            left = None if self._deadline is None else self._deadline - time.monotonic()
            ready = wait(self._waits_for, left if left is None else max(0.0, left))
            if self._child.pipe in ready:
                word, content = self._child.pipe.recv()
                if word == "end":
                    verdict: Verdict = content
                    return verdict
                self._tell(word, content)
            elif self._stop in ready:
                self._ask()
            elif left is not None and left <= 0:
                return self._kill()

    def _tell(self, word: str, content: Any) -> None:
        if word == "progress":
            self._run.progress(*content)
        else:
            for line in content:
                self._run.log(line.message, line.level)

    def _ask(self) -> None:
        """Cancelled: it hears of it, and has HEED seconds to end."""
        self._waits_for.remove(self._stop)
        self._child.pipe.send("stop")
        self._deadline = min(self._deadline or float("inf"), time.monotonic() + HEED)

    def _kill(self) -> Verdict:
        self._child.kill()
        if self._run.cancelled:
            return Verdict(cancelled=True)
        return Verdict(failure=timeout(self._run.job), timed_out=True)


def _call_in(child: Child, handler: Handler[..., Any], run: context.Run, bell: _Bell) -> Verdict:
    try:
        child.pipe.send(_call(handler, run))
        return _Watch(child, run, bell).wait()
    except (OSError, EOFError) as error:
        return _crashed(child, error)


def _call(handler: Handler[..., Any], run: context.Run) -> Call:
    function = handler.function
    module = sys.modules.get(function.__module__)
    file = getattr(module, "__file__", None)
    file = file and os.path.abspath(file)
    results = run.results() if run.job.after else []
    return Call(function.__module__, file, function.__qualname__, list(sys.path), run.job, results)


def _crashed(child: Child, error: Exception) -> Verdict:
    """The child is gone without a word: killed by a signal, or by the out-of-memory killer."""
    with contextlib.suppress(OSError):
        child.process.kill()
    code = child.process.wait()
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return Verdict(failure=Failure("Crashed", f"Its process {how}.", ""))
