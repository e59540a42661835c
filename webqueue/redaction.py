"""What must not be shown: values under names that tell a secret, and fields that a schema marks ``secret=True``."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from webqueue import strictjson

HIDDEN: Final = "•••"
PREVIEW: Final = 200
"""Characters of a payload in a list."""
CAP: Final = 4_096
"""Bytes of a payload in a rejection."""
MESSAGES: Final = 2_000
"""Characters of the messages in a rejection."""
MORE: Final = {"…": ["More messages than are kept."]}

NOT_JSON: Final = "(not JSON)"

SECRET_NAMES: Final = re.compile(
    r"passw|passphrase|secret|token|api.?key|authorization|credential|private.?key|session.?id|cookie", re.IGNORECASE
)
"""The page's script hides the same: it has this pattern from the template, so it must be one for JavaScript too."""


def redacted(value: Any, secret: Collection[str] = ()) -> Any:
    """A copy of the JSON *value* without what stands under a secret name, at any depth."""
    if isinstance(value, dict):
        return {
            key: HIDDEN if key in secret or SECRET_NAMES.search(str(key)) else redacted(inner, secret)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [redacted(inner, secret) for inner in value]
    return value


def preview(payload: bytes, secret: Collection[str] = ()) -> str:
    """The payload as text, redacted, at most PREVIEW characters."""
    text = payload.decode()
    if secret or SECRET_NAMES.search(text):
        text = strictjson.dump(redacted(json.loads(payload), secret)).decode()
    return text if len(text) <= PREVIEW else text[: PREVIEW - 1] + "…"


def capped(value: Any, secret: Collection[str] = ()) -> bytes:
    """The JSON *value* as text, redacted; what is longer than CAP becomes a JSON string that ends in an ellipsis."""
    try:
        text = strictjson.dump(redacted(value, secret))
    except (TypeError, ValueError, RecursionError):  # only from Python code: what came as JSON is JSON
        return strictjson.dump(NOT_JSON)
    if len(text) <= CAP:
        return text
    return strictjson.dump(text[:CAP].decode(errors="ignore") + "…")


def shortened(errors: Mapping[str, Any]) -> dict[str, Any]:
    """*errors*, nested as they are, as far as MESSAGES characters go; who sends many wrong fields fills no memory."""
    kept, left = _first(errors, MESSAGES)
    return dict(kept) if left > 0 else kept | MORE


def _first(value: Any, room: int) -> tuple[Any, int]:
    """As much of *value* as there is *room* for, and the room that is left: 0 or less where something was left out."""
    if isinstance(value, str):
        return value[: max(room, 0)], room - len(value) - 1
    if isinstance(value, Mapping):
        fields: dict[Any, Any] = {}
        for name, inner in value.items():
            if room > 0:
                name, room = _first(name, room)
                fields[name], room = _first(inner, room)
        return fields, room
    if isinstance(value, list | tuple):
        items: list[Any] = []
        for inner in value:
            if room > 0:
                item, room = _first(inner, room)
                items.append(item)
        return items, room
    return value, room - 1
