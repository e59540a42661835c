"""What must not be shown."""

import json
from typing import Any

import pytest

from webqueue.redaction import CAP, HIDDEN, MESSAGES, PREVIEW, capped, preview, redacted, shortened


@pytest.mark.parametrize(
    "name",
    ["password", "passwd", "userPassword", "PASSPHRASE", "client_secret", "token", "access_token", "api_key", "apiKey",
     "API-KEY", "authorization", "credentials", "private_key", "sessionId", "session_id", "Cookie"],
)  # fmt: skip
def test_secret_names(name: str) -> None:
    """Values under such names are hidden, at any depth, whatever they are."""
    assert {"a": [{name: HIDDEN}]} == redacted({"a": [{name: {"deep": "x"}}]})


@pytest.mark.parametrize("name", ["pass", "key", "name", "author", "monkey", "user", "keys"])
def test_plain_names(name: str) -> None:
    """Other names are shown."""
    assert {name: "x"} == redacted({name: "x"})


def test_declared_names() -> None:
    """So are those that a schema marks as secret."""
    assert {"pin": HIDDEN, "a": {"pin": HIDDEN}} == redacted({"pin": 1, "a": {"pin": 2}}, {"pin"})


def test_the_original_is_untouched() -> None:
    """A copy is made."""
    value = {"a": [{"password": "x"}]}
    redacted(value)

    assert {"a": [{"password": "x"}]} == value


def test_preview() -> None:
    """The text, redacted before it is cut; at most so many characters."""
    assert '{"a":"ä"}' == preview('{"a":"ä"}'.encode())
    long = preview(json.dumps({"a": "x" * 500}).encode())
    assert (PREVIEW, "…") == (len(long), long[-1])
    assert "hunter" not in preview(json.dumps({"a": "x" * 190, "password": "hunter2"}).encode())
    assert "1234" not in preview(b'{"pin":"1234"}', {"pin"})


@pytest.mark.parametrize("payload", [{"token_id": 2**70}, {"token": 1, "deep": json.loads("[" * 60 + "]" * 60)}])
def test_preview_of_what_python_pushed(payload: Any) -> None:
    """What Python code may push and HTTP may not (large integers, deep nesting) is shown all the same."""
    assert HIDDEN in preview(json.dumps(payload).encode())


def test_capped() -> None:
    """A small value stays as it is; a large one becomes the beginning of its text, as JSON."""
    assert {"a": 1, "secret": HIDDEN} == json.loads(capped({"a": 1, "secret": 2}))
    cut = json.loads(capped({"a": "ä" * CAP}))
    assert isinstance(cut, str)
    assert cut.startswith('{"a":"ää')
    assert cut.endswith("…")
    assert len(cut.encode()) <= CAP + 3


@pytest.mark.parametrize("value", [{"a": {1, 2}}, {"a": float("nan")}, {"a": "\ud800"}, {1: object()}, b"x"])
def test_capped_of_what_is_no_json(value: Any) -> None:
    """What Python code pushed and JSON has no form for still makes a rejection that can be shown."""
    json.loads(capped(value))


def test_capped_of_a_circle() -> None:
    """Even a circle."""
    circle: dict[str, Any] = {}
    circle["a"] = circle
    json.loads(capped(circle))


def test_few_messages_stay() -> None:
    """Messages that are not many stay as they are, as a copy."""
    errors = {"payload": {"n": ["Not a valid integer."], "at": {0: {"x": ["no", 7]}}}, "kind": []}

    assert errors == shortened(errors)
    assert errors is not shortened(errors)


@pytest.mark.parametrize(
    "errors",
    [
        {"payload": {f"field {n}": ["Unknown field."] for n in range(20_000)}},
        {"payload": {"x" * 100_000: ["Unknown field."]}},
        {"payload": {"n": ["no"] * 20_000, "m": ("no",)}},
        {"payload": {"n": ["x" * 100_000], "m": {"deep": ["no"]}}},
        {"payload": {"n": list(range(20_000))}, "kind": ["no"]},
    ],
)
def test_many_messages_are_cut(errors: dict[str, Any]) -> None:
    """Of many, or of long ones, the first are kept, nested as they were, and it is said that there were more."""
    kept = shortened(errors)

    assert ["payload", "…"] == list(kept)
    assert isinstance(kept["payload"], dict)
    assert 0 < len(json.dumps(kept)) < 6 * MESSAGES
