"""POST /push-job: one push."""

from contextlib import suppress

from flask import Response

from webqueue.errors import JobNotFound, Unavailable
from webqueue.web.answers import answer, job_answer, job_url, pushed_json
from webqueue.web.current import current_engine
from webqueue.web.incoming import idempotency_key, preferred_wait, read_json


def push_job() -> Response:
    """Push one job; with ``Prefer: wait=N`` it is answered when it has finished, N s from now at the latest."""
    engine = current_engine()
    pushed = engine.push(read_json(), idempotency_key())
    headers = {"Location": job_url(pushed.job.id)}
    seconds = preferred_wait()
    if seconds is not None:
        headers["Preference-Applied"] = f"wait={seconds}"
        with suppress(Unavailable, JobNotFound):  # whatever becomes of the wait, the push was accepted
            job = engine.wait(pushed.job.id, seconds)
            if job.finished:
                return job_answer(job, 200, headers)
    status, body = pushed_json(engine, pushed)
    return answer(body, status, headers)


ROUTES = [("POST", "/push-job", push_job)]
