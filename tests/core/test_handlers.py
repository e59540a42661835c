"""The registry of handlers, and what their signatures say."""

from typing import Any

import pytest
from marshmallow import Schema, ValidationError, fields

from webqueue.backoff import Backoff
from webqueue.errors import SettingsError
from webqueue.handlers import Handlers


def _plain(a: int, b: str = "x") -> int:
    """Adds.

    Not this.
    """
    return a


def test_a_handler_is_still_its_function() -> None:
    """A registered function is called as before, and can be tested so."""
    handler = Handlers().register(_plain)

    assert (3, "_plain", "Adds.") == (handler(3), handler.kind, handler.doc)


def test_exact_names_only() -> None:
    """A kind is found by its exact name; a near one is offered."""
    handlers = Handlers()
    handlers.register(_plain, kind="resize")

    assert (None, "resize", None) == (handlers.get("Resize"), handlers.nearest("resize2"), handlers.nearest("zzz"))
    assert "resize" in handlers
    assert {"resize"} == set(handlers.kinds)


def test_two_of_one_name() -> None:
    """Two handlers can't have one name."""
    handlers = Handlers()
    handlers.register(_plain)
    with pytest.raises(SettingsError, match="_plain"):
        handlers.register(_plain)


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "x" * 201},
        {"kind": "a\nb"},
        {"max_attempts": 0},
        {"max_attempts": 1001},
        {"max_attempts": "3"},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": 10**6 + 1},
        {"timeout": float("nan")},
        {"priority": "high"},
        {"priority": 2**31},
        {"priority": 1.5},
        {"queue": ""},
        {"queue": "x" * 201},
        {"queue": 3},
        {"backoff": 5},
        {"rate": "10"},
        {"rate": "0/m"},
        {"rate": "10/w"},
        {"retries": 3},
    ],
    ids=str,
)
def test_registrations_that_make_no_sense(options: dict[str, Any]) -> None:
    """What makes no sense is refused where it is written, not when a job fails; nothing is registered."""
    handlers = Handlers()
    with pytest.raises(SettingsError):
        handlers.register(_plain, **options)
    assert 0 == len(handlers)


def test_one_exception_class_is_enough() -> None:
    """``retry_on`` and ``give_up_on`` take a class or several."""
    handler = Handlers().register(_plain, retry_on=(OSError, ValueError), give_up_on=FileNotFoundError)

    errors = (OSError(), ValueError(), FileNotFoundError(), KeyError())
    assert [True, True, False, False] == [handler.may_retry(error) for error in errors]


def test_schema_of_the_signature() -> None:
    """Parameters make a schema: required without a default, of the annotated type, and no others."""

    def handler(a: int, b: float, c: str = "", d: bool = False, e: list = [], f: dict = {}, g=None):  # type: ignore[no-untyped-def,type-arg]  # noqa: B006
        pass

    schema = Handlers().register(handler).schema
    assert schema is not None
    assert {"a": 1, "b": 2.0, "g": [1]} == schema.load({"a": 1, "b": 2, "g": [1]})
    for bad in (
        {"b": 1.0}, {"a": "1", "b": 1.0}, {"a": 1.5, "b": 1.0}, {"a": 1, "b": "x"}, {"a": 1, "b": 1.0, "z": 1},
        {"a": None, "b": 1.0}, {"a": 1, "b": 1.0, "c": 5}, {"a": 1, "b": 1.0, "e": {}}, {"a": 1, "b": 1.0, "f": []},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            schema.load(bad)


def test_keywords_take_anything() -> None:
    """``**payload`` alone takes any object; beside named parameters these are checked."""

    def any_at_all(**payload: Any) -> None:
        pass

    def some(a: int, **more: Any) -> None:
        pass

    handlers = Handlers()
    assert None is handlers.register(any_at_all).schema
    schema = handlers.register(some).schema
    assert schema is not None
    assert {"a": 1, "z": 2} == schema.load({"a": 1, "z": 2})
    with pytest.raises(ValidationError):
        schema.load({"z": 2})


def test_annotations_as_text() -> None:
    """Under ``from __future__ import annotations`` a signature says the same."""
    space: dict[str, Any] = {}
    exec("from __future__ import annotations\ndef later(a: int): pass", space)
    schema = Handlers().register(space["later"]).schema

    assert schema is not None
    with pytest.raises(ValidationError):
        schema.load({"a": "x"})


def test_positional_only_is_refused() -> None:
    """A payload is given by name."""

    def handler(a: int, /) -> None:
        pass

    with pytest.raises(SettingsError, match="positional"):
        Handlers().register(handler)


def test_secret_fields() -> None:
    """Fields that a schema marks as secret, under the names that they have in JSON."""

    class Login(Schema):
        user = fields.String()
        pin = fields.String(metadata={"secret": True})
        code = fields.String(data_key="theCode", metadata={"secret": True})

    assert {"pin", "theCode"} == Handlers().register(_plain, schema=Login).secret


def test_pushing_before_there_is_a_queue() -> None:
    """A push before ``create_app`` says what to do."""
    with pytest.raises(RuntimeError, match="init_app"):
        Handlers().register(_plain).push(a=1)


def test_push_bodies() -> None:
    """``push``, ``options`` and ``push_many`` make bodies as HTTP would have them; positional arguments are refused."""
    seen: list[Any] = []

    def push(bodies: Any, *, alone: bool = False) -> list[Any]:
        seen.append((list(bodies), alone))
        return list(bodies)

    handler = Handlers(push).register(_plain, kind="k")
    handler.push(a=1)
    handler.options(delay=60, priority=5).push(a=2)
    handler.push_many([{"a": 3}, {"a": 4}])
    with pytest.raises(TypeError):
        handler.push(1)

    assert [
        ([{"kind": "k", "payload": {"a": 1}}], True),
        ([{"kind": "k", "payload": {"a": 2}, "delay": 60, "priority": 5}], True),
        ([{"kind": "k", "payload": {"a": 3}}, {"kind": "k", "payload": {"a": 4}}], False),
    ] == seen


def test_backoff() -> None:
    """By default 1, 2, 4 … s, ± 10 %, an hour at most; no number of attempts or factor is too large."""
    plain = Backoff(jitter=0)
    assert [1, 2, 4, 8, 3600, 3600] == [plain.delay(attempt) for attempt in (1, 2, 3, 4, 50, 1000)]
    assert 3600 == Backoff(factor=1e9, jitter=0).delay(1000)

    delays = [Backoff().delay(3) for _ in range(500)]
    assert all(3.6 <= delay <= 4.4 for delay in delays)
    assert max(delays) - min(delays) > 0.4


class _Card(Schema):
    pin = fields.String(metadata={"secret": True}, data_key="PIN")
    owner = fields.Nested("_Person")


class _Person(Schema):
    cards = fields.List(fields.Nested(_Card))
    name = fields.String()


def test_secrets_are_known_at_any_depth() -> None:
    """Inside nested schemas and lists of them, by the names that the JSON has; also where schemas hold each other."""
    handler = Handlers().register(lambda **_: None, kind="pay", schema=_Person)
    assert {"PIN"} == handler.secret
