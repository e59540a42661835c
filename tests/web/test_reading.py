"""What can be read, and steered, over real HTTP."""

import pytest

from tests.web.conftest import Gate


@pytest.fixture
def gate(jobs):
    """A handler that waits to be let through."""
    made = Gate()
    jobs.handlers.register(made.run, kind="gate")
    yield made
    made.opened.set()


def test_jobs_come_in_pages(server):
    """Newest first; the cursor leads to the next page, and the last one has none."""
    server.post("/push-jobs", [{"kind": "echo"}] * 5)
    seen, cursor = [], ""
    while cursor is not None:
        page = server.get(f"/jobs?limit=2&cursor={cursor}" if cursor else "/jobs?limit=2").json()
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next"]
    assert [5, 4, 3, 2, 1] == seen


def test_jobs_are_filtered(server):
    """By state, kind and queue."""
    server.push(wait=5)
    server.push("fail", message="no")
    server.post("/push-job", {"kind": "echo", "queue": "mail", "delay": 60})
    assert [3] == [job["id"] for job in server.get("/jobs?queue=mail").json()["jobs"]]
    assert [3] == [job["id"] for job in server.get("/jobs?state=scheduled&kind=echo").json()["jobs"]]
    assert [2] == [job["id"] for job in server.get("/jobs?kind=fail").json()["jobs"]]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "limit=", "cursor=-1", "cursor=x", "cursor=" + "9" * 5000,
     "state=nope", "state=", "kind=" + "x" * 201],
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_refused(plain, query):
    """422 under the parameter's name."""
    answer = plain.get(f"/jobs?{query}")
    assert (422, [query.partition("=")[0]]) == (answer.status_code, list(answer.json()["errors"]))


def test_parameters_that_nobody_knows_are_ignored(plain):
    """So that links with trackers work."""
    assert 200 == plain.get("/jobs?utm_source=x").status_code


@pytest.mark.parametrize("id", ["0", "99", "9" * 30, "9" * 5000, "x", "-1", "1.0", "%00", "%ff", "٣"])
def test_an_unknown_job_is_not_found(plain, id):
    """404 as a problem, whatever the id."""
    plain.push(wait=5)
    answer = plain.get(f"/jobs/{id}")
    assert (404, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])


def test_a_job_can_be_waited_for(server, gate):
    """With wait=N the answer comes when it has finished."""
    job = server.push("gate")
    assert gate.entered.wait(5)
    assert "running" == server.get(f"/jobs/{job['id']}?wait=0").json()["state"]
    gate.opened.set()
    assert "done" == server.get(f"/jobs/{job['id']}?wait=5").json()["state"]


def test_a_log_is_read_line_by_line(server):
    """Oldest first, in pages."""
    job = server.push("greet", wait=5, name="Ada", email="ada@example.org")
    page = server.get(f"/jobs/{job['id']}/log").json()
    assert ["greeting Ada at ada@example.org"] == [line["message"] for line in page["lines"]]
    assert page["next"] is None
    assert 404 == server.get("/jobs/99/log").status_code


def test_a_waiting_job_is_cancelled_and_retried_and_forgotten(server):
    """cancel 200, retry 202, delete 204; 409 where its state does not allow it."""
    server.post("/queue/pause")
    path = f"/jobs/{server.push()['id']}"
    assert 409 == server.http.delete(server.url + path).status_code
    assert 409 == server.post(f"{path}/retry").status_code
    cancelled = server.post(f"{path}/cancel")
    assert (200, "cancelled") == (cancelled.status_code, cancelled.json()["state"])
    assert 409 == server.post(f"{path}/cancel").status_code
    retried = server.post(f"{path}/retry")
    assert (202, "todo") == (retried.status_code, retried.json()["state"])
    server.post(f"{path}/cancel")
    forgotten = server.http.delete(server.url + path)
    assert (204, b"") == (forgotten.status_code, forgotten.content)
    assert 404 == server.get(path).status_code


def test_many_are_retried_and_cancelled_at_once(server):
    """All that match, oldest first, up to the limit."""
    server.post("/queue/pause")
    server.post("/push-jobs", [{"kind": "echo"}] * 3 + [{"kind": "fail"}] * 2)
    assert {"matched": 3, "done": 2} == server.post("/jobs/cancel", {"kind": "echo", "limit": 2}).json()
    assert {"matched": 2, "done": 2} == server.post("/jobs/retry", {"kind": "echo"}).json()
    assert {"matched": 5, "done": 5} == server.post("/jobs/cancel", {"all": True}).json()


@pytest.mark.parametrize("verb", ["cancel", "retry", "run", "delete"])
@pytest.mark.parametrize("body", [None, {}, {"limit": 5}, {"all": False}])
def test_all_jobs_are_meant_only_where_it_says_so(plain, verb, body):
    """422 that says how, and nothing has happened."""
    plain.push(delay=60)
    before = plain.get("/queue").json()["seq"]
    answer = plain.post(f"/jobs/{verb}", body)
    assert 422 == answer.status_code
    assert ['Which jobs? Say state, kind, queue, error, or "all": true.'] == answer.json()["errors"]["_schema"]
    assert before == plain.get("/queue").json()["seq"]


@pytest.mark.parametrize("verb", ["cancel", "retry", "run", "delete"])
def test_a_missing_id_means_no_job(plain, verb):
    """404, no redirect to what is for many; and by GET or DELETE that is 405, no job of this name."""
    for path in (f"/jobs//{verb}", f"/jobs/%2F{verb}", f"/jobs///{verb}"):
        assert 404 == plain.post(path, {"all": True}, allow_redirects=False).status_code
    for method in ("GET", "DELETE"):
        answer = plain.http.request(method, f"{plain.url}/jobs/{verb}")
        assert (405, "OPTIONS, POST") == (answer.status_code, answer.headers["Allow"])


@pytest.mark.parametrize(
    "body",
    [{"nonsense": 1}, {"limit": 0}, {"limit": 10_001}, {"state": "odd"}, {"kind": 3}, {"limit": "5x"}, {"all": "yes"}],
)
def test_a_filter_that_makes_no_sense_is_refused(plain, body):
    """422 under the field's name."""
    answer = plain.post("/jobs/retry", body)
    assert (422, list(body)) == (answer.status_code, list(answer.json()["errors"]))


@pytest.mark.parametrize("path", ["/jobs/retry", "/jobs/cancel", "/queue/pause", "/queue/resume"])
@pytest.mark.parametrize("body", [[], "x", 3, None])
def test_a_filter_is_an_object(server, path, body):
    """422 for any other JSON."""
    data = repr(body).replace("None", "null").replace("'", '"')
    answer = server.post(path, data=data, headers={"Content-Type": "application/json"})
    assert 422 == answer.status_code


def test_the_queue_is_paused_and_resumed(server):
    """Pushes are accepted meanwhile, and run afterwards."""
    assert server.post("/queue/pause", {"why": "lunch"}).json()["paused"] is True
    job = server.push()
    assert "todo" == server.get(f"/jobs/{job['id']}?wait=0").json()["state"]
    assert server.post("/queue/resume").json()["paused"] is False
    assert "done" == server.get(f"/jobs/{job['id']}?wait=5").json()["state"]


def test_one_queue_is_paused(server):
    """Its name, why and since when are told."""
    server.post("/queue/pause", {"queue": "mail", "why": "flood"})
    told = server.get("/queue").json()
    assert (False, "flood") == (told["paused"], told["paused_queues"]["mail"]["why"])
    assert [("mail", "127.0.0.1", "flood")] == [(one["queue"], one["who"], one["why"]) for one in told["pauses"]]
    told = server.post("/queue/pause", {"who": "Ada"}).json()
    assert [(None, "Ada"), ("mail", "127.0.0.1")] == [(one["queue"], one["who"]) for one in told["pauses"]]
    server.post("/queue/resume")
    assert {} == server.post("/queue/resume", {"queue": "mail"}).json()["paused_queues"]


def test_kinds_tell_what_they_take(plain):
    """Doc line, JSON Schema and defaults of each."""
    kinds = {one["kind"]: one for one in plain.get("/kinds").json()["kinds"]}
    assert ["echo", "fail", "greet", "sleep"] == sorted(kinds)
    assert {"name", "email"} == set(kinds["greet"]["schema"]["required"])
    assert {"kind", "doc", "schema", "queue", "priority", "max_attempts", "timeout"} == set(kinds["echo"])


def test_health_and_readiness(plain):
    """200 each."""
    assert [200, 200] == [plain.get(path).status_code for path in ("/healthz", "/readyz")]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", "/queue", "GET"), ("GET", "/push-job", "POST"), ("PUT", "/jobs/1", "GET")],
)
def test_a_wrong_method_is_refused(plain, method, path, allowed):
    """405 as a problem, with what is allowed."""
    answer = plain.http.request(method, plain.url + path)
    assert (405, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])
    assert allowed in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/nope", "/jobs/1/2/3", "/static/nope.js", "/static/../pyproject.toml", "/queue/"])
def test_an_unknown_path_is_not_found(plain, path):
    """404 as a problem."""
    answer = plain.get(path)
    assert (404, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])


def test_head_and_options_are_answered(server):
    """As HTTP has it, and without CORS."""
    head, options = server.http.head(server.url + "/queue"), server.http.options(server.url + "/push-job")
    assert (200, b"") == (head.status_code, head.content)
    assert (200, True) == (options.status_code, "POST" in options.headers["Allow"])
    assert not [name for name in options.headers if name.startswith("Access-Control")]


def test_the_page_and_a_jobs_page(server):
    """HTML with a strict policy; a job is a page only for who prefers one."""
    id = server.push(wait=5)["id"]
    html = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for answer in (server.get("/"), server.get(f"/jobs/{id}", headers=html)):
        assert (200, "text/html; charset=utf-8") == (answer.status_code, answer.headers["Content-Type"])
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "application/json" == server.get(f"/jobs/{id}", headers={"Accept": "*/*"}).headers["Content-Type"]
    assert "Accept" == server.get(f"/jobs/{id}").headers["Vary"]


@pytest.mark.parametrize(
    "path",
    ["/", "/queue", "/nope", "/static/js/main.js", "/healthz", "/socket.io/", "/socket.io/?EIO=4&transport=polling"],
)
def test_every_answer_of_ours_says_nosniff(plain, path):
    """Once, also those that Flask does not make."""
    answer = plain.get(path)
    assert "nosniff" == answer.headers["X-Content-Type-Options"]
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


def test_an_error_that_nobody_foresaw_is_told_without_its_text(server, monkeypatch, caplog):
    """500 as a problem; the log has the traceback, the client has nothing of it."""
    monkeypatch.setattr(server.engine, "overview", lambda: 1 / 0)
    answer = server.get("/queue")
    assert (500, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])
    assert "division" not in answer.text
    assert "ZeroDivisionError" in caplog.text
