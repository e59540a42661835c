"""``process=True``: handlers in processes of their own, which nothing they do gets out of."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core import far
from webqueue.engine import Engine
from webqueue.job import Job, State
from webqueue.settings import Settings

PATIENCE = 30.0
"""Seconds: a process must be started, on a machine that may be busy."""


@pytest.fixture(name="engine")
def _engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(Settings(store=f"sqlite:///{tmp_path}/jobs.db"), far.handlers)
    engine.start()
    yield engine
    engine.stop(grace=0)


def _push(engine: Engine, kind: str, **more: object) -> Job:
    return engine.push({"kind": kind, **more}).job


def _run(engine: Engine, kind: str, **payload: object) -> Job:
    return _end(engine, _push(engine, kind, payload=payload))


def _end(engine: Engine, job: Job) -> Job:
    job = engine.wait(job.id, PATIENCE)
    assert job.finished
    return job


def _lines(engine: Engine, job: Job, number: int) -> list[str]:
    """Wait for so many log lines of a running job."""
    engine.feed.listen()
    for _ in range(int(PATIENCE * 100)):
        lines = [line.message for line in engine.log(job.id).items]
        if len(lines) >= number:
            return lines
        engine.feed.wait(engine.feed.seq, 0.01)
    pytest.fail("it logged nothing")


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_runs_elsewhere_and_the_process_is_kept(engine: Engine) -> None:
    """Its imports are paid once: the second job meets the same process."""
    first, second = _run(engine, "pid"), _run(engine, "pid")
    assert first.result is not None
    assert first.result == second.result
    assert os.getpid() != int(first.result)


def test_progress_log_and_results_cross_the_border(engine: Engine) -> None:
    """Both ways."""
    job = _run(engine, "tell", words="half")
    assert ["half"] == _lines(engine, job, 1)
    last = _push(engine, "gather", after=[_push(engine, "pid").id, _push(engine, "tell", payload={"words": "x"}).id])
    result = _end(engine, last).result
    assert result is not None
    assert result.endswith(b",null]")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_crash_is_a_failed_attempt_and_nothing_more(engine: Engine, number: int) -> None:
    """What the operating system did is said; the next job gets a new process."""
    job = _run(engine, "die", number=int(number))
    assert job.error is not None
    assert (State.FAILED, "Crashed", 0) == (job.state, job.error.type, job.crashes)
    assert f"signal {int(number)}" in job.error.message
    assert State.DONE == _run(engine, "pid").state


@pytest.mark.parametrize(("kind", "type"), [("leave", "Crashed"), ("end", "SystemExit")])
def test_a_handler_that_leaves_has_failed(engine: Engine, kind: str, type: str) -> None:
    """Whether it says so or not."""
    job = _run(engine, kind, code=3)
    assert job.error is not None
    assert (State.FAILED, type) == (job.state, job.error.type)
    assert "3" in job.error.message


def test_the_deadline_kills(engine: Engine) -> None:
    """Also where C code holds on: the process is gone when the job is reported."""
    pid = _run(engine, "pid").result  # the next job runs there, too
    ended = _run(engine, "sleep")
    assert ended.error is not None
    assert (State.FAILED, "Timeout", "timeout") == (ended.state, ended.error.type, ended.history[0].outcome)
    assert _is_gone(int(pid or b"0"))


@pytest.mark.parametrize("what", ["subprocess.Popen", "os.pipe", "socket.socketpair"])
def test_a_process_that_cannot_be_started(engine: Engine, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Is a failed attempt that says so, not a job that its consumer claims for ever; the next one runs."""

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(f"webqueue.processes.{what}", refuse)
        job = _run(engine, "pid")
    assert job.error is not None
    assert (State.FAILED, "NoProcess") == (job.state, job.error.type)
    assert "Resource temporarily unavailable" in job.error.message
    assert State.DONE == _run(engine, "pid").state


def test_a_cancel_is_heeded(engine: Engine) -> None:
    """The handler sees it at its next check."""
    job = _push(engine, "heed")
    _lines(engine, job, 1)
    engine.cancel(job.id)
    assert State.CANCELLED == _end(engine, job).state


def test_a_cancel_that_is_not_heeded_kills(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its grace time."""
    monkeypatch.setattr("webqueue.processes.HEED", 0.1)
    pid = _run(engine, "pid").result
    job = _push(engine, "sleep", timeout=60)
    _lines(engine, job, 1)
    engine.cancel(job.id)
    assert State.CANCELLED == _end(engine, job).state
    assert _is_gone(int(pid or b"0"))
