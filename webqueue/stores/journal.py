"""Group commit: what is to be written gathers while the last batch is being flushed, and then goes in one batch.

The idea is that of databases' group commit (DeWitt et al., "Implementation Techniques for Main Memory Database
Systems", SIGMOD 1984): no artificial delay, one flush for all who came meanwhile. Who comes while nobody writes, and
needs an answer, writes at once in its own thread: waking another one and being woken by it would cost as much again.
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
"""Called with the batch, alone, in the order in which changes were handed in; its result is the answer."""


class Ticket:
    """The answer to one change, once it is durable. A bare lock: a tenth of the cost of an Event."""

    __slots__ = ("_answer", "_done", "decide", "keep", "settled", "weight")

    def __init__(self, decide: Decide, keep: bool, weight: int) -> None:
        self.decide = decide
        self.keep = keep
        self.weight = weight
        self.settled = False
        self._answer: Any = None
        self._done = threading.Lock()
        self._done.acquire()

    def settle(self, answer: Any) -> None:
        """The change is durable, or (where *answer* is an exception) it was not made."""
        self._answer = answer
        self.settled = True
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

    def ask(self, decide: Decide, weight: int = 1) -> Any:
        """Make a change of about *weight* rows; its answer once it is durable, raised where it is an error."""
        ...

    def tell(self, decide: Decide, *, keep: bool = False) -> None:
        """Make a change soon. With *keep* it is tried until it can be written: what has happened can't be refused."""
        ...

    def start(self) -> None:
        """Take changes from now on."""
        ...

    def stop(self) -> None:
        """Write what waits, then take no more."""
        ...


class Journal:
    """One writer at a time: a thread of its own, or whoever asks while nobody writes. Lives while its store is open."""

    def __init__(self, write: Write, on_change: Callable[[], None]) -> None:
        self._write = write
        self._on_change = on_change
        self._thread: threading.Thread | None = None
        self._filled = threading.Condition(threading.Lock())
        # All below is guarded by _filled.
        self.broken = False
        self._inbox: list[Ticket] = []
        self._writing = False
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
            self._filled.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def ask(self, decide: Decide, weight: int = 1) -> Any:
        """See AnyJournal."""
        ticket = Ticket(decide, False, weight)
        with self._filled:
            self._put(ticket)
            batch = self._begin() if not self._writing and not self.broken else None
        if batch is not None:
            self._write_batch(batch)
        return ticket.wait()

    def tell(self, decide: Decide, *, keep: bool = False) -> None:
        """See AnyJournal."""
        ticket = Ticket(decide, keep, 1)
        with self._filled:
            self._put(ticket)
            if not self._writing:
                self._filled.notify()
            crowded = len(self._inbox) > CROWDED
        if crowded and keep:
            ticket.wait()

    def _put(self, ticket: Ticket) -> None:
        if self._stopped:
            raise NotRunning("The store is closed: start webqueue again.")
        self._inbox.append(ticket)

    def _run(self) -> None:
        while batch := self._take():
            self._write_batch(batch)

    def _take(self) -> list[Ticket] | None:
        """Wait for the next batch; None at the end."""
        with self._filled:
            if self.broken and not self._stopped:
                self._filled.wait(PROBE)
            while self._writing or not self._inbox:
                if self._stopped and not self._writing:
                    return None
                self._filled.wait()
            return self._begin()

    def _begin(self) -> list[Ticket]:
        """The calling thread writes, and nobody else: the first MOST rows of what waits."""
        self._writing = True
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
        except Exception as error:
            log.exception("The journal failed")
            self._refuse(batch, StoreUnavailable(f"The store can't be written: {error}."))
        else:
            self._end(())
            if self.broken:
                self._repaired()

    def _end(self, left: Sequence[Ticket]) -> None:
        """The calling thread writes no more; what it *left* comes first."""
        with self._filled:
            self._writing = False
            self._inbox[:0] = left
            if self._inbox or self._stopped:
                self._filled.notify()

    def _repaired(self) -> None:
        log.warning("The store can be written again.")
        self.broken = False
        self._on_change()

    def _refuse(self, batch: list[Ticket], error: Unavailable) -> None:
        """Nothing of *batch* was written: whoever can repeat it is told so, the rest is tried again a little later."""
        if not self.broken:
            log.error("The store can't be written: %s", error)
            self.broken = True
            self._on_change()
        batch = [ticket for ticket in batch if not ticket.settled]  # of those written one by one some were
        kept = [] if self._stopped else [one for one in batch if one.keep] or [Ticket(_probe, keep=True, weight=1)]
        self._end(kept)
        for ticket in batch:
            if ticket not in kept:
                ticket.settle(error)


def _probe(batch: Any) -> None:
    """Changes nothing, but makes the batch one that must be written."""
    batch.probe = True


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

    def ask(self, decide: Decide, weight: int = 1) -> Any:
        """See AnyJournal."""
        ticket = Ticket(decide, False, weight)
        with self._alone:
            self._write((ticket,))
        return ticket.wait()

    def tell(self, decide: Decide, *, keep: bool = False) -> None:
        """See AnyJournal; it is made before this returns."""
        with self._alone:
            self._write((Ticket(decide, keep, 1),))
