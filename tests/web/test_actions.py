"""POST /jobs/actions: what plain forms can do."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SLEEP = {"kind": "sleep", "payload": {"seconds": 0}}
UNKNOWN = "0 of 1 cancelled. 1: There is no job 1: it never was, or it has been forgotten."


@pytest.fixture
def server(serve):
    """A server on which nothing starts."""
    made = serve()
    made.post("/queue/pause")
    return made


def send(server, data, **headers):
    """A form, as a browser sends it; where it leads is not followed."""
    return server.http.post(
        f"{server.url}/jobs/actions", data=data, headers={**FORM, **headers}, allow_redirects=False, timeout=10
    )


def said(answer):
    """What the page that it leads to will say."""
    assert 303 == answer.status_code, answer.text
    return parse_qs(urlsplit(answer.headers["Location"]).query)["said"][0]


def states(server):
    """By id."""
    return {job["id"]: job["state"] for job in server.get("/jobs?limit=200").json()["jobs"]}


def test_each_action(server):
    """Cancel, retry and delete, and where they lead."""
    server.push()
    for do, past, after in (
        ("cancel", "cancelled", {1: "cancelled"}), ("retry", "retried", {1: "todo"}),
        ("cancel", "cancelled", {1: "cancelled"}), ("delete", "deleted", {}),
    ):  # fmt: skip
        answer = send(server, {"do": do, "id": "1", "back": "/jobs?q=kind%3Aecho&said=old"})
        assert f"1 of 1 {past}." == said(answer)
        assert answer.headers["Location"].startswith("/jobs?q=kind%3Aecho&said=1+of+1")
        assert after == states(server)


def test_many_at_once(server):
    """Those whose state allows it; of the others the first is told."""
    server.post("/push-jobs", [{"kind": "echo"}] * 4)
    server.post("/jobs/2/cancel")
    answer = send(server, [("do", "cancel"), ("id", "1"), ("id", "2"), ("id", "3"), ("id", "3"), ("id", "99")])
    assert said(answer).startswith("2 of 4 cancelled. 2: A job that is cancelled can't")
    assert {4: "todo", 3: "cancelled", 2: "cancelled", 1: "cancelled"} == states(server)


def test_many_are_run_and_deleted(server):
    """By their ids: each step takes those that it is for."""
    server.post("/push-jobs", [{"kind": "echo", "delay": 60}] * 3 + [SLEEP])
    many = [("id", str(id)) for id in (1, 2, 4)]
    assert said(send(server, [("do", "run now"), *many])).startswith("2 of 3 put into todo. 4: A job that is todo")
    assert {4: "todo", 3: "scheduled", 2: "todo", 1: "todo"} == states(server)
    server.post("/jobs/cancel", {"kind": "echo"})
    assert said(send(server, [("do", "delete"), *many])).startswith("2 of 3 deleted. 4: A job that is todo")
    assert {4: "todo", 3: "cancelled"} == states(server)


def test_of_many_the_one_that_moved_on_is_left_alone(server):
    """7@3 among others: the lost race is told, the others go through."""
    server.post("/push-jobs", [{"kind": "echo"}] * 3)
    server.post("/jobs/2/cancel")
    server.post("/jobs/2/retry")
    answer = send(server, [("do", "cancel"), ("id", "1@1"), ("id", "2@1"), ("id", "3@1")])
    assert "2 of 3 cancelled. 2: Job 2 is todo by now, at revision 3." == said(answer)
    assert {3: "cancelled", 2: "todo", 1: "cancelled"} == states(server)


def test_all_that_match_are_run_or_deleted(server):
    """As with the other two actions: no other job, and only what the action is for."""
    server.post("/push-jobs", [{"kind": "echo", "delay": 60}] * 2 + [{**SLEEP, "delay": 60}, {"kind": "echo"}])
    assert "2 of 2 put into todo." == said(send(server, {"do": "run now", "q": "kind:echo"}))
    assert {4: "todo", 3: "scheduled", 2: "todo", 1: "todo"} == states(server)
    server.post("/jobs/cancel", {"kind": "echo", "limit": 2})
    assert "2 of 2 deleted." == said(send(server, {"do": "delete", "q": "kind:echo"}))
    assert {4: "todo", 3: "scheduled"} == states(server)


def test_all_that_match(server):
    """And no other."""
    server.post("/push-jobs", [{"kind": "echo", "payload": {"a": n}} for n in range(3)] + [SLEEP] * 2)
    assert "3 of 3 cancelled." == said(send(server, {"do": "cancel", "q": "kind:echo"}))
    assert "1 of 1 retried." == said(send(server, {"do": "retry", "q": '"a":1'}))
    assert "1 of 1 cancelled." == said(send(server, {"do": "cancel", "q": "id:5"}))
    assert {5: "cancelled", 4: "todo", 3: "cancelled", 2: "todo", 1: "cancelled"} == states(server)


def test_all_that_match_are_a_thousand_at_most(server):
    """The oldest ones; it says that there are more."""
    server.post("/push-jobs", [{"kind": "echo"}] * 1003)
    answer = send(server, {"do": "cancel", "q": "kind:echo"})
    assert "1,000 of 1,003 cancelled. 1,000 at a time: do it again for the rest." == said(answer)
    assert {"todo": 3, "cancelled": 1000} == {
        state: n for state, n in server.get("/queue").json()["counts"].items() if n
    }
    assert [1003, 1002, 1001] == [job["id"] for job in server.get("/jobs?state=todo").json()["jobs"]]


def test_the_page_says_how_many_match(server):
    """Before one asks for it; without a search there is no such form."""
    server.post("/push-jobs", [{"kind": "echo"}] * 3 + [SLEEP])
    server.post("/jobs/1/cancel")
    page = server.get("/jobs?q=kind:echo", headers={"Accept": "text/html"}).text
    assert ["retry all 1 that match …", "cancel all 2 that match …"] == re.findall("<summary>(.*)</summary>", page)
    assert "<summary>" not in server.get("/jobs", headers={"Accept": "text/html"}).text


def test_the_page_offers_what_a_state_allows(server):
    """Where it was searched for: run now what is due later, delete what is over, each with its number."""
    server.post("/push-jobs", [{"kind": "echo", "delay": 60}] * 3 + [{**SLEEP, "delay": 60}])
    server.post("/jobs/4/cancel")
    for state, offers in (
        ("scheduled", ["cancel all 3 that match …", "run now all 3 that match …"]),
        ("cancelled", ["retry all 1 that match …", "delete all 1 that match …"]),
        ("done", []),
    ):
        page = server.get(f"/jobs?q=state:{state}", headers={"Accept": "text/html"}).text
        assert offers == re.findall("<summary>(.*)</summary>", page)


@pytest.mark.parametrize(
    "data",
    [{}, {"do": "cancel"}, {"id": "1"}, {"do": "explode", "id": "1"}, {"do": "cancel", "id": "x"},
     {"do": "cancel", "id": ""}, {"do": "cancel", "id": "-1"}, {"do": "cancel", "id": "1 "},
     {"do": "cancel", "id": "٣"},
     {"do": "cancel", "id": "9" * 5000}, {"do": "cancel", "id": "1\r\nX: y"}, {"do": "cancel", "id": ["1", "x"]},
     {"do": "cancel", "id": [str(n) for n in range(1, 202)]}, {"do": "cancel", "q": ""}, {"do": "retry", "q": "  "},
     {"do": "cancel", "q": "state:nope"}, {"do": "cancel", "q": "stat:todo"}, {"do": "cancel", "q": "x" * 5000},
     {"do": "delete", "q": "kind:echo"}, {"do": "cancel", "q": "id:99"}, {"do": "cancel", "q": "kind:nowhere"},
     {"do": "cancel", "id": "9999999999999999"}, b"do=cancel&id=%ff", b"\xff\x00", b"do=cancel&q=%00", b"&" * 5000],
    ids=lambda data: ascii(data)[:60],
)  # fmt: skip
def test_what_makes_no_sense_does_nothing_and_says_so(server, data):
    """A message, never a 500."""
    server.push()
    assert 10 < len(said(send(server, data))) <= 200
    assert {1: "todo"} == states(server)


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/", "//evil.example/jobs", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
     "/jobs.evil", "/jobsx", "/queue", "/logout", "/jobs/../logout", "/jobs//evil.example", "jobs", "", " /jobs",
     "/jobs\n", "/jobs?q=a\r\nX-Evil: 1", "/jobs?q=ü", "/jobs?q=a b", "/jobs#x", "@evil.example/jobs", "/jobs/1/log"],
)  # fmt: skip
def test_it_leads_to_pages_of_ours_only(server, back):
    """From anywhere else to the dashboard."""
    answer = send(server, {"do": "cancel", "id": "1", "back": back})
    assert 303 == answer.status_code
    assert answer.headers["Location"].startswith("/?said=")
    assert "X-Evil" not in answer.headers


@pytest.mark.parametrize("back", ["/", "/jobs", "/jobs?q=a%20b&cursor=5", "/jobs/7"])
def test_it_leads_back(server, back):
    """To the list, a job, or the dashboard, with its query."""
    location = urlsplit(send(server, {"do": "cancel", "id": "1", "back": back}).headers["Location"])
    wanted = urlsplit(back)
    assert wanted.path == location.path
    assert {**parse_qs(wanted.query), "said": [UNKNOWN]} == parse_qs(location.query)


def test_under_a_prefix(serve, jobs):
    """Back is below it, and so are the page's links and forms."""
    from flask import Flask

    app = Flask("shop")
    jobs.init_app(app, "/queue")
    server = serve(app, prefix="/queue")
    server.post("/push-job", {"kind": "echo", "delay": 60})
    page = server.get("/jobs?q=kind:echo", headers={"Accept": "text/html"}).text
    (back,) = set(re.findall(r'name="back" value="([^"]*)"', page))
    assert "/queue/jobs?q=kind%3Aecho" == back
    assert send(server, {"do": "cancel", "id": "1", "back": back}).headers["Location"].startswith(back + "&said=1+of+1")
    for foreign in ("/", "/jobs", "/queueing/jobs", "/shop"):
        answer = send(server, {"do": "retry", "id": "1", "back": foreign})
        assert answer.headers["Location"].startswith("/queue/?said=")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_foreign_page_changes_nothing(server, headers):
    """403, by what the browser says of where it comes from; our own page may."""
    server.push()
    assert 403 == send(server, {"do": "cancel", "id": "1"}, **headers).status_code
    assert {1: "todo"} == states(server)
    own = {"Origin": server.root, "Sec-Fetch-Site": "same-origin"}
    assert "1 of 1 cancelled." == said(send(server, {"do": "cancel", "id": "1"}, **own))


def test_the_view_token_changes_nothing(standing):
    """403; without one 401."""
    server = standing(token="all", view_token="view")
    server.post("/push-job", {"kind": "echo", "delay": 60}, headers={"Authorization": "Bearer all"})
    data = {"do": "cancel", "id": "1"}
    assert 403 == send(server, data, Authorization="Bearer view").status_code
    assert 401 == send(server, data).status_code
    assert "1 of 1 cancelled." == said(send(server, data, Authorization="Bearer all"))


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "multipart/form-data; boundary=x", ""])
def test_only_a_form_is_taken(server, media_type):
    """415 for any other body."""
    assert 415 == send(server, b'{"do": "cancel"}', **{"Content-Type": media_type}).status_code


def test_a_form_that_is_too_large_is_refused(server):
    """413, its length announced or not; it is not cut in the middle of an id."""
    server.post("/push-jobs", [{"kind": "echo"}] * 12)
    large = b"do=cancel&x=" + b"x" * (256 * 1024 - 12 - len("&id=1") + 1) + b"&id=12"
    assert 413 == send(server, large).status_code
    assert 413 == send(server, iter([large])).status_code
    assert {"todo"} == set(states(server).values())
