"""One table: error → (status, title). Every refusal is a problem document (RFC 9457)."""

import logging
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from flask import Response
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from webqueue import errors, strictjson

TABLE: Final[dict[type[BaseException], tuple[int, str]]] = {
    strictjson.NotJSON: (400, "Not JSON"),
    errors.JobNotFound: (404, "No such job"),
    errors.StateConflict: (409, "Not in this state"),
    errors.ChangedMeanwhile: (412, "Changed meanwhile"),
    errors.KeyReused: (422, "Idempotency-Key reused"),
    errors.Rejected: (422, "Unfit"),
    ValidationError: (422, "Invalid request"),
    errors.QueueFull: (429, "Queue full"),
    errors.Unavailable: (503, "Unavailable"),
    errors.Draining: (503, "Shutting down"),
    errors.NotRunning: (503, "Not running"),
    errors.StoreUnavailable: (503, "Store unavailable"),
    errors.StoreError: (503, "Store unavailable"),
    errors.DiskFull: (507, "Disk full"),
    Exception: (500, "Internal error"),
}
"""Looked up along the error's classes, the nearest one counts."""

MEDIA_TYPE: Final = "application/problem+json"
_log = logging.getLogger(__name__)


class Problem(NamedTuple):
    """A refusal: its status, its JSON body and the headers that go with it."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


def problem(error: Exception) -> Problem:
    """What a client is told about *error*. One that nobody foresaw is logged, and its text kept back.

    Its traceback is gone afterwards: where a frame of it holds the error, that circle would hold the whole request.
    """
    told = _problem(error)
    error.__traceback__ = None
    return told


def _problem(error: Exception) -> Problem:
    if isinstance(error, HTTPException):
        return _of_http(error)
    status, title = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("An error nobody foresaw", exc_info=error)
        return Problem(status, _body(status, title, "This is a fault of the server; its log says more."), {})
    body = _body(status, title, _detail(error), "urn:webqueue:" + title.lower().replace(" ", "-"))
    return Problem(status, body | _extras(error), _retry_after(error))


def answer(error: Exception) -> Response:
    """The HTTP answer for *error*."""
    status, body, headers = problem(error)
    return Response(strictjson.dump(body), status, headers, mimetype=MEDIA_TYPE)


def _body(status: int, title: str, detail: str, type: str = "about:blank") -> dict[str, Any]:
    return {"type": type, "title": title, "status": status, "detail": detail}


def _of_http(error: HTTPException) -> Problem:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    headers = {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="webqueue"'
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(errors.Unavailable.retry_after)
    return Problem(status, _body(status, HTTPStatus(status).phrase, error.description or ""), headers)


def _detail(error: Exception) -> str:
    if isinstance(error, errors.Rejected):
        return error.reason
    return "Some values don't fit." if isinstance(error, ValidationError) else str(error)


def _extras(error: Exception) -> dict[str, Any]:
    if isinstance(error, errors.Rejected):
        return {"errors": error.errors, "rejection": error.id}
    return {"errors": error.messages} if isinstance(error, ValidationError) else {}


def _retry_after(error: Exception) -> dict[str, str]:
    seconds = getattr(error, "retry_after", None)
    return {} if seconds is None else {"Retry-After": str(seconds)}
