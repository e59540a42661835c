"""What is measured while it happens, and read by ``GET /metrics``: histograms and counters, a few hundred ns each."""

from bisect import bisect_left
from collections import Counter
from typing import Final

SECONDS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 300.0, 3600.0)
"""Upper bounds of the buckets of times."""
ROWS: Final = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
"""Upper bounds of the buckets of batch sizes."""
MOST_LABELS: Final = 200
"""So many kinds at most have histograms of their own; kinds come from the registry, so this is a second fence."""


class Histogram:
    """How often a value fell below each bound. One writer at a time, or counts may be off by a few."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One more value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, float]]:
        """(bound, how many were at or below it), as Prometheus has it; the last bound is +Inf."""
        total, found = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class Meters:
    """All that is measured. Lives as long as its engine."""

    def __init__(self) -> None:
        self.waited: dict[str, Histogram] = {}
        """By kind: seconds from the time a job could have started to its start."""
        self.ran: dict[str, Histogram] = {}
        """By kind: seconds that an attempt took."""
        self.flush = Histogram(SECONDS)
        """Seconds from the first decision of a batch to its commit."""
        self.batch = Histogram(ROWS)
        """Changes in a batch."""
        self.refused: Counter[str] = Counter()
        """Pushes that were not accepted, by reason."""

    def ended(self, kind: str, waited: float, ran: float) -> None:
        """An attempt of *kind* ended."""
        if kind not in self.ran:
            if len(self.ran) >= MOST_LABELS:
                return
            self.waited[kind], self.ran[kind] = Histogram(SECONDS), Histogram(SECONDS)
        self.waited[kind].observe(waited)
        self.ran[kind].observe(ran)
