"""push, jobs, show, cancel, retry, pause, resume against a real server."""

import json
import re
from pathlib import Path

import pytest

from tests.servers import Server, webqueue


def test_push_prints_id_kind_state(server: Server) -> None:
    """Without --wait the answer is one line, the exit code 0."""
    result = server.cli("push", "echo", '{"a": 1}')

    assert (0, "") == (result.returncode, result.stderr)
    assert re.fullmatch(r"\d+ echo (todo|running|done)\n", result.stdout)


def test_push_wait_prints_the_finished_job_as_json(server: Server) -> None:
    """With --wait the whole job is printed, and the exit code is 0 as it is done."""
    result = server.cli("push", "echo", '{"a": 1}', "--wait")

    job = json.loads(result.stdout)
    assert (0, "done", {"a": 1}) == (result.returncode, job["state"], job["result"])


def test_push_wait_of_a_failing_job_ends_with_1(server: Server) -> None:
    """The exit code is 0 only when the job is done; the failed one is printed all the same."""
    result = server.cli("push", "fail", "--wait", "--max-attempts", "1")

    assert (1, "failed", "") == (result.returncode, json.loads(result.stdout)["state"], result.stderr)


def test_payload_from_stdin(server: Server) -> None:
    """A dash reads the payload from stdin."""
    result = server.cli("push", "echo", "-", "--wait", stdin='{"from": "stdin"}')

    assert {"from": "stdin"} == json.loads(result.stdout)["result"]


def test_unfit_push_is_one_line_with_the_fields(server: Server) -> None:
    """What was wrong is told by field, in one line on stderr, exit code 1."""
    result = server.cli("push", "greet", '{"name": "x", "email": "nobody"}')

    assert (1, "") == (result.returncode, result.stdout)
    assert 1 == result.stderr.count("\n")
    assert "payload.email: Not a valid email address." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["push", "echo", "{a"], "The payload is not JSON"),
        (["push", "echo", '{"a": NaN}'], "The payload is not JSON"),
        (["push", "nope"], "kind: "),
        (["show", "999999"], "There is no job 999999"),
        (["cancel", "999999"], "There is no job 999999"),
        (["jobs", "--server", "http://127.0.0.1:1"], "No answer from http://127.0.0.1:1: Connection refused"),
        (["watch", "--server", "http://127.0.0.1:1"], "No answer from http://127.0.0.1:1: Connection refused"),
        (["jobs", "--server", "nonsense"], "is no address of a server"),
    ],
)
def test_errors_are_one_line(server: Server, arguments: list[str], expected: str) -> None:
    """No traceback, whatever the user got wrong."""
    result = server.cli(*arguments)

    assert (1, "") == (result.returncode, result.stdout)
    assert result.stderr.startswith("webqueue: ")
    assert 1 == result.stderr.count("\n")
    assert expected in result.stderr


def test_jobs_lists_newest_first(server: Server) -> None:
    """The table has a head; --json has a job a line."""
    first = json.loads(server.cli("push", "echo", "--wait").stdout)["id"]
    second = json.loads(server.cli("push", "echo", "--wait").stdout)["id"]

    table = server.cli("jobs", "--state", "done", "--limit", "2").stdout.splitlines()
    as_json = server.cli("jobs", "--limit", "1", "--json").stdout.splitlines()

    assert ["ID", str(second), str(first)] == [line.split()[0] for line in table]
    assert [second] == [json.loads(line)["id"] for line in as_json]


def test_pause_cancel_retry_resume_and_show(server: Server) -> None:
    """A paused queue accepts; a waiting job is cancelled, put back, and run once the queue is resumed."""
    assert "paused all queues\n" == server.cli("pause", "--why", "lunch").stdout
    id = server.cli("push", "echo").stdout.split()[0]
    assert f"{id} echo cancelled\n" == server.cli("cancel", id).stdout
    assert f"{id} echo todo\n" == server.cli("retry", id).stdout
    refused = server.cli("retry", id)
    assert (1, 1) == (refused.returncode, refused.stderr.count("\n"))
    assert "resumed all queues\n" == server.cli("resume").stdout
    server.finished(int(id))
    assert "done" == json.loads(server.cli("show", id).stdout)["state"]


def test_without_arguments_it_helps(tmp_path: Path) -> None:
    """--help names every command; so does python -m webqueue."""
    result = webqueue("--help", cwd=tmp_path)

    assert 0 == result.returncode
    for name in ("run", "work", "push", "jobs", "show", "cancel", "retry", "pause", "resume", "watch", "bench"):
        assert re.search(rf"^  {name} ", result.stdout, re.MULTILINE)


def test_work_refuses_a_store_of_one_owner(tmp_path: Path) -> None:
    """Consumers beside others need a store that many machines share, and the message says so."""
    result = webqueue("work", "shop.py", "--store", "sqlite:///x.db", cwd=tmp_path)

    assert (1, 1) == (result.returncode, result.stderr.count("\n"))
    assert "postgresql://" in result.stderr
