"""The strict reader of JSON, and the writer."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webqueue import strictjson
from webqueue.strictjson import MAX_DEPTH, MAX_INTEGER, NotJSON

GOOD: list[tuple[bytes, Any]] = [
    (b"null", None),
    (b" [1, 2.5,\n\ttrue] ", [1, 2.5, True]),
    (b'{"a":{"b":[]}}', {"a": {"b": []}}),
    (b'{"":1}', {"": 1}),
    (b"9007199254740991", MAX_INTEGER),
    (b"-9007199254740991", -MAX_INTEGER),
    (b"-0", 0),
    (b"1e308", 1e308),
    (b"1E-400", 0.0),
    (b"9007199254740993.0", 9007199254740992.0),
    ('"\u00e4 \U0001f388"'.encode(), "\u00e4 \U0001f388"),
    (b'"\\ud83c\\udf88"', "\U0001f388"),
    (b'"\\u0000"', "\0"),
    (b'"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["', "[" * 38),
    (b'"\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["', '"' + "[" * 38),
    (b'"\\\\ud800"', "\\ud800"),
    (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
    (b"[" + b"[]," * 100 + b"[]]", [[]] * 101),
    (b'{"a":1,"A":2}', {"a": 1, "A": 2}),
]
BAD: list[tuple[bytes, str]] = [
    (b"", "Not JSON"),
    (b" ", "Not JSON"),
    (b"{", "Not JSON"),
    (b"[1,]", "Not JSON"),
    (b'{"a":1,}', "Not JSON"),
    (b"{a:1}", "Not JSON"),
    (b"'a'", "Not JSON"),
    (b"01", "Not JSON"),
    (b"+1", "Not JSON"),
    (b".5", "Not JSON"),
    (b"1.", "Not JSON"),
    (b"1 2", "Not JSON"),
    (b"[] x", "Not JSON"),
    (b"nul", "Not JSON"),
    (b"True", "Not JSON"),
    (b'"a\nb"', "Not JSON"),
    (b'"\\x41"', "Not JSON"),
    (b"\xef\xbb\xbf{}", "Not JSON"),
    (b"// no\n1", "Not JSON"),
    (b"NaN", "NaN"),
    (b"[Infinity]", "Infinity"),
    (b"-Infinity", "-Infinity"),
    (b"1e400", "too large"),
    (b"-1e400", "too large"),
    (b"9007199254740992", "beyond"),
    (b"-9007199254740992", "beyond"),
    (b"1" * 5000, "beyond"),
    (b'{"a":1,"a":1}', "stands twice"),
    (b'{"a":1,"\\u0061":1}', "stands twice"),
    (b'[{"b":{"a":1,"c":2,"a":3}}]', "stands twice"),
    (b'"\\ud800"', "stands alone"),
    (b'{"\\udfff":1}', "stands alone"),
    (b'["\\ud83c x"]', "stands alone"),
    (b'"\xff"', "UTF-8 at byte 1"),
    (b'"\xed\xa0\x80"', "UTF-8"),
    (b'"\xc0\x80"', "UTF-8"),
    ('"a"'.encode("utf-16"), "UTF-8"),
    (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "deeper"),
    (b'{"a":' * 33 + b"1" + b"}" * 33, "deeper"),
    (b"[" * 100_000, "deeper"),
    (b'{"a":[' * 100_000, "deeper"),
    (b'["\\"",' * 40 + b"1" + b"]" * 40, "deeper"),
]


@pytest.mark.parametrize(("raw", "value"), GOOD, ids=[raw[:20].decode() for raw, _ in GOOD])
def test_good(raw: bytes, value: Any) -> None:
    """What is JSON is read."""
    read = strictjson.read(raw)

    assert value is None or value == read


@pytest.mark.parametrize(("raw", "word"), BAD, ids=[f"{i}-{raw[:16]!r}" for i, (raw, _) in enumerate(BAD)])
def test_bad(raw: bytes, word: str) -> None:
    """What is not is refused, with one short line that says why."""
    with pytest.raises(NotJSON) as raised:
        strictjson.read(raw)

    message = str(raised.value)
    assert word in message
    assert "\n" not in message
    assert len(message) < 200


def test_depth_can_be_told() -> None:
    """An array of pushes is one deeper than a push."""
    assert [[1]] == strictjson.read(b"[[1]]", 2)
    with pytest.raises(NotJSON):
        strictjson.read(b"[[[1]]]", 2)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u018dDeE.+-nul', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """Whatever comes is read, and can be written again, or is NotJSON."""
    try:
        value = strictjson.read(raw)
    except NotJSON:
        return
    assert value == json.loads(raw)
    assert value == strictjson.read(strictjson.dump(value))


_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(_JSON)
def test_what_is_written_is_read_again(value: Any) -> None:
    """The writer writes what the reader reads."""
    assert value == strictjson.read(strictjson.dump(value))


def test_writer() -> None:
    """Compact, in UTF-8."""
    assert '{"a":[1,"ä"]}'.encode() == strictjson.dump({"a": [1, "ä"]})


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf], "\ud800", {"\udfff": 1}])
def test_writer_refuses_values(value: Any) -> None:
    """NaN, Infinity and lone surrogates are no JSON."""
    with pytest.raises(ValueError):  # noqa: PT011 - of several classes
        strictjson.dump(value)


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), {(1, 2): 3}])
def test_writer_refuses_types(value: Any) -> None:
    """Nor is what has no form in JSON."""
    with pytest.raises(TypeError):
        strictjson.dump(value)


def test_writer_refuses_circles() -> None:
    """Nor is what contains itself."""
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        strictjson.dump(circle)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (b'{"a":1,"b":2}', b'{"b":2, "a":1}', True),
        (b"1", b"1.0", True),
        (b"[1e2]", b"[100]", True),
        (b'"\\u00e4"', '"ä"'.encode(), True),
        (b"-0.0", b"0", True),
        (b"1", b"true", False),
        (b"0", b"false", False),
        (b'"1"', b"1", False),
        (b"[1,2]", b"[2,1]", False),
        (b"{}", b"[]", False),
        (b'{"a":null}', b"{}", False),
        (b"1e308", b"1e307", False),
    ],
)
def test_canonical(one: bytes, other: bytes, equal: bool) -> None:
    """Two texts that are equal as JSON have one canonical form, others have not."""
    assert equal == (strictjson.canonical(strictjson.read(one)) == strictjson.canonical(strictjson.read(other)))
