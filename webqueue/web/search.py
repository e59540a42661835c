"""What one types to find jobs: ``state:failed kind:resize payload.user.id=7``, and words of any kind."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from webqueue.job import State
from webqueue.stores.tables import steps
from webqueue.web.schemas import NAME_LENGTH

WORDS: Final = ("id", "state", "kind", "queue", "key", "error", "since")
"""What may stand before a colon."""
MOST_TEXT: Final = 1_000
MOST_SAID: Final = 200
"""Characters: of a search, and of what an action led to."""
MOST_MATCHING: Final = 1_000
"""Jobs of a search that one action is for."""

MOST_PATHS: Final = 5
"""Values that are looked for in one payload."""
_PAYLOAD: Final = "payload."

_STATES = [state.value for state in State]
_ID = re.compile(r"[0-9]{1,16}")
# A quote closes only at the end of a word: what is copied from a payload ("width":200) stays as it is. A URL's scheme
# is no filter.
_TOKEN = re.compile(
    r'(?:(?P<word>[A-Za-z_]+):(?!//)|(?P<path>payload\.[^\s="]+)=)?(?:"(?P<quoted>[^"]*)"(?!\S)|(?P<bare>\S*))'
)


class Unclear(ValueError):
    """The text can't be meant; ``str(error)`` says to a person why."""


def parse(text: str) -> dict[str, Any]:
    """The filters that *text* means: ``id`` (an integer), ``state``, ``kind``, ``queue``, ``error``, ``q``;
    ``since`` (µs), ``payload`` (pairs of path and value).

    ``q`` is text to be looked for as it stands: the words without a colon, or the ``key:``. Raises Unclear.
    """
    if len(text) > MOST_TEXT:
        raise Unclear(f"This is too long: {MOST_TEXT:,} characters at most.")
    filters: dict[str, Any] = {}
    words = []
    for word, value in _tokens(text):
        if word is None:
            words.append(value)
        elif word.startswith(_PAYLOAD):
            filters["payload"] = _with_path(filters.get("payload", ()), word.removeprefix(_PAYLOAD), value)
        elif word in filters:
            raise Unclear(f"There are two of {word}:, and a job has one.")
        else:
            filters[word] = _checked(word, value)
    return _with_text(filters, " ".join(words))


def as_filter(filters: Mapping[str, Any]) -> dict[str, Any]:
    """*filters* as ``Filter`` names them: ``q`` is its ``text``, and it has no ``id``."""
    return {"text" if name == "q" else name: value for name, value in filters.items() if name != "id"}


def as_text(word: str, value: str) -> str:
    """What one would type for it."""
    return f'{word}:"{value}"' if re.search(r"\s", value) else f"{word}:{value}"


def _tokens(text: str) -> Iterator[tuple[str | None, str]]:
    """(what stands before the colon, or None; the value without its quotes)."""
    for match in _TOKEN.finditer(text):
        if match[0]:
            word = match["word"] and match["word"].lower()
            yield word or match["path"], match["bare"] if match["quoted"] is None else match["quoted"]


def _checked(word: str, value: str) -> Any:
    if word not in WORDS:
        raise Unclear(f'There is no {word[:40]}: to search by, only {_listed(WORDS)}. As text, put it in quotes: "…".')
    if not 0 < len(value) <= (MOST_TEXT if word == "key" else NAME_LENGTH):
        raise Unclear(f"What follows {word}: is {'missing' if not value else 'too long'}.")
    if word == "state" and value.lower() not in _STATES:
        raise Unclear(f"There is no state {value[:40]}, only {_listed(_STATES)}.")
    if word == "id" and not _ID.fullmatch(value):
        raise Unclear(f"An id is a number, not {value[:40]}.")
    return _READ.get(word, str)(value)


def _moment(text: str) -> int:
    """µs since 1970."""
    try:
        at = datetime.fromisoformat(text)
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        raise Unclear(f"A time is written as 2030-01-31T12:00:00Z, not {text[:40]}.") from None


_READ: Final[Mapping[str, Any]] = {"id": int, "state": str.lower, "since": _moment}


def _with_path(known: tuple[tuple[str, str], ...], path: str, value: str) -> tuple[tuple[str, str], ...]:
    if not 0 < len(value) <= NAME_LENGTH or len(path) > NAME_LENGTH:
        raise Unclear(f"What follows payload.{path[:40]}= is {'missing' if not value else 'too long'}.")
    if len(known) == MOST_PATHS:
        raise Unclear(f"Search for {MOST_PATHS} values of a payload at most.")
    try:
        steps(path)
    except ValueError:
        raise Unclear(f"A path is written as payload.customer.orders[0].id, not payload.{path[:40]}.") from None
    return (*known, (path, value))


def _with_text(filters: dict[str, Any], text: str) -> dict[str, Any]:
    """Only one text can be looked for."""
    if text and "key" in filters:
        raise Unclear("Search by key: or by words, not by both.")
    text = filters.pop("key", text)
    return {**filters, "q": text} if text else filters


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}"
