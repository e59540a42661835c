"""A job's log says who cancelled it, and why."""

import threading

import pytest

from tests.web.conftest import PATIENCE
from webqueue import current_job

ADA = {"who": "ada", "why": "a mistake"}
LOOPBACK = "cancelled by 127.0.0.1"


def log(server, id=1):
    """The messages."""
    return [line["message"] for line in server.get(f"/jobs/{id}/log").json()["lines"]]


def page(server, id=1):
    """As a browser without scripts has it."""
    return server.get(f"/jobs/{id}", headers={"Accept": "text/html"}).text


@pytest.fixture
def paused(server):
    """Nothing starts."""
    server.post("/queue/pause")
    return server


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (ADA, "cancelled by ada: a mistake"),
        ({"who": "ada"}, "cancelled by ada"),
        ({"why": "a mistake"}, f"{LOOPBACK}: a mistake"),
        (None, LOOPBACK),
    ],
)
@pytest.mark.parametrize("delay", [0, 60])
def test_a_waiting_job(paused, body, line, delay):
    """Told by the name that is given, else by the address; the line is there with the answer, of the same moment."""
    paused.post("/push-job", {"kind": "echo", "delay": delay})
    answer = paused.post("/jobs/1/cancel", body).json()
    assert "cancelled" == answer["state"]
    (told,) = paused.get("/jobs/1/log").json()["lines"]
    assert {"at": answer["finished_at"], "level": "info", "message": line} == told
    assert line in page(paused)


def test_a_running_job(serve, jobs):
    """It is asked to stop, and its log says by whom at once."""
    entered, asked = threading.Event(), threading.Event()

    @jobs.handler
    def held():
        entered.set()
        assert asked.wait(PATIENCE)
        current_job.check()

    server = serve()
    server.push("held")
    assert entered.wait(PATIENCE)
    assert "running" == server.post("/jobs/1/cancel", ADA).json()["state"]
    assert ["cancelled by ada: a mistake"] == log(server)
    asked.set()
    assert "cancelled" == server.get("/jobs/1?wait=10").json()["state"]
    assert "cancelled by ada: a mistake" in page(server)


def test_many_at_once(paused):
    """Each of them, by the address; by a form as well."""
    paused.post("/push-jobs", [{"kind": "echo"}] * 3)
    paused.post("/jobs/cancel", {"kind": "echo", "limit": 2})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    paused.http.post(f"{paused.url}/jobs/actions", data={"do": "cancel", "id": "3"}, headers=form, timeout=10)
    assert [[LOOPBACK]] * 3 == [log(paused, id) for id in (1, 2, 3)]


def test_no_line_without_the_step(paused):
    """A refused cancel leaves none, nor does one of a job that has moved on."""
    paused.push()
    assert 412 == paused.post("/jobs/1/cancel", ADA, headers={"If-Match": '"99"'}).status_code
    assert [] == log(paused)
    paused.post("/jobs/1/cancel", ADA)
    assert 409 == paused.post("/jobs/1/cancel", {"who": "eve"}).status_code
    assert ["cancelled by ada: a mistake"] == log(paused)


def test_after_a_retry_it_is_another_life(paused):
    """The page names nobody until somebody cancels it again; the log keeps all."""
    paused.push()
    paused.post("/jobs/1/cancel", ADA)
    paused.post("/jobs/1/retry")
    paused.post("/jobs/1/cancel", {"who": "eve"})
    assert ["cancelled by ada: a mistake", "cancelled by eve"] == log(paused)
    assert '<p class="why" data-f="by">cancelled by eve</p>' in page(paused)
