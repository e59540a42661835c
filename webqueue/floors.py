"""The oldest versions of what webqueue stands on that are safe for it, looked at once, at start.

pip sees to it when it installs; this is for what happens afterwards: another package that pulled one down, a lock file
from elsewhere, a folder put together by hand. The numbers are those of pyproject.toml.
"""

import re
from importlib import metadata
from typing import Final

from webqueue.errors import Outdated

Version = tuple[int, ...]

FLOORS: Final = {
    "gunicorn": ("26", "let requests be smuggled past a proxy (CVE-2024-1135, CVE-2024-6827; our worker builds on 26)"),
    "marshmallow": ("4.1.2", "let a small request take much time (CVE-2025-68480)"),
    "python-engineio": ("4.13.2", "is not what our WebSocket classes were made for: they replace parts of it"),
    "python-socketio": ("5.16.2", "kept unfinished binary messages for ever (CVE-2026-48804)"),
    "werkzeug": ("3.0.6", "let a form take more memory than allowed (CVE-2024-49767)"),
}
"""Distribution -> (its floor, what an older one does)."""

SQLITE: Final = (3, 35, 0)
"""SQLite's library, which belongs to Python: ``ON CONFLICT DO UPDATE`` without a target is not understood before.

Its bug of 3.7.0 to 3.51.2 that damages a WAL (https://sqlite.org/wal.html#walresetbug) needs two connections that
write or checkpoint at once; of ours one does (``stores/sqlite.py``), so no floor follows from it.
"""


def check() -> None:
    """Raise Outdated, in one line with the command to run, where something installed is too old.

    What has no metadata (as in a frozen program) can't be told and is taken as it is.
    """
    old = {name: found for name in FLOORS if (found := _installed(name)) and numbers(found) < numbers(FLOORS[name][0])}
    if old:
        told = "; ".join(f"{name} {found} {FLOORS[name][1]}" for name, found in old.items())
        wanted = " ".join(f"'{name}>={FLOORS[name][0]}'" for name in old)
        raise Outdated(f"Too old to be safe: {told}. Run: pip install --upgrade {wanted}")


def numbers(version: str) -> Version:
    """The release part of a version, three numbers at least: ``"26.0rc1"`` is ``(26, 0, 0)``."""
    found = re.match(r"(?:\d+!)?v?(\d+(?:\.\d+)*)", version)
    parts = [int(part) for part in found[1].split(".")] if found else []
    return (*parts, *[0] * (3 - len(parts)))


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
