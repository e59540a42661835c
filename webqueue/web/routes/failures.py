"""GET /failures: what failed of late, by kind and type of error."""

import time
from typing import Any, Final
from urllib.parse import urlencode

from flask import Response, request
from marshmallow import ValidationError

from webqueue.job import Job
from webqueue.stores.tables import GROUPED, FailureGroup
from webqueue.views import error_json, iso
from webqueue.web.answers import answer
from webqueue.web.current import current_engine, current_prefix
from webqueue.web.incoming import as_words, read_query
from webqueue.web.page import prefers_page, render
from webqueue.web.schemas import FAILED_WITHIN, FailuresQuery
from webqueue.web.search import MOST_MATCHING, MOST_SAID, Unclear, as_text, parse

MOST_GROUPS: Final = 100
"""Groups that are shown, the greatest ones."""

_QUERY = FailuresQuery()


def list_failures() -> Response:
    """Groups of failed jobs by kind and type of error, the greatest first; for a browser a page."""
    response = _asked() if prefers_page() else answer(_found(**read_query(_QUERY)))
    response.headers["Vary"] = "Accept"
    return response


def _asked() -> Response:
    """The page; of a query that can't be read one that says why."""
    try:
        found, status, problem = _found(**read_query(_QUERY)), 200, None
    except ValidationError as error:
        found, status, problem = {"within": None, "groups": [], "more": 0}, 422, as_words(error)
    return render(
        "failures.html",
        status,
        found=found,
        problem=problem,
        at=iso(time.time_ns() // 1000),
        searches=[_search(group, found["since"]) for group in found["groups"]],
        windows=list(FAILED_WITHIN),
        most=MOST_MATCHING,
        here=f"{current_prefix()}/failures?{urlencode({} if problem else {'within': found['within']})}",
        said=request.args.get("said", "")[:MOST_SAID],
    )


def _found(within: str) -> dict[str, Any]:
    """``{"within", "since", "groups", "more"}``; ``searched`` where there may be more."""
    engine = current_engine()
    since = time.time_ns() // 1000 - FAILED_WITHIN[within] * 1_000_000
    groups, newest = engine.failures(since, MOST_GROUPS)
    told = {
        "within": within,
        "since": iso(since),
        "groups": [_group(group, newest.get(group.newest)) for group in groups[:MOST_GROUPS]],
        "more": len(groups[MOST_GROUPS:]),
    }
    bounded = sum(group.number for group in groups) >= GROUPED
    return {**told, "searched": GROUPED} if bounded else told


def _group(group: FailureGroup, newest: Job | None) -> dict[str, Any]:
    return {
        "kind": group.kind,
        "error": group.error,
        "count": group.number,
        "first": iso(group.first),
        "last": iso(group.last),
        "newest": None if newest is None else {"id": newest.id, "error": error_json(newest.error)},
    }


def _search(group: dict[str, Any], since: str) -> str | None:
    """What one would type to find the group; None where its names can't be typed."""
    words = {"state": "failed", "kind": group["kind"], "error": group["error"] or "", "since": since}
    text = " ".join(as_text(word, value) for word, value in words.items())
    try:
        meant = parse(text)
    except Unclear:
        return None
    return text if all(meant.get(word) == words[word] for word in ("kind", "error")) and len(meant) == 4 else None


ROUTES = [("GET", "/failures", list_failures)]
