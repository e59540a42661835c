"""The Socket.IO namespace ``/queue``: what clients may do there. What they are told is the emitter's."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from flask import Flask
from flask_socketio import SocketIO
from marshmallow import Schema
from socketio.exceptions import ConnectionRefusedError as Refused
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound, Unauthorized

from webqueue.engine import Engine
from webqueue.views import job_json
from webqueue.web import problems, sockets
from webqueue.web.access import Access, Grant, Keys, grant_of
from webqueue.web.answers import pushed_json
from webqueue.web.emitter import Emitter
from webqueue.web.frames import UNREADABLE, Packet, quiet_logger
from webqueue.web.guard import SOCKET_BYTES
from webqueue.web.incoming import loaded
from webqueue.web.polling import Polling
from webqueue.web.schemas import JobRef, PauseBody, ResumeBody
from webqueue.web.seats import SEAT, Environ, StartResponse
from webqueue.web.wire import NAMESPACE, Wire

Ack = dict[str, Any]

_REF, _PAUSE, _RESUME = JobRef(), PauseBody(), ResumeBody()
_log = logging.getLogger(__name__)
_MAY: Final = {
    Access.NONE: "Who has left may do nothing.",
    Access.JOB: "This token reads one job and nothing else.",
    Access.VIEW: "This token reads everything and changes nothing.",
}


class Live:
    """All sockets of one application. Its handlers run in the sockets' own threads and leave the emitter notes."""

    def __init__(self, app: Flask, engine: Engine, prefix: str, keys: Keys) -> None:
        self._engine = engine
        self._keys = keys
        self._grants: dict[str, Grant] = {}  # by sid; each is written by its own socket's thread only
        self._addresses: dict[str, str | None] = {}
        self._after: dict[str, list[Callable[[], None]]] = {}  # by socket, likewise
        server = _server(app, engine, prefix)
        self._server = server
        self._sockets: Any = app.wsgi_app
        self._wire = Wire(server)
        self._emitter = Emitter(engine, self._wire)
        server.on("connect", self._connect, namespace=NAMESPACE)
        server.on("disconnect", self._disconnect, namespace=NAMESPACE)
        server.on("*", self._event, namespace=NAMESPACE)
        self._watch_sockets(server.eio)

    def taken(self) -> int:
        """How many sockets hold threads."""
        eio = self._server.eio
        return sum(not one.closed for one in list(eio.sockets.values())) + sockets.lingering(eio)

    def wsgi(self, environ: Environ, start_response: StartResponse) -> Any:
        """A request of Socket.IO. Raises BadRequest where it asks for a WebSocket but is no handshake, and where its
        socket ends while engine.io looks for it in its table.
        """
        if sockets.is_no_handshake(environ):
            raise BadRequest("This is no WebSocket handshake.")
        try:
            return self._sockets(environ, start_response)
        except KeyError:
            raise BadRequest("This socket has ended.") from None

    def close(self) -> None:
        """End all connections."""
        for socket in self._wire.open():
            self._wire.cut(socket)

    # -- sockets, before they are clients ------------------------------------------------------------------------

    def _watch_sockets(self, eio: Any) -> None:
        connect, message, disconnect = (eio.handlers[name] for name in ("connect", "message", "disconnect"))

        def on_connect(socket: str, environ: dict[str, Any]) -> object:
            self._emitter.arrive(socket)
            sockets.beat(eio.sockets[socket])
            Polling(eio.sockets[socket], partial(self._wire.cut, socket))
            if SEAT in environ:
                environ[SEAT].taken()
            return connect(socket, environ)

        def on_message(socket: str, data: Any) -> None:
            try:
                message(socket, data)
            except Exception:  # noqa: BLE001 - whatever it was, only this client pays for it
                _log.debug("A client sent what no client sends, and is cut", exc_info=True)
                self._wire.cut(socket)
            finally:
                # Now the answer to the message is on its way, and what is told from here on comes after it.
                for call in self._after.pop(socket, ()):
                    call()

        def on_disconnect(socket: str, reason: str) -> None:
            disconnect(socket, reason)
            self._emitter.depart(socket)

        eio.on("connect", on_connect)
        eio.on("message", on_message)
        eio.on("disconnect", on_disconnect)

    def _afterwards(self, sid: str, call: Callable[[], None]) -> None:
        self._after.setdefault(self._socket(sid), []).append(call)

    def _socket(self, sid: str) -> str:
        return str(self._server.manager.eio_sid_from_sid(sid, NAMESPACE))

    # -- events --------------------------------------------------------------------------------------------------

    def _connect(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        """A client joins. Refused without the right token, in the handshake or in *auth*."""
        given = auth if isinstance(auth, dict) else {}
        try:
            grant = self._admitted(grant_of(environ), given.get("token"))
        except HTTPException as error:
            raise Refused(error.description, problems.problem(error).body) from None
        self._grants[sid] = grant
        self._addresses[sid] = environ.get("REMOTE_ADDR")
        socket, since = self._socket(sid), self._known(given.get("since"))
        hears_all = grant.access > Access.JOB
        self._afterwards(sid, lambda: self._emitter.join(sid, socket, since, hears_all))

    def _admitted(self, grant: Grant, token: object) -> Grant:
        if token is not None:
            grant = max(self._keys.grant(token), grant, key=lambda one: one.access)
        if grant.access is Access.NONE:
            raise Unauthorized("A token is needed in auth.") if token is None else Forbidden("The token is wrong.")
        return grant

    def _known(self, since: object) -> int | None:
        """The change number up to which a client that comes back knows everything, None if it knows nothing of use."""
        if not isinstance(since, dict) or since.get("epoch") != self._engine.feed.epoch:
            return None
        seq = since.get("seq")
        return seq if type(seq) is int and seq >= 0 else None

    def _disconnect(self, sid: str, _reason: object = None) -> None:
        # May run in any thread, the emitter's too.
        self._grants.pop(sid, None)
        self._addresses.pop(sid, None)
        self._emitter.leave(sid)

    def _event(self, name: str, sid: str, *arguments: Any) -> Ack:
        """Any event of a client, and its acknowledgement. Raises nothing."""
        try:
            status, body = self._answered(name, sid, arguments)
        except Exception as error:  # noqa: BLE001 - problem() logs what nobody foresaw
            status, body, _ = problems.problem(error)
        return {"status": status, "body": body}

    def _answered(self, name: str, sid: str, arguments: tuple[Any, ...]) -> tuple[int, object]:
        if name == UNREADABLE and arguments and isinstance(arguments[0], Exception):
            raise arguments[0]
        if name not in EVENTS:
            raise NotFound(f"There is no event of this name; there are: {', '.join(EVENTS)}.")
        need, answer = EVENTS[name]
        grant = self._grants.get(sid, Grant(Access.NONE))
        if grant.access < need:
            raise Forbidden(_MAY[grant.access])
        if len(arguments) > 1:
            raise BadRequest("An event has one argument.")
        body = arguments[0] if arguments else {}
        if grant.access is Access.JOB and _id(body) != grant.job:
            raise Forbidden(_MAY[Access.JOB])
        return answer(self, sid, body)

    def _push_job(self, sid: str, body: object) -> tuple[int, object]:
        return pushed_json(self._engine, self._engine.push(body))

    def _cancel_job(self, sid: str, body: object) -> tuple[int, object]:
        return 200, job_json(self._engine.cancel(_id(body), who=self._addresses.get(sid)))

    def _retry_job(self, sid: str, body: object) -> tuple[int, object]:
        return 202, job_json(self._engine.retry(_id(body)))

    def _pause(self, sid: str, body: object) -> tuple[int, object]:
        asked = _loaded(_PAUSE, body)
        self._engine.pause(**asked | {"who": asked["who"] or self._addresses.get(sid)})
        return 200, self._engine.overview()

    def _resume(self, sid: str, body: object) -> tuple[int, object]:
        self._engine.resume(_loaded(_RESUME, body)["queue"])
        return 200, self._engine.overview()

    def _follow(self, sid: str, body: object) -> tuple[int, object]:
        id = _id(body)
        self._emitter.follow(sid, id)  # before the job is looked at, so that no step is missed
        self._afterwards(sid, lambda: self._emitter.acked(sid, id))
        try:
            return 200, job_json(self._engine.job(id))
        except Exception:
            self._emitter.unfollow(sid, id)
            raise

    def _unfollow(self, sid: str, body: object) -> tuple[int, object]:
        id = _id(body)
        self._emitter.unfollow(sid, id)
        return 200, job_json(self._engine.job(id))

    def _resync(self, sid: str, _body: object) -> tuple[int, object]:
        self._emitter.resync(sid)
        return 200, {}


EVENTS: Final[dict[str, tuple[Access, Callable[[Live, str, object], tuple[int, object]]]]] = {
    "push_job": (Access.ALL, Live._push_job),
    "cancel_job": (Access.ALL, Live._cancel_job),
    "retry_job": (Access.ALL, Live._retry_job),
    "pause": (Access.ALL, Live._pause),
    "resume": (Access.ALL, Live._resume),
    "follow": (Access.JOB, Live._follow),
    "unfollow": (Access.JOB, Live._unfollow),
    "resync": (Access.VIEW, Live._resync),  # the page's own: the 100 next jobs it was told of have begun
}
"""What a client may say: the access that it needs, and the method that answers with status and body."""


def _id(body: object) -> int:
    return int(loaded(_REF, body)["id"])


def _loaded(schema: Schema, body: object) -> dict[str, Any]:
    return loaded(schema, {} if body is None else body)


def _server(app: Flask, engine: Engine, prefix: str) -> Any:
    """A Socket.IO server of its own for *app*, as ``app.wsgi_app``."""
    settings, others = engine.settings, app.extensions.get("socketio")
    made = SocketIO(
        app,
        path=f"{prefix}/socket.io",
        async_mode="threading",
        async_handlers=False,  # each event would get a thread, and they would overtake one another
        manage_session=False,
        serializer=Packet,
        cors_allowed_origins=[],  # the guard has looked at the Origin, and no answer of ours has CORS headers
        max_http_buffer_size=SOCKET_BYTES,
        ping_interval=settings.ping_interval,
        ping_timeout=settings.ping_timeout,
        logger=quiet_logger(),
        engineio_logger=quiet_logger(),
    )
    if others is not None:
        app.extensions["socketio"] = others  # the user's own
    else:
        del app.extensions["socketio"]
    sockets.install(made.server.eio)
    return made.server
