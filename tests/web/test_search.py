"""The page that lists and finds jobs, and the text that one types there."""

import re

import pytest

from webqueue.job import State
from webqueue.web.search import MOST_TEXT, Unclear, parse

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("", {}),
        ("  \t\n ", {}),
        ("id:7", {"id": 7}),
        ("state:failed kind:resize queue:mail error:ValueError",
         {"state": "failed", "kind": "resize", "queue": "mail", "error": "ValueError"}),
        ("STATE:Failed", {"state": "failed"}),
        ("kind:Resize", {"kind": "Resize"}),
        ('queue:"my mail" later', {"queue": "my mail", "q": "later"}),
        ("key:abc", {"q": "abc"}),
        ('key:"a b"', {"q": "a b"}),
        ("  two   words ", {"q": "two words"}),
        ("state:todo two words", {"state": "todo", "q": "two words"}),
        ("two state:todo words", {"state": "todo", "q": "two words"}),
        ("kind:a:b", {"kind": "a:b"}),
        ('"odd:word" here', {"q": "odd:word here"}),
        ("http://example.org/a?b=c:d", {"q": "http://example.org/a?b=c:d"}),
        ("kind:http://x", {"kind": "http://x"}),
        ('"width":200', {"q": '"width":200'}),
        ('{"a":[1,"b c"]}', {"q": '{"a":[1,"b c"]}'}),
        ("payload.customer.id=7", {"payload": (("customer.id", "7"),)}),
        ('payload.a="b c" payload.A[0]=x', {"payload": (("a", "b c"), ("A[0]", "x"))}),
        ("payload.a=b=c:d", {"payload": (("a", "b=c:d"),)}),
        ("payload.a payload", {"q": "payload.a payload"}),
        ("since:2030-01-31T12:00Z", {"since": 1_896_091_200_000_000}),
        ("since:2030-01-31T13:00+01:00", {"since": 1_896_091_200_000_000}),
        (":", {"q": ":"}),
        ('"', {"q": '"'}),
        ("'; DROP TABLE jobs; --", {"q": "'; DROP TABLE jobs; --"}),
        ("100%_\\", {"q": "100%_\\"}),
        ("naïve:x 鍵", {"q": "naïve:x 鍵"}),
        ("a\0b", {"q": "a\0b"}),
    ],
)  # fmt: skip
def test_a_text_means_filters(text, filters):
    """Words with a colon are fields, the others text; quotes hold words together."""
    assert filters == parse(text)


@pytest.mark.parametrize("state", [state.value for state in State])
def test_every_state_is_known(state):
    """All six."""
    assert {"state": state} == parse(f"state:{state}")


@pytest.mark.parametrize(
    ("text", "about"),
    [("stat:failed", "stat:"), ("__class__:x", "__class__:"), ("self:x", "self:"), ("limit:5", "limit:"),
     ("cursor:1", "cursor:"), ("text:x", "text:"), ("q:x", "q:"), ("state:nope", "nope"), ("state:", "state:"),
     ("kind: resize", "kind:"), ('kind:""', "kind:"), ("id:x", "number"), ("id:-1", "number"), ("id:٣", "number"),
     ("id:" + "9" * 17, "number"), ("id:" + "9" * 900, "too long"), ("kind:" + "x" * 201, "too long"),
     ("since:yesterday", "time"), ("payload.a=", "missing"), ("payload.a..b=1", "path"), ("payload.[0]=1", "path"),
     ("payload.a[x]=1", "path"), (" ".join(f"payload.a{n}=1" for n in range(6)), "5 values"),
     ("state:todo state:done", "two of state:"), ("key:a b", "not by both"), ("x" * (MOST_TEXT + 1), "too long")],
)  # fmt: skip
def test_what_can_not_be_meant_is_said(text, about):
    """In one line that names the word."""
    with pytest.raises(Unclear, match=re.escape(about)) as caught:
        parse(text)
    assert len(str(caught.value)) < 200


@pytest.fixture
def paused(server):
    """A server on which nothing starts."""
    server.post("/queue/pause")
    return server


def look(server, **query):
    """The page, which must be one."""
    answer = server.get("/jobs", params=query, headers=HTML)
    assert (200, "text/html; charset=utf-8") == (answer.status_code, answer.headers["Content-Type"]), answer.text
    return answer.text


def ids(page):
    """Of the rows, as they stand."""
    return [int(id) for id in re.findall(r'<tr class="row"[^>]* data-id="(\d+)"', page)]


def test_json_is_what_it_was(paused):
    """Whoever does not ask for HTML gets JSON, and ``q`` is plain text there; caches are told."""
    paused.push(word="state:failed")
    for headers in ({}, {"Accept": "application/json"}, {"Accept": "*/*"}, {"Accept": "application/json, text/html"}):
        answer = paused.get("/jobs?q=state:failed", headers=headers)
        assert [1] == [job["id"] for job in answer.json()["jobs"]]
        assert ["jobs", "next"] == list(answer.json())
        assert "Accept" == answer.headers["Vary"]
    assert "Accept" == paused.get("/jobs", headers=HTML).headers["Vary"]


def test_jobs_are_found(server):
    """By every word, alone and together."""
    server.push(wait=5, word="needle")
    server.push("fail", message="no")
    server.post("/push-job", {"kind": "echo", "queue": "my mail", "delay": 60, "unique_key": "k/1"})
    server.post(
        "/push-job", {"kind": "fail", "payload": {"message": "no"}, "max_attempts": 1}, headers={"Prefer": "wait=5"}
    )
    for text, found in {
        "": [4, 3, 2, 1], "id:3": [3], "id:99": [], "id:1 state:failed": [],
        "id:4 state:failed error:RuntimeError": [4], "state:done": [1], "kind:fail": [4, 2], 'queue:"my mail"': [3],
        "key:k/1": [3], "needle": [1], "kind:fail needle": [], "error:RuntimeError state:failed": [4],
        "error:Runtime": [],
    }.items():  # fmt: skip
        assert found == ids(look(server, q=text)), text


def test_links_may_name_fields(paused):
    """As those of the dashboard do; the text says then what one could have typed."""
    paused.post("/push-job", {"kind": "echo", "queue": "my mail"})
    paused.push()
    page = look(paused, state="todo", queue="my mail")
    assert [1] == ids(page)
    assert 'value="state:todo queue:&#34;my mail&#34;"' in page


@pytest.mark.parametrize(("text", "oldest"), [("", 1), ("state:todo kind:echo", 4), ("x y", 4)])
def test_paging_visits_every_job_once(paused, text, oldest):
    """Along the plain links, whatever is pushed meanwhile, to the end; none that was not searched for."""
    others, echoes = {"kind": "sleep", "payload": {"seconds": 0}}, {"kind": "echo", "payload": {"a": "x y"}}
    paused.post("/push-jobs", [others] * 3 + [echoes] * 23)
    seen, page = [], look(paused, q=text, limit=5)
    while True:
        seen += ids(page)
        older = re.search(r'<a rel="next" href="([^"]*)"', page)
        if older is None:
            break
        paused.push(a="x y")
        page = paused.get(older[1].replace("&amp;", "&"), headers=HTML).text
    assert list(range(26, oldest - 1, -1)) == seen


def test_it_says_what_is_not_shown(paused):
    """How many are shown; that text is looked for in the newest jobs only; that there is nothing."""
    assert "No jobs yet." in look(paused)
    paused.post("/push-jobs", [{"kind": "echo"}] * 3)
    assert "3 shown, all that there are." in look(paused)
    assert "2 shown, newest first, of those that match." in look(paused, q="kind:echo", limit=2)
    assert "jobs were looked at" not in look(paused, q="echo")
    assert "No job matches.</p>" in look(paused, q="nowhere")
    assert "No job matches.</p>" in look(paused, q="kind:nowhere")
    assert "No older ones." in look(paused, cursor=1)


HOSTILE = [
    "state:nope", "stat:failed", "id:x", 'kind:"', "key:a b", "a\0b", "%", "_", "\\", "'", "🦆" * 500, "{{ 7*7 }}",
    "error:$[0]", "id:9999999999999999", "\x1b[31m", "‮", "\ufeff", "state:todo\r\nSet-Cookie: a=b", "x" * 1000,
    "' OR 1=1 --", "\ud7ff\uffff",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_text_breaks_it(plain, text):
    """It is a page whatever one types, and one's text stands in it still."""
    look(plain, q=text)


@pytest.mark.parametrize("query", ["q=%ff%fe", "q=%ed%a0%80", "q=" + "x" * 1001, "cursor=x", "limit=0", "state=nope"])
def test_what_is_no_query_is_refused_at_most(plain, query):
    """Never a 500."""
    assert plain.get(f"/jobs?{query}", headers=HTML).status_code in (200, 422)


def test_a_problem_is_said_and_nothing_listed(paused):
    """Rather than jobs that were not meant."""
    paused.push()
    page = look(paused, q="state:nope")
    assert "There is no state nope, only scheduled" in page
    assert [] == ids(page)
    assert "/jobs/actions" not in page


def test_nothing_is_markup(paused):
    """Neither what is searched for, nor what was said, nor what a job carries."""
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    paused.post("/push-job", {"kind": "echo", "queue": evil, "payload": {"a": evil}, "unique_key": evil})
    for query in ({"q": evil}, {"q": f"state:{evil}"}, {"said": evil}, {"queue": evil}, {"q": f"{evil}:x"}, {}):
        page = look(paused, **query)
        assert "<script>" not in page
        assert "<img src=x" not in page
    assert "Content-Security-Policy" in paused.get("/jobs", headers=HTML).headers


def test_what_was_said_is_capped(plain):
    """A link can't fill the page."""
    assert 200 == look(plain, said="ü" * 5000).count("ü")


def test_secrets_are_not_shown(paused):
    """The preview is redacted, as on the dashboard."""
    paused.push(password="open sesame")
    assert "open sesame" not in look(paused)


def test_a_reader_gets_no_forms(standing):
    """The view token lists and searches; it is shown nothing that it may not do."""
    server = standing(token="all", view_token="view")
    server.post("/push-job", {"kind": "echo", "delay": 60}, headers={"Authorization": "Bearer all"})
    pages = {
        token: server.get("/jobs?q=state:scheduled", headers={**HTML, "Authorization": f"Bearer {token}"}).text
        for token in ("all", "view")
    }
    assert [True, True] == [1 in ids(page) for page in pages.values()]
    assert [True, False] == ["/jobs/actions" in page for page in pages.values()]


def test_a_payload_is_looked_into(paused):
    """A value at a path: a text or a number as it is written, of nested objects and lists."""
    for payload in ({"customer": {"id": 7}}, {"customer": {"id": "7"}}, {"customer": {"id": 71}}, {"7": 7}):
        paused.push(**payload)
    paused.push(items=[{"name": "Ada L"}, True, None])
    for text, found in {
        "payload.customer.id=7": [2, 1], "payload.customer.id=71": [3], "payload.7=7": [4], "payload.customer=7": [],
        'payload.items[0].name="Ada L"': [5], "payload.items[1]=true": [5], "payload.items[1]=1": [],
        "payload.items[9]=x": [], "payload.customer.id=7 kind:echo state:todo": [2, 1], "payload.a'b=1": [],
        "payload.customer.id=7 payload.customer.id=71": [],
    }.items():  # fmt: skip
        assert found == ids(look(paused, q=text)), text


def test_a_search_goes_on_where_it_stopped(paused, monkeypatch):
    """A page looks at so many jobs, says so, in JSON too, and leads on, until all were looked at."""
    monkeypatch.setattr("webqueue.stores.memory.SEARCHED", 4)
    monkeypatch.setattr("webqueue.stores.local.SEARCHED", 4)
    paused.post("/push-jobs", [{"kind": "sleep", "payload": {"seconds": 0}}] + [{"kind": "echo"}] * 6)
    page = look(paused, q="kind:sleep")
    assert "None among these. Only the newest 4" in page
    older = re.search(r'<a href="([^"]*)">look further', page)
    assert [1] == ids(paused.get(older[1].replace("&amp;", "&"), headers=HTML).text)
    first = paused.get("/jobs?kind=sleep").json()
    assert {"jobs": [], "next": 4, "searched": 4} == first
    rest = paused.get("/jobs?kind=sleep&cursor=4").json()
    assert ([1], ["jobs", "next"]) == ([job["id"] for job in rest["jobs"]], list(rest))
    assert ["jobs", "next"] == list(paused.get("/jobs?state=todo").json())


@pytest.mark.parametrize("query", ["limit=0", "cursor=x", "state=nope", "q=" + "x" * 1001])
def test_a_browser_is_told_what_is_wrong_by_a_page(plain, query):
    """With the status that JSON has."""
    answer = plain.get(f"/jobs?{query}", headers=HTML)
    assert (422, "text/html; charset=utf-8") == (answer.status_code, answer.headers["Content-Type"])
    assert f'role="alert">{query.partition("=")[0]}: ' in answer.text
    assert 422 == plain.get(f"/jobs?{query}").status_code
