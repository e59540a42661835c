"""The checks at the door."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from marshmallow import Schema, ValidationError, fields, validate

from webqueue.errors import Unfit
from webqueue.fitness import Fitness
from webqueue.handlers import Handlers
from webqueue.job import Job, State

NOW = 1_700_000_000_000_000


class Resize(Schema):
    url = fields.Url(required=True)
    width = fields.Integer(load_default=200, validate=validate.Range(1, 1000))


@pytest.fixture(name="handlers")
def _handlers() -> Handlers:
    handlers = Handlers()

    def resize(url: str, width: int) -> None:
        pass

    def echo(**payload: Any) -> None:
        pass

    handlers.register(resize, schema=Resize, queue="images", priority=3, max_attempts=5, timeout=30)
    handlers.register(echo)
    return handlers


@pytest.fixture(name="fitness")
def _fitness(handlers: Handlers) -> Fitness:
    return Fitness(handlers, lambda: NOW)


def _unfit(fitness: Fitness, body: object, key: str | None = None) -> dict[str, Any]:
    with pytest.raises(Unfit) as raised:
        fitness.check(body, key)
    return raised.value.errors


def _push(fitness: Fitness, **more: Any) -> Job:
    return fitness.check({"kind": "echo", **more})


def test_defaults_come_from_the_handler(fitness: Fitness) -> None:
    """Where the push says nothing, its kind's defaults count; where it does, that counts."""
    url = {"url": "http://example.org/a.png"}
    job = fitness.check({"kind": "resize", "payload": url})
    assert ("images", 3, 5, 30, State.TODO) == (job.queue, job.priority, job.max_attempts, job.timeout, job.state)

    own = {"queue": "q", "priority": -1, "max_attempts": 1, "timeout": 0.5}
    job = fitness.check({"kind": "resize", "payload": url, **own})
    assert ("q", -1, 1, 0.5) == (job.queue, job.priority, job.max_attempts, job.timeout)
    assert "images" == fitness.check({"kind": "resize", "payload": url}).queue, "one push must not change the next"


def test_payload_is_kept_as_it_came(fitness: Fitness) -> None:
    """The schema checks; what is kept is what was sent, defaults are filled in when it runs."""
    assert (
        b'{"url":"http://example.org"}'
        == fitness.check({"kind": "resize", "payload": {"url": "http://example.org"}}).payload
    )
    assert b"{}" == fitness.check({"kind": "echo"}).payload


@pytest.mark.parametrize("body", [None, [], "x", 1, True])
def test_a_push_is_an_object(fitness: Fitness, body: object) -> None:
    """Anything else is unfit as a whole."""
    assert ["_schema"] == list(_unfit(fitness, body))


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("kind", [None, 5, [], {}, "", "nope", "x" * 201, "ECHO"]),
        ("payload", [None, [], "x", 1]),
        ("queue", ["", None, 5, "x" * 201, "a\nb", "\ud800"]),
        ("priority", ["1", 1.0, True, None, 2**31, -(2**31) - 1]),
        ("delay", [-0.001, "5", None, True, 10 * 366 * 86_400 + 1]),
        ("run_at", ["tomorrow", 5, None, "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", "2300-01-01T00:00:00Z"]),
        ("max_attempts", [0, 1001, "3", 1.5, None, True]),
        ("timeout", [0, -1, 10**6 + 1, "1", None, False]),
        ("unique_key", ["", None, 5, "x" * 1001, "\ud800"]),
        ("colour", [1]),
        ("id", [1]),
        ("state", ["done"]),
    ],
)
def test_limits_of_every_field(fitness: Fitness, field: str, bad: list[Any]) -> None:
    """A value out of a field's limits, or an unknown field, is unfit under that field's name, with a message."""
    for value in bad:
        errors = _unfit(fitness, {"kind": "echo", field: value})
        assert [field] == list(errors), value
        assert errors[field], value


@pytest.mark.parametrize(
    ("field", "good"),
    [
        ("queue", ["x" * 200, "a b", "ä"]),
        ("priority", [0, 2**31 - 1, -(2**31)]),
        ("delay", [0, 0.5, 10 * 366 * 86_400]),
        ("max_attempts", [1, 1000]),
        ("timeout", [0.001, 10**6]),
        ("unique_key", ["x" * 1000, "\n"]),
    ],
)
def test_edges_of_every_field(fitness: Fitness, field: str, good: list[Any]) -> None:
    """The last value within the limits is fit."""
    for value in good:
        job = _push(fitness, **{field: value})
        assert field == "delay" or value == getattr(job, field)


def test_all_that_is_wrong_is_told_at_once(fitness: Fitness) -> None:
    """Several faults are told together."""
    assert {"priority", "delay", "x"} == set(_unfit(fitness, {"kind": "echo", "priority": "a", "delay": -1, "x": 1}))


def test_did_you_mean(fitness: Fitness) -> None:
    """An unknown kind that is nearly a known one is told which."""
    assert {"kind": ["No such kind, did you mean resize?"]} == _unfit(fitness, {"kind": "resize2"})
    assert {"kind": ["No such kind."]} == _unfit(fitness, {"kind": "zzzzzz"})


def test_schema_errors_are_nested(fitness: Fitness) -> None:
    """What a kind's schema finds stands under ``payload``, by field."""
    errors = _unfit(fitness, {"kind": "resize", "payload": {"url": "x", "width": 0, "z": 1}})

    assert {"payload"} == set(errors)
    assert {"url": ["Not a valid URL."], "z": ["Unknown field."]} == {k: errors["payload"][k] for k in ("url", "z")}
    assert "width" in errors["payload"]
    assert {"payload": {"url": ["Missing data for required field."]}} == _unfit(fitness, {"kind": "resize"})


def test_due_times(fitness: Fitness) -> None:
    """A delay or a time in the future makes a scheduled job; none, zero, and the past a todo one."""
    assert (State.SCHEDULED, NOW + 1_500_000) == ((job := _push(fitness, delay=1.5)).state, job.run_at)
    assert (State.TODO, None) == ((job := _push(fitness, delay=0)).state, job.run_at)
    later = datetime.fromtimestamp(NOW / 1e6, UTC) + timedelta(hours=1)
    job = _push(fitness, run_at=later.isoformat())
    assert (State.SCHEDULED, NOW + 3_600_000_000) == (job.state, job.run_at)
    assert State.TODO == _push(fitness, run_at="2001-01-01T00:00:00+02:00").state
    assert {"run_at"} == set(_unfit(fitness, {"kind": "echo", "delay": 1, "run_at": later.isoformat()}))


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59-12:00"])
def test_times_long_past_can_be_shown(fitness: Fitness, text: str) -> None:
    """A time before all calendars is no error: it is due, and shown as a time that is one."""
    from webqueue.views import job_json

    job = _push(fitness, run_at=text)
    assert State.TODO == job.state
    assert job_json(job)["run_at"] is not None


def test_times_at_the_end_of_the_calendar(fitness: Fitness) -> None:
    """The last times that can be written are too late, not an error."""
    for text in ("9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999Z"):
        assert {"run_at": ["Due within 10 years."]} == _unfit(fitness, {"kind": "echo", "run_at": text})


def test_idempotency_key(fitness: Fitness) -> None:
    """A key of 1 to 255 characters goes with a digest of the body, the same for all that is equal as JSON."""
    one = fitness.check({"kind": "echo", "payload": {"a": 1, "b": 2}}, "k").idempotency
    other = fitness.check({"payload": {"b": 2.0, "a": 1}, "kind": "echo"}, "k").idempotency
    assert one is not None
    assert one == other != fitness.check({"kind": "echo", "payload": {"a": 1, "b": 3}}, "k").idempotency
    assert None is fitness.check({"kind": "echo"}).idempotency
    for key in ("", "x" * 256):
        assert ["Idempotency-Key"] == list(_unfit(fitness, {"kind": "echo"}, key))
    assert ("x" * 255) == (fitness.check({"kind": "echo"}, "x" * 255).idempotency or ("",))[0]


def test_own_checks(fitness: Fitness, handlers: Handlers) -> None:
    """A check of the user's own gets what the schema loaded, and says by field what it does not like."""
    resize = handlers.get("resize")
    assert resize is not None
    seen = []

    @resize.fit
    def on_our_host(url: str, width: int) -> None:
        seen.append((url, width))
        if "example" not in url:
            raise Unfit({"url": ["not one of ours"]})
        if width == 7:
            raise Unfit("not seven")
        if width == 8:
            raise ValidationError({"width": ["not eight"]})

    fitness.check({"kind": "resize", "payload": {"url": "http://example.org"}})
    assert [("http://example.org", 200)] == seen
    assert {"payload": {"url": ["not one of ours"]}} == _unfit(
        fitness, {"kind": "resize", "payload": {"url": "http://a.org"}}
    )
    for width, errors in ((7, {"_schema": ["not seven"]}), (8, {"width": ["not eight"]})):
        payload = {"url": "http://example.org", "width": width}
        assert {"payload": errors} == _unfit(fitness, {"kind": "resize", "payload": payload})


def test_a_broken_check_lets_nothing_in(fitness: Fitness, handlers: Handlers, caplog: pytest.LogCaptureFixture) -> None:
    """A check that raises anything else is logged, and the push is unfit rather than an error or let in."""
    echo = handlers.get("echo")
    assert echo is not None

    @echo.fit
    def broken(**payload: Any) -> None:
        raise KeyError(payload["a"])

    with caplog.at_level(logging.ERROR, "webqueue"):
        errors = _unfit(fitness, {"kind": "echo", "payload": {"a": "x" * 10_000}})
    assert ["The check itself failed: KeyError."] == errors["payload"]["_schema"]
    assert "A check of echo failed with KeyError" in caplog.text
    assert "in broken" in caplog.text
    assert "xxx" not in caplog.text, "the message may hold what must not be shown"


def test_a_check_that_finds_fault_without_words(fitness: Fitness, handlers: Handlers) -> None:
    """``Unfit({})`` is unfit, too: it must not let the push in."""
    echo = handlers.get("echo")
    assert echo is not None

    @echo.fit
    def silent(**payload: Any) -> None:
        raise Unfit({})

    assert ["payload"] == list(_unfit(fitness, {"kind": "echo"}))


@pytest.mark.parametrize("payload", [{"a": float("nan")}, {"a": {1}}, {"a": b"x"}, {"a": "\ud800"}, {"a": object()}])
def test_python_values_that_are_no_json(fitness: Fitness, payload: dict[str, Any]) -> None:
    """What Python code pushes and JSON has no form for is unfit under ``payload``."""
    assert ["payload"] == list(_unfit(fitness, {"kind": "echo", "payload": payload}))


def test_python_values_without_an_end(fitness: Fitness) -> None:
    """Nor has JSON a form for a circle, or for ten thousand levels."""
    circle: dict[str, Any] = {}
    circle["a"] = circle
    deep: dict[str, Any] = {}
    for _ in range(10_000):
        deep = {"a": deep}
    for payload in (circle, deep):
        assert ["payload"] == list(_unfit(fitness, {"kind": "echo", "payload": payload}))
