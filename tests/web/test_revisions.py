"""ETag and If-Match: an action on a job as somebody saw it. And the actions on many that are due or over."""

import pytest


@pytest.fixture
def server(serve):
    """A server on which nothing starts."""
    made = serve()
    made.post("/queue/pause")
    return made


def test_an_etag_is_the_revision(server):
    """It moves with each step."""
    server.push()
    first = server.get("/jobs/1").headers["ETag"]
    job = server.post("/jobs/1/cancel", headers={"If-Match": first}).json()
    assert ('"1"', f'"{job["revision"]}"') == (first, server.get("/jobs/1").headers["ETag"])


def test_a_lost_race_says_so(server):
    """412, what the job is by now, and nothing is done: by any verb."""
    server.push()
    server.post("/jobs/1/cancel")
    old = {"If-Match": '"1"'}
    answers = [server.post(f"/jobs/1/{verb}", headers=old) for verb in ("cancel", "retry", "run")]
    answers.append(server.http.delete(f"{server.url}/jobs/1", headers=old, timeout=10))
    assert [412] * 4 == [answer.status_code for answer in answers]
    assert {"Job 1 is cancelled by now, at revision 2."} == {answer.json()["detail"] for answer in answers}
    assert "application/problem+json" == answers[0].headers["Content-Type"]
    assert "cancelled" == server.get("/jobs/1").json()["state"]


@pytest.mark.parametrize(
    ("given", "status"),
    [('"1"', 200), ("*", 200), ('W/"1"', 412), ('"2"', 412), ('"x"', 412), ('""', 412), ('"' + "9" * 5000 + '"', 412),
     ("", 412), ('"1", "2"', 400), ('"\u0661"', 412)],
    ids=lambda given: ascii(given)[:20],
)  # fmt: skip
def test_what_matches(server, given, status):
    """The strong ETag itself, or a star; whatever else is no 500."""
    server.push()
    assert status == server.post("/jobs/1/cancel", headers={"If-Match": given.encode()}).status_code


def test_run_now(server):
    """A scheduled job is due at once; another is refused."""
    server.post("/push-job", {"kind": "echo", "delay": 3600})
    answer = server.post("/jobs/1/run")
    assert (202, "todo") == (answer.status_code, answer.json()["state"])
    assert 409 == server.post("/jobs/1/run").status_code


def test_many_are_run_and_deleted(server):
    """Those that match, and of the allowed states only."""
    server.post("/push-jobs", [{"kind": "echo", "delay": 60}] * 3 + [{"kind": "echo"}])
    assert {"matched": 3, "done": 2} == server.post("/jobs/run", {"kind": "echo", "limit": 2}).json()
    assert {"matched": 1, "done": 1} == server.post("/jobs/cancel", {"state": "scheduled"}).json()
    assert {"matched": 1, "done": 1} == server.post("/jobs/delete", {"kind": "echo"}).json()
    assert [4, 2, 1] == [job["id"] for job in server.get("/jobs").json()["jobs"]]


def test_forms_carry_what_was_seen(server):
    """7@3: the same in a form."""
    server.push()
    send = lambda id: server.http.post(  # noqa: E731
        f"{server.url}/jobs/actions", data={"do": "cancel", "id": id}, allow_redirects=False, timeout=10
    )
    assert "Job+1+is+todo+by+now" in send("1@9").headers["Location"]
    assert "1+of+1+cancelled" in send("1@1").headers["Location"]
