"""The page of what failed of late, and what it says as JSON."""

import html
import re

import pytest

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def failed(server):
    """Three jobs that failed, of two groups: the demo's ``fail``, and one whose payload names what it raises."""
    for message in ("one", "<b>two</b>"):
        server.post(
            "/push-job",
            {"kind": "fail", "payload": {"message": message}, "max_attempts": 1},
            headers={"Prefer": "wait=5"},
        )
    return server


def page_of(server, path="/failures", **options):
    """The page, which must be one."""
    answer = server.get(path, headers=HTML, **options)
    assert (200, "text/html; charset=utf-8") == (answer.status_code, answer.headers["Content-Type"]), answer.text
    return answer.text


def test_groups_as_json(failed):
    """Kind, error, how many, when, and the newest with its traceback."""
    answer = failed.get("/failures")
    body = answer.json()
    assert ["within", "since", "groups", "more"] == list(body)
    assert ("24h", 0, "Accept") == (body["within"], body["more"], answer.headers["Vary"])
    (group,) = body["groups"]
    assert ("fail", "RuntimeError", 2, 2) == (group["kind"], group["error"], group["count"], group["newest"]["id"])
    assert group["first"] <= group["last"]
    assert "Traceback" in group["newest"]["error"]["traceback"]


@pytest.mark.parametrize("within", ["1h", "24h", "7d"])
def test_the_window_is_in_the_address(failed, within):
    """And is marked among the links."""
    page = page_of(failed, f"/failures?within={within}")
    assert re.search(rf'href="/failures\?within={within}" aria-current="page"', page)
    windows = re.search(r'<nav class="windows".*?</nav>', page, re.DOTALL)
    assert windows is not None
    assert 1 == windows[0].count("aria-current")


def test_nothing_failed(plain):
    """It says so, kindly."""
    assert "Nothing failed in this time." in page_of(plain)
    assert [] == plain.get("/failures?within=1h").json()["groups"]


def test_a_wrong_window_is_refused(plain):
    """As a page, or as a problem document."""
    answer = plain.get("/failures?within=2h", headers=HTML)
    assert (422, True) == (answer.status_code, 'role="alert">within: ' in answer.text)
    assert "within=None" not in answer.text
    answer = plain.get("/failures?within=2h")
    assert (422, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])


def test_a_group_is_retried(failed):
    """All of it, by the form, which comes back to the page with what was done; others are left alone."""
    failed.post("/queue/pause")
    page = page_of(failed)
    assert "retry all 2" in page
    fields = {name: html.unescape(value) for name, value in re.findall(r'name="(q|back)" value="([^"]*)"', page)}
    assert fields["q"].startswith("state:failed kind:fail error:RuntimeError since:2")
    answer = failed.http.post(
        failed.url + "/jobs/actions", data={**fields, "do": "retry"}, allow_redirects=False, timeout=10
    )
    assert (303, "/failures?within=24h&said=2+of+2+retried.") == (answer.status_code, answer.headers["Location"])
    assert "2 of 2 retried." in page_of(failed, answer.headers["Location"])
    assert ["todo", "todo"] == [job["state"] for job in failed.get("/jobs").json()["jobs"]]


def test_the_cap_of_a_retry_is_said(failed, monkeypatch):
    """Before it is done."""
    monkeypatch.setattr("webqueue.web.routes.failures.MOST_MATCHING", 1)
    assert "retry the oldest 1 of 2" in page_of(failed)


def test_it_says_where_it_stopped(failed, monkeypatch):
    """On the page and in JSON."""
    for module in ("stores.memory", "web.routes.failures"):
        monkeypatch.setattr(f"webqueue.{module}.GROUPED", 1)
    assert "Only the newest 1 failed jobs were looked at" in page_of(failed)
    body = failed.get("/failures").json()
    assert (1, 1) == (body["searched"], body["groups"][0]["count"])


def test_nothing_is_markup(failed):
    """Neither a message nor what was said."""
    page = page_of(failed, "/failures?said=<b>x</b>")
    assert "<b>" not in page
    assert "&lt;b&gt;two&lt;/b&gt;" in page


def test_a_reader_retries_nothing(standing):
    """The view token sees the groups, without the forms."""
    server = standing(token="all", view_token="view")
    server.post(
        "/push-job",
        {"kind": "fail", "payload": {"message": "no"}, "max_attempts": 1},
        headers={"Authorization": "Bearer all", "Prefer": "wait=5"},
    )
    pages = {
        token: server.get("/failures", headers={**HTML, "Authorization": f"Bearer {token}"}).text
        for token in ("all", "view")
    }
    assert [True, True] == ["RuntimeError" in page for page in pages.values()]
    assert [True, False] == ["/jobs/actions" in page for page in pages.values()]
