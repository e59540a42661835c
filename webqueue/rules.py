"""When a recurring job is due."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from webqueue.errors import SettingsError

SHORTEST: Final = 0.1
"""Seconds between two runs, at least."""


@dataclass(frozen=True)
class Rule:
    """*kind* is pushed ``every`` so often: a cron expression in the time zone ``tz``, or a number of seconds.

    Seconds count from 1970, so that a restart moves nothing. A run that was ``missed`` while nobody ran webqueue is
    skipped, or made up for once. Raises SettingsError for what makes no sense.
    """

    kind: str
    every: str | float
    tz: str = "UTC"
    missed: Literal["skip", "once"] = "skip"
    payload: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.missed not in ("skip", "once"):
            raise SettingsError(f'missed of {self.kind!r} is "skip" or "once", not {self.missed!r}.')
        if not isinstance(self.every, str) and not self.every >= SHORTEST:
            raise SettingsError(f"{self.kind!r} can't recur every {self.every!r} s: {SHORTEST} at least.")
        try:
            self.after(0)
        except (CronSimError, ZoneInfoNotFoundError, ValueError) as error:
            raise SettingsError(f"{self.kind!r} can't recur at {self.every!r} in {self.tz!r}: {error}.") from None

    @property
    def name(self) -> str:
        """Under which the store remembers it."""
        return f"{self.kind} {self.every} {self.tz}"

    def after(self, now: int) -> int:
        """The next time (µs) after *now*."""
        if isinstance(self.every, str):
            start = datetime.fromtimestamp(now / 1e6, ZoneInfo(self.tz))
            return round(next(CronSim(self.every, start)).timestamp() * 1e6)
        step = round(self.every * 1e6)
        return (now // step + 1) * step
