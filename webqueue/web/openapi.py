"""The OpenAPI 3.1 document, from the routes themselves and the schemas that check their requests."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from marshmallow import Schema
from werkzeug.routing import Rule

from webqueue.fitness import PushSchema
from webqueue.job import State
from webqueue.jsonschema import json_schema
from webqueue.rings import COLUMNS
from webqueue.strictjson import MAX_INTEGER
from webqueue.version import VERSION
from webqueue.web.problems import MEDIA_TYPE
from webqueue.web.schemas import (
    CHOSEN_BY,
    BulkFilter,
    CancelBody,
    ChartsQuery,
    FailuresQuery,
    JobsQuery,
    LogQuery,
    PageQuery,
    PauseBody,
    ResumeBody,
    WaitQuery,
)

Document = dict[str, Any]


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: Document) -> Document:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _array(items: Document) -> Document:
    return {"type": "array", "items": items}


def _or_null(*types: str) -> Document:
    return {"type": [*types, "null"]}


WHOLE: Final = {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}
TEXT: Final = {"type": "string"}
TIME: Final = {"type": "string", "format": "date-time"}
MAYBE_TIME: Final = {"type": ["string", "null"], "format": "date-time"}
CURSOR: Final = _or_null("integer")
ERROR: Final = {"anyOf": [_object(type=TEXT, message=TEXT, traceback=TEXT), {"type": "null"}]}
ERRORS: Final = {"type": "object", "description": "Messages by field, nested as the request is."}

COMPONENTS: Final[Mapping[str, Document]] = {
    "Job": _object(
        id=WHOLE, kind=TEXT, payload={"type": "object"}, queue=TEXT, priority={"type": "integer"},
        state={"type": "string", "enum": [state.value for state in State]}, position=_or_null("integer"),
        starts_in=_or_null("number"), attempt=WHOLE, max_attempts=WHOLE, crashes=WHOLE, timeout=_or_null("number"),
        progress={"anyOf": [_object(fraction={"type": "number"}, message=TEXT), {"type": "null"}]}, result={},
        error=ERROR, unique_key=_or_null("string"), run_at=MAYBE_TIME, created_at=TIME, started_at=MAYBE_TIME,
        finished_at=MAYBE_TIME, revision=WHOLE, overdue={"type": "boolean"}, waiting_for=_or_null("string"),
        history=_array(_object(attempt=WHOLE, started_at=TIME, ended_at=TIME, outcome=TEXT, error=ERROR)),
    ),
    "Rejection": _object(id=WHOLE, at=TIME, kind=_or_null("string"), reason=TEXT, errors=ERRORS, payload={}),
    "Problem": {
        **_object(type=TEXT, title=TEXT, status={"type": "integer"}, detail=TEXT),
        "description": "RFC 9457. Where it applies with errors, and the id of the rejection.",
    },
    "Queue": {
        **_object(counts={"type": "object"}, totals={"type": "object"}, queues={"type": "object"}, seq=WHOLE,
                  paused={"type": "boolean"}, paused_queues={"type": "object"}, epoch=TEXT,
                  pauses=_array(_object(queue=_or_null("string"), who=_or_null("string"), why=_or_null("string"),
                                        at=TIME)),
                  warnings=_array(_object(code=TEXT, message=TEXT)),
                  draining={"anyOf": [_object(at=TIME, until=MAYBE_TIME), {"type": "null"}]}),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """What one view takes and answers, beside what its path and docstring say."""

    answers: Mapping[int, Document | None]
    query: Schema | None = None
    body: Document | None = None
    body_needed: bool = False
    headers: Mapping[str, Document] = field(default_factory=dict)
    refusals: tuple[int, ...] = ()
    lines: bool = False


JOB, PAGE, QUEUE, PUSH = _ref("Job"), PageQuery(), _ref("Queue"), json_schema(PushSchema())
DONE = _object(matched=WHOLE, done=WHOLE)
WHICH: Final = {
    **json_schema(BulkFilter()),
    "anyOf": [
        *({"required": [name]} for name in CHOSEN_BY),
        {"required": ["all"], "properties": {"all": {"const": True}}},
    ],
}
LINES = _object(lines=_array(_object(at=TIME, level=TEXT, message=TEXT)), next=CURSOR)
TOLD = _object(accepted=_array(_object(index=WHOLE, id=WHOLE)), rejected=_array(_object(index=WHOLE, errors=ERRORS)))
BODY: Final = (400, 413, 415, 422)
"""How a body is refused."""
SEEN: Final[Mapping[str, Document]] = {"If-Match": TEXT}
"""The revision at which the client saw the job, as in its ETag."""
ALWAYS: Final = (400, 401, 403, 421, 503)
"""How anything is refused: by its Host, without a token, from a foreign page, at the wrong time."""

CALLS: Final[Mapping[str, Call]] = {
    "push_job": Call(
        {202: JOB, 200: JOB}, body=PUSH, body_needed=True, refusals=(*BODY, 429, 507),
        headers={"Idempotency-Key": {"type": "string", "minLength": 1, "maxLength": 255}, "Prefer": TEXT},
    ),
    "push_jobs": Call(
        {202: TOLD}, body={"type": "array", "items": {}, "maxItems": 10_000}, body_needed=True, refusals=(*BODY, 507),
        lines=True,
    ),
    "list_jobs": Call({200: _object(jobs=_array(JOB), next=CURSOR)}, JobsQuery(), refusals=(422,)),
    "list_failures": Call(
        {200: _object(within=TEXT, since=TIME, more=WHOLE, groups=_array(_object(
            kind=TEXT, error=_or_null("string"), count=WHOLE, first=TIME, last=TIME,
            newest={"anyOf": [_object(id=WHOLE, error=ERROR), {"type": "null"}]})))},
        FailuresQuery(), refusals=(422,),
    ),
    "show_charts": Call(
        {200: _object(epoch=TEXT, started_at=TIME, now=TIME, step=WHOLE, steps=WHOLE, open={"type": "boolean"},
            at=_array(WHOLE), **{name: _array(_or_null("number")) for name in COLUMNS})},
        ChartsQuery(), refusals=(422,),
    ),
    "show_job": Call({200: JOB}, WaitQuery(), refusals=(404, 422)),
    "forget_job": Call({204: None}, headers=SEEN, refusals=(400, 404, 409, 412)),
    "show_log": Call({200: LINES}, LogQuery(), refusals=(404, 422)),
    "cancel_job": Call({200: JOB}, body=json_schema(CancelBody()), headers=SEEN, refusals=(404, 409, 412, *BODY)),
    "retry_job": Call({202: JOB}, headers=SEEN, refusals=(400, 404, 409, 412)),
    "run_job": Call({202: JOB}, headers=SEEN, refusals=(400, 404, 409, 412)),
    "run_jobs": Call({200: DONE}, body=WHICH, body_needed=True, refusals=BODY),
    "forget_jobs": Call({200: DONE}, body=WHICH, body_needed=True, refusals=BODY),
    "retry_jobs": Call({200: DONE}, body=WHICH, body_needed=True, refusals=BODY),
    "cancel_jobs": Call({200: DONE}, body=WHICH, body_needed=True, refusals=BODY),
    "list_rejections": Call({200: _object(rejections=_array(_ref("Rejection")), next=CURSOR)}, PAGE, refusals=(422,)),
    "show_queue": Call({200: QUEUE}),
    "pause_queue": Call({200: QUEUE}, body=json_schema(PauseBody()), refusals=BODY),
    "resume_queue": Call({200: QUEUE}, body=json_schema(ResumeBody()), refusals=BODY),
    "list_kinds": Call({200: _object(kinds=_array(_object(kind=TEXT, doc=TEXT, schema={"type": "object"})))}),
    "healthz": Call({200: _object(status=TEXT)}),
    "readyz": Call({200: _object(status=TEXT)}),
    "show_openapi": Call({200: {"type": "object"}}),
}  # fmt: skip
"""By the name of the view. Pages and /metrics are no JSON, and stand elsewhere."""


def document(rules: Iterable[Rule], prefix: str, server: str, summaries: Mapping[str, str], token: bool) -> Document:
    """The document for those of *rules* that have a Call.

    *prefix* is left out of the paths: *server* has it. *summaries*: what each view does, by endpoint; *token*: whether
    one is needed.
    """
    paths: dict[str, Document] = {}
    for rule in rules:
        call = CALLS.get(rule.endpoint.rpartition(".")[2])
        if call is None:
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule[len(prefix) :])
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path, {})[method.lower()] = _operation(rule, call, summaries.get(rule.endpoint, ""))
    made: Document = {
        "openapi": "3.1.0",
        "info": {"title": "webqueue", "version": VERSION},
        "servers": [{"url": server or "/"}],
        "paths": paths,
        "components": {"schemas": COMPONENTS, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }
    return made | {"security": [{"token": []}]} if token else made


def _operation(rule: Rule, call: Call, summary: str) -> Document:
    made: Document = {
        "operationId": rule.endpoint.rpartition(".")[2],
        "summary": summary,
        "parameters": [*_in_path(rule), *_in_query(call.query), *_in_headers(call.headers)],
        "responses": {
            **{str(status): _answer(status, schema) for status, schema in call.answers.items()},
            **{str(status): _refusal(status) for status in (*call.refusals, *ALWAYS)},
        },
    }
    if call.body is not None:
        made["requestBody"] = {"content": _bodies(call), "required": call.body_needed}
    return made


def _in_path(rule: Rule) -> list[Document]:
    return [{"name": name, "in": "path", "required": True, "schema": WHOLE} for name in sorted(rule.arguments)]


def _in_query(schema: Schema | None) -> list[Document]:
    declared = json_schema(schema).get("properties", {}) if schema is not None else {}
    return [{"name": name, "in": "query", "schema": _not_null(one)} for name, one in declared.items()]


def _not_null(schema: Document) -> Document:
    """*schema* of a query parameter, which may be left out but is never null."""
    plain = {name: value for name, value in schema.items() if (name, value) != ("default", None)}
    if isinstance(plain.get("type"), list):
        plain["type"] = next(one for one in plain["type"] if one != "null")
    return plain


def _in_headers(headers: Mapping[str, Document]) -> list[Document]:
    return [{"name": name, "in": "header", "schema": schema} for name, schema in headers.items()]


def _bodies(call: Call) -> Document:
    kinds: Document = {"application/json": {"schema": call.body}}
    return kinds | {"application/x-ndjson": {"schema": TEXT}} if call.lines else kinds


def _answer(status: int, schema: Document | None) -> Document:
    told: Document = {"description": HTTPStatus(status).phrase}
    return told if schema is None else told | {"content": {"application/json": {"schema": schema}}}


def _refusal(status: int) -> Document:
    return {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": _ref("Problem")}}}
