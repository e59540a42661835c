"""How long jobs take, and so when a waiting one will start. Measured, not promised."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

WEIGHT: Final = 0.1
"""Of the newest measurement in the moving average."""

Running = Iterable[tuple[str, float]]
"""(kind, seconds since its start) of each job that runs."""


class Outlook(NamedTuple):
    """What a group of consumers had before it at one moment; worked out once for all who ask."""

    consumers: int
    running: int
    """How many jobs run."""
    mean: float | None
    """Average seconds of what waits; None where a kind of it is unknown."""
    rest: float
    """Seconds that are still to come of what runs, in all."""

    def starts_in(self, position: int) -> float | None:
        """Estimated seconds until the job at *position* (1 = next) starts.

        None where a kind that waits is unknown, or nobody would run it.
        """
        if self.consumers == 0:
            return None
        if position <= self.consumers - self.running:
            return 0.0
        if self.mean is None and position > 1:
            return None
        return round((self.rest + (position - 1) * (self.mean or 0.0)) / self.consumers, 3)


class Pace:
    """Moving averages of run times by kind. Each is one float in a dict, written by consumers, read by anyone."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def ended(self, kind: str, seconds: float) -> None:
        """An attempt at a job of *kind* took so long."""
        before = self._means.get(kind, seconds)
        self._means[kind] = before + WEIGHT * (seconds - before)

    def mean(self, kinds: Mapping[str, int], running: Running = ()) -> float | None:
        """Average seconds of so many jobs of each kind; None where one of the kinds is quite unknown.

        Of a kind that has not ended yet it is only known for how long one has been running.
        """
        so_far: dict[str, float] = {}
        for kind, elapsed in running:
            so_far[kind] = max(elapsed, so_far.get(kind, 0.0))
        total = 0.0
        for kind, number in kinds.items():
            one = self._means.get(kind, so_far.get(kind))
            if one is None:
                return None
            total += one * number
        return total / max(1, sum(kinds.values()))

    def outlook(self, consumers: int, kinds: Mapping[str, int], running: Running) -> Outlook:
        """What so many consumers have before them: jobs of these *kinds* wait, and those are *running*."""
        running = list(running)
        rest = sum(self._rest(kind, elapsed) for kind, elapsed in running)
        return Outlook(consumers, len(running), self.mean(kinds, running), rest)

    def _rest(self, kind: str, elapsed: float) -> float:
        """What is still to come of a running job; of a kind that has not ended yet, as much again."""
        return max(0.0, self._means.get(kind, 2 * elapsed) - elapsed)
