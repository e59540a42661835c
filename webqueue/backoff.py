"""How long a failed job waits before its next attempt."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """``first`` seconds, then ``factor`` times as long each time, ``most`` at most, give or take the share ``jitter``.

    The jitter keeps jobs that failed together from coming back together.
    """

    first: float = 1.0
    factor: float = 2.0
    most: float = 3600.0
    jitter: float = 0.1

    def delay(self, attempt: int) -> float:
        """Seconds to wait after the *attempt*-th attempt failed (counted from 1)."""
        try:
            plain = min(self.most, self.first * self.factor ** (attempt - 1))
        except OverflowError:
            plain = self.most
        return plain * random.uniform(1 - self.jitter, 1 + self.jitter)
