"""The outermost WSGI middleware: who may ask, from where, and how much. It covers the sockets, which bypass Flask.

Only paths of ours are looked at; a page of the user's application passes untouched.
"""

import re
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import parse_qs

from flask import Flask
from werkzeug.exceptions import (
    BadRequest,
    Forbidden,
    HTTPException,
    InternalServerError,
    MethodNotAllowed,
    RequestEntityTooLarge,
    ServiceUnavailable,
    Unauthorized,
    default_exceptions,
)
from werkzeug.routing import MapAdapter

from webqueue.settings import Settings
from webqueue.web import problems
from webqueue.web.access import ACCESS, Access, Keys
from webqueue.web.incoming import BULK_BYTES, PUSH_BYTES
from webqueue.web.routes import NAME
from webqueue.web.routes.login import REFUSED

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGI = Callable[[Environ, StartResponse], Iterable[bytes]]

SOCKET_BYTES: Final = 1024 * 1024
HEADERS: Final = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN: Final = frozenset({"/healthz", "/readyz", "/login"})
"""What needs no token, beside the assets."""
FOR_VIEWERS: Final = frozenset({"/login", "/logout"})
"""What changes nothing but the session of the one who asks."""
SEAT: Final = "webqueue.seat"
"""In the environ of a handshake: the seat that it takes."""
LIMITS: Final = {"/push-jobs": BULK_BYTES}

_HOST = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE)
_LOOPBACK = re.compile(r"localhost|(?:[a-z0-9-]+\.)+localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]", re.IGNORECASE)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class MisdirectedRequest(HTTPException):
    """The Host header names a host that this server is not (RFC 9110, 15.5.20)."""

    code = 421
    description = "This server does not answer for that host; set WEBQUEUE_ALLOWED_HOSTS if it should."


class Hosts:
    """Which names the Host header may carry: a foreign page whose name was bound to our address has another."""

    def __init__(self, settings: Settings) -> None:
        named = _listed(settings.allowed_hosts or "")
        self._any = "*" in named or (settings.allowed_hosts is None and settings.token is not None)
        self._named = frozenset(name.lower() for name in named)
        self._known: set[str] = set()  # seen and fine; as good as immutable, so it needs no lock

    def check(self, host: str | None) -> None:
        """Raise BadRequest for what is no host, MisdirectedRequest for one that is not ours."""
        if host in self._known:
            return
        match = _HOST.fullmatch(host or "")
        if match is None:
            raise BadRequest("The Host header is missing, or it is none.")
        if not self._allowed(match["name"].lower(), match[0].lower()):
            raise MisdirectedRequest()
        if len(self._known) < 100:
            self._known.add(match[0])

    def _allowed(self, name: str, with_port: str) -> bool:
        if self._any or name in self._named or with_port in self._named:
            return True
        return not self._named and _LOOPBACK.fullmatch(name) is not None


class Origins:
    """Which pages may change something, or join the socket: our own, and those that the settings list."""

    def __init__(self, settings: Settings) -> None:
        self._listed = frozenset(_origin(one) for one in _listed(settings.allowed_origins))

    def check(self, environ: Environ) -> None:
        """Raise Forbidden where a browser says that a foreign page asks."""
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None:
            if not self.allowed(origin, environ):
                raise Forbidden("The Origin is foreign; set WEBQUEUE_ALLOWED_ORIGINS if it should not be.")
            if _origin(origin) in self._listed:
                return
        if environ.get("HTTP_SEC_FETCH_SITE", "none").lower() not in {"same-origin", "none"}:
            raise Forbidden("A page of another site asked for this (Sec-Fetch-Site).")

    def allowed(self, origin: str, environ: Environ) -> bool:
        """Whether *origin* is that of the request itself, or listed."""
        own = f"{environ.get('wsgi.url_scheme', 'http')}://{environ.get('HTTP_HOST', '')}"
        return _origin(origin) in {_origin(own), *self._listed}


class Guard:
    """In front of everything. Its answers are problem documents; every answer of ours gets HEADERS."""

    def __init__(self, app: WSGI, sockets: WSGI, ours: "Ours", settings: Settings, keys: Keys, seats: "Seats") -> None:
        self._app = app
        self._sockets = sockets
        self._ours = ours
        self._keys = keys
        self._seats = seats
        self._hosts = Hosts(settings)
        self.origins = Origins(settings)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not self._ours.has(path, environ["REQUEST_METHOD"]):
            return self._app(environ, start_response)
        route = path[len(self._ours.prefix) :]
        try:
            if route == "/socket.io" or route.startswith("/socket.io/"):
                return self._join(environ, start_response)
            self._check(environ, route)
        except HTTPException as error:
            return problems.answer(error)(environ, _with_headers(start_response))
        return self._pass_on(environ, start_response)

    def _check(self, environ: Environ, route: str) -> None:
        """Raise the HTTPException that says what is wrong with a request; leave in *environ* what it may do."""
        self._hosts.check(environ.get("HTTP_HOST"))
        changes = environ["REQUEST_METHOD"] not in SAFE
        if changes:
            self.origins.check(environ)
            _check_length(environ, LIMITS.get(route, PUSH_BYTES))
        access = environ[ACCESS] = self._keys.of_request(environ)
        if access is Access.NONE:
            self._turn_away(environ, route)
        elif changes and access is Access.VIEW and route not in FOR_VIEWERS:
            raise Forbidden("This token reads everything and changes nothing.")

    def _turn_away(self, environ: Environ, route: str) -> None:
        """Whoever has shown no token sees what is open; a browser is led to the form."""
        if route in OPEN or route.startswith(self._ours.static + "/"):
            return
        if environ["REQUEST_METHOD"] in {"GET", "HEAD"} and "text/html" in environ.get("HTTP_ACCEPT", ""):
            environ[REFUSED] = True
            environ["PATH_INFO"] = f"{self._ours.prefix}/login"
            return
        raise Unauthorized("A token is needed: Authorization: Bearer TOKEN.")

    def _pass_on(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Let Flask answer. A refusal from outside our blueprint (no such route or method) is put in our words."""
        foreign: list[HTTPException] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if status >= "4" and not _in_our_words(headers):
                foreign.append(_same_refusal(status, headers))
                return _write_nowhere
            return start_response(status, headers + HEADERS, exc_info)

        body = self._app(environ, start)
        if not foreign:
            return body
        getattr(body, "close", _nothing)()
        return problems.answer(foreign[0])(environ, _with_headers(start_response))

    def _join(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """A request of Socket.IO. Whoever has shown no token may send it in ``auth``, where ``Live`` looks at it."""
        self._hosts.check(environ.get("HTTP_HOST"))
        self.origins.check(environ)
        if environ["REQUEST_METHOD"] not in {"GET", "POST", "OPTIONS"}:
            raise MethodNotAllowed(["GET", "POST"])
        _check_length(environ, SOCKET_BYTES)
        query = parse_qs(environ.get("QUERY_STRING", ""))
        if "j" in query:
            raise Forbidden("JSONP is refused: it would let any page read the answers.")
        environ[ACCESS] = self._keys.of_request(environ)
        return self._seats.admit(self._sockets, environ, _with_headers(start_response), handshake="sid" not in query)


class Ours:
    """Which paths are ours: all under the prefix; without one, inside a user's application, what is routed to us."""

    def __init__(self, app: Flask, prefix: str, static: str, shared: bool) -> None:
        self.prefix = prefix
        self.static = static
        """Where the assets are, below the prefix."""
        self._below = prefix + "/"
        self._adapter = app.url_map.bind("localhost") if shared else None

    def has(self, path: str, method: str) -> bool:
        """Whether *path* is ours."""
        if self._adapter is not None:
            return path.startswith("/socket.io") or self._routed(self._adapter, path, method)
        return path.startswith(self._below) or path == self.prefix

    def _routed(self, adapter: MapAdapter, path: str, method: str) -> bool:
        try:
            endpoint, _ = adapter.match(path, method)
        except MethodNotAllowed as error:
            return bool(error.valid_methods) and self._routed(adapter, path, next(iter(error.valid_methods or ())))
        except HTTPException:
            return False
        return str(endpoint).startswith(NAME + ".")


class Seats:
    """So many sockets at a time: each holds a thread of the server for as long as it is open."""

    def __init__(self, most: int, taken: Callable[[], int]) -> None:
        self._most = most
        self._taken = taken
        self._lock = threading.Lock()
        self._coming = 0  # guarded by _lock

    def admit(self, sockets: WSGI, environ: Environ, start_response: StartResponse, handshake: bool) -> Iterable[bytes]:
        """Let *sockets* answer. Raises ServiceUnavailable for a handshake for which there is no seat."""
        if not handshake:
            return sockets(environ, start_response)
        with self._lock:
            if self._taken() + self._coming >= self._most:
                raise ServiceUnavailable(f"{self._most} sockets are open: no more are let in.")
            self._coming += 1
        seat = environ[SEAT] = Seat(self._leave)
        try:
            return sockets(environ, start_response)
        finally:
            seat.taken()

    def _leave(self) -> None:
        with self._lock:
            self._coming -= 1


class Seat:
    """One that is being taken: until :meth:`taken` it counts as coming, from then on as a socket."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave: Callable[[], None] | None = leave

    def taken(self) -> None:
        """The socket is counted by itself now, or will never come. By the request's own thread; twice is fine."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


def _check_length(environ: Environ, limit: int) -> None:
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length[:16]) > limit:
        raise RequestEntityTooLarge(f"The body is too large: {limit} bytes at most.")


def _with_headers(start_response: StartResponse) -> StartResponse:
    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        # engine.io allows its origins by CORS headers; a page elsewhere has nothing to read here.
        own = [header for header in headers if not header[0].startswith("Access-Control-")]
        return start_response(status, own + HEADERS, exc_info)

    return start


def _in_our_words(headers: list[tuple[str, str]]) -> bool:
    """Whether a refusal is a problem document or a page of ours: those have a policy."""
    return any(
        name == "Content-Security-Policy" or (name == "Content-Type" and value == problems.MEDIA_TYPE)
        for name, value in headers
    )


def _same_refusal(status: str, headers: list[tuple[str, str]]) -> HTTPException:
    allowed = next((value for name, value in headers if name == "Allow"), None)
    if allowed is not None:
        return MethodNotAllowed(allowed.split(", "))
    return default_exceptions.get(int(status[:3]), InternalServerError)()


def _write_nowhere(_data: bytes) -> None:
    """What WSGI's ``start_response`` returns where the answer is thrown away."""


def _nothing() -> None:
    """Close what needs no closing."""


def _listed(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(",")) if part]


def _origin(text: str) -> str:
    """An origin without what may be left out, in lower case."""
    scheme, _, host = text.strip().lower().rstrip("/").partition("://")
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS.get(scheme, chr(0)))}"
