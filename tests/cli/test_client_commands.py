"""push, jobs, show, cancel, retry, delete, queue, pause, resume against a real server."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server, webqueue
from webqueue.client import Client


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


def test_push_wait_draws_nothing_where_there_is_no_terminal(server: Server) -> None:
    """A program that reads stderr finds nothing there."""
    result = server.cli("push", "sleep", '{"seconds": 0.5}', "--wait")

    assert (0, "", {"slept": 0.5}) == (result.returncode, result.stderr, json.loads(result.stdout)["result"])


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
    """The table has a head and says what came of each; --json is what the API answered."""
    first = json.loads(server.cli("push", "echo", "--wait").stdout)["id"]
    second = json.loads(server.cli("push", "echo", "--wait").stdout)["id"]

    table = server.cli("jobs", "--state", "done", "--kind", "echo", "--limit", "2").stdout.splitlines()
    as_json = json.loads(server.cli("jobs", "--limit", "1", "--json").stdout)

    assert ["ID", "KIND", "STATE", "QUEUE", "ATTEMPT", "AGE", "NOTE"] == table[0].split()
    assert [str(second), str(first)] == [line.split()[0] for line in table[1:]]
    assert re.fullmatch(rf"{second} +echo +done +default +1/3 +[\d.]+s +took [\d.]+s", table[1])
    assert ([second], second) == ([job["id"] for job in as_json["jobs"]], as_json["next"])


def failed_job(server: Server, message: str) -> str:
    """The id of a job that failed with *message*."""
    push = {"kind": "fail", "payload": {"message": message}, "max_attempts": 1}
    return str(server.finished(server.call("POST", "/push-job", push)[1]["id"])["id"])


def test_show_is_a_sheet(server: Server) -> None:
    """All that is known of a job, its traceback and its log lines too; --json is the job."""
    failed = failed_job(server, "oh")
    greeted = str(server.finished(server.push("greet", name="Ann", email="a@example.org")["id"])["id"])

    sheet, other = server.cli("show", failed).stdout, server.cli("show", greeted).stdout

    assert f"{failed} fail failed" == sheet.splitlines()[0]
    assert re.search(r"^attempt +1 of 1$", sheet, re.MULTILINE)
    assert '\npayload\n  {\n    "message": "oh"\n  }\n' in sheet
    assert "\nerror\n  RuntimeError: oh\n  Traceback (most recent call last):\n" in sheet
    assert re.search(r"^  1  failed   \S+Z +[\d.]+s +RuntimeError: oh$", sheet, re.MULTILINE)
    assert '\nresult\n  "Hello, Ann!"\n' in other
    assert other.rstrip().endswith("greeting Ann at a@example.org")
    assert "failed" == json.loads(server.cli("show", failed, "--json").stdout)["state"]


def test_control_characters_of_others_do_not_reach_the_terminal(server: Server) -> None:
    """A job's message can't move the cursor, nor can a field that is told back in an error; JSON stays JSON."""
    message = "\x1b[2J\x9b1Agone\x7f"
    id = failed_job(server, message)

    unfit = ["push", "greet", '{"\\u001b[2J": 1}']
    told = [server.cli(*words) for words in (["jobs"], ["show", id], ["show", id, "--json"], unfit)]

    for one in told:
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", one.stdout + one.stderr)
    assert all("[2J" in one.stdout + one.stderr for one in told)
    assert message == json.loads(told[2].stdout)["payload"]["message"]


def test_many_jobs_by_id(server: Server) -> None:
    """A line each; one that refuses is told, the others are done all the same, and the exit code is 1."""
    server.cli("pause", "many")
    ids = [server.cli("push", "echo", "--queue", "many").stdout.split()[0] for _ in range(2)]

    cancelled = server.cli("cancel", ids[0], "999999", ids[1])
    retried = server.cli("retry", *ids)
    as_json = server.cli("cancel", ids[0], "--json")

    assert (1, "".join(f"{id} echo cancelled\n" for id in ids)) == (cancelled.returncode, cancelled.stdout)
    assert re.fullmatch(r"webqueue: There is no job 999999.*\n", cancelled.stderr)
    assert (0, "".join(f"{id} echo todo\n" for id in ids)) == (retried.returncode, retried.stdout)
    assert "cancelled" == json.loads(as_json.stdout)["state"]


def test_many_jobs_by_what_they_have_in_common(server: Server) -> None:
    """How many matched and how many were done, at most --limit of them."""
    server.cli("pause", "filtered")
    for kind in ("echo", "echo", "echo", "fail"):
        server.cli("push", kind, "--queue", "filtered")

    cancelled = server.cli("cancel", "--state", "todo", "--kind", "echo", "--queue", "filtered")
    retried = server.cli("retry", "--queue", "filtered", "--limit", "2")
    as_json = server.cli("cancel", "--queue", "filtered", "--json")

    assert "cancelled 3 of 3 jobs that match\n" == cancelled.stdout
    assert "retried 2 of 3 jobs that match\n" == retried.stdout
    assert {"matched": 3, "done": 3} == json.loads(as_json.stdout)


@pytest.mark.parametrize("arguments", [[], ["--limit", "5"], ["1", "--kind", "echo"]])
@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_which_jobs_must_be_said(server: Server, verb: str, arguments: list[str]) -> None:
    """Neither all of them by an oversight, nor both by ID and by a filter."""
    result = server.cli(verb, *arguments)

    assert (1, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert f"Say which jobs to {verb}" in result.stderr


def test_delete_forgets(server: Server) -> None:
    """A finished job is gone; one that waits refuses."""
    server.cli("pause", "deleted")
    finished = str(server.finished(server.push("echo")["id"])["id"])
    waits = server.cli("push", "echo", "--queue", "deleted").stdout.split()[0]

    result = server.cli("delete", finished, waits)

    assert (1, f"{finished} deleted\n", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert 404 == server.call("GET", f"/jobs/{finished}")[0]
    assert 200 == server.call("GET", f"/jobs/{waits}")[0]


def test_queue_tells_how_it_stands(server: Server) -> None:
    """Counts, consumers, each queue and why it is paused; --json is what the API answered, also to pause and resume."""
    paused = server.cli("pause", "lunch", "--why", "it is noon", "--who", "Ada", "--json")
    server.cli("push", "echo", "--queue", "lunch")

    sheet = server.cli("queue").stdout
    as_json = json.loads(server.cli("queue", "--json").stdout)
    resumed = server.cli("resume", "lunch", "--json")

    assert re.search(r"^consumers +\d of 1 busy$", sheet, re.MULTILINE)
    assert re.search(r"^QUEUE +SCHEDULED +TODO +RUNNING +DONE +FAILED +CANCELLED +PAUSED$", sheet, re.MULTILINE)
    assert re.search(r"^lunch +0 +1 +0 +0 +0 +0 +by Ada since \S+Z: it is noon$", sheet, re.MULTILINE)
    assert 1 == as_json["queues"]["lunch"]["todo"]
    assert "it is noon" == json.loads(paused.stdout)["paused_queues"]["lunch"]["why"]
    assert "lunch" not in json.loads(resumed.stdout)["paused_queues"]


class Paged(Client):
    """A server whose pages of a log have one line each."""

    def get(self, path: str, **query: Any) -> Any:
        """See Client."""
        cursor = query["cursor"] or 0
        return {"lines": [{"message": f"{path} {cursor}"}], "next": cursor + 1 if cursor < 2 else None}


def test_a_log_is_read_to_its_end() -> None:
    """Page after page."""
    lines = Paged("http://127.0.0.1:1").log(7)

    assert [f"/jobs/7/log {cursor}" for cursor in range(3)] == [line["message"] for line in lines]


class Page(BaseHTTPRequestHandler):
    """Some other web server."""

    def do_GET(self) -> None:
        """A page."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<h1>Hello</h1>")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(name="elsewhere")
def _elsewhere() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Page) as other:
        thread = threading.Thread(target=other.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{other.server_port}"
        other.shutdown()
        thread.join()


def test_another_server_is_told(server: Server, elsewhere: str) -> None:
    """What answers with a page is no webqueue: one line, no traceback."""
    result = server.cli("jobs", "--server", elsewhere)

    assert (1, f"webqueue: {elsewhere} is no webqueue: it answered 200 without a JSON object\n") == (
        result.returncode,
        result.stderr,
    )


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
    assert "done" == json.loads(server.cli("show", id, "--json").stdout)["state"]


def test_without_arguments_it_helps(tmp_path: Path) -> None:
    """--help names every command; so does python -m webqueue."""
    result = webqueue("--help", cwd=tmp_path)

    assert 0 == result.returncode
    serving, steering = ("run", "work", "bench"), ("cancel", "retry", "delete", "pause", "resume")
    for name in (*serving, *steering, "push", "jobs", "show", "queue", "watch"):
        assert re.search(rf"^  {name} ", result.stdout, re.MULTILINE)


def test_work_refuses_a_store_of_one_owner(tmp_path: Path) -> None:
    """Consumers beside others need a store that many machines share, and the message says so."""
    result = webqueue("work", "shop.py", "--store", "sqlite:///x.db", cwd=tmp_path)

    assert (1, 1) == (result.returncode, result.stderr.count("\n"))
    assert "postgresql://" in result.stderr
