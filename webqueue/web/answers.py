"""Answers as JSON."""

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Response

from webqueue import strictjson
from webqueue.engine import Engine
from webqueue.job import Job
from webqueue.stores.base import Pushed
from webqueue.views import job_json
from webqueue.web.current import current_prefix


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """*value* as compact JSON."""
    return Response(strictjson.dump(value), status, headers, content_type="application/json")


def jobs_answer(jobs: Iterable[Job], rest: Mapping[str, Any]) -> Response:
    """``{"jobs": [...], **rest}``, written job by job: between two of them other threads get on."""
    written = b",".join([strictjson.dump(job_json(job)) for job in jobs])
    return Response(b'{"jobs":[%b],%b' % (written, strictjson.dump(rest)[1:]), content_type="application/json")


def job_answer(job: Job, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The whole *job*."""
    return answer(job_json(job), status, headers)


def pushed_json(engine: Engine, pushed: Pushed) -> tuple[int, dict[str, Any]]:
    """Status and body for a push that was accepted: 202, or 200 where the job was there before."""
    body = job_json(engine.seen(pushed))
    if pushed.duplicate:
        body["duplicate"] = True
    return (202 if pushed.fresh else 200), body


def job_url(id: int) -> str:
    """Where the client of this request finds job *id*."""
    return f"{current_prefix()}/jobs/{id}"
