"""The checks at the door: a push becomes a draft of a job, or it is unfit, with messages by field."""

import hashlib
import logging
import math
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from webqueue import strictjson
from webqueue.errors import TEN_YEARS, Unfit
from webqueue.handlers import MAX_NAME, Handler, Handlers
from webqueue.job import Job, State

log = logging.getLogger("webqueue")

MAX_KEY: Final = 1_000
MAX_IDEMPOTENCY_KEY: Final = 255
MAX_AFTER: Final = 1_000
"""So many jobs at most one may come after."""
MAX_TIMEOUT: Final = 10**6
Messages = dict[str, Any]
WORDLESS: Final[Messages] = {"_schema": ["It is unfit."]}
"""Of a check that found fault without words."""


class Whole(fields.Integer):
    """An integer, and neither ``true`` nor ``"5"`` nor ``5.0``."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if type(value) is not int:
            raise ValidationError("Not a valid integer.")
        return value


class Number(fields.Float):
    """A finite JSON number, and neither ``true`` nor ``"5"``."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if type(value) not in (int, float) or not math.isfinite(value):
            raise ValidationError("Not a valid number.")
        return float(value)


def _printable(text: str) -> None:
    if not text.isprintable():
        raise ValidationError("Only printable characters.")


def _encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError("A lone surrogate is not a character.") from None


class PushSchema(Schema):
    """The body of a push; ``payload`` is checked by its kind's own schema."""

    class Meta:
        unknown = RAISE

    kind = fields.String(
        required=True,
        validate=validate.Length(1, MAX_NAME),
        metadata={"description": "The name of a registered handler."},
    )
    payload = fields.Dict(keys=fields.String(), metadata={"description": "What the handler is given."})
    queue = fields.String(validate=[validate.Length(1, MAX_NAME), _printable])
    priority = Whole(validate=validate.Range(-(2**31), 2**31 - 1), metadata={"description": "Higher first."})
    delay = Number(validate=validate.Range(0, TEN_YEARS), metadata={"description": "Seconds until it is due."})
    run_at = fields.AwareDateTime(metadata={"description": "When it is due, ISO 8601 with its zone."})
    max_attempts = Whole(validate=validate.Range(1, 1_000))
    timeout = Number(
        validate=validate.Range(0, MAX_TIMEOUT, min_inclusive=False),
        metadata={"description": "Seconds an attempt may take."},
    )
    unique_key = fields.String(validate=[validate.Length(1, MAX_KEY), _encodable])
    after = fields.List(
        Whole(validate=validate.Range(1, 2**53 - 1)),
        validate=validate.Length(1, MAX_AFTER),
        metadata={"description": "Ids of jobs: it runs once all of them are done, and is cancelled when one fails."},
    )


_PUSH: Final = PushSchema()
_WISHES: Final = ("queue", "priority", "max_attempts", "timeout", "unique_key")
_PLAIN: Final = frozenset({"kind", "payload"})


class Fitness:
    """Checks pushes against a registry of handlers. Takes no lock and touches no store."""

    def __init__(self, handlers: Handlers, clock: Callable[[], int]) -> None:
        self._handlers = handlers
        self._clock = clock
        self._drafts: dict[str, Job] = {}
        """By kind, a job with its defaults: copying it is cheaper than making one."""

    def check(self, body: object, idempotency_key: str | None = None) -> Job:
        """The draft (id 0) of the job that *body* asks for. Raises Unfit with messages nested as the push is."""
        asked = _shape(body)
        handler = self._handler(asked["kind"])
        payload = asked.get("payload", {})
        _check_payload(handler, payload)
        draft = self._draft(handler)
        if idempotency_key is not None:
            draft = draft.replaced(idempotency=_idempotency(idempotency_key, body))
        if not asked.keys() <= _PLAIN:
            draft = draft.replaced(**self._wishes(asked))
        return draft.replaced(payload=_text(payload))

    def _draft(self, handler: Handler[..., Any]) -> Job:
        draft = self._drafts.get(handler.kind)
        if draft is None:
            draft = self._drafts[handler.kind] = Job(
                id=0,
                kind=handler.kind,
                payload=b"{}",
                queue=handler.queue,
                priority=handler.priority,
                state=State.TODO,
                place=0,
                max_attempts=handler.max_attempts,
                created_at=0,
                timeout=handler.timeout,
            )
        return draft

    def _wishes(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What differs from the kind's defaults."""
        wishes = {name: asked[name] for name in _WISHES if name in asked}
        if "after" in asked:
            return wishes | {"after": tuple(asked["after"]), "state": State.SCHEDULED}
        now = self._clock()
        run_at = _due(asked, now)
        if run_at is not None:
            wishes["run_at"] = run_at
            wishes["state"] = State.TODO if run_at <= now else State.SCHEDULED
        return wishes

    def _handler(self, kind: str) -> Handler[..., Any]:
        handler = self._handlers.get(kind)
        if handler is None:
            nearest = self._handlers.nearest(kind)
            raise Unfit({"kind": ["No such kind" + (f", did you mean {nearest}?" if nearest else ".")]})
        return handler


def _shape(body: object) -> Mapping[str, Any]:
    """The push as its schema reads it; the plainest pushes, which nothing can be wrong with, skip it."""
    if not isinstance(body, dict):
        raise Unfit('A push is a JSON object like {"kind": "echo", "payload": {}}.')
    if body.keys() <= _PLAIN and type(body.get("kind")) is str and type(body.get("payload", {})) is dict:
        return body
    try:
        asked: Mapping[str, Any] = _PUSH.load(body)
    except ValidationError as error:
        raise Unfit(_messages(error)) from None
    times = [name for name in ("after", "delay", "run_at") if name in asked]
    if len(times) > 1:
        raise Unfit({times[-1]: [f"Give {times[0]} or {times[-1]}, not both."]})
    return asked


def _check_payload(handler: Handler[..., Any], payload: Mapping[str, Any]) -> None:
    messages = _schema_messages(handler, payload) if handler.schema is not None or handler.checks else {}
    if messages:
        raise Unfit({"payload": messages})


def _schema_messages(handler: Handler[..., Any], payload: Mapping[str, Any]) -> Messages:
    try:
        loaded = handler.schema.load(payload) if handler.schema is not None else payload
        for check in handler.checks:
            check(**loaded)
    except ValidationError as error:
        return _messages(error) or WORDLESS
    except Unfit as unfit:
        return dict(unfit.errors) or WORDLESS
    except Exception as error:  # noqa: BLE001 - a broken check must not become a 500, nor let the push in
        # Its message may hold what the payload holds, secrets and line ends too: only where it happened is told.
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("A check of %s failed with %s:\n%s", handler.kind, type(error).__name__, where)
        return {"_schema": [f"The check itself failed: {type(error).__name__}."]}
    return {}


def _messages(error: ValidationError) -> Messages:
    error.__traceback__ = None  # marshmallow's frame holds the error: a circle, with the whole request in it
    messages: Messages = error.normalized_messages()  # type: ignore[no-untyped-call]
    return messages


def _due(asked: Mapping[str, Any], now: int) -> int | None:
    if "delay" in asked:
        return now + round(asked["delay"] * 1e6) if asked["delay"] > 0 else None
    run_at: datetime | None = asked.get("run_at")
    if run_at is None:
        return None
    due = round(run_at.timestamp() * 1e6)
    if due > now + TEN_YEARS * 1_000_000:
        raise Unfit({"run_at": ["Due within 10 years."]})
    return max(due, 0)  # a time long past is as good as 1970, and can be shown


def _text(payload: Mapping[str, Any]) -> bytes:
    try:
        return strictjson.dump(payload)
    except (TypeError, ValueError, RecursionError) as error:  # only from Python code: what came as JSON is JSON
        raise Unfit({"payload": [f"Not JSON: {error}"]}) from None


def _idempotency(key: str, body: object) -> tuple[str, bytes]:
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY:
        raise Unfit({"Idempotency-Key": [f"1 to {MAX_IDEMPOTENCY_KEY} characters."]})
    return key, hashlib.sha256(strictjson.canonical(body)).digest()
