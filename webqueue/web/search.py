"""What one types to find jobs: ``state:failed kind:resize queue:"my mail" error:ValueError``, and words of any kind."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from webqueue.job import State
from webqueue.web.schemas import NAME_LENGTH

WORDS: Final = ("id", "state", "kind", "queue", "key", "error")
"""What may stand before a colon."""
MOST_TEXT: Final = 1_000
MOST_SAID: Final = 200
"""Characters: of a search, and of what an action led to."""
MOST_MATCHING: Final = 1_000
"""Jobs of a search that are retried or cancelled at once."""

_STATES = [state.value for state in State]
_ID = re.compile(r"[0-9]{1,16}")
# A quote closes only at the end of a word: what is copied from a payload ("width":200) stays as it is. A URL's scheme
# is no filter.
_TOKEN = re.compile(r'(?:(?P<word>[A-Za-z_]+):(?!//))?(?:"(?P<quoted>[^"]*)"(?!\S)|(?P<bare>\S*))')


class Unclear(ValueError):
    """The text can't be meant; ``str(error)`` says to a person why."""


def parse(text: str) -> dict[str, Any]:
    """The filters that *text* means: ``id`` (an integer), ``state``, ``kind``, ``queue``, ``error``, ``q``.

    ``q`` is text to be looked for as it stands: the words without a colon, or the ``key:``. Raises Unclear.
    """
    if len(text) > MOST_TEXT:
        raise Unclear(f"This is too long: {MOST_TEXT:,} characters at most.")
    filters: dict[str, Any] = {}
    words = []
    for word, value in _tokens(text):
        if word is None:
            words.append(value)
        elif word in filters:
            raise Unclear(f"There are two of {word}:, and a job has one.")
        else:
            filters[word] = _checked(word, value)
    return _with_text(filters, " ".join(words))


def as_filter(filters: Mapping[str, Any]) -> dict[str, str]:
    """*filters* as ``Filter`` names them: ``q`` is its ``text``, and it has no ``id``."""
    return {"text" if name == "q" else name: value for name, value in filters.items() if name != "id"}


def as_text(word: str, value: str) -> str:
    """What one would type for it."""
    return f'{word}:"{value}"' if re.search(r"\s", value) else f"{word}:{value}"


def _tokens(text: str) -> Iterator[tuple[str | None, str]]:
    """(what stands before the colon, or None; the value without its quotes)."""
    for match in _TOKEN.finditer(text):
        if match[0]:
            word = match["word"]
            yield word and word.lower(), match["bare"] if match["quoted"] is None else match["quoted"]


def _checked(word: str, value: str) -> Any:
    if word not in WORDS:
        raise Unclear(f'There is no {word[:40]}: to search by, only {_listed(WORDS)}. As text, put it in quotes: "…".')
    if not 0 < len(value) <= (MOST_TEXT if word == "key" else NAME_LENGTH):
        raise Unclear(f"What follows {word}: is {'missing' if not value else 'too long'}.")
    if word == "state" and value.lower() not in _STATES:
        raise Unclear(f"There is no state {value[:40]}, only {_listed(_STATES)}.")
    if word == "id" and not _ID.fullmatch(value):
        raise Unclear(f"An id is a number, not {value[:40]}.")
    return int(value) if word == "id" else value.lower() if word == "state" else value


def _with_text(filters: dict[str, Any], text: str) -> dict[str, Any]:
    """Only one text can be looked for."""
    if text and "key" in filters:
        raise Unclear("Search by key: or by words, not by both.")
    text = filters.pop("key", text)
    return {**filters, "q": text} if text else filters


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}"
