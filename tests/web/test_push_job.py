"""POST /push-job, over real HTTP."""

import json

import pytest
import requests

from tests.web.conftest import Gate


def test_a_push_is_accepted(server):
    """202, where the job is found, and the job."""
    answer = server.post("/push-job", {"kind": "echo", "payload": {"a": 1}})
    job = answer.json()
    assert 202 == answer.status_code
    assert f"/jobs/{job['id']}" == answer.headers["Location"]
    assert {"a": 1} == job["payload"]
    assert job == server.get(answer.headers["Location"]).json() | {
        name: job[name] for name in ("state", "attempt", "revision", "result", "history", "position", "starts_in",
                                     "started_at", "finished_at")
    }  # fmt: skip


def test_prefer_wait_answers_when_the_job_has_finished(server):
    """With Prefer: wait=N the answer is 200 and the finished job, and says which preference was honoured."""
    prefer = {"Prefer": "respond-async, wait=5"}
    answer = server.post("/push-job", {"kind": "echo", "payload": {"a": 1}}, headers=prefer)
    assert (200, "done", {"a": 1}) == (answer.status_code, answer.json()["state"], answer.json()["result"])
    assert "wait=5" == answer.headers["Preference-Applied"]


def test_prefer_wait_ends_at_its_time(server, jobs):
    """A job that takes longer is answered with 202 as it stands then."""
    gate = Gate()
    jobs.handlers.register(gate.run, kind="gate")
    answer = server.post("/push-job", {"kind": "gate"}, headers={"Prefer": "wait=0"})
    assert 202 == answer.status_code
    gate.opened.set()


@pytest.mark.parametrize("prefer", ["wait=x", "wait", "waiting=3", "wait=-1", ";;;", "wait=1.5", "handling=lenient"])
def test_a_preference_that_is_none_is_ignored(plain, prefer):
    """A preference that can't be understood is as if it were not there (RFC 7240)."""
    answer = plain.post("/push-job", {"kind": "echo"}, headers={"Prefer": prefer})
    assert 202 == answer.status_code
    assert "Preference-Applied" not in answer.headers


@pytest.mark.parametrize("prefer", ["wait=90", 'Wait = "90"', "wait=90; foo=bar"])
def test_a_long_wait_is_cut(plain, prefer):
    """60 s are waited at most, and the answer says so."""
    answer = plain.post("/push-job", {"kind": "echo"}, headers={"Prefer": prefer})
    assert (200, "wait=60") == (answer.status_code, answer.headers["Preference-Applied"])


def test_an_unfit_push_says_what_is_wrong_by_field(server):
    """422 with the errors nested as the push is, and the rejection's id."""
    answer = server.post("/push-job", {"kind": "greet", "payload": {"name": "", "email": "nobody"}})
    problem = answer.json()
    assert 422 == answer.status_code
    assert "application/problem+json" == answer.headers["Content-Type"]
    errors = {"name": ["Length must be between 1 and 100."], "email": ["Not a valid email address."]}
    assert {"payload": errors} == problem["errors"]
    assert {"type", "title", "status", "detail", "errors", "rejection"} == set(problem)
    assert problem["rejection"] == server.get("/rejections").json()["rejections"][0]["id"]


def test_an_unknown_kind_is_unfit(server):
    """422, and the kind that may have been meant."""
    problem = server.post("/push-job", {"kind": "ecko"}).json()
    assert ["kind"] == list(problem["errors"])
    assert "echo" in problem["errors"]["kind"][0]


@pytest.mark.parametrize(
    "field", [{"nonsense": 1}, {"priority": "high"}, {"delay": -1}, {"max_attempts": 0}, {"queue": ""}]
)
def test_a_field_that_makes_no_sense_is_unfit(plain, field):
    """422 under the name of the field."""
    answer = plain.post("/push-job", {"kind": "echo", **field})
    assert (422, list(field)) == (answer.status_code, list(answer.json()["errors"]))


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b'{"kind": NaN}', b'{"kind": 1e400}', b'{"a": 1, "a": 2}', b'{"a": "\\ud800"}', b"[" * 100_000,
     b'{"kind": "echo", "payload": {"a": 9007199254740992}}',
     b'{"kind": "echo", "payload": ' + b'{"a":' * 32 + b"1" + b"}" * 33],
)  # fmt: skip
def test_what_is_not_json_is_refused(plain, body):
    """400, whatever it is."""
    answer = plain.post("/push-job", data=body, headers=JSON)
    assert (400, "Not JSON") == (answer.status_code, answer.json()["title"])


@pytest.mark.parametrize(
    "body",
    [b"null", b"[]", b'"text"', b"1", b"{}", b'{"kind": null}', b'{"kind": ["echo"]}',
     b'{"kind": "echo", "payload": []}'],
)  # fmt: skip
def test_json_of_another_shape_is_unfit(plain, body):
    """422."""
    assert 422 == plain.post("/push-job", data=body, headers=JSON).status_code


@pytest.mark.parametrize(
    "media_type",
    [
        None,
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/json; charset=latin-1",
        "text/json",
        "nonsense",
    ],
)
def test_a_wrong_media_type_is_refused(plain, media_type):
    """415, and how to do it with curl."""
    request = requests.Request("POST", plain.url + "/push-job", data=b'{"kind": "echo"}')
    prepared = request.prepare()
    prepared.headers.pop("Content-Type", None)
    if media_type:
        prepared.headers["Content-Type"] = media_type
    answer = plain.http.send(prepared)
    assert 415 == answer.status_code
    assert "-H 'Content-Type: application/json'" in answer.json()["detail"]


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=UTF-8", 'application/json;charset="utf-8"', "application/vnd.x+json"]
)
def test_a_media_type_of_json_is_taken(plain, media_type):
    """Any JSON type in UTF-8 will do."""
    answer = plain.post("/push-job", data=b'{"kind": "echo"}', headers={"Content-Type": media_type})
    assert 202 == answer.status_code


def _of_size(size: int) -> bytes:
    around = len(json.dumps({"kind": "echo", "payload": {"a": ""}}))
    return json.dumps({"kind": "echo", "payload": {"a": "x" * (size - around)}}).encode()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused(server, chunked):
    """256 KiB are taken, a byte more is 413, whether the length was announced or not."""

    def send(body: bytes) -> int:
        data = iter([body[:1000], body[1000:]]) if chunked else body
        return server.post("/push-job", data=data, headers=JSON).status_code

    assert 202 == send(_of_size(256 * 1024))
    assert 413 == send(_of_size(256 * 1024 + 1))


def test_an_idempotency_key_gives_the_first_job_again(server):
    """Same key and same body: 200 and the first job; another body: 422."""
    key = {"Idempotency-Key": "k"}
    first = server.post("/push-job", {"kind": "echo", "payload": {"a": 1, "b": 2}}, headers=key)
    again = server.post("/push-job", {"payload": {"b": 2.0, "a": 1}, "kind": "echo"}, headers=key)
    other = server.post("/push-job", {"kind": "echo", "payload": {"a": 3}}, headers=key)
    assert (202, 200, 422) == (first.status_code, again.status_code, other.status_code)
    assert first.json()["id"] == again.json()["id"]
    assert f"/jobs/{first.json()['id']}" == again.headers["Location"]


@pytest.mark.parametrize(("key", "status"), [("k" * 255, 202), ("k" * 256, 422)])
def test_an_idempotency_key_has_a_length(plain, key, status):
    """255 characters at most."""
    assert status == plain.post("/push-job", {"kind": "echo"}, headers={"Idempotency-Key": key}).status_code


def test_a_unique_key_gives_the_active_job(server):
    """200 and the active job, marked as a duplicate."""
    server.post("/queue/pause")
    first = server.post("/push-job", {"kind": "echo", "unique_key": "u"})
    again = server.post("/push-job", {"kind": "echo", "unique_key": "u"})
    assert (202, 200) == (first.status_code, again.status_code)
    assert (first.json()["id"], True) == (again.json()["id"], again.json()["duplicate"])
    assert "duplicate" not in first.json()


def test_a_full_queue_says_when_to_come_back(serve):
    """429 with Retry-After; 60 s while paused."""
    server = serve(max_todo=1)
    server.post("/queue/pause")
    server.push()
    answer = server.post("/push-job", {"kind": "echo"})
    assert (429, "60") == (answer.status_code, answer.headers["Retry-After"])


def test_a_server_that_drains_takes_no_pushes(server):
    """503 with Retry-After for a push and for /readyz; what only reads is still answered."""
    server.engine.drain()
    push, ready = server.post("/push-job", {"kind": "echo"}), server.get("/readyz")
    assert (503, 503) == (push.status_code, ready.status_code)
    assert push.headers["Retry-After"].isdecimal()
    assert ready.headers["Retry-After"].isdecimal()
    assert (200, 200) == (server.get("/healthz").status_code, server.get("/jobs").status_code)
