"""A signed token that opens one job: what a customer's browser may be given."""

import pytest
import socketio

from tests.web.conftest import PATIENCE, Client
from webqueue import WebQueue
from webqueue.demo import register_demo
from webqueue.errors import SettingsError
from webqueue.web.onejob import LONGEST, JobTokens

ALL = {"Authorization": "Bearer all"}
VIEW = {"Authorization": "Bearer view"}
ROUTES = [
    ("GET", "/jobs/{own}", 200), ("GET", "/jobs/{own}?wait=0", 200), ("HEAD", "/jobs/{own}", 200),
    ("GET", "/jobs/{own}/log", 200),
    ("GET", "/jobs/{other}", 403), ("GET", "/jobs/{other}/log", 403), ("GET", "/jobs/0{own}", 403),
    ("GET", "/jobs/{own}/", 403), ("GET", "/jobs/{own}0", 403), ("GET", "/jobs/99", 403),
    ("GET", "/jobs", 403), ("GET", "/queue", 403), ("GET", "/rejections", 403), ("GET", "/kinds", 403),
    ("GET", "/metrics", 403), ("GET", "/charts", 403), ("GET", "/failures", 403), ("GET", "/openapi.json", 403),
    ("GET", "/", 403), ("GET", "/nope", 403), ("OPTIONS", "/jobs/{own}", 403),
    ("POST", "/jobs/{own}/cancel", 403), ("POST", "/jobs/{own}/retry", 403), ("POST", "/jobs/{own}/run", 403),
    ("DELETE", "/jobs/{own}", 403), ("POST", "/jobs/{own}", 403), ("POST", "/push-job", 403),
    ("POST", "/push-jobs", 403), ("POST", "/queue/pause", 403), ("POST", "/queue/resume", 403),
    ("POST", "/jobs/cancel", 403), ("POST", "/jobs/delete", 403), ("POST", "/jobs/actions", 403),
    ("POST", "/logout", 403), ("GET", "/healthz", 200), ("GET", "/static/js/main.js", 200),
]  # fmt: skip


@pytest.fixture
def shop():
    """A queue with the demo kinds and tokens."""
    made = WebQueue(store="memory:", token="all", view_token="view")
    register_demo(made.handlers)
    return made


@pytest.fixture
def locked(shop, serve):
    """It, served."""
    return serve(shop.create_app())


def bearer(token):
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def pushed(server, **body):
    """A new job's id; it is due in a minute."""
    return server.post("/push-job", {"kind": "echo", "delay": 60, **body}, headers=ALL).json()["id"]


@pytest.mark.parametrize(("method", "path", "status"), ROUTES)
def test_it_reads_one_job_and_nothing_else(locked, shop, method, path, status):
    """Its job and its log; all else is 403 and changes nothing."""
    own, other = pushed(locked), pushed(locked)
    before = locked.get("/queue", headers=VIEW).json()["seq"]
    url = locked.url + path.format(own=own, other=other)
    answer = locked.http.request(method, url, json={"kind": "echo"}, headers=bearer(shop.token_for(own)))
    assert status == answer.status_code
    assert before == locked.get("/queue", headers=VIEW).json()["seq"]


def test_it_is_answered_with_json_only(locked, shop):
    """The page of a job shows more than the job."""
    own = pushed(locked)
    answer = locked.get(f"/jobs/{own}", headers=bearer(shop.token_for(own)) | {"Accept": "text/html"})
    assert (200, own) == (answer.status_code, answer.json()["id"])


def test_it_opens_no_session(locked, shop):
    """The login form refuses it."""
    token = shop.token_for(pushed(locked))
    assert 403 == locked.http.post(locked.url + "/login", data={"token": token}).status_code


def test_it_ends():
    """To the second; nothing of it is kept."""
    now = [1000.0]
    tokens = JobTokens("all", lambda: None, lambda: now[0])
    token = tokens.sign(7, 60)
    now[0] = 1059.9
    assert 7 == tokens.job(token)
    now[0] = 1060.0
    assert 0 == tokens.job(token)


def test_one_that_is_over_is_a_wrong_token(locked, shop):
    """Over HTTP and Socket.IO."""
    own = pushed(locked)
    token = shop.token_for(own, seconds=-1)
    assert 403 == locked.get(f"/jobs/{own}", headers=bearer(token)).status_code
    assert 403 == refused(locked, token)["status"]


def refused(server, token):
    """What a client is told that may not connect."""
    told = []
    client = socketio.Client(reconnection=False)
    client.on("connect_error", told.append, namespace="/queue")
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(server.url, namespaces=["/queue"], auth={"token": token}, wait_timeout=PATIENCE)
    client.disconnect()
    return told[0]["data"] if "data" in told[0] else told[0]


def test_a_changed_one_opens_nothing():
    """Any character of it, and what was never one."""
    tokens = JobTokens("all", lambda: None)
    token = tokens.sign(7, 60)
    assert 7 == tokens.job(token)
    # Of the last character some bits are padding.
    for at in range(len(token) - 1):
        assert 0 == tokens.job(token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :])
    for wrong in (None, 7, "", ".", "é.x", "\ud800.x", "a." * LONGEST, token + ".x"):
        assert 0 == tokens.job(wrong)
    assert 0 == JobTokens("all2", lambda: None).job(token)
    assert 0 == JobTokens("all", lambda: "secret").job(token)


def test_what_it_is_signed_with(serve):
    """SECRET_KEY; without one WEBQUEUE_TOKEN; without either it is refused in one line."""
    with pytest.raises(SettingsError, match="SECRET_KEY or WEBQUEUE_TOKEN; set one"):
        JobTokens(None, lambda: None).sign(1, 60)
    made = WebQueue(store="memory:", token="all")
    serve(made.create_app({"SECRET_KEY": "s"}))
    assert 3 == JobTokens(None, lambda: "s").job(made.token_for(3))


def test_a_client_follows_its_own_job_and_hears_of_nothing_else(locked, shop, connect):
    """No snapshot, no changes, no refusals, nobody else's steps; every other event is 403."""
    own, other = pushed(locked), pushed(locked)
    token = shop.token_for(own)
    client, witness = connect(locked, {"token": token}), connect(locked, {"token": "view"})
    answer = client.ask("follow", {"id": own})
    assert (200, own) == (answer["status"], answer["body"]["id"])
    bodies = {"push_job": {"kind": "echo"}, "cancel_job": {"id": own}, "retry_job": {"id": own}}
    for event in ("push_job", "cancel_job", "retry_job", "pause", "resume", "resync"):
        assert 403 == client.ask(event, bodies.get(event, {}))["status"]
    for event in ("follow", "unfollow"):
        assert 403 == client.ask(event, {"id": other})["status"]
    assert 200 == witness.ask("follow", {"id": other})["status"]
    locked.post("/push-job", {"kind": "nope"}, headers=ALL)
    witness.next("job_rejected")
    locked.post(f"/jobs/{other}/cancel", headers=ALL)
    witness.next("job")
    locked.post(f"/jobs/{own}/cancel", headers=ALL)
    told = client.told.get(timeout=PATIENCE)
    while told[1]["job"]["state"] != "cancelled":
        assert ("job", own) == (told[0], told[1]["job"]["id"])
        told = client.told.get(timeout=PATIENCE)
    assert ("job", own) == (told[0], told[1]["job"]["id"])
    witness.next("changes", such=lambda body: any(job["id"] == own for job in body["jobs"]))
    assert 200 == client.ask("unfollow", {"id": own})["status"]
    while not client.told.empty():
        told = client.told.get()
        assert ("job", own) == (told[0], told[1]["job"]["id"])


def test_a_client_that_is_alone_is_told(locked, shop, connect):
    """Nobody else has to listen."""
    own = pushed(locked)
    client = connect(locked, {"token": shop.token_for(own)})
    assert 200 == client.ask("follow", {"id": own})["status"]
    for step, state in (("cancel", "cancelled"), ("retry", "done")):
        locked.post(f"/jobs/{own}/{step}", headers=ALL)
        client.next("job", such=lambda body, state=state: body["job"]["state"] == state)


def test_a_better_token_counts(locked, shop, connect):
    """Beside the view token in the handshake, one for a job takes nothing away."""
    client: Client = connect(locked, {"token": shop.token_for(1)}, headers=VIEW)
    assert "snapshot" == client.frame()[0]


def test_an_open_server_stays_open(serve, connect):
    """Where no token is set nobody needs one, and whoever sends one may do everything."""
    made = WebQueue(store="memory:")
    server = serve(made.create_app({"SECRET_KEY": "s"}))
    headers = bearer(made.token_for(1))
    assert 200 == server.get("/queue", headers=headers).status_code
    assert "snapshot" == connect(server, {"token": made.token_for(1)}).frame()[0]
