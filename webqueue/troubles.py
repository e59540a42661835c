"""What is wrong, in one line each that says what to do; nothing where all is well.

The rules are in a table and know plain facts only. Facts come from memory and two calls about the files, so that asking
costs some ten microseconds, whatever the store holds.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

LATELY: Final = 3600.0
"""Seconds after a start for which it is said that the last process died."""
STUCK: Final = 2.0
"""Seconds past its time limit from which a running job is called overdue."""
BEHIND: Final = 90.0
"""Seconds after which a recurring job that was due has not been pushed; its alarm looks at the clock each minute."""
NEARLY: Final = 90
"""Per cent of ``WEBQUEUE_MAX_TODO``."""
LOW_DISK: Final = 100 * 2**20
"""Bytes."""
LARGE_LOG: Final = 256 * 2**20
"""Bytes of a write-ahead log; SQLite's own limit between two checkpoints is far below."""
SLOW: Final = 0.5
"""Seconds that a commit takes, in the mean of the last ten or so."""

Trouble = dict[str, str]
"""``{"code", "message"}``"""


class Facts(NamedTuple):
    """What is known of this moment; the defaults are those of a healthy queue."""

    draining: bool = False
    consumers: int = 1
    alive: int = 1
    todo: int = 0
    max_todo: int = 1_000_000
    overdue: Sequence[tuple[int, str]] = ()
    """(id, kind) of those that have run past their limit for STUCK seconds."""
    crashed: Sequence[tuple[int, str, int]] = ()
    """(id, kind, how often) of those that ran when the last process died."""
    up: float = 0.0
    """Seconds since the start."""
    writable: bool = True
    free: int | None = None
    """Bytes of the disk; None where there is none."""
    log: int = 0
    """Bytes of the write-ahead log."""
    commit: float = 0.0
    """Seconds that a commit takes of late."""
    unpushed: Sequence[str] = ()
    """Kinds that recur and were not pushed when they were due."""


def troubles(facts: Facts) -> list[Trouble]:
    """What is wrong, the worst first. Their texts change only where something else is to be done, or by a count."""
    found = ((code, rule(facts)) for code, rule in _RULES.items())
    return [{"code": code, "message": message} for code, message in found if message]


def _store(facts: Facts) -> str:
    if facts.writable or _full(facts):
        return ""
    return "The store can't be written, pushes get 503: read the log; it goes on by itself once writing works again."


def _disk(facts: Facts) -> str:
    if _full(facts):
        return "The disk is full, pushes get 507: free some space, or set WEBQUEUE_KEEP_FINISHED lower."
    if facts.free is not None and facts.free < LOW_DISK:
        return "The disk is nearly full, less than 100 MB are free: free some space before pushes are refused."
    return ""


def _full(facts: Facts) -> bool:
    return not facts.writable and facts.free is not None and facts.free < LOW_DISK


def _consumers(facts: Facts) -> str:
    if facts.draining:
        return ""
    if not facts.consumers:
        return "Jobs wait and there is no consumer: set WEBQUEUE_CONSUMERS to 1 or more." if facts.todo else ""
    dead = facts.consumers - facts.alive
    if dead == facts.consumers:
        return "No consumer is alive, nothing starts: read the log for why, and restart webqueue."
    some = f"{dead} of {facts.consumers} consumers are dead: read the log for why, and restart webqueue."
    return some if dead else ""


def _overdue(facts: Facts) -> str:
    if not facts.overdue:
        return ""
    number, (id, kind) = len(facts.overdue), facts.overdue[0]
    who = f"Job {id} ({kind}) runs" if number == 1 else f"{number} jobs run, job {id} ({kind}) first,"
    return f"{who} past the time limit and can't be stopped in a thread: register the kind with process=True."


def _crashes(facts: Facts) -> str:
    if not facts.crashed or facts.up > LATELY:
        return ""
    id, kind, times = max(facts.crashed, key=lambda one: one[2])
    often = "" if times == 1 else f", for the {_ordinal(times)} time"
    rest = "" if len(facts.crashed) == 1 else f" and {len(facts.crashed) - 1} more"
    return (
        f"The process died while job {id} ({kind}){rest} ran{often}: look for a crash or out of memory in the system's"
        " log, and cancel the job if it is the cause."
    )


def _ordinal(number: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(number, f"{number}th")


def _queue(facts: Facts) -> str:
    share = 100 * facts.todo // max(1, facts.max_todo)
    if share < NEARLY:
        return ""
    how = "full, pushes get 429" if share >= 100 else f"{share} % full"
    return f"The queue is {how}: add consumers, or raise WEBQUEUE_MAX_TODO."


def _recurring(facts: Facts) -> str:
    if not facts.unpushed:
        return ""
    return f"What recurs was not pushed when due: {', '.join(facts.unpushed[:5])}. Read the log, and push it by hand."


def _wal(facts: Facts) -> str:
    if facts.log < LARGE_LOG:
        return ""
    return "The write-ahead log has grown over 256 MB: end what holds the file open (a backup, an SQLite shell)."


def _commits(facts: Facts) -> str:
    if facts.commit < SLOW:
        return ""
    return "Commits take over 0.5 s: the disk is slow or busy; find what else writes to it, or move the store."


_RULES: Final[dict[str, Callable[[Facts], str]]] = {
    "store": _store,
    "disk": _disk,
    "consumers": _consumers,
    "crashes": _crashes,
    "overdue": _overdue,
    "full": _queue,
    "recurring": _recurring,
    "wal": _wal,
    "slow": _commits,
}
