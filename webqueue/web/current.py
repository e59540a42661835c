"""Where a request finds the engine."""

from typing import Any, cast

from flask import Flask, current_app, request

from webqueue.engine import Engine
from webqueue.errors import NotRunning

ENGINE = "webqueue"
"""The engine's name in ``app.extensions``."""
PREFIX = "webqueue.prefix"
"""There too: the path under which all routes lie, without a slash at its end; the tokens and sessions; the sockets."""
KEYS = "webqueue.keys"
LIVE = "webqueue.live"


def engine_of(app: Flask) -> Engine:
    """The engine of *app*. Raises NotRunning where no webqueue was registered on it."""
    try:
        return cast(Engine, app.extensions[ENGINE])
    except KeyError:
        raise NotRunning(f"The application {app.name!r} has no webqueue: call WebQueue().init_app(app).") from None


def current_engine() -> Engine:
    """The engine of the application at work. Raises NotRunning, and RuntimeError outside an application context."""
    return engine_of(current_app)


def current_live() -> Any:
    """The sockets of the application at work."""
    return current_app.extensions[LIVE]


def current_prefix() -> str:
    """Where the client of this request finds our routes: where the server mounted the app, then our prefix."""
    return request.root_path.rstrip("/") + cast(str, current_app.extensions[PREFIX])
