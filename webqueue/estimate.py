"""How long jobs take, and so when a waiting one will start. Measured, not promised."""

from webqueue.job import Job

WEIGHT = 0.1
"""Of the newest measurement in the moving average."""


class Pace:
    """Moving averages of run times. Each is one float in a dict, written by consumers, read by anyone."""

    def __init__(self) -> None:
        self._by_kind: dict[str, float] = {}
        self._overall: float | None = None

    def ended(self, job: Job, seconds: float) -> None:
        """An attempt of *job* took so long."""
        before = self._by_kind.get(job.kind, seconds)
        self._by_kind[job.kind] = before + WEIGHT * (seconds - before)
        self._overall = seconds if self._overall is None else self._overall + WEIGHT * (seconds - self._overall)

    def starts_in(self, position: int, consumers: int, busy: int) -> float | None:
        """Estimated seconds until the job at *position* (1 = next) starts; None where nothing was measured yet."""
        if self._overall is None or consumers == 0:
            return None
        free = consumers - busy
        ahead = position - 1 if free > 0 else position - 0.5  # on average, what runs is half done
        return round(max(0.0, ahead) * self._overall / consumers, 3)

    def seconds(self, consumers: int) -> float | None:
        """Seconds from the end of one job to that of the next while all consumers are busy."""
        return None if self._overall is None or consumers == 0 else self._overall / consumers
