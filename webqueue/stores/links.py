"""Who comes after whom: a job that was pushed with ``after`` waits for the end of others, and of nothing else.

When all of them are done it goes to todo; when one of them fails or is cancelled, so is it. Both happen in the very
batch in which the last of them ends: there is no moment at which a crash could leave one half done.
"""

from collections import defaultdict
from collections.abc import Callable
from itertools import islice

from webqueue.errors import JobNotFound, Unfit
from webqueue.job import Job, State
from webqueue.stores.batch import Batch, Numbers

Find = Callable[[Batch, int], Job]
"""The job as it will stand after what the batch already holds. Raises JobNotFound."""


class Followers:
    """Which waiting jobs come after which. Guarded by the board's lock; holds what is committed, and no jobs."""

    def __init__(self) -> None:
        self._after: dict[int, tuple[int, ...]] = {}
        self._of: defaultdict[int, dict[int, None]] = defaultdict(dict)

    def add(self, id: int, after: tuple[int, ...]) -> None:
        """Job *id* waits for the end of all of *after*."""
        self._after[id] = after
        for one in after:
            self._of[one][id] = None

    def __bool__(self) -> bool:
        return bool(self._after)

    def publish(self, batch: Batch) -> None:
        """*batch* is committed: who is new waits, who has taken a step waits no more."""
        for job in batch.followers:
            self.add(job.id, job.after)
        if self._after:
            for before, after in batch.steps:
                if before is not None and before.follows:
                    self._remove(after)

    def _remove(self, job: Job) -> None:
        self._after.pop(job.id, None)
        for one in set(job.after):
            self._of[one].pop(job.id, None)
            if not self._of[one]:
                del self._of[one]

    def of(self, id: int) -> list[int]:
        """Who waits for the end of job *id*."""
        return list(self._of[id]) if id in self._of else []

    def first(self, most: int) -> list[int]:
        """The ids of the oldest *most* jobs that wait for others."""
        return list(islice(self._after, most))


class Links:
    """What the end of a job does to those that come after it. Called by whoever decides, one at a time."""

    def __init__(self, followers: Followers, find: Find, numbers: Numbers, clock: Callable[[], int]) -> None:
        self._followers = followers
        self._find = find
        self._numbers = numbers
        self._clock = clock

    def check(self, batch: Batch, draft: Job) -> Unfit | None:
        """Whether all that *draft* comes after are there; else why it is unfit."""
        lost = {index: [f"There is no job {id}."] for index, id in enumerate(draft.after) if not self._known(batch, id)}
        return Unfit({"after": lost}) if lost else None

    def settle(self, batch: Batch, job: Job) -> Job:
        """*job*, or its next step where nothing is left to wait for."""
        states = {id: self._state(batch, id) for id in job.after}
        after = job.heard(states, self._clock(), self._numbers.place)
        return job if after is job else batch.step(job, after)

    def follow(self, batch: Batch) -> None:
        """All that comes after what ends in *batch*, and after that, takes its next step."""
        if not batch.followers and not self._followers:
            return  # nobody waits for anybody, as in most applications
        new = Followers()  # of this batch: the board learns of them once they are committed
        for job in batch.followers:
            new.add(job.id, job.after)
        looked = 0
        while looked < len(batch.steps):  # it grows while it is walked: who is given up has followers, too
            _, ended = batch.steps[looked]
            looked += 1
            if ended.finished:
                for id in (*self._followers.of(ended.id), *new.of(ended.id)):
                    self._look_at(batch, id)

    def _look_at(self, batch: Batch, id: int) -> None:
        try:
            job = self._find(batch, id)
        except JobNotFound:
            return
        if job.follows:
            self.settle(batch, job)

    def _known(self, batch: Batch, id: int) -> bool:
        try:
            self._find(batch, id)
        except JobNotFound:
            return False
        return True

    def _state(self, batch: Batch, id: int) -> State:
        """Who has been forgotten was done: had it failed, nobody would still wait for it."""
        forgotten = batch.forgotten.get(id)
        try:
            return forgotten.state if forgotten is not None else self._find(batch, id).state
        except JobNotFound:
            return State.DONE
