"""How many jobs of a kind may run at once, and how many may start within a time."""

import re
from collections import deque
from dataclasses import dataclass
from typing import Final

from webqueue.errors import SettingsError

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``number`` starts within any ``seconds``."""

    number: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read ``"10/m"``, ``"5/30s"``. Raises SettingsError."""
        match = re.fullmatch(r"(\d+)/(\d*)([smhd])", text.replace(" ", ""))
        if not match or not int(match[1]) or match[2] == "0":
            raise SettingsError(f"A rate is written 10/m or 5/30s (s, m, h, d), not {text!r}.")
        return cls(int(match[1]), int(match[2] or 1) * _SECONDS[match[3]])


class Limit:
    """The limits of one kind, over all queues. Guarded by its store's lock."""

    def __init__(self, concurrency: int | None, rate: Rate | None) -> None:
        self.concurrency = concurrency
        self.rate = rate
        self._starts: deque[float] = deque()

    def started(self, now: float) -> None:
        """A job of the kind starts at *now* (monotonic seconds)."""
        if self.rate is not None:
            self._starts.append(now)
            if len(self._starts) > self.rate.number:
                self._starts.popleft()

    def full(self, running: int) -> bool:
        """Whether as many run as may."""
        return self.concurrency is not None and running >= self.concurrency

    def wait(self, now: float) -> float:
        """Seconds until the rate lets the next one start; 0 where it does now."""
        if self.rate is None or len(self._starts) < self.rate.number:
            return 0.0
        return max(0.0, self._starts[0] + self.rate.seconds - now)

    def reason(self, running: int, now: float) -> str | None:
        """Why a job of the kind may not start yet."""
        if self.full(running):
            return f"{running} of its kind run already, {self.concurrency} may"
        if self.rate is not None and self.wait(now) > 0:
            return f"{self.rate.number} of its kind started within {self.rate.seconds:g} s, no more may"
        return None
