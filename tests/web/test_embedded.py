"""Inside a user's own application."""

import threading

import pytest
from flask import Flask, abort, request
from werkzeug.test import EnvironBuilder, run_wsgi_app

from webqueue import Rejected, Unfit, WebQueue, current_job
from webqueue.errors import NotRunning, SettingsError
from webqueue.web.current import current_engine


@pytest.fixture
def shop():
    """An application with pages, templates and error pages of its own."""
    app = Flask("shop")
    app.add_url_rule("/", "home", lambda: "the shop")
    app.add_url_rule("/jobs/mine", "mine", lambda: "my own jobs page")
    app.add_url_rule("/gone", "gone", lambda: abort(404))
    app.register_error_handler(404, lambda error: ("the shop has no such page", 404))
    return app


OURS = {
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Referrer-Policy",
    "Cross-Origin-Resource-Policy",
    "Content-Security-Policy",
}


@pytest.mark.parametrize(
    ("prefix", "paths"),
    [("/queue", ["/", "/gone", "/nope", "/jobs/mine", "/queuex"]), ("", ["/", "/gone", "/nope", "/jobs/mine"])],
)
def test_the_users_pages_stay_as_they_are(serve, jobs, shop, prefix, paths):
    """Another host, another origin, no token, and no header of ours; its own error pages too."""
    jobs.init_app(shop, prefix, token="all")
    server = serve(shop)
    foreign = {"Host": "shop.example", "Origin": "https://partner.example", "Sec-Fetch-Site": "cross-site"}
    for path in paths:
        answer = server.get(path, headers=foreign)
        assert answer.text.startswith(("the shop", "my own"))
        assert not OURS & set(answer.headers)


def test_everything_lies_under_the_prefix(serve, jobs, shop):
    """Routes, assets, links, Location; and errors there are problems, whatever the application does with its own."""
    jobs.init_app(shop, "/queue")
    server = serve(shop, prefix="/queue")
    pushed = server.post("/push-job", {"kind": "echo"})
    assert f"/queue/jobs/{pushed.json()['id']}" == pushed.headers["Location"]
    assert 200 == server.http.get(server.root + pushed.headers["Location"]).status_code
    page = server.get("/")
    assert 'href="/queue/static/css/' in page.text
    assert 'data-socket-path="/queue/socket.io"' in page.text
    assert 200 == server.get("/static/js/main.js").status_code
    for path, status in (("/nope", 404), ("/jobs/99", 404), ("/push-job", 405), ("/static/nope", 404)):
        answer = server.get(path)
        assert (status, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])
        assert "nosniff" == answer.headers["X-Content-Type-Options"]


def test_without_a_prefix_the_assets_are_beside_the_users(serve, jobs, shop):
    """The user's /static stays the user's."""
    jobs.init_app(shop)
    server = serve(shop)
    assert 200 == server.get("/webqueue/static/js/main.js").status_code
    assert "nosniff" == server.get("/queue").headers["X-Content-Type-Options"]
    assert 202 == server.post("/push-job", {"kind": "echo"}).status_code


def test_a_mounted_application_knows_where_it_is(jobs, closing):
    """Location and links carry the path that the server mounted the application at, too."""
    app = jobs.create_app()
    closing.callback(app.extensions["webqueue"].stop)
    client = app.test_client()
    mounted = {"SCRIPT_NAME": "/mounted"}
    pushed = client.post("/push-job", json={"kind": "echo"}, environ_overrides=mounted)
    assert f"/mounted/jobs/{pushed.json['id']}" == pushed.headers["Location"]
    assert "/mounted/static/css/" in client.get("/", environ_overrides=mounted).text


def test_handlers_run_in_the_application_context(serve, jobs, shop):
    """current_app is the user's, and so is the queue to push to from there."""

    @jobs.handler
    def outer():
        from flask import current_app

        return {"app": current_app.name, "inner": inner.push(number=1).id, "me": current_job.id}

    @jobs.handler
    def inner(number: int):
        return number + 1

    jobs.init_app(shop, "/queue")
    server = serve(shop, prefix="/queue")
    assert {"app": "shop", "inner": 2, "me": 1} == server.push("outer", wait=5)["result"]
    assert 2 == server.get("/jobs/2?wait=5").json()["result"]


def test_pushing_from_python(serve, jobs):
    """push is durable when it returns; what is unfit raises Rejected; push_many tells of each."""

    @jobs.handler
    def double(number: int):
        return number * 2

    @double.fit
    def not_too_large(number):
        if number > 9:
            raise Unfit({"number": ["too large"]})

    server = serve()
    job = double.push(number=2)
    assert 4 == server.get(f"/jobs/{job.id}?wait=5").json()["result"]
    assert {"number": 2} == job.payload
    later = double.options(delay=60, priority=5).push(number=3)
    assert ("scheduled", 5) == (later.state, later.priority)
    with pytest.raises(Rejected) as refused:
        double.push(number=10)
    assert {"payload": {"number": ["too large"]}} == refused.value.errors
    fit, unfit = double.push_many([{"number": 1}, {"number": 11}])
    assert job.id < fit.id
    assert {"payload": {"number": ["too large"]}} == unfit.errors
    assert [unfit.id, refused.value.id] == [one["id"] for one in server.get("/rejections").json()["rejections"]]
    assert 6 == double(number=3)


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}, b"x", "\ud800", {"a": float("inf")}])
def test_python_can_push_nothing_that_is_not_json(serve, jobs, value):
    """It is refused at the door, whatever it is."""
    serve()
    with pytest.raises((Rejected, TypeError, ValueError)):
        jobs.handlers.get("echo").push(value=value)


def test_a_push_needs_a_queue(jobs):
    """Before there is an application it says so."""
    with pytest.raises(NotRunning, match="no application"):
        jobs.handlers.get("echo").push()


def test_with_several_applications_a_push_needs_a_context(serve, jobs, shop):
    """Each context has its own queue."""
    one = serve()
    jobs.init_app(shop, "/queue")
    other = serve(shop, prefix="/queue")
    with pytest.raises(NotRunning, match="context"):
        jobs.handlers.get("echo").push()
    with shop.app_context():
        assert current_engine() is other.engine
        jobs.handlers.get("echo").push()
    assert (0, 1) == (len(one.get("/jobs").json()["jobs"]), len(other.get("/jobs").json()["jobs"]))


def test_one_application_has_one_queue(serve, jobs, shop):
    """A second one is a mistake."""
    jobs.init_app(shop, "/queue")
    serve(shop)
    with pytest.raises(SettingsError, match="already"):
        WebQueue().init_app(shop)


@pytest.mark.parametrize(
    "prefix", ["queue", "//queue", "/a//b", "/<shop>/queue", "/größe", "/a b", "/%71", "/.", "/a/../b", "/a;b", "/a?b"]
)
def test_a_prefix_that_can_be_written_in_several_ways_is_a_mistake(jobs, shop, prefix):
    """The guard would look at one of them, and Flask route another."""
    with pytest.raises(SettingsError, match="begins with a slash"):
        jobs.init_app(shop, prefix)


def test_what_the_guard_has_not_looked_at_is_not_answered(serve, jobs, shop):
    """A middleware between guard and routes that changes the path leads nobody round the guard."""
    routes = shop.wsgi_app

    def rewrite(environ, start_response):
        environ["PATH_INFO"] = environ["PATH_INFO"].replace("/old", "/queue").replace("/healthz", "/jobs")
        return routes(environ, start_response)

    shop.wsgi_app = rewrite
    jobs.init_app(shop, "/queue", token="all")
    server = serve(shop)
    for path in ("/old/jobs", "/queue/healthz"):
        answer = server.get(path)
        assert (403, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])
        assert "init_app" in answer.json()["detail"]


def test_slashes_before_a_path_are_one(serve, jobs, shop):
    """As Flask has it; the user's own pages get their paths as they are."""
    seen = []
    shop.before_request(lambda: seen.append(request.environ["PATH_INFO"]))
    jobs.init_app(shop, "/queue")
    serve(shop)
    for path in ("//queue/healthz", "///queue/healthz", "//gone"):
        run_wsgi_app(shop, EnvironBuilder().get_environ() | {"PATH_INFO": path})
    assert ["/queue/healthz", "/queue/healthz", "//gone"] == seen


@pytest.mark.parametrize(
    ("arguments", "config", "environment", "expected"),
    [
        ({}, {}, "5", 5),
        ({}, {"WEBQUEUE_MAX_TODO": 4}, "5", 4),
        ({"max_todo": 3}, {"WEBQUEUE_MAX_TODO": 4}, "5", 3),
    ],
)
def test_an_argument_beats_the_config_beats_the_environment(
    serve, jobs, monkeypatch, arguments, config, environment, expected
):
    """In this order."""
    monkeypatch.setenv("WEBQUEUE_MAX_TODO", environment)
    server = serve(jobs.create_app(config, **arguments))
    assert expected == server.engine.settings.max_todo


def test_the_users_own_sockets_live_beside_ours(serve, jobs, shop, connect):
    """Flask-SocketIO of the user's keeps its place in the application."""
    from flask_socketio import SocketIO

    theirs = SocketIO(shop, async_mode="threading")
    jobs.init_app(shop, "/queue")
    assert theirs is shop.extensions["socketio"]
    client = connect(serve(shop, prefix="/queue"))
    assert "snapshot" == client.frame()[0]


def test_no_thread_is_left(jobs, serve):
    """When the application has ended."""
    before = set(threading.enumerate())
    app = jobs.create_app()
    app.extensions["webqueue"].stop()
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("webqueue")]


def test_one_job_after_the_other_in_python(jobs, shop, serve):
    """``then`` and ``after`` with what a push returned, or with ids; a rejection can't be waited for."""
    gate = threading.Event()

    @jobs.handler
    def resize(url: str):
        gate.wait(10)
        return url.upper()

    @jobs.handler
    def publish(name: str):
        return {"name": name, "of": current_job.results}

    server = serve(jobs.create_app())
    pictures = resize.push_many([{"url": "a"}, {"url": 7}, {"url": "b"}])
    with pytest.raises(TypeError, match="no job"):
        publish.after(*pictures)
    album = publish.after(pictures[0], pictures[2].id).push(name="album")
    last = album.then(publish, name="last")
    assert ("scheduled", [pictures[0].id, pictures[2].id], [album.id]) == (album.state, album.after, last.after)
    gate.set()
    ended = server.get(f"/jobs/{last.id}?wait=10").json()
    assert ("done", [album.id]) == (ended["state"], ended["after"])
    assert {"name": "last", "of": [{"name": "album", "of": ["A", "B"]}]} == ended["result"]
