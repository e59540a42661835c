"""The one reader of JSON that comes from outside, and the one writer.

Python's ``json`` takes more than JSON (NaN, duplicate keys, lone surrogates), and a text nested a thousand deep ends in
a RecursionError. What is read here can be written again by any client, in any language, without a change (RFC 8259 and
I-JSON, RFC 7493).
"""

import json
import math
import re
from typing import Any, Final

MAX_DEPTH: Final = 32
MAX_INTEGER: Final = 2**53 - 1
"""The largest integer that every client reads exactly (RFC 7493 §2.2)."""

_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotJSON(ValueError):
    """A text is not JSON as webqueue takes it; the message says where and why."""


def read(raw: bytes, depth: int = MAX_DEPTH) -> Any:
    """The value that the JSON text *raw* (UTF-8), nested *depth* at most, stands for. Raises NotJSON."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJSON(f"Not UTF-8 at byte {error.start}.") from None
    _check_depth(text, depth)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise NotJSON(f"Not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from None
    if _SURROGATE.search(text):
        _check_surrogates(value)
    return value


def dump(value: Any) -> bytes:
    """*value* as compact JSON in UTF-8. Raises ValueError (NaN, Infinity, a lone surrogate, a circle) or TypeError."""
    return _ENCODER.encode(value).encode()


def canonical(value: Any) -> bytes:
    """One text for all that is equal as JSON: keys sorted, ``1.0`` as ``1``."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_depth(text: str, most: int) -> None:
    if text.count("[") + text.count("{") <= most:
        return
    depth = 0
    for token in _TOKENS.findall(text):
        if token in "[{":
            depth += 1
            if depth > most:
                raise NotJSON(f"Nested deeper than {most}.")
        elif token in "]}":
            depth -= 1


def _check_surrogates(value: Any) -> None:
    try:
        dump(value)
    except UnicodeEncodeError:
        raise NotJSON("A \\ud800 … \\udfff escape stands alone: not a character.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise NotJSON(f"The key {twice[:100]!r} stands twice in one object.")
    return result


def _integer(text: str) -> int:
    if len(text) > 17 or abs(number := int(text)) > MAX_INTEGER:
        raise NotJSON(f"The integer {text[:20]} is beyond ±(2^53-1): send it as a string.")
    return number


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotJSON(f"The number {text[:20]} is too large.")
    return number


def _constant(text: str) -> Any:
    raise NotJSON(f"{text} is not JSON.")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
