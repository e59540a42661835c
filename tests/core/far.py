"""Handlers that run in processes of their own; a module, so that the child can import them."""

import functools
import os
import sys
import threading
from typing import Any

from webqueue.context import current_job
from webqueue.handlers import Handlers

handlers = Handlers()
far = functools.partial(handlers.register, process=True, max_attempts=1)


@far
def pid() -> int:
    """Which process it is."""
    return os.getpid()


@far
def tell(words: str) -> None:
    """Progress and a line."""
    current_job.progress(0.5, words)
    current_job.log(words)


@far
def gather() -> list[Any]:
    """What those before returned."""
    return current_job.results


@far
def die(number: int) -> None:
    """By a signal, which may reach another thread first."""
    os.kill(os.getpid(), number)
    threading.Event().wait()


@far
def leave(code: int) -> None:
    """Without a word."""
    os._exit(code)


@far
def end(code: int) -> None:
    """By an exception that ends programs."""
    sys.exit(code)


@functools.partial(handlers.register, process=True, max_attempts=1, timeout=0.3)
def sleep() -> None:
    """In C, where no exception reaches it."""
    current_job.log("asleep")
    threading.Event().wait()


@far
def heed() -> None:
    """Until it is asked to stop."""
    current_job.log("up")
    while True:
        current_job.check()
        threading.Event().wait(0.01)
