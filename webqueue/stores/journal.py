"""Group commit: what is to be written gathers while the last batch is being flushed, and then goes in one batch.

The idea is that of databases' group commit (DeWitt et al., "Implementation Techniques for Main Memory Database Systems",
SIGMOD 1984): no artificial delay, one flush for all who came meanwhile.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from webqueue.errors import NotRunning, StoreUnavailable, Unavailable

log = logging.getLogger("webqueue")

MOST: Final = 2_000
"""So many changes at most go into one batch, so that one flush stays short."""
CROWDED: Final = 5_000
"""With more than so many changes waiting, those who don't need an answer wait as well."""
PROBE: Final = 0.5
"""Seconds between two tries while the tables can't be written."""

Decide = Callable[[Any], Any]


class Ticket:
    """The answer to one change, once it is durable. A bare lock: a tenth of the cost of an Event."""

    __slots__ = ("_answer", "_done", "decide", "keep", "weight")

    def __init__(self, decide: Decide, keep: bool, weight: int) -> None:
        self.decide = decide
        self.keep = keep
        self.weight = weight
        self._answer: Any = None
        self._done = threading.Lock()
        self._done.acquire()

    def settle(self, answer: Any) -> None:
        """The change is durable, or (where *answer* is an exception) it was not made."""
        self._answer = answer
        self._done.release()

    def wait(self) -> Any:
        """Wait for the answer; raises it where it is an exception."""
        with self._done:
            if isinstance(self._answer, Exception):
                raise self._answer
            return self._answer


Write = Callable[[Sequence[Ticket]], None]
"""Decides and writes a batch, and settles each of its tickets; raises Unavailable where nothing of it was written."""


class AnyJournal(Protocol):
    """What a store asks of its journal."""

    broken: bool

    def append(self, decide: Decide, *, keep: bool = False, weight: int = 1) -> Ticket:
        """Hand in a change: *decide* is called with the batch, alone, in the order of these calls.

        With *keep* it is written later if it can't be written now (what has happened can't be refused); *weight* is the
        number of rows that it writes.
        """
        ...

    def start(self) -> None:
        """Take changes from now on."""
        ...

    def stop(self) -> None:
        """Write what waits, then take no more."""
        ...


class Journal:
    """The one thread that writes. Lives as long as its store is open."""

    def __init__(self, write: Write, on_change: Callable[[], None]) -> None:
        self._write = write
        self._on_change = on_change
        self._thread: threading.Thread | None = None
        self._filled = threading.Condition(threading.Lock())
        # All below is guarded by _filled; ``broken`` is only changed by the writer.
        self.broken = False
        self._inbox: list[Ticket] = []
        self._stopped = True

    def start(self) -> None:
        """Take changes from now on."""
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="webqueue-journal", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, then take no more."""
        with self._filled:
            self._stopped = True
            self._filled.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def append(self, decide: Decide, *, keep: bool = False, weight: int = 1) -> Ticket:
        """See AnyJournal."""
        ticket = Ticket(decide, keep, weight)
        with self._filled:
            if self._stopped:
                raise NotRunning("The store is closed: start webqueue again.")
            self._inbox.append(ticket)
            if len(self._inbox) == 1:
                self._filled.notify()
            crowded = len(self._inbox) > CROWDED
        if crowded and keep:
            ticket.wait()
        return ticket

    def _run(self) -> None:
        while batch := self._take():
            self._write_batch(batch)

    def _take(self) -> list[Ticket]:
        """The next batch; empty at the end."""
        with self._filled:
            while not self._inbox and not self._stopped:
                self._filled.wait()
            return self._cut()

    def _cut(self) -> list[Ticket]:
        weight = 0
        for index, ticket in enumerate(self._inbox):
            weight += ticket.weight
            if weight >= MOST:
                batch, self._inbox = self._inbox[: index + 1], self._inbox[index + 1 :]
                return batch
        batch, self._inbox = self._inbox, []
        return batch

    def _write_batch(self, batch: list[Ticket]) -> None:
        try:
            self._write(batch)
        except Unavailable as error:
            self._refuse(batch, error)
            return
        except Exception as error:
            log.exception("The journal failed")
            self._refuse(batch, StoreUnavailable(f"The store can't be written: {error}."))
            return
        if self.broken:
            log.warning("The store can be written again.")
            self.broken = False
            self._on_change()

    def _refuse(self, batch: list[Ticket], error: Unavailable) -> None:
        """Nothing of *batch* was written: whoever can repeat it is told so, the rest is tried again a little later."""
        if not self.broken:
            log.error("The store can't be written: %s", error)
        self.broken = True
        for ticket in batch:
            if not ticket.keep:
                ticket.settle(error)
        kept = [ticket for ticket in batch if ticket.keep] or [Ticket(lambda _: None, True, 1)]
        with self._filled:
            self._inbox[:0] = kept
            gave_up = self._stopped
            if not gave_up:
                self._filled.wait(PROBE)
                return
            self._inbox.clear()
        for ticket in kept:
            ticket.settle(error)


class NullJournal:
    """No writer: a change is made in the thread that hands it in. For tables that live in memory."""

    broken = False

    def __init__(self, write: Write) -> None:
        self._write = write
        self._alone = threading.RLock()

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self) -> None:
        """There is nothing to stop."""

    def append(self, decide: Decide, *, keep: bool = False, weight: int = 1) -> Ticket:
        """See AnyJournal; the ticket is settled already."""
        ticket = Ticket(decide, keep, weight)
        with self._alone:
            self._write((ticket,))
        return ticket
