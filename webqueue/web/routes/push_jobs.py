"""POST /push-jobs: many pushes, each stands alone."""

from operator import itemgetter
from typing import Any, Final

from flask import Response
from werkzeug.exceptions import RequestEntityTooLarge

from webqueue import strictjson
from webqueue.job import Rejection
from webqueue.stores.base import Pushed
from webqueue.web.answers import answer
from webqueue.web.current import current_engine
from webqueue.web.incoming import BULK_BYTES, need_media_type, read_bytes

NDJSON: Final = "application/x-ndjson"
MOST_ITEMS: Final = 10_000


def push_jobs() -> Response:
    """Push all items; those that don't fit are told by their index, the others are durable when this answers."""
    media_type = need_media_type("application/json", NDJSON)
    raw = read_bytes(BULK_BYTES)
    items = list(enumerate(_lines(raw) if media_type == NDJSON else _array(raw)))
    pushes = [(index, item) for index, item in items if not isinstance(item, strictjson.NotJSON)]
    outcomes = current_engine().push_many([body for _, body in pushes])
    told = [(index, outcome) for (index, _), outcome in zip(pushes, outcomes, strict=True)]
    accepted = [_accepted(index, one) for index, one in told if isinstance(one, Pushed)]
    rejected = [_rejected(index, one) for index, one in told if isinstance(one, Rejection)]
    rejected += [_unread(index, item) for index, item in items if isinstance(item, strictjson.NotJSON)]
    return answer({"accepted": accepted, "rejected": sorted(rejected, key=itemgetter("index"))}, 202)


def _array(raw: bytes) -> list[Any]:
    # The array around them is not of the items' own braces.
    items = strictjson.read(raw, strictjson.MAX_DEPTH + 1)
    if not isinstance(items, list):
        raise strictjson.NotJSON(f"Not an array of pushes. (For a push a line the Content-Type is {NDJSON}.)")
    return _few_enough(items)


def _lines(raw: bytes) -> list[Any]:
    return _few_enough([_line(line) for line in raw.split(b"\n") if line.strip()])


def _line(line: bytes) -> Any:
    try:
        return strictjson.read(line)
    except strictjson.NotJSON as error:
        return error


def _few_enough(items: list[Any]) -> list[Any]:
    if len(items) > MOST_ITEMS:
        raise RequestEntityTooLarge(f"{len(items)} pushes are too many for one request: {MOST_ITEMS} at most.")
    return items


def _accepted(index: int, pushed: Pushed) -> dict[str, Any]:
    told: dict[str, Any] = {"index": index, "id": pushed.job.id}
    return told | {"duplicate": True} if pushed.duplicate else told


def _rejected(index: int, one: Rejection) -> dict[str, Any]:
    return {"index": index, "rejection": one.id, "reason": one.reason, "errors": dict(one.errors)}


def _unread(index: int, error: strictjson.NotJSON) -> dict[str, Any]:
    return {"index": index, "reason": "Not JSON", "errors": {"_schema": [str(error)]}}


ROUTES = [("POST", "/push-jobs", push_jobs)]
