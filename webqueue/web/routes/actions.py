"""POST /jobs/actions: what the forms of a page without scripts ask for. It answers with the page they came from."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Response, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import UnsupportedMediaType

from webqueue.engine import Engine
from webqueue.errors import JobNotFound, StateConflict
from webqueue.stores.tables import Filter, matches
from webqueue.web.current import current_engine, current_prefix
from webqueue.web.incoming import read_bytes
from webqueue.web.search import MOST_MATCHING, MOST_SAID, Unclear, as_filter, parse

FORM: Final = "application/x-www-form-urlencoded"
MOST_CHOSEN: Final = 200
"""Jobs that are chosen one by one: as many as a page shows."""

_DONE: Final = {"retry": "retried", "cancel": "cancelled", "run now": "put into todo", "delete": "deleted"}
_ID = re.compile(r"([0-9]{1,16})(?:@([0-9]{1,16}))?")
# 7, or 7@3: job 7, as it was seen at revision 3.
# Pages of ours, below the prefix. Printable ASCII only: it becomes a header.
_BACK = re.compile(r"/(?:jobs(?:/[0-9]+)?|failures)?(?:\?[!-~]*)?")


def act_on_jobs() -> Response:
    """Do it to jobs by ``id``, or to all that ``q`` finds; 303 back to the page, with what came of it."""
    form = _read_form()
    return _back(form.get("back", ""), _act(current_engine(), form))


def _read_form() -> MultiDict[str, str]:
    """The fields. Raises UnsupportedMediaType; RequestEntityTooLarge, rather than cut an id in two."""
    if request.mimetype != FORM:
        raise UnsupportedMediaType(f"This takes what a form sends: {FORM}.")
    return MultiDict(parse_qsl(read_bytes().decode(errors="replace"), keep_blank_values=True))


def _act(engine: Engine, form: MultiDict[str, str]) -> str:
    """Do it, and say what was done or what is wrong."""
    do, ids = form.get("do", ""), form.getlist("id")
    if do not in _DONE:
        return "Nothing was done: retry, cancel, run now or delete?"
    if ids or "q" not in form:
        return _chosen(engine, do, list(dict.fromkeys(ids)))
    try:
        filters = parse(form["q"])
    except Unclear as error:
        return str(error)
    return _matching(engine, do, filters)


def _chosen(engine: Engine, do: str, ids: Sequence[str]) -> str:
    """Each of *ids*, as far as its state allows."""
    wrong = [id for id in ids if not _ID.fullmatch(id)]
    if wrong:
        return f"Nothing was done: an id is a number, not {wrong[0][:40]!r}."
    if not 0 < len(ids) <= MOST_CHOSEN:
        return f"Nothing was done: choose some jobs, {MOST_CHOSEN} at most."
    step = _steps(engine)[do]
    done, refusals = 0, []
    for id, revision in map(_seen, ids):
        try:
            step(id, revision)
            done += 1
        except (JobNotFound, StateConflict) as error:
            refusals.append(f"{id}: {error}")
    return " ".join([f"{done:,} of {len(ids):,} {_DONE[do]}.", *refusals[:1]])


def _seen(text: str) -> tuple[int, int | None]:
    """The job's id, and the revision at which it was seen, if that is told."""
    id, _, revision = text.partition("@")
    return int(id), int(revision) if revision else None


def _steps(engine: Engine) -> dict[str, Callable[[int, int | None], Any]]:
    return {
        "retry": engine.retry,
        "cancel": partial(engine.cancel, who=request.remote_addr),
        "run now": engine.run_now,
        "delete": engine.forget,
    }


def _matching(engine: Engine, do: str, filters: Mapping[str, Any]) -> str:
    """All that were searched for, oldest first; without a search nothing, since this would be everything."""
    if not filters:
        return "Nothing was done: search for something first."
    if "id" in filters:
        ids = _if_it_matches(engine, filters)
        return _chosen(engine, do, ids) if ids else "Nothing was done: no job matches."
    matched, done = _steps_of_all(engine)[do](as_filter(filters), MOST_MATCHING)
    more = f" {MOST_MATCHING:,} at a time: do it again for the rest." if matched > MOST_MATCHING else ""
    return f"{done:,} of {matched:,} {_DONE[do]}.{more}"


def _steps_of_all(engine: Engine) -> dict[str, Callable[[dict[str, Any], int], tuple[int, int]]]:
    return {
        "retry": engine.retry_all,
        "cancel": partial(engine.cancel_all, who=request.remote_addr),
        "run now": engine.run_all,
        "delete": engine.forget_all,
    }


def _if_it_matches(engine: Engine, filters: Mapping[str, Any]) -> list[str]:
    try:
        job = engine.job(filters["id"])
    except JobNotFound:
        return []
    return [str(job.id)] if matches(job, Filter(**as_filter(filters))) else []


def _back(wanted: str, said: str) -> Response:
    """To *wanted* where it is a page of ours, else to the dashboard."""
    prefix = current_prefix()
    path = wanted.removeprefix(prefix) if wanted.startswith(prefix) else ""
    parts = urlsplit(path if _BACK.fullmatch(path) else "/")
    query = [pair for pair in parse_qsl(parts.query) if pair[0] != "said"]
    location = f"{prefix}{parts.path}?{urlencode([*query, ('said', said[:MOST_SAID])])}"
    return Response(status=303, headers={"Location": location})


ROUTES = [("POST", "/jobs/actions", act_on_jobs)]
