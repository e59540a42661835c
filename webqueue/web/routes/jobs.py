"""/jobs: the jobs, one and many."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlencode

from flask import Response, request
from marshmallow import ValidationError
from werkzeug.exceptions import NotFound

from webqueue.engine import Engine, Page
from webqueue.errors import JobNotFound
from webqueue.job import Job
from webqueue.redaction import SECRET_NAMES, redacted
from webqueue.stores.tables import SEARCHED, Filter, matches
from webqueue.timeline import cancelled_by, steps
from webqueue.views import iso, job_json, job_summary, log_json
from webqueue.web.access import Access, access_of
from webqueue.web.answers import answer, job_answer, job_url, jobs_answer
from webqueue.web.current import current_engine, current_prefix
from webqueue.web.incoming import MOST_WAIT, as_words, job_id, read_filter, read_query, seen_revision
from webqueue.web.page import prefers_page, render
from webqueue.web.schemas import CHOSEN_BY, SHOWN, BulkFilter, CancelBody, JobsQuery, LogQuery, WaitQuery
from webqueue.web.search import MOST_MATCHING, MOST_SAID, Unclear, as_filter, as_text, parse

_JOBS, _LOG, _WAIT, _BULK, _CANCEL = JobsQuery(), LogQuery(), WaitQuery(), BulkFilter(), CancelBody()


def list_jobs() -> Response:
    """A page of jobs, newest first; for a browser one to search in."""
    response = _asked() if prefers_page() else _listed(current_engine().jobs(**read_query(_JOBS)))
    response.headers["Vary"] = "Accept"
    return response


def _listed(page: Page) -> Response:
    searched = {} if page.searched is None else {"searched": page.searched}
    return jobs_answer(page.items, {"next": page.next, **searched})


def _asked() -> Response:
    """The page of jobs; of a query that can't be read one that says why."""
    try:
        query = read_query(_JOBS)
    except ValidationError as error:
        return _page_of("", {}, Page([], None), 422, problem=as_words(error))
    return _search(**query)


def _search(cursor: int | None, limit: int, q: str = "", **fields: str) -> Response:
    """The page of those that *q* means, in the words of ``search``; links from elsewhere may name fields as well."""
    engine = current_engine()
    text = " ".join([*(as_text(name, value) for name, value in fields.items()), q]).strip()
    try:
        filters = parse(text)
    except Unclear as error:
        return _page_of(text, {}, Page([], None), problem=str(error), cursor=cursor, limit=limit)
    return _page_of(text, filters, _found(engine, filters, cursor, limit), cursor=cursor, limit=limit)


def _page_of(
    text: str,
    filters: Mapping[str, Any],
    page: Page,
    status: int = 200,
    *,
    problem: str | None = None,
    cursor: int | None = None,
    limit: int = SHOWN,
) -> Response:
    engine = current_engine()
    return render(
        "jobs.html",
        status,
        text=text,
        filters=filters,
        problem=problem,
        jobs=[job_summary(job, _secret(engine, job.kind)) for job in page.items],
        counts=_counts(engine, filters),
        searched=page.searched,
        most_searched=SEARCHED,
        most=MOST_MATCHING,
        cursor=cursor,
        here=_link(text, cursor, limit),
        newest=_link(text, None, limit),
        older=page.next and _link(text, page.next, limit),
        said=request.args.get("said", "")[:MOST_SAID],
    )


def _found(engine: Engine, filters: Mapping[str, Any], cursor: int | None, limit: int) -> Page:
    if "id" not in filters:
        return engine.jobs(**filters, cursor=cursor, limit=limit)
    try:
        job = engine.job(filters["id"])
    except JobNotFound:
        return Page([], None)
    return Page([job] if matches(job, Filter(**as_filter(filters))) else [], None)


def _counts(engine: Engine, filters: Mapping[str, Any]) -> dict[str, int]:
    """How many each action is for: of what was searched for, not of all there is. Those that are due later or over are
    counted only where their state was named, as nobody means all that ever ran."""
    if not filters or "id" in filters or access_of(request.environ) is not Access.ALL:
        return {}
    steps = {"retry": engine.retry_all, "cancel": engine.cancel_all}
    if "state" in filters:
        steps |= {"run now": engine.run_all, "delete": engine.forget_all}
    wanted = as_filter(filters)
    return {do: step(wanted, 0)[0] for do, step in steps.items()}


def _link(text: str, cursor: int | None, limit: int) -> str:
    wanted = {"q": text or None, "cursor": cursor, "limit": None if limit == SHOWN else limit}
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    return f"{current_prefix()}/jobs" + (f"?{query}" if query else "")


def _secret(engine: Engine, kind: str) -> Collection[str]:
    handler = engine.handlers.get(kind)
    return handler.secret if handler is not None else ()


def show_job(id: str) -> Response:
    """One job, held back until it has finished where the client asks so; for a browser a page, of a lost job too."""
    try:
        response = _shown(id)
    except (JobNotFound, NotFound):
        if not prefers_page():
            raise
        response = _missing(id)
    response.headers["Vary"] = "Accept"
    return response


def _shown(id: str) -> Response:
    engine = current_engine()
    seconds = read_query(_WAIT)["wait"]
    number = job_id(id)
    job = engine.job(number) if seconds is None else engine.wait(number, min(seconds, MOST_WAIT))
    if prefers_page():
        return _page(engine, job)
    return job_answer(job, headers={"ETag": f'"{job.revision}"'})


def _page(engine: Engine, job: Job) -> Response:
    """The job's page. Unlike the JSON it shows no secrets: it stands open on desks."""
    secret = _secret(engine, job.kind)
    view = job_json(job)
    log = engine.log(job.id, limit=1000)
    return render(
        "job.html",
        job=view,
        payload=redacted(view["payload"], secret),
        result=redacted(view["result"], secret),
        secret=sorted(secret),
        secret_names=SECRET_NAMES.pattern,
        log=[log_json(line) for line in log.items],
        more_log=log.next,
        steps=[(step.name, iso(step.at), step.words, step.told_as) for step in steps(job)],
        cancelled_by=cancelled_by(job, log.items),
        server=request.host_url.rstrip("/") + current_prefix(),
        here=job_url(job.id),
        said=request.args.get("said", "")[:MOST_SAID],
    )


def _missing(id: str) -> Response:
    kept = current_engine().settings
    return render("missing.html", 404, id=id[:40], keep_finished=kept.keep_finished, keep_days=kept.keep_days)


def show_log(id: str) -> Response:
    """A page of a job's log, oldest line first."""
    page = current_engine().log(job_id(id), **read_query(_LOG))
    return answer({"lines": [log_json(line) for line in page.items], "next": page.next})


def cancel_job(id: str) -> Response:
    """A waiting job is cancelled, a running one asked to stop."""
    asked = read_filter(_CANCEL)
    who = asked["who"] or request.remote_addr
    return job_answer(current_engine().cancel(job_id(id), seen_revision(), who=who, why=asked["why"]))


def retry_job(id: str) -> Response:
    """A failed or cancelled job waits in todo again."""
    return job_answer(current_engine().retry(job_id(id), seen_revision()), 202)


def run_job(id: str) -> Response:
    """A scheduled job waits in todo at once."""
    return job_answer(current_engine().run_now(job_id(id), seen_revision()), 202)


def forget_job(id: str) -> Response:
    """A finished job is forgotten."""
    current_engine().forget(job_id(id), seen_revision())
    return Response(status=204)


def retry_jobs() -> Response:
    """All that match are retried, oldest first."""
    return _bulk(*current_engine().retry_all(*_wanted()))


def cancel_jobs() -> Response:
    """All that match are cancelled, oldest first."""
    return _bulk(*current_engine().cancel_all(*_wanted(), who=request.remote_addr))


def run_jobs() -> Response:
    """All scheduled ones that match wait in todo at once, oldest first."""
    return _bulk(*current_engine().run_all(*_wanted()))


def forget_jobs() -> Response:
    """All finished ones that match are forgotten, oldest first."""
    return _bulk(*current_engine().forget_all(*_wanted()))


def _wanted() -> tuple[dict[str, Any], int]:
    """What the jobs that are asked for have in common, and how many of them at the most."""
    wanted = read_filter(_BULK)
    return {name: wanted[name] for name in CHOSEN_BY if name in wanted}, wanted["limit"]


def _bulk(matched: int, done: int) -> Response:
    return answer({"matched": matched, "done": done})


ROUTES = [
    ("GET", "/jobs", list_jobs),
    ("POST", "/jobs/retry", retry_jobs),
    ("POST", "/jobs/cancel", cancel_jobs),
    ("GET", "/jobs/<webqueue_id:id>", show_job),
    ("DELETE", "/jobs/<webqueue_id:id>", forget_job),
    ("GET", "/jobs/<webqueue_id:id>/log", show_log),
    ("POST", "/jobs/<webqueue_id:id>/cancel", cancel_job),
    ("POST", "/jobs/<webqueue_id:id>/retry", retry_job),
    ("POST", "/jobs/<webqueue_id:id>/run", run_job),
    ("POST", "/jobs/run", run_jobs),
    ("POST", "/jobs/delete", forget_jobs),
]
