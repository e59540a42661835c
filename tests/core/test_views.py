"""The JSON shapes of the contract, key by key."""

import json

import pytest

from webqueue.job import Attempt, Failure, Job, LogLine, Progress, Rejection, Standing, State
from webqueue.views import JobView, error_json, iso, job_json, job_summary, log_json, progress_json, rejection_json

WHOLE = {
    "id", "kind", "payload", "queue", "priority", "state", "position", "starts_in", "attempt", "max_attempts",
    "crashes", "timeout", "progress", "result", "error", "unique_key", "run_at", "created_at", "started_at",
    "finished_at", "revision", "overdue", "waiting_for", "history",
}  # fmt: skip
ERROR = Failure("ValueError", "no", "Traceback")
JOB = Job(
    7, "echo", b'{"a":1,"password":"x"}', "default", 0, State.FAILED, 1, 3, 1_700_000_000_123_999, error=ERROR,
    result=b"[1]", history=(Attempt(1, 1_000, 2_000, "failed", ERROR), Attempt(2, 1, 2, "done", None)),
    progress=Progress(0.5, "half"), standing=Standing(3, 1.5, "paused", True),
)  # fmt: skip


def test_the_whole_job() -> None:
    """Every field of the contract and no other, ready for JSON."""
    view = job_json(JOB)
    json.dumps(view, allow_nan=False)

    assert WHOLE == set(view)
    assert ({"a": 1, "password": "x"}, [1], "failed") == (view["payload"], view["result"], view["state"])
    assert type(view["state"]) is str
    assert {"type": "ValueError", "message": "no", "traceback": "Traceback"} == view["error"]
    assert {"fraction": 0.5, "message": "half"} == view["progress"]
    assert (3, 1.5, "paused", True) == tuple(view[n] for n in ("position", "starts_in", "waiting_for", "overdue"))
    assert {"attempt", "started_at", "ended_at", "outcome", "error"} == set(view["history"][0])
    assert "1970-01-01T00:00:00.001Z" == view["history"][0]["started_at"]


def test_the_summary() -> None:
    """All but payload, result, history and the error's traceback, plus a redacted preview."""
    view = job_summary(JOB)

    assert WHOLE - {"payload", "result", "history"} | {"preview"} == set(view)
    assert {"type": "ValueError", "message": "no"} == view["error"]
    assert '{"a":1,"password":"•••"}' == view["preview"]
    assert {"a"} == set(json.loads(job_summary(JOB, {"a"})["preview"])) - {"password"}
    assert "1" not in job_summary(JOB, {"a"})["preview"]


def test_what_is_not_there_is_null() -> None:
    """A fresh job has its nulls."""
    view = job_json(Job(1, "echo", b"{}", "default", 0, State.TODO, 1, 3, 0))

    nulls = {name for name, value in view.items() if value is None}
    assert {"position", "starts_in", "timeout", "progress", "result", "error", "unique_key", "run_at", "started_at",
            "finished_at", "waiting_for"} == nulls  # fmt: skip
    assert ([], False, {}) == (view["history"], view["overdue"], view["payload"])


def test_other_shapes() -> None:
    """Rejections, log lines, progress and errors."""
    rejection = Rejection(1, 2_000, None, "unfit", {"kind": ["no"]}, b'{"a":1}')
    assert {"id": 1, "at": "1970-01-01T00:00:00.002Z", "kind": None, "reason": "unfit", "errors": {"kind": ["no"]},
            "payload": {"a": 1}} == rejection_json(rejection)  # fmt: skip
    assert None is rejection_json(Rejection(1, 2, None, "", {}))["payload"]
    assert {"at": "1970-01-01T00:00:00.000Z", "level": "info", "message": "x"} == log_json(LogLine(1, "info", "x"))
    assert (None, None) == (progress_json(None), error_json(None))


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_999_999, "2023-11-14T22:13:20.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times(at: int | None, text: str | None) -> None:
    """ISO 8601, UTC, milliseconds, Z; cut, never rounded up."""
    assert text == iso(at)


def test_a_job_in_python() -> None:
    """The JSON's fields as attributes."""
    view = JobView(JOB)

    assert all(getattr(view, name) == value for name, value in job_json(JOB).items())
    assert "<Job 7 echo failed>" == repr(view)
    with pytest.raises(AttributeError, match="colour"):
        _ = view.colour
