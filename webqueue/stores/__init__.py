"""URL scheme → store. A new store is a new branch here and a module beside this one."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from webqueue.errors import SettingsError
from webqueue.feed import Feed
from webqueue.limits import Limit
from webqueue.meters import Meters
from webqueue.stores.local import LocalStore
from webqueue.stores.memory import MemoryTables
from webqueue.stores.owner import Owner
from webqueue.stores.recorder import Recorder
from webqueue.stores.sqlite import SqliteTables
from webqueue.stores.upkeep import Retention
from webqueue.timers import Timers

UNLIMITED: Final = 2**62
_FORMS: Final = "sqlite:///FILE, sqlite:///FILE?sync=normal or memory:"


@dataclass(frozen=True, slots=True)
class Address:
    """What a store URL says."""

    path: Path | None
    """None: in memory."""
    flushed: bool

    @property
    def name(self) -> str:
        """What a person calls it."""
        return "memory" if self.path is None else self.path.name

    @property
    def durability(self) -> str:
        """What survives, in words."""
        if self.path is None:
            return "in memory, gone with the process"
        return "flushed to disk" if self.flushed else "written, not flushed: a power cut may lose the last moments"


def parse(url: str) -> Address:
    """Read a store URL. Raises SettingsError that shows the forms."""
    scheme, _, rest = url.partition(":")
    if url in ("memory:", "memory://"):
        return Address(None, flushed=False)
    if scheme in ("postgres", "postgresql"):
        raise SettingsError(f"WEBQUEUE_STORE: {scheme}:// is not there yet; use {_FORMS}.")
    if scheme != "sqlite" or not rest.startswith("///"):
        raise SettingsError(f"WEBQUEUE_STORE={url!r} is not a store; write {_FORMS}.")
    file, _, query = rest[3:].partition("?")
    options = parse_qs(query, keep_blank_values=True)
    sync = options.pop("sync", ["full"])[-1]
    if not file or options or sync not in ("full", "normal"):
        raise SettingsError(f"WEBQUEUE_STORE={url!r}: write {_FORMS}.")
    return Address(Path(file).absolute(), flushed=sync == "full")


def make_store(
    address: Address,
    *,
    feed: Feed,
    timers: Timers,
    clock: Callable[[], int],
    consumers: Mapping[str, int],
    kinds: Collection[str],
    limits: Mapping[str, Limit],
    max_todo: int,
    retention: Retention,
    meters: Meters,
) -> LocalStore:
    """The store at *address*, not yet open."""
    common: dict[str, Any] = {
        "feed": feed,
        "timers": timers,
        "clock": clock,
        "groups": tuple(consumers),
        "kinds": kinds,
        "limits": limits,
        "max_todo": max_todo,
        "retention": retention,
        "meters": meters,
    }
    path = address.path
    if path is None:
        return LocalStore(MemoryTables(), window=UNLIMITED, **common)
    return LocalStore(
        SqliteTables(path, flushed=address.flushed),
        owner=Owner(path),
        recorder=Recorder(path.with_name(path.name + ".flight"), sum(consumers.values())),
        durable=True,
        **common,
    )
