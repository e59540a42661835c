"""How many jobs of a kind may run at once (of each key, where it has keys), and how many may start within a time."""

import json
import re
import string
from collections import defaultdict, deque
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
    """The limits of one kind, over all queues. Guarded by its store's lock.

    With *key*, ``"customer:{id}"``, so many may run of each key that it makes of a payload; a field that a payload has
    not is empty in it.
    """

    def __init__(self, concurrency: int | None, rate: Rate | None, key: str | None = None) -> None:
        self.concurrency = concurrency
        self.rate = rate
        self.key = key
        self._starts: deque[float] = deque()

    def started(self, now: float) -> None:
        """A job of the kind starts at *now* (monotonic seconds)."""
        if self.rate is not None:
            self._starts.append(now)
            if len(self._starts) > self.rate.number:
                self._starts.popleft()

    @classmethod
    def parse(cls, concurrency: int | None, rate: str | None, key: str | None) -> "Limit | None":
        """The limit that a handler's options mean, if any. Raises SettingsError."""
        if concurrency is None and rate is None and key is None:
            return None
        if concurrency is not None and (type(concurrency) is not int or concurrency < 1):
            raise SettingsError(f"concurrency is 1 or more, not {concurrency!r}.")
        if key is not None:
            _check_key(key)
        return cls(1 if key and concurrency is None else concurrency, Rate.parse(rate) if rate else None, key)

    def key_of(self, payload: bytes) -> str | None:
        """The key of a job with this payload (a JSON object); None where the kind has no keys."""
        return None if self.key is None else self.key.format_map(defaultdict(str, json.loads(payload)))

    def full(self, running: int) -> bool:
        """Whether as many run as may."""
        return self.concurrency is not None and running >= self.concurrency

    def wait(self, now: float) -> float:
        """Seconds until the rate lets the next one start; 0 where it does now."""
        if self.rate is None or len(self._starts) < self.rate.number:
            return 0.0
        return max(0.0, self._starts[0] + self.rate.seconds - now)

    def reason(self, running: int, now: float, key: str | None = None) -> str | None:
        """Why a job of the kind (and of this key) may not start yet, while so many run."""
        if self.full(running):
            return f"{running} of {'its kind' if key is None else key[:200]} run already, {self.concurrency} may"
        if self.rate is not None and self.wait(now) > 0:
            return f"{self.rate.number} of its kind started within {self.rate.seconds:g} s, no more may"
        return None


def _check_key(key: str) -> None:
    """Names of fields alone: a format or an attribute could fail on a payload, and there is nobody then to tell."""
    try:
        fields = [field for field in string.Formatter().parse(key) if field[1] is not None]
    except ValueError:
        fields = [("", "", None, None)]
    if not all(name and name.isidentifier() and not spec and not conversion for _, name, spec, conversion in fields):
        raise SettingsError(f'A concurrency_key is written "customer:{{id}}", not {key!r}.')
