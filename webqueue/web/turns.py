"""Lists are made one at a time: many at once are ready no sooner, and each holds all of its jobs in memory."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from werkzeug.exceptions import ServiceUnavailable

MOST_LISTS: Final = 100
"""So many may be asked for at a time; all but one wait for their turn."""


class Turns:
    """Who makes a list has its turn, waits for it, or is told to come back."""

    def __init__(self, most: int = MOST_LISTS) -> None:
        self._most = most
        self._room = threading.BoundedSemaphore(most)
        self._turn = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Meanwhile it is the caller's turn. Raises ServiceUnavailable where too many wait for theirs."""
        if not self._room.acquire(blocking=False):
            raise ServiceUnavailable(f"{self._most} lists are being asked for: no more at a time.")
        try:
            with self._turn:
                yield
        finally:
            self._room.release()
