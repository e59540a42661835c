"""What is measured while it happens, and read by ``GET /metrics``: histograms and counters, a few hundred ns each."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

SECONDS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 300.0, 3600.0)
"""Upper bounds of the buckets of times."""
ROWS: Final = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
"""Upper bounds of the buckets of batch sizes."""
MOST_LABELS: Final = 50
"""So many queues and so many kinds at most have labels of their own: anybody who may push may invent queues."""
OTHER: Final = "other"
"""The label under which the rest is summed."""
REASONS: Final = ("full", "unfit", "key_reused", "draining", "unavailable", "disk_full")
"""Why a push is refused; each is told from the start, as a rate needs a zero to rise from."""


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
        self.commit = 0.0
        """Seconds that a commit takes of late: a mean in which the last ten or so count."""
        self.batch = Histogram(ROWS)
        """Changes in a batch."""
        self.refused = Counter(dict.fromkeys(REASONS, 0))
        """Pushes that were not accepted, by reason."""

    def committed(self, seconds: float) -> None:
        """A batch was written, from its first decision to its commit."""
        self.flush.observe(seconds)
        self.commit += 0.1 * (seconds - self.commit)

    def ended(self, kind: str, waited: float, ran: float) -> None:
        """An attempt of *kind* ended."""
        label = kind if kind in self.ran or len(self.ran) < MOST_LABELS else OTHER
        if label not in self.ran:
            self.waited[label], self.ran[label] = Histogram(SECONDS), Histogram(SECONDS)
        self.waited[label].observe(waited)
        self.ran[label].observe(ran)


Jobs = Mapping[tuple[str, str, str], int]
"""How many jobs there are by (queue, kind, state)."""


def bounded(jobs: Jobs, queues: Collection[str], kinds: Collection[str]) -> dict[tuple[str, str, str], int]:
    """The same sums with few enough labels; *queues* and *kinds* are those that are known, and come first."""
    queue_sizes, kind_sizes, found = Counter[str](), Counter[str](), Counter[tuple[str, str, str]]()
    for (queue, kind, _), number in jobs.items():
        queue_sizes[queue] += number
        kind_sizes[kind] += number
    queue_labels, kind_labels = _labels(queue_sizes, queues), _labels(kind_sizes, kinds)
    for (queue, kind, state), number in jobs.items():
        found[queue_labels[queue], kind_labels[kind], state] += number
    return found


def _labels(sizes: Mapping[str, int], known: Collection[str]) -> dict[str, str]:
    """{name: its label}: the known names keep their own, then the biggest, up to MOST_LABELS."""
    ranked = sorted(sizes, key=lambda name: (name not in known, -sizes[name], name))
    return {name: name if place < MOST_LABELS else OTHER for place, name in enumerate(ranked)}
