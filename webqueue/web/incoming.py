"""What comes in: bodies, query parameters, ids and headers, checked before anything looks at them."""

import re
from typing import Any, Final

from flask import request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import BadRequest, NotFound, RequestEntityTooLarge, UnsupportedMediaType

from webqueue import strictjson

PUSH_BYTES: Final = 256 * 1024
BULK_BYTES: Final = 16 * 1024 * 1024
MOST_KEY: Final = 255
MOST_WAIT: Final = 60
"""Seconds that one request is held at most."""

_ID = re.compile(r"[0-9]{1,16}")
_WAIT = re.compile(r'\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:;.*)?', re.IGNORECASE)
_CURL = "add -H 'Content-Type: application/json'"


def read_bytes(limit: int = PUSH_BYTES) -> bytes:
    """The request's body. Raises RequestEntityTooLarge beyond *limit* bytes, announced or not."""
    request.max_content_length = limit + 1  # at its limit the stream ends without a word
    raw = request.get_data(cache=False)
    if len(raw) > limit:
        raise RequestEntityTooLarge(f"The body is too large: {limit} bytes at most.")
    return raw


def read_json(limit: int = PUSH_BYTES) -> Any:
    """The JSON value in the body. Raises UnsupportedMediaType, RequestEntityTooLarge, NotJSON."""
    need_media_type("application/json")
    return strictjson.read(read_bytes(limit))


def need_media_type(*wanted: str) -> str:
    """The body's media type. Raises UnsupportedMediaType unless it is *wanted* (``+json`` is too), in UTF-8."""
    if request.environ.get("CONTENT_TYPE") == "application/json" in wanted:  # nearly always, and quickly seen
        return "application/json"
    mimetype = request.mimetype
    known = mimetype in wanted or (mimetype.startswith("application/") and mimetype.endswith("+json"))
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if not known or charset not in {"utf-8", "utf8"}:
        was = request.headers.get("Content-Type", "missing")[:100]
        raise UnsupportedMediaType(f"Content-Type is {was}, not {' or '.join(wanted)} (in UTF-8). With curl: {_CURL}.")
    return mimetype


def seen_revision() -> int | None:
    """The revision of ``If-Match: "3"``, at which the client saw the job; None where it means the job as it is (``*``).

    -1, which is no job's, for what can't be an ETag of ours. Raises BadRequest for several.
    """
    tags = request.if_match if "If-Match" in request.headers else None
    if tags is None or tags.star_tag:
        return None
    if len(strong := list(tags.as_set())) > 1:
        raise BadRequest("If-Match takes one ETag here.")
    tag = strong[0] if strong else None  # None is werkzeug's word for "", too
    return int(tag) if tag and _ID.fullmatch(tag) else -1


def read_filter(schema: Schema) -> dict[str, Any]:
    """The JSON object in the body, loaded by *schema*; a missing body is an empty object."""
    if not request.content_length and not request.headers.get("Transfer-Encoding"):
        return loaded(schema, {})
    return loaded(schema, read_json())


def read_query(schema: Schema) -> dict[str, Any]:
    """The query parameters, loaded by *schema*. Raises ValidationError."""
    return loaded(schema, request.args.to_dict())


def as_words(error: ValidationError) -> str:
    """What is wrong with a query, in one line for a person."""
    messages = error.messages if isinstance(error.messages, dict) else {"query": error.messages}
    return " ".join(f"{name}: {' '.join(map(str, told))}" for name, told in messages.items())


def loaded(schema: Schema, data: object) -> dict[str, Any]:
    """*data* loaded by *schema*. Raises ValidationError, also where *data* is no object."""
    result: dict[str, Any] = schema.load(data)  # type: ignore[arg-type]
    return result


def job_id(text: str) -> int:
    """The id in a path. Raises NotFound for anything that can't be one."""
    if not _ID.fullmatch(text):
        raise NotFound(f"There is no job {text[:40]!r}: an id is a number.")
    return int(text)


def idempotency_key() -> str | None:
    """The request's Idempotency-Key, None without one. Raises ValidationError for one that is empty or too long."""
    key = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not 0 < len(key) <= MOST_KEY:
        raise ValidationError({"Idempotency-Key": [f"Length must be between 1 and {MOST_KEY}."]})
    return key


def preferred_wait() -> int | None:
    """Seconds of ``Prefer: wait=N`` (RFC 7240), 60 at most; None where the client has no such preference."""
    prefer = request.environ.get("HTTP_PREFER")
    if prefer is None:
        return None
    for preference in prefer.split(","):
        if match := _WAIT.fullmatch(preference):
            return min(int(match[1]), MOST_WAIT)
    return None
