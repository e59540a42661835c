"""The outermost WSGI middleware: who may ask, from where, and how much. It covers the sockets, which bypass Flask.

Only paths of ours are looked at; a page of the user's application passes untouched. A path is put into the form in
which Flask routes it before anything looks at it, and the blueprint answers no other than the one that was looked at.
"""

from collections.abc import Iterable
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
    Unauthorized,
    default_exceptions,
)
from werkzeug.routing import MapAdapter
from werkzeug.wsgi import get_path_info

from webqueue.settings import Settings
from webqueue.web import problems
from webqueue.web.access import ACCESS, JOB, JUDGED, SESSION, Access, Keys
from webqueue.web.incoming import BULK_BYTES, PUSH_BYTES
from webqueue.web.origins import Hosts, Origins
from webqueue.web.routes import NAME
from webqueue.web.routes.login import REFUSED
from webqueue.web.seats import WSGI, Environ, Seats, StartResponse
from webqueue.web.turns import Turns

SOCKET_BYTES: Final = 1024 * 1024
HEADERS: Final = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SOCKETS: Final = "/socket.io/"
OPEN: Final = frozenset({"/healthz", "/readyz", "/login"})
"""What needs no token, beside the assets."""
FOR_VIEWERS: Final = frozenset({"/login", "/logout"})
"""What changes nothing but the session of the one who asks."""
LIMITS: Final = {"/push-jobs": BULK_BYTES}
LISTS: Final = frozenset({"/jobs", "/failures", "/rejections"})
"""What takes long to make, and may be large: one at a time."""


class Guard:
    """In front of everything. Its answers are problem documents; every answer of ours gets HEADERS."""

    def __init__(self, app: WSGI, sockets: WSGI, ours: "Ours", settings: Settings, keys: Keys, seats: Seats) -> None:
        self._app = app
        self._sockets = sockets
        self._ours = ours
        self._keys = keys
        self._seats = seats
        self._lists = Turns()
        self._hosts = Hosts(settings)
        self.origins = Origins(settings)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = _routed_path(environ)
        if not self._ours.has(path, environ["REQUEST_METHOD"]):
            return self._app(environ, start_response)
        _send_to(path, environ)
        route = path[len(self._ours.prefix) :]
        try:
            if route.startswith(SOCKETS):
                return self._join(environ, start_response)
            self._check(environ, route)
            if route in LISTS:
                with self._lists.turn():
                    return self._pass_on(environ, start_response)
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
        access, job = environ[ACCESS], environ[JOB] = self._keys.of_request(environ)
        environ[SESSION] = access is not Access.NONE and self._keys.needed and "HTTP_AUTHORIZATION" not in environ
        if access is Access.NONE:
            self._turn_away(environ, route)
        elif access is Access.JOB:
            self._narrow(environ, route, job)
        elif changes and access is Access.VIEW and route not in FOR_VIEWERS:
            raise Forbidden("This token reads everything and changes nothing.")

    def _turn_away(self, environ: Environ, route: str) -> None:
        """Whoever has shown no token sees what is open; a browser is led to the form."""
        if self._is_open(route):
            return
        if environ["REQUEST_METHOD"] in {"GET", "HEAD"} and "text/html" in environ.get("HTTP_ACCEPT", ""):
            environ[REFUSED] = True
            _send_to(f"{self._ours.prefix}/login", environ)
            return
        raise Unauthorized("A token is needed: Authorization: Bearer TOKEN.")

    def _narrow(self, environ: Environ, route: str, job: int) -> None:
        """Who has a token for one job reads that job and its log, as JSON: a page of ours shows more than a job."""
        environ["HTTP_ACCEPT"] = "application/json"
        reads = environ["REQUEST_METHOD"] in {"GET", "HEAD"}
        if not self._is_open(route) and not (reads and route in {f"/jobs/{job}", f"/jobs/{job}/log"}):
            raise Forbidden("This token reads one job and nothing else.")

    def _is_open(self, route: str) -> bool:
        return route in OPEN or route.startswith(self._ours.static + "/")

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
        environ[ACCESS], environ[JOB] = self._keys.of_request(environ)
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
            return path.startswith(SOCKETS) or self._routed(self._adapter, path, method)
        return path.startswith(self._below) or path == self.prefix

    def _routed(self, adapter: MapAdapter, path: str, method: str) -> bool:
        try:
            endpoint, _ = adapter.match(path, method)
        except MethodNotAllowed as error:
            return bool(error.valid_methods) and self._routed(adapter, path, next(iter(error.valid_methods or ())))
        except HTTPException:
            return False
        return str(endpoint).startswith(NAME + ".")


def _routed_path(environ: Environ) -> str:
    """The path of a request as Flask routes it: as text, and whatever slashes it begins with are one."""
    return "/" + get_path_info(environ).lstrip("/")


def _send_to(path: str, environ: Environ) -> None:
    """From now on *environ* asks for *path* and nothing else."""
    environ["PATH_INFO"] = environ[JUDGED] = path.encode().decode("latin-1")


def _check_length(environ: Environ, limit: int) -> None:
    length = environ.get("CONTENT_LENGTH", "").lstrip("0") or "0"
    if not length.isdecimal():
        raise BadRequest("The Content-Length is no number.")
    # Its digits are counted first: Python reads no number of thousands of them.
    if len(length) > len(str(limit)) or int(length) > limit:
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
