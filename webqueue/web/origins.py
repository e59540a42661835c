"""Where a request comes from, and for whom it was meant: what keeps foreign pages out."""

import re
from typing import Any, Final

from werkzeug.exceptions import BadRequest, Forbidden, HTTPException

from webqueue.settings import Settings

Environ = dict[str, Any]

MOST_KNOWN: Final = 100
"""So many Host headers that were fine are remembered."""

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
        if len(self._known) < MOST_KNOWN:
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


def _listed(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(",")) if part]


def _origin(text: str) -> str:
    """An origin without what may be left out, in lower case."""
    scheme, _, host = text.strip().lower().rstrip("/").partition("://")
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS.get(scheme, chr(0)))}"
