"""What clients may ask for, beside the push itself (which ``fitness`` checks)."""

from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from webqueue.job import State
from webqueue.rings import LENGTHS
from webqueue.strictjson import MAX_INTEGER

NAME_LENGTH = 200
"""Characters of a kind's or a queue's name, at most."""
SHOWN = 50
"""Jobs on a page, where nobody asks for more or fewer."""


def _name(**options: Any) -> fields.String:
    return fields.String(validate=validate.Length(min=1, max=NAME_LENGTH), **options)


def _cursor() -> fields.Integer:
    return fields.Integer(validate=validate.Range(0, MAX_INTEGER), load_default=None)


def _limit(default: int, most: int) -> fields.Integer:
    return fields.Integer(validate=validate.Range(1, most), load_default=default)


def _state() -> fields.String:
    return fields.String(validate=validate.OneOf([state.value for state in State]))


class Query(Schema):
    """Query parameters: what we don't know is ignored."""

    class Meta:
        unknown = EXCLUDE


class PageQuery(Query):
    """Which page of a list."""

    cursor = _cursor()
    limit = _limit(SHOWN, 200)


class JobsQuery(PageQuery):
    """Which jobs."""

    state = _state()
    kind = _name()
    queue = _name()
    q = fields.String(validate=validate.Length(max=1000))


FAILED_WITHIN = {"1h": 3_600, "24h": 86_400, "7d": 604_800}
"""Seconds that one looks back for failures."""


class FailuresQuery(Query):
    """How far one looks back."""

    within = fields.String(validate=validate.OneOf(list(FAILED_WITHIN)), load_default="24h")


class ChartsQuery(Query):
    """Which steps: of so many seconds, and those that begin after *since* (s since 1970)."""

    step = fields.Integer(validate=validate.OneOf(list(LENGTHS)), load_default=1)
    since = fields.Integer(validate=validate.Range(0, MAX_INTEGER), load_default=0)


class LogQuery(Query):
    """Which lines of a job's log."""

    cursor = _cursor()
    limit = _limit(100, 1000)


class WaitQuery(Query):
    """How long to hold the answer, in seconds."""

    wait = fields.Float(validate=validate.Range(0), load_default=None)


CHOSEN_BY = ("state", "kind", "queue", "error")
"""What jobs may have in common."""


class BulkFilter(Schema):
    """Which jobs are retried, cancelled, run or deleted at once; all of them only where it says so."""

    state = _state()
    kind = _name()
    queue = _name()
    error = fields.String(validate=validate.Length(min=1, max=NAME_LENGTH))
    all = fields.Boolean(truthy={True}, falsy={False}, load_default=False)
    limit = fields.Integer(strict=True, validate=validate.Range(1, 10_000), load_default=1000)

    @validates_schema
    def _says_which(self, data: dict[str, Any], **_: Any) -> None:
        if not data["all"] and data.keys().isdisjoint(CHOSEN_BY):
            raise ValidationError(f'Which jobs? Say {", ".join(CHOSEN_BY)}, or "all": true.')


class PauseBody(Schema):
    """What is paused (all queues, without a name), why, and by whom (where it does not say, from which address)."""

    queue = _name(load_default=None, allow_none=True)
    why = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=1000))
    who = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=200))


class ResumeBody(PauseBody):
    """What goes on."""


class CancelBody(Schema):
    """Why, and by whom (where it does not say, from which address) a job is cancelled."""

    why = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=1000))
    who = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=200))


class JobRef(Schema):
    """Which job a Socket.IO event is about."""

    id = fields.Integer(strict=True, required=True, validate=validate.Range(0, MAX_INTEGER))
