"""The Socket.IO namespace, with real clients over both transports."""

import gc
import json
import queue
import threading
import time
import weakref
from contextlib import contextmanager, suppress

import pytest
import requests
import socketio
import websocket

from tests.web.conftest import PATIENCE, Client, Gate
from webqueue.engine import Engine
from webqueue.web import emitter

TRANSPORTS = [["websocket"], ["polling"], None]


@pytest.fixture
def gate(jobs):
    """A handler that waits to be let through."""
    made = Gate()
    jobs.handlers.register(made.run, kind="gate")
    yield made
    made.opened.set()


def states(frames, id):
    """The states of a job as they were told, in order."""
    return [job["state"] for frame in frames for job in frame["jobs"] if job["id"] == id]


def until(client, id, state):
    """The frames that come until a job is told to be in *state*; each begins where the one before it ended."""
    frames = []
    while state not in states(frames, id):
        event, body = client.frame()
        assert "changes" == event
        frames.append(body)
    assert [frame["seq"] for frame in frames[:-1]] == [frame["from"] for frame in frames[1:]]
    return frames


@pytest.mark.parametrize("transports", TRANSPORTS, ids=str)
def test_a_client_is_told_how_it_stands_and_what_changes(server, connect, transports):
    """First a snapshot, then changes without holes: todo, running, done."""
    client = connect(server, transports=transports)
    event, snapshot = client.frame()
    assert ("snapshot", 0) == (event, snapshot["seq"])
    both = {"epoch", "seq", "counts", "paused", "paused_queues", "rejections"}
    wrong = {"warnings", "draining"}
    assert both | wrong | {"started_at"} | {"todo", "scheduled", "running", "finished"} == set(snapshot)
    answer = client.ask("push_job", {"kind": "echo", "payload": {"a": 1}})
    assert 202 == answer["status"]
    frames = until(client, answer["body"]["id"], "done")
    assert snapshot["seq"] == frames[0]["from"]
    assert 1 == frames[-1]["counts"]["done"]
    assert both | {"from", "jobs", "forgotten", "progress"} == set(frames[0])
    assert '{"a":1}' == frames[-1]["jobs"][0]["preview"].replace(" ", "")
    assert not {"payload", "result", "history"} & set(frames[-1]["jobs"][0])


def test_a_push_by_http_is_told_to_every_client(server, connect):
    """Whoever pushed it."""
    clients = [connect(server) for _ in range(5)]
    id = server.push(wait=5)["id"]
    for client in clients:
        told = []
        while "done" not in told:
            _, body = client.frame()
            told += [job["state"] for job in body.get("jobs", body.get("finished"))]
    assert id == 1


def test_a_refusal_is_told_to_every_client(server, connect):
    """job_rejected, and in changes."""
    clients = [connect(server) for _ in range(3)]
    for client in clients:
        client.next("snapshot")
    answer = clients[0].ask("push_job", {"kind": "greet", "payload": {"name": "x"}})
    assert 422 == answer["status"]
    assert {"payload": {"email": ["Missing data for required field."]}} == answer["body"]["errors"]
    for client in clients:
        told = client.next("job_rejected")
        assert (answer["body"]["rejection"], "greet") == (told["id"], told["kind"])
        assert [told["id"]] == [one["id"] for one in client.next("changes")["rejections"]]


def test_refusals_are_told_twenty_a_second(server, connect):
    """The rest only in changes, so that a flood costs little."""
    client = connect(server)
    client.next("snapshot")
    server.post("/push-jobs", [{"kind": "nope"}] * 300)
    server.push(wait=5)
    told = 0
    while True:
        event, body = client.told.get(timeout=PATIENCE)
        told += event == "job_rejected"
        if event in ("changes", "snapshot") and any(
            job["state"] == "done" for job in body.get("jobs", body.get("finished", []))
        ):
            break
    assert 1 <= told <= 20


def test_a_flood_is_told_by_a_snapshot(server, connect):
    """Where more than 500 jobs changed since the last frame."""
    client = connect(server)
    client.next("snapshot")
    server.post("/queue/pause")
    server.post("/push-jobs", [{"kind": "echo"}] * 600)
    told = client.next("snapshot")
    assert (600, 100) == (told["counts"]["todo"], len(told["todo"]))


def pushed_for(server, seconds):
    """Push one job after the other for so long; the last one's id."""
    end, last = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        last = server.push()["id"]
    return last


def test_frames_come_twenty_a_second(server, connect):
    """Under a steady stream; together they tell everything."""
    client = connect(server)
    client.next("snapshot")
    begun, last = time.monotonic(), pushed_for(server, 1.0)
    frames = until(client, last, "done")
    assert len(frames) <= (time.monotonic() - begun) * 20 + 2


def test_frames_that_cost_much_come_less_often(server, connect, monkeypatch):
    """Each takes 20 ms of a processor here: at SHARE of its time one in 0.67 s, by LONGEST_REST one in 0.5 s."""
    changes = Engine.changes

    def costly(engine, since):
        until_then = time.thread_time() + 0.02
        while time.thread_time() < until_then:
            pass
        return changes(engine, since)

    monkeypatch.setattr(Engine, "changes", costly)
    client = connect(server)
    client.next("snapshot")
    begun, last = time.monotonic(), pushed_for(server, 1.5)
    frames = until(client, last, "done")
    assert len(frames) <= (time.monotonic() - begun) / 0.5 + 2


def test_in_a_flood_a_picture_of_the_whole_comes_twice_a_second(server, connect, monkeypatch):
    """Here it is one from the first change on."""
    monkeypatch.setattr(Engine, "changes", lambda engine, since: None)
    client = connect(server)
    client.next("snapshot")
    begun, pushed = time.monotonic(), pushed_for(server, 1.5)
    seen = 1
    while client.next("snapshot")["counts"]["done"] < pushed:
        seen += 1
    assert seen <= (time.monotonic() - begun) / 0.5 + 2


def test_progress_rides_along(server, connect, jobs):
    """It is no change: seq stands still."""
    from webqueue import current_job

    went = threading.Event()

    @jobs.handler
    def walk():
        current_job.progress(0.5, "half way")
        assert went.wait(PATIENCE)

    client = connect(server)
    client.next("snapshot")
    id = server.push("walk")["id"]
    told = client.next("changes", such=lambda body: body["progress"])
    went.set()
    assert {str(id): {"fraction": 0.5, "message": "half way"}} == told["progress"]


def test_who_comes_back_gets_what_it_missed(server, connect):
    """since: changes from there on; then on without a hole."""
    client = connect(server)
    known = client.next("snapshot")
    client.close()
    id = server.push(wait=5)["id"]
    since = {"epoch": known["epoch"], "seq": known["seq"]}
    again = connect(server, {"since": since})
    event, missed = again.frame()
    assert ("changes", known["seq"]) == (event, missed["from"])
    assert [(id, "done")] == [(job["id"], job["state"]) for job in missed["jobs"]]
    server.push()
    assert missed["seq"] == again.frame()[1]["from"]


@pytest.mark.parametrize(
    "since",
    [None, 3, [], {}, {"epoch": "other", "seq": 0}, {"epoch": None}, {"seq": 0}, {"epoch": "{epoch}", "seq": 99},
     {"epoch": "{epoch}", "seq": -1}, {"epoch": "{epoch}", "seq": "0"}, {"epoch": "{epoch}", "seq": True},
     {"epoch": ["{epoch}"], "seq": 0}, {"epoch": "{epoch}", "seq": 2**53 - 1}],
    ids=str,
)  # fmt: skip
def test_who_knows_nothing_of_use_gets_a_snapshot(plain, connect, since):
    """Another epoch, a number that was never given out, or no number at all."""
    if isinstance(since, dict) and since.get("epoch") == "{epoch}":
        since = since | {"epoch": plain.engine.feed.epoch}
    assert "snapshot" == connect(plain, {"since": since}).frame()[0]


@pytest.mark.parametrize("auth", [None, {}, [], "x", 3, {"token": 3}, {"token": None}, {"since": {"seq": {}}}], ids=str)
def test_auth_of_any_shape_is_borne(plain, connect, auth):
    """Without a token to check it is ignored."""
    assert "snapshot" == connect(plain, auth).frame()[0]


@pytest.mark.parametrize(
    ("event", "body", "status"),
    [("push_job", None, 422), ("push_job", 3, 422), ("push_job", [], 422), ("push_job", {"kind": "nope"}, 422),
     ("push_job", "x" * 300_000, 413), ("cancel_job", {"id": 99}, 404), ("cancel_job", {"id": "x"}, 422),
     ("cancel_job", {}, 422), ("cancel_job", None, 422), ("cancel_job", [1], 422), ("retry_job", {"id": 99}, 404),
     ("retry_job", {"id": -1}, 422), ("retry_job", {"id": 10**15}, 404), ("retry_job", {"id": 1, "x": 2}, 422),
     ("follow", {"id": 99}, 404), ("follow", 7, 422), ("unfollow", {"id": 99}, 404), ("pause", {"nonsense": 1}, 422),
     ("pause", [], 422), ("resume", {"queue": 3}, 422), ("nonsense", None, 404), ("", None, 404),
     ("webqueue: unreadable", None, 404), ("webqueue: unreadable", "x", 404)],
)  # fmt: skip
def test_every_event_is_acknowledged(plain, connect, event, body, status):
    """With a status and a problem, as over HTTP."""
    answer = connect(plain).ask(event, body) if body is not None else connect(plain).io.call(event, namespace="/queue")
    assert status == answer["status"]
    assert {"type", "title", "status", "detail"} <= set(answer["body"])


@pytest.mark.parametrize(
    "value", ["NaN", "1e400", "9007199254740992", '"\\ud800"', '{"a":1,"a":2}', "[" * 50 + "]" * 50]
)
def test_json_is_read_strictly(plain, value):
    """A frame that is not JSON is acknowledged with 400, and the socket lives on."""
    with raw(plain) as socket:
        socket.send(f'42/queue,7["push_job",{{"kind":"echo","payload":{{"a":{value}}}}}]')
        assert 400 == ack(socket, 7)["status"]
        socket.send('42/queue,8["push_job",{"kind":"echo"}]')
        assert 202 == ack(socket, 8)["status"]


def test_a_frame_is_as_deep_as_a_body(plain):
    """The list around the event does not count."""
    deep = '{"a":' * 31 + "1" + "}" * 31
    with raw(plain) as socket:
        socket.send(f'42/queue,1["push_job",{{"kind":"echo","payload":{deep}}}]')
        assert 202 == ack(socket, 1)["status"]


@pytest.mark.parametrize(
    "frame",
    ['42/queue,["connect",{"webqueue.access":2}]', '42/queue,["disconnect"]', "42/queue,[]", "42/queue,{}",
     "42/queue,[[1]]", '42/queue,"x"', "42/queue,3", '43/queue,1["x"]', '44/queue,{"message":"x"}',
     '451-/queue,["push_job",{"_placeholder":true,"num":0}]', "49", "4x", "4", b"\x00binary",
     '42/queue,' + "1" * 200 + '["x"]'],
    ids=repr,
)  # fmt: skip
def test_what_no_client_sends_is_cut(plain, frame, caplog):
    """At once and without a word in the log; the others notice nothing."""
    with raw(plain) as socket:
        socket.send(frame, websocket.ABNF.OPCODE_BINARY if isinstance(frame, bytes) else websocket.ABNF.OPCODE_TEXT)
        with suppress(websocket.WebSocketConnectionClosedException):  # with or without a goodbye
            while socket.recv():
                pass
    assert not caplog.records
    assert 200 == plain.get("/healthz").status_code


def test_a_job_is_followed_to_its_end(server, connect, gate):
    """The ack is the job now; then each step, with the log lines."""
    client = connect(server)
    server.push("gate")
    assert gate.entered.wait(PATIENCE)
    id = server.push("greet", name="Ada", email="ada@example.org")["id"]
    answer = client.ask("follow", {"id": id})
    assert (200, "todo") == (answer["status"], answer["body"]["state"])
    assert {"name": "Ada", "email": "ada@example.org"} == answer["body"]["payload"]
    gate.opened.set()
    told = [client.next("job")]
    while told[-1]["job"]["state"] != "done":
        told.append(client.next("job"))
    assert ["running", "done"] == [one["job"]["state"] for one in told if one["job"]["state"] != "todo"][-2:]
    assert ["greeting Ada at ada@example.org"] == [line["message"] for one in told for line in one["log"]]
    assert "Hello, Ada!" == told[-1]["job"]["result"]


def test_each_step_comes_in_order_and_after_the_ack(server, connect):
    """Over many jobs that begin while they are being followed: revisions only grow, none is left out after the ack."""
    client = connect(server)
    for _ in range(50):
        id = client.ask("push_job", {"kind": "echo"})["body"]["id"]
        revision = client.ask("follow", {"id": id})["body"]["revision"]
        while revision < 3:
            step = client.next("job")["job"]
            assert (id, revision + 1) == (step["id"], step["revision"])
            revision = step["revision"]


def test_who_unfollows_hears_no_more(server, connect, gate):
    """Nor does the feed gather for nobody."""
    client, other = connect(server), connect(server)
    id = server.push("gate")["id"]
    assert gate.entered.wait(PATIENCE)
    for one in (client, client, other):
        one.ask("follow", {"id": id})
    client.ask("unfollow", {"id": id})
    gate.opened.set()
    assert "done" == other.next("job")["job"]["state"]
    client.next("changes", such=lambda body: states([body], id) == ["done"])
    assert "job" not in [event for event, _ in drained(client)]
    other.close()
    server.push(wait=5)
    assert wait_until(lambda: not server.engine.feed._followed)


def test_a_viewer_sees_and_changes_nothing(serve, connect):
    """403 for what changes, snapshot and follow as anyone."""
    server = serve(token="all", view_token="view")
    client = connect(server, {"token": "view"})
    assert "snapshot" == client.frame()[0]
    for event in ("push_job", "cancel_job", "retry_job", "pause", "resume"):
        assert 403 == client.ask(event, {})["status"]
    writer = connect(server, {"token": "all"})
    id = writer.ask("push_job", {"kind": "echo"})["body"]["id"]
    assert 200 == client.ask("follow", {"id": id})["status"]


@pytest.mark.parametrize("transports", TRANSPORTS, ids=str)
@pytest.mark.parametrize(
    "auth", [None, {}, {"token": "wrong"}, {"token": 3}, {"token": None}, {"token": ["all"]}], ids=str
)
def test_without_the_token_nobody_joins(standing, auth, transports):
    """The client is told so."""
    server = standing(token="all")
    client = socketio.Client(reconnection=False)
    why: queue.SimpleQueue = queue.SimpleQueue()
    client.on("connect_error", why.put, namespace="/queue")
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(server.url, namespaces=["/queue"], auth=auth, transports=transports, wait_timeout=PATIENCE)
    assert "token" in why.get(timeout=PATIENCE)["message"]
    client.disconnect()


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer all"}, {"Cookie": "{cookie}"}], ids=str)
def test_the_token_may_come_with_the_handshake(standing, connect, headers):
    """As Bearer token, or as the session of a browser."""
    server = standing(token="all")
    login = requests.post(server.url + "/login", data={"token": "all"}, allow_redirects=False, timeout=PATIENCE)
    cookie = login.headers["Set-Cookie"].split(";")[0]
    client = connect(server, headers={name: value.format(cookie=cookie) for name, value in headers.items()})
    assert 202 == client.ask("push_job", {"kind": "echo"})["status"]


@pytest.mark.parametrize("transports", TRANSPORTS, ids=str)
def test_above_the_cap_the_handshake_gets_503(serve, connect, transports):
    """With Retry-After; who leaves makes room; pushes go on."""
    server = serve(max_sockets=2)
    first, _ = connect(server, transports=transports), connect(server)
    with pytest.raises(socketio.exceptions.ConnectionError):
        Client(server)
    refused = server.get("/socket.io/?EIO=4&transport=polling")
    assert (503, True) == (refused.status_code, refused.headers["Retry-After"].isdecimal())
    assert 503 == server.get("/socket.io/?EIO=4&transport=polling&sid=").status_code
    assert "done" == server.push(wait=5)["state"]
    first.close()
    assert wait_until(lambda: server.app.extensions["webqueue.live"].taken() == 1)
    assert "snapshot" == connect(server).frame()[0]


def test_the_cap_holds_under_a_rush(serve):
    """Fifty handshakes at once."""
    server = serve(max_sockets=5)
    begin = threading.Barrier(50)
    answers: queue.SimpleQueue[int] = queue.SimpleQueue()

    def shake_hands():
        begin.wait(PATIENCE)
        answers.put(requests.get(server.url + "/socket.io/?EIO=4&transport=polling", timeout=PATIENCE).status_code)

    threads = [threading.Thread(target=shake_hands) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert 5 == [answers.get() for _ in range(50)].count(200)


def test_who_never_joins_is_cut(server, monkeypatch):
    """A socket takes a seat: it has a few seconds to make use of it."""
    monkeypatch.setattr(emitter, "LOBBY_SECONDS", 0.1)
    opened = server.get("/socket.io/?EIO=4&transport=polling")
    assert 200 == opened.status_code
    assert wait_until(lambda: server.app.extensions["webqueue.live"].taken() == 0)


def test_a_client_that_goes_away_hurts_nobody(server, connect):
    """Clients vanish without a word while news is told; the others miss nothing."""
    staying = connect(server)
    staying.next("snapshot")
    last = 0
    for _ in range(10):
        with raw(server) as socket:
            last = server.push()["id"]
            socket.sock.close()  # and not a word
    frames = until(staying, last, "done")
    assert set(range(1, last + 1)) == {job["id"] for frame in frames for job in frame["jobs"]}


@pytest.mark.parametrize("transports", TRANSPORTS)
def test_nothing_stays_of_who_has_left(server, connect, transports):
    """Once a client is gone nothing holds its socket, and no circle of objects does."""
    eio, gone = server.app.extensions["webqueue.live"]._server.eio, threading.Event()
    client = connect(server, transports=transports)
    client.next("snapshot")
    gc.collect()
    gc.disable()
    try:
        held = weakref.ref(next(iter(eio.sockets.values())), lambda _: gone.set())
        client.close()
        assert gone.wait(PATIENCE), gc.get_referrers(held())
        assert {} == eio.sockets
    finally:
        gc.enable()


def test_who_does_not_read_is_told_afresh(server, connect, monkeypatch):
    """Its queue stays short; when it reads again it gets a snapshot, and goes on from there."""
    monkeypatch.setattr(emitter, "MOST_QUEUED", 2)
    opened = json.loads(server.get("/socket.io/?EIO=4&transport=polling").text[1:])
    path = f"/socket.io/?EIO=4&transport=polling&sid={opened['sid']}"
    assert 200 == server.post(path, data="40/queue,").status_code
    other = connect(server)
    for _ in range(10):
        id = server.push(wait=5)["id"]
        other.next("changes", "snapshot", such=lambda body, id=id: told_done(body, id))
    eio = server.app.extensions["webqueue.live"]._server.eio
    assert eio.sockets[opened["sid"]].queue.qsize() <= 5
    seen: list[str] = []
    while "snapshot" not in seen[1:]:
        seen += [one[9:].split('"')[1] for one in server.get(path).text.split("\x1e") if one.startswith("42/queue,[")]
    assert "snapshot" == seen[-1]


def test_nobody_wakes_while_nothing_happens(server, connect, monkeypatch):
    """With a client connected the emitter waits without a timeout, and does not go round."""
    client = connect(server)
    client.next("snapshot")
    rounds = []
    original = emitter.Emitter._tell
    monkeypatch.setattr(emitter.Emitter, "_tell", lambda self, *more: (rounds.append(1), original(self, *more))[1])
    server.push(wait=5)
    client.next("changes", such=lambda body: states([body], 1)[-1:] == ["done"])
    one = server.app.extensions["webqueue.live"]._emitter
    assert wait_until(lambda: server.engine.feed._waiting)
    assert one._patience() is None
    before = len(rounds)
    assert not threading.Event().wait(0.5)
    assert before == len(rounds)


def test_when_the_engine_ends_so_do_the_sockets(serve, connect):
    """Clients are sent away, to come back to the next process."""
    server = serve()
    client = connect(server)
    client.next("snapshot")
    server.engine.stop(0)
    assert client.left.wait(PATIENCE)


# -- helpers -----------------------------------------------------------------------------------------------------------


@contextmanager
def raw(server):
    """A WebSocket in the namespace, without a Socket.IO client around it."""
    url = server.url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
    socket = websocket.create_connection(url, timeout=PATIENCE, origin=server.root)
    try:
        socket.recv()
        socket.send("40/queue,")
        while not socket.recv().startswith("40/queue"):
            pass
        yield socket
    finally:
        socket.shutdown()


def ack(socket, id):
    """The acknowledgement of this number."""
    while True:
        text = socket.recv()
        if text.startswith(f"43/queue,{id}["):
            return json.loads(text.partition("[")[2].removesuffix("]"))


def told_done(body, id):
    """Whether a frame tells that a job is done."""
    return any((job["id"], job["state"]) == (id, "done") for job in body.get("jobs", body.get("finished")))


def drained(client):
    """What a client was told and nobody looked at."""
    told = []
    while not client.told.empty():
        told.append(client.told.get())
    return told


def wait_until(true):
    """Whether *true* becomes true in time. (What it looks at tells nobody when it changes.)"""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not true():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.01)
    return True
