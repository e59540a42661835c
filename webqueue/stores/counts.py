"""Numbers that are kept, never computed by a scan."""

import time
from collections import Counter

from webqueue.job import FINISHED, Job, State


class Counts:
    """How many jobs there are by queue, kind and state. Guarded by its store's lock."""

    def __init__(self) -> None:
        self._numbers: Counter[tuple[str, str, State]] = Counter()
        self.finished = 0

    def add(self, queue: str, kind: str, state: State, change: int) -> None:
        """So many more."""
        self._numbers[queue, kind, state] += change
        if state in FINISHED:
            self.finished += change

    def move(self, before: Job | None, after: Job) -> None:
        """A job took a step."""
        if before is not None:
            key = (before.queue, before.kind, before.state)
            self._numbers[key] -= 1
            if not self._numbers[key]:
                del self._numbers[key]  # anybody may invent names of queues
            self.finished -= before.state in FINISHED
        self._numbers[after.queue, after.kind, after.state] += 1
        self.finished += after.state in FINISHED

    def of(self, state: str | None, kind: str | None, queue: str | None) -> int:
        """How many are in a state, of a kind and in a queue; None is any."""
        wanted = (queue, kind, state)
        return sum(
            number
            for key, number in self._numbers.items()
            if all(want is None or want == has for want, has in zip(wanted, key, strict=True))
        )

    def by_state(self) -> dict[str, int]:
        """All six states, zeros too."""
        found = dict.fromkeys((state.value for state in State), 0)
        for (_, _, state), number in self._numbers.items():
            found[state.value] += number
        return found

    def by_queue(self) -> dict[str, dict[str, int]]:
        """The same for each queue that holds a job."""
        found: dict[str, dict[str, int]] = {}
        for (queue, _, state), number in self._numbers.items():
            if number:
                states = found.setdefault(queue, dict.fromkeys((one.value for one in State), 0))
                states[state.value] += number
        return found

    def by_kind(self) -> dict[tuple[str, str, str], int]:
        """(queue, kind, state) -> number, without zeros."""
        return {(queue, kind, state.value): number for (queue, kind, state), number in self._numbers.items() if number}


class Rates:
    """What happened in each of the last 60 seconds. Guarded by its store's lock; free while nothing happens."""

    SPAN = 60

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._seconds: dict[int, list[int]] = {}

    def add(self, accepted: int, finished: int) -> None:
        """So many were accepted and finished just now."""
        now = int(time.monotonic())
        slot = self._seconds.get(now)
        if slot is None:
            slot = self._seconds[now] = [0, 0]
            for old in [second for second in self._seconds if second <= now - self.SPAN]:
                del self._seconds[old]
        slot[0] += accepted
        slot[1] += finished

    def per_second(self) -> tuple[float, float]:
        """(accepted, finished) a second over the last minute, or since the start where that is shorter."""
        now = time.monotonic()
        span = min(self.SPAN, max(1.0, now - self._since))
        recent = [slot for second, slot in self._seconds.items() if second > now - self.SPAN]
        return sum(slot[0] for slot in recent) / span, sum(slot[1] for slot in recent) / span
