"""Who may ask, from where: a written table, over real HTTP."""

from contextlib import contextmanager

import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from webqueue import WebQueue
from webqueue.web.access import COOKIE, MOST_SESSIONS, SESSION_SECONDS, Access, Sessions


@pytest.fixture
def server(standing):
    """One for all tables."""
    return standing()


HTML = {"Accept": "text/html"}
ALL, VIEW = {"Authorization": "Bearer all"}, {"Authorization": "Bearer view"}


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("LOCALHOST:8000", 200), ("127.0.0.1:1", 200), ("[::1]:80", 200), ("a.localhost", 200),
     ("127.9.9.9", 200), ("example.org", 421), ("localhost.example.org", 421), ("127.0.0.1.example.org", 421),
     ("10.0.0.1", 421), ("a b", 400), ("", 400), ("localhost:x", 400), ("localhost/x", 400), ("[::1", 400),
     ("user@localhost", 400)],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/queue", "/healthz", "/", "/socket.io/?EIO=4&transport=polling"])
def test_only_loopback_names_are_served_without_a_token(server, path, host, status):
    """DNS rebinding comes with a foreign Host."""
    assert status == server.get(path, headers={"Host": host}).status_code


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [({"allowed_hosts": "jobs.example.org"}, "jobs.example.org:8443", 200),
     ({"allowed_hosts": "jobs.example.org"}, "localhost", 421),
     ({"allowed_hosts": "jobs.example.org:1"}, "jobs.example.org:2", 421),
     ({"allowed_hosts": "*"}, "any.example.org", 200),
     ({"token": "all"}, "any.example.org", 200), ({"token": "all", "allowed_hosts": "a.org,b.org"}, "B.org", 200),
     ({"token": "all", "allowed_hosts": "a.org,b.org"}, "c.org", 421)],
)  # fmt: skip
def test_the_settings_say_which_hosts_are_served(standing, settings, host, status):
    """WEBQUEUE_ALLOWED_HOSTS; any where a token is set."""
    assert status == standing(**settings).get("/healthz", headers={"Host": host}).status_code


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://{host}"},
    {"Origin": "http://{host}0"},
    {"Origin": "http://{host}", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
]
OWN = [
    {},
    {"Origin": "http://{host}"},
    {"Origin": "HTTP://{host}"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://{host}", "Sec-Fetch-Site": "same-origin"},
]
CHANGES = [
    ("POST", "/push-job"),
    ("POST", "/push-jobs"),
    ("POST", "/queue/pause"),
    ("POST", "/jobs/1/cancel"),
    ("DELETE", "/jobs/1"),
    ("POST", "/jobs/retry"),
    ("POST", "/jobs/actions"),
    ("POST", "/login"),
]
JOINS = [
    ("GET", "/socket.io/?EIO=4&transport=polling"),
    ("POST", "/socket.io/?EIO=4&transport=polling&sid=x"),
    ("GET", "/socket.io/?EIO=4&transport=websocket"),
]


def _asked(server, method, path, headers):
    host = server.root.removeprefix("http://")
    headers = {name: value.format(host=host) for name, value in headers.items()}
    return server.http.request(method, server.url + path, headers=headers, timeout=10)


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("method", "path"), CHANGES + JOINS)
def test_a_foreign_page_changes_nothing_and_joins_nothing(server, method, path, headers):
    """403, by what the browser says of where it comes from."""
    answer = _asked(server, method, path, headers)
    assert (403, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])


@pytest.mark.parametrize("headers", OWN, ids=str)
@pytest.mark.parametrize(("method", "path"), CHANGES + JOINS)
def test_our_own_page_may(server, method, path, headers):
    """Whatever else is wrong with the request, it is not that."""
    assert 403 != _asked(server, method, path, headers).status_code


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_foreign_page_may_lead_here(server, headers):
    """A link is no change."""
    assert 200 == _asked(server, "GET", "/", headers).status_code


def test_listed_origins_may(serve):
    """WEBQUEUE_ALLOWED_ORIGINS."""
    server = serve(allowed_origins="https://shop.example, http://other.example:80")
    for origin in ("https://shop.example", "https://shop.example:443", "http://other.example"):
        answer = server.post("/push-job", {"kind": "echo"}, headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"})
        assert 202 == answer.status_code
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
    assert 403 == server.post("/push-job", {"kind": "echo"}, headers={"Origin": "http://shop.example"}).status_code


@pytest.mark.parametrize("query", ["j=0", "%6a=0", "a=1&j=x"])
def test_jsonp_is_refused(server, query):
    """403, however it is written."""
    assert 403 == server.get(f"/socket.io/?EIO=4&transport=polling&{query}").status_code


def test_a_preflight_gets_no_leave(server):
    """No CORS headers, so a browser goes no further."""
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = server.http.options(server.url + "/push-job", headers=headers)
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_odd_methods_on_the_sockets_path(server, method):
    """405 as a problem."""
    answer = server.http.request(method, server.url + "/socket.io/")
    assert (405, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])


@pytest.fixture
def locked(standing):
    """A server with both tokens."""
    return standing(token="all", view_token="view")


OPEN = [("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/static/js/main.js"), ("GET", "/login")]
READS = [("GET", path) for path in (
    "/jobs", "/jobs/1", "/jobs/1/log", "/rejections", "/queue", "/kinds", "/openapi.json", "/", "/nope", "/metrics",
)]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), OPEN)
def test_some_things_need_no_token(locked, method, path):
    """Whoever watches the process, and the form itself."""
    assert 200 == locked.http.request(method, locked.url + path).status_code


@pytest.mark.parametrize(
    ("method", "path"), READS + [one for one in CHANGES if one[1] != "/login"] + [("POST", "/logout")]
)
def test_all_else_does(locked, method, path):
    """Without one 401 that says how, with a wrong one 403."""
    answer = locked.http.request(method, locked.url + path)
    assert (401, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    for wrong in ("", "al", "alll", "All", "ällé", "all view"):
        headers = {"Authorization": b"Bearer " + wrong.encode()}
        assert 403 == locked.http.request(method, locked.url + path, headers=headers).status_code


@pytest.mark.parametrize(("method", "path"), READS)
def test_the_view_token_reads_everything(locked, method, path):
    """As the other does."""
    one, other = (locked.http.request(method, locked.url + path, headers=token) for token in (ALL, VIEW))
    assert one.status_code == other.status_code
    assert one.status_code in (200, 404)


@pytest.mark.parametrize(("method", "path"), [one for one in CHANGES if one[1] != "/login"])
def test_the_view_token_changes_nothing(locked, method, path):
    """403, and nothing has happened."""
    locked.post("/push-job", {"kind": "echo", "delay": 60}, headers=ALL)
    before = locked.get("/queue", headers=VIEW).json()["seq"]
    assert 403 == locked.http.request(method, locked.url + path, json={"kind": "echo"}, headers=VIEW).status_code
    assert before == locked.get("/queue", headers=VIEW).json()["seq"]


def test_a_token_of_any_characters(serve):
    """As curl sends it, in UTF-8."""
    server = serve(token="schlüssel-鍵")
    assert 200 == server.get("/queue", headers={"Authorization": "bearer schlüssel-鍵".encode()}).status_code


def test_a_browser_logs_in_and_out(locked):
    """401 with the form; the token gives a cookie that is not the token; after logging out it opens nothing."""
    form = locked.get("/", headers=HTML)
    assert (401, True) == (form.status_code, "<form" in form.text)
    wrong = locked.http.post(locked.url + "/login", data={"token": "nope"}, allow_redirects=False)
    assert (403, True, False) == (wrong.status_code, "<form" in wrong.text, "Set-Cookie" in wrong.headers)
    right = locked.http.post(locked.url + "/login", data={"token": "all"}, allow_redirects=False)
    assert (303, "/") == (right.status_code, right.headers["Location"])
    cookie = right.headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "Path=/", "SameSite=Strict", f"Max-Age={SESSION_SECONDS}"} <= set(cookie.split("; "))
    assert "all" not in cookie.split(";")[0]
    assert 200 == locked.get("/", headers=HTML).status_code
    assert 202 == locked.post("/push-job", {"kind": "echo"}).status_code
    kept = locked.http.cookies.get(COOKIE)
    assert 303 == locked.http.post(locked.url + "/logout", allow_redirects=False).status_code
    assert COOKIE not in locked.http.cookies
    assert 401 == locked.get("/queue", headers={"Cookie": f"{COOKIE}={kept}"}).status_code


def test_a_viewers_session_changes_nothing(locked):
    """Nor does its page offer to."""
    locked.http.post(locked.url + "/login", data={"token": "view"})
    assert 'data-can-write="no"' in locked.get("/", headers=HTML).text
    assert 403 == locked.post("/push-job", {"kind": "echo"}).status_code
    assert 303 == locked.http.post(locked.url + "/logout", allow_redirects=False).status_code


@pytest.mark.parametrize("cookie", ["x", "", "=", "%ff", "a" * 5000, '"', "é"])
def test_a_cookie_that_is_no_session_opens_nothing(locked, cookie):
    """401."""
    assert 401 == locked.get("/queue", headers={"Cookie": f"{COOKIE}={cookie}".encode()}).status_code


@pytest.mark.parametrize(
    "options",
    [
        {"data": b""},
        {"data": b"x" * 9000},
        {"json": {"token": "all"}},
        {"files": {"token": b"all"}},
        {"data": "token=%ff%00"},
    ],
)
def test_a_login_of_any_shape_is_answered(locked, options):
    """403 with the form, or 413; never 500."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if "data" in options else {}
    assert locked.http.post(locked.url + "/login", headers=headers, **options).status_code in (403, 413)


def test_without_a_token_there_is_nothing_to_log_in_to(server):
    """On to the page."""
    assert 303 == server.http.get(server.url + "/login", allow_redirects=False).status_code
    assert 303 == server.http.post(server.url + "/login", data={"token": "x"}, allow_redirects=False).status_code


def test_sessions_end():
    """After 12 hours, or where so many came after them."""
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    first = sessions.open(Access.VIEW)
    assert Access.VIEW is sessions.access(first)
    now[0] = SESSION_SECONDS
    assert Access.NONE is sessions.access(first)
    second = sessions.open(Access.ALL)
    for _ in range(MOST_SESSIONS):
        sessions.open(Access.VIEW)
    assert Access.NONE is sessions.access(second)


@pytest.mark.parametrize("path", [before + one for one in ("jobs", "failures", "rejections") for before in ("/", "//")])
def test_a_list_waits_for_its_turn_however_it_is_asked_for(monkeypatch, path):
    """Many at once are the memory of many."""
    had = []

    class Turns:
        @contextmanager
        def turn(self):
            had.append(path)
            yield

    monkeypatch.setattr("webqueue.web.guard.Turns", Turns)
    app = WebQueue(store="memory:").create_app()
    _, status, _ = run_wsgi_app(app, EnvironBuilder().get_environ() | {"PATH_INFO": path})
    app.extensions["webqueue"].stop(0)
    assert ("200 OK", [path]) == (status, had)


@pytest.mark.parametrize(
    ("length", "status"),
    [("7", 415), ("0" * 30 + "7", 415), ("0", 415), ("", 415), ("000", 415), ("0" * 30 + "9" * 7, 413),
     ("9" * 5000, 413), ("-1", 400), ("x", 400), ("1_0", 400), ("²", 400), ("7.0", 400)],
)  # fmt: skip
def test_a_length_is_read_whatever_server_passes_it_on(server, length, status):
    """As the number that it is, or refused."""
    environ = EnvironBuilder("/push-job", method="POST").get_environ() | {"CONTENT_LENGTH": length}
    assert status == int(run_wsgi_app(server.app, environ)[1][:3])


def test_several_applications_in_one_process(serve, closing):
    """Each has its own sockets, tokens and jobs."""
    one = serve()
    other = serve(WebQueue(store="memory:").create_app(token="all"))
    one.push()
    assert 401 == other.get("/jobs").status_code
    assert [] == other.get("/jobs", headers=ALL).json()["jobs"]
