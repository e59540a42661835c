"""``WebQueue``: a registry of handlers that becomes a queue inside a Flask application."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar, overload

from flask import Flask, current_app, has_app_context
from marshmallow import Schema

from webqueue import floors
from webqueue.engine import Engine
from webqueue.errors import NotRunning, SettingsError
from webqueue.handlers import Handler, Handlers
from webqueue.settings import Settings
from webqueue.stores.base import Pushed
from webqueue.testing import TestQueue
from webqueue.views import JobView
from webqueue.web import hosting
from webqueue.web.access import Keys
from webqueue.web.current import ENGINE, KEYS, LIVE, PREFIX, engine_of
from webqueue.web.guard import Guard, Ours
from webqueue.web.live import Live
from webqueue.web.routes import NAME, blueprint
from webqueue.web.seats import Seats

# No placeholders, nothing that is written in several ways: the guard compares it letter by letter.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")

P = ParamSpec("P")
R = TypeVar("R")


class WebQueue:
    """Collects handlers, then serves them: as an application (:meth:`create_app`) or within one (:meth:`init_app`).

    Settings are keyword arguments (``consumers=2``); they beat Flask's config, and that beats the environment.
    """

    demo = False
    """Whether its handlers are the demo kinds; the page says so."""

    def __init__(self, **settings: Any) -> None:
        self.handlers = Handlers(self._push)
        self._settings = settings
        self._engines: list[Engine] = []
        self._keys: dict[Engine, Keys] = {}
        self._testing: Engine | None = None

    @overload
    def handler(self, function: Callable[P, R], /) -> Handler[P, R]: ...

    @overload
    def handler(
        self,
        function: None = None,
        /,
        *,
        kind: str | None = None,
        schema: type[Schema] | Schema | None = None,
        **options: Any,
    ) -> Callable[[Callable[P, R]], Handler[P, R]]: ...

    def handler(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Register a function as the handler of a kind: ``@jobs.handler`` or ``@jobs.handler(max_attempts=5)``.

        It stays callable as a plain function, and gets ``fit``, ``push``, ``push_many`` and ``options``.
        Raises SettingsError for a name that is taken or an option that makes no sense.
        """
        if function is not None:
            return self.handlers.register(function)
        return lambda function: self.handlers.register(function, **options)

    def every(self, every: str | float, *, tz: str = "UTC", missed: str = "skip", **payload: Any) -> Any:
        """Let a handler recur: ``@jobs.every("*/5 * * * *")``, or so many seconds; above ``@jobs.handler``, or alone.

        *missed* is "skip" or "once": what to do about runs that were due while webqueue was down. It gets *payload*.
        """

        def decorate(function: Callable[..., Any] | Handler[..., Any]) -> Handler[..., Any]:
            handler = function if isinstance(function, Handler) else self.handlers.register(function)
            self.handlers.every(handler.kind, every, tz=tz, missed=missed, payload=payload)
            return handler

        return decorate

    @contextmanager
    def testing(self, **settings: Any) -> Iterator[TestQueue]:
        """Meanwhile all pushes go to a queue in memory, which runs when it is told to: see webqueue.testing."""
        run_in = current_app._get_current_object().app_context if has_app_context() else nullcontext  # type: ignore[attr-defined]
        with TestQueue(self.handlers, run_in, **settings) as queue:
            before, self._testing = self._testing, queue.engine
            try:
                yield queue
            finally:
                self._testing = before

    def init_app(self, app: Flask, url_prefix: str = "", **settings: Any) -> None:
        """Serve the queue inside *app*, all of it under *url_prefix*, and start the consumers.

        Raises SettingsError, Outdated, and StoreError where the store can't be opened.
        """
        self._install(app, url_prefix, settings, shared=True)

    def create_app(self, config: Mapping[str, Any] | None = None, **settings: Any) -> Flask:
        """An application that is nothing but this queue; its consumers run. Raises as :meth:`init_app` does."""
        app = Flask(NAME, static_folder=None)
        app.config.from_mapping(config or {})
        self._install(app, "", settings, shared=False)
        return app

    @property
    def engine(self) -> Engine:
        """The engine of the application at work, or of the only one there is. Raises NotRunning."""
        if self._testing is not None:
            return self._testing
        if has_app_context() and ENGINE in current_app.extensions:
            return engine_of(current_app)
        if len(self._engines) == 1:
            return self._engines[0]
        there = "no application has" if not self._engines else "several applications have"
        raise NotRunning(f"Which queue? Outside an application context, {there} this one: use app.app_context().")

    def token_for(self, job_id: int, seconds: float = 3600) -> str:
        """A token with which a customer's browser reads and follows this one job, for so many *seconds*, and no other.

        Raises NotRunning as :attr:`engine` does, SettingsError where there is neither SECRET_KEY nor WEBQUEUE_TOKEN.
        """
        keys = self._keys.get(self.engine)
        if keys is None:
            raise NotRunning("Tokens are for a queue that is served; in a test there is none.")
        return keys.jobs.sign(job_id, seconds)

    def _install(self, app: Flask, url_prefix: str, arguments: Mapping[str, Any], shared: bool) -> None:
        floors.check()
        if ENGINE in app.extensions:
            raise SettingsError(f"The application {app.name!r} has a webqueue already.")
        prefix = _checked_prefix(url_prefix)
        settings = Settings.read({**self._settings, **arguments}, app.config)
        engine = Engine(settings, self.handlers, run_in=app.app_context, demo=self.demo)
        keys = Keys(settings, lambda: app.config.get("SECRET_KEY"))
        # Next to a user's own static files, ours are elsewhere.
        static = "/webqueue/static" if shared and not prefix else "/static"
        app.register_blueprint(blueprint(static), url_prefix=prefix or None)
        flask = app.wsgi_app
        live = Live(app, engine, prefix, keys)
        seats = Seats(settings.max_sockets, live.taken)
        ours = Ours(app, prefix, static, shared=shared and not prefix)
        app.wsgi_app = Guard(flask, live.wsgi, ours, settings, keys, seats)  # type: ignore[method-assign]
        app.extensions.update({ENGINE: engine, PREFIX: prefix, KEYS: keys, LIVE: live})
        self._engines.append(engine)
        self._keys[engine] = keys
        hosting.bring_up(app, engine, live.close)

    def _push(self, bodies: Sequence[Mapping[str, Any]], *, alone: bool = False) -> list[Any]:
        """For each push body a JobView, or a Rejection; that of one body *alone* is raised, as Rejected."""
        engine, plain = self.engine, [_plain(body) for body in bodies]
        outcomes = [engine.push(body) for body in plain] if alone else engine.push_many(plain)
        return [JobView(engine.seen(one)) if isinstance(one, Pushed) else one for one in outcomes]


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """A push body as JSON would have it: times are more than JSON knows."""
    plain = dict(body)
    if isinstance(plain.get("run_at"), datetime):
        plain["run_at"] = plain["run_at"].isoformat()
    if isinstance(plain.get("delay"), timedelta):
        plain["delay"] = plain["delay"].total_seconds()
    return plain


def _checked_prefix(prefix: str) -> str:
    bare = prefix.rstrip("/")
    if not _PREFIX.fullmatch(bare) or {".", ".."} & set(bare.split("/")):
        wanted = "begins with a slash, as /ops/queue, and is made of letters, digits and -._~"
        raise SettingsError(f"url_prefix {wanted}; {prefix!r} is not.")
    return bare
