"""One call of a handler, and the verdict on how it ended. The same in a consumer's thread and in a child process."""

import json
import logging
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple

from webqueue import context, strictjson
from webqueue.errors import Cancelled, Retry, TimedOut
from webqueue.handlers import Handler
from webqueue.job import Failure, Job

log = logging.getLogger("webqueue")

MAX_RESULT: Final = 2**20
"""Bytes of a result as JSON."""
MAX_TRACEBACK: Final = 8_000
MAX_MESSAGE: Final = 2_000


class Verdict(NamedTuple):
    """How an attempt ended: with a ``result`` (JSON) or a ``failure``; ``retry_after`` (s) is the handler's wish."""

    result: bytes | None = None
    failure: Failure | None = None
    cancelled: bool = False
    timed_out: bool = False
    worth_another: bool = True
    retry_after: float | None = None


class NotJSONResult(Exception):
    """What a handler returned can't be written as JSON."""


def attempt(handler: Handler[..., Any], run: context.Run, run_in: Callable[[], AbstractContextManager[Any]]) -> Verdict:
    """Call the handler with the payload of its job. Never raises, whatever the handler does."""
    try:
        return Verdict(_call(handler, run, run_in))
    except BaseException as error:  # noqa: BLE001 - SystemExit too: a handler must not take the consumer with it
        return judge(handler, run.job, error)


def judge(handler: Handler[..., Any] | None, job: Job, error: BaseException) -> Verdict:
    """What *error*, raised by *handler* (None: it was not even found), means for the job."""
    return Verdict(
        failure=_failure(error, job),
        cancelled=isinstance(error, Cancelled),
        timed_out=isinstance(error, TimedOut),
        worth_another=_worth_another(handler, error),
        retry_after=error.after if isinstance(error, Retry) else None,
    )


def _call(handler: Handler[..., Any], run: context.Run, run_in: Callable[[], AbstractContextManager[Any]]) -> bytes:
    token = context.enter(run)
    try:
        with run_in():
            return _as_json(handler.function(**_arguments(handler, run.job)))
    finally:
        context.leave(token)


def _arguments(handler: Handler[..., Any], job: Job) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(job.payload)
    if handler.schema is None:
        return payload
    loaded: dict[str, Any] = handler.schema.load(payload)
    return loaded


def _as_json(value: object) -> bytes:
    try:
        result = strictjson.dump(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJSONResult(f"The handler's result can't be written as JSON: {error}") from None
    if len(result) > MAX_RESULT:
        raise NotJSONResult(f"The handler's result has {len(result):,} bytes as JSON, {MAX_RESULT:,} are kept at most.")
    return result


def _worth_another(handler: Handler[..., Any] | None, error: BaseException) -> bool:
    if handler is None or isinstance(error, NotJSONResult):
        return False
    return isinstance(error, Retry | TimedOut) or handler.may_retry(error)


def _failure(error: BaseException, job: Job) -> Failure:
    text = "".join(traceback.format_exception(error))
    shown = text if len(text) <= MAX_TRACEBACK else "…" + text[-MAX_TRACEBACK:]
    if isinstance(error, TimedOut):
        return timeout(job, _clean(shown))
    if isinstance(error, NotJSONResult):
        return Failure("NotJSON", _clean(str(error)[:MAX_MESSAGE]), "")
    return Failure(type(error).__name__, _clean(_message(error)[:MAX_MESSAGE]), _clean(shown))


def timeout(job: Job, traceback: str = "") -> Failure:
    """It ran past its timeout."""
    return Failure("Timeout", f"It ran longer than {job.timeout:g} s.", traceback)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        log.exception("An exception of a handler can't be written as text")
        return "(its text can't be had)"


def _clean(text: str) -> str:
    """*text* without lone surrogates, which no client could read."""
    return text.encode(errors="replace").decode()
