"""What was refused at the door and is not written yet: bounded, so that a flood of unfit pushes waits for nobody."""

import threading
from collections import deque

from webqueue.job import Rejection
from webqueue.stores.tables import KEPT_REJECTIONS


class Refusals:
    """The newest rejections that are yet to be written, no more than the tables would keep, and how many there were."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Both are guarded by _lock.
        self._newest: deque[Rejection] = deque(maxlen=KEPT_REJECTIONS)
        self._number = 0

    def add(self, rejection: Rejection) -> bool:
        """One more; whether it is the first since :meth:`take`, so that somebody must be asked to take them."""
        with self._lock:
            self._newest.append(rejection)
            self._number += 1
            return self._number == 1

    def take(self) -> tuple[list[Rejection], int]:
        """Those that are to be written, the oldest first, and how many there were with those that gave way to them."""
        with self._lock:
            taken, number = list(self._newest), self._number
            self._newest.clear()
            self._number = 0
            return taken, number
