"""How long jobs take, and so when a waiting one will start. Measured, not promised."""

from collections.abc import Iterable, Mapping
from typing import Final

WEIGHT: Final = 0.1
"""Of the newest measurement in the moving average."""

Running = Iterable[tuple[str, float]]
"""(kind, seconds since its start) of each job that runs."""


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

    def starts_in(self, position: int, consumers: int, kinds: Mapping[str, int], running: Running) -> float | None:
        """Estimated seconds until the job at *position* (1 = next) starts, behind jobs of these *kinds*.

        None where a kind that waits is unknown, or nobody would run it.
        """
        running = list(running)
        if consumers == 0:
            return None
        if position <= consumers - len(running):
            return 0.0
        mean = self.mean(kinds, running)
        if mean is None and position > 1:
            return None
        rest = sum(self._rest(kind, elapsed) for kind, elapsed in running)
        return round((rest + (position - 1) * (mean or 0.0)) / consumers, 3)

    def _rest(self, kind: str, elapsed: float) -> float:
        """What is still to come of a running job; of a kind that has not ended yet, as much again."""
        return max(0.0, self._means.get(kind, 2 * elapsed) - elapsed)
