"""/jobs: the jobs, one and many."""

from flask import Response
from werkzeug.exceptions import NotFound

from webqueue.errors import JobNotFound
from webqueue.views import job_json, log_json
from webqueue.web.answers import answer, job_answer
from webqueue.web.current import current_engine
from webqueue.web.incoming import MOST_WAIT, job_id, read_filter, read_query
from webqueue.web.page import prefers_page, render
from webqueue.web.schemas import BulkFilter, JobsQuery, LogQuery, WaitQuery

_JOBS, _LOG, _WAIT, _BULK = JobsQuery(), LogQuery(), WaitQuery(), BulkFilter()


def list_jobs() -> Response:
    """A page of jobs, newest first."""
    page = current_engine().jobs(**read_query(_JOBS))
    return answer({"jobs": [job_json(job) for job in page.items], "next": page.next})


def show_job(id: str) -> Response:
    """One job, held back until it has finished where the client asks so; for a browser its page, or one that says why not."""
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
        lines = engine.log(number).items
        return render("job.html", job=job_json(job), log=[log_json(line) for line in lines])
    return job_answer(job)


def _missing(id: str) -> Response:
    kept = current_engine().settings
    return render("missing.html", 404, id=id[:40], keep_finished=kept.keep_finished, keep_days=kept.keep_days)


def show_log(id: str) -> Response:
    """A page of a job's log, oldest line first."""
    page = current_engine().log(job_id(id), **read_query(_LOG))
    return answer({"lines": [log_json(line) for line in page.items], "next": page.next})


def cancel_job(id: str) -> Response:
    """A waiting job is cancelled, a running one asked to stop."""
    return job_answer(current_engine().cancel(job_id(id)))


def retry_job(id: str) -> Response:
    """A failed or cancelled job waits in todo again."""
    return job_answer(current_engine().retry(job_id(id)), 202)


def forget_job(id: str) -> Response:
    """A finished job is forgotten."""
    current_engine().forget(job_id(id))
    return Response(status=204)


def retry_jobs() -> Response:
    """All that match are retried, oldest first."""
    wanted = read_filter(_BULK)
    return _bulk(*current_engine().retry_all(wanted, wanted.pop("limit")))


def cancel_jobs() -> Response:
    """All that match are cancelled, oldest first."""
    wanted = read_filter(_BULK)
    return _bulk(*current_engine().cancel_all(wanted, wanted.pop("limit")))


def _bulk(matched: int, done: int) -> Response:
    return answer({"matched": matched, "done": done})


ROUTES = [
    ("GET", "/jobs", list_jobs),
    ("POST", "/jobs/retry", retry_jobs),
    ("POST", "/jobs/cancel", cancel_jobs),
    ("GET", "/jobs/<id>", show_job),
    ("DELETE", "/jobs/<id>", forget_job),
    ("GET", "/jobs/<id>/log", show_log),
    ("POST", "/jobs/<id>/cancel", cancel_job),
    ("POST", "/jobs/<id>/retry", retry_job),
]
