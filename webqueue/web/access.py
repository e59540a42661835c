"""Who may do what: tokens, and the sessions that browsers get for them."""

import enum
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from werkzeug.exceptions import Forbidden
from werkzeug.http import parse_cookie

from webqueue.settings import Settings
from webqueue.web.onejob import JobTokens

COOKIE: Final = "webqueue_session"
SESSION_SECONDS: Final = 12 * 3600
MOST_SESSIONS: Final = 10_000
ACCESS: Final = "webqueue.access"
"""The WSGI environ's key under which the guard leaves what a request may do."""
SESSION: Final = "webqueue.session"
"""There too: whether that is by a session."""
JOB: Final = "webqueue.job"
"""And the id of the one job that the request may see, where that is all."""
JUDGED: Final = "webqueue.judged"
"""And the path that the guard has looked at: no other is answered."""


class Access(enum.IntEnum):
    """What someone may do; each includes the ones before it."""

    NONE = 0
    JOB = 1
    """Read one job and follow it: which one is in the Grant."""
    VIEW = 2
    ALL = 3


class Grant(NamedTuple):
    """What a token opens."""

    access: Access
    job: int = 0
    """The id of the one job, where that is all."""


def access_of(environ: Mapping[str, Any]) -> Access:
    """What the guard found out about the request of *environ*."""
    return Access(environ.get(ACCESS, Access.NONE))


def grant_of(environ: Mapping[str, Any]) -> Grant:
    """The same, with the one job that it may see, where that is all."""
    return Grant(access_of(environ), environ.get(JOB, 0))


def logged_in(environ: Mapping[str, Any]) -> bool:
    """Whether it was a session that opened this request, which its reader may end."""
    return bool(environ.get(SESSION))


class Sessions:
    """Logins of browsers: random ids, kept in memory until they expire, are closed, or the process ends."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Access, float]] = {}  # guarded by _lock; in order of expiry

    def open(self, access: Access) -> str:
        """A new session's id, good for SESSION_SECONDS."""
        id = secrets.token_urlsafe(32)
        with self._lock:
            self._forget_old()
            self._open[id] = (access, self._clock() + SESSION_SECONDS)
        return id

    def access(self, id: str) -> Access:
        """What this session may do; nothing where it is unknown or over."""
        with self._lock:
            access, expires = self._open.get(id, (Access.NONE, 0.0))
        return access if self._clock() < expires else Access.NONE

    def close(self, id: str) -> None:
        """From now on this id opens nothing."""
        with self._lock:
            self._open.pop(id, None)

    def _forget_old(self) -> None:
        while self._open:
            oldest, (_, expires) = next(iter(self._open.items()))
            if self._clock() < expires and len(self._open) < MOST_SESSIONS:
                return
            del self._open[oldest]


class Keys:
    """The tokens of the settings, compared in constant time, and the sessions opened with them."""

    def __init__(self, settings: Settings, secret: Callable[[], str | bytes | None] = lambda: None) -> None:
        self.sessions = Sessions()
        self.jobs = JobTokens(settings.token, secret)
        self._all = settings.token.encode() if settings.token else None
        self._view = settings.view_token.encode() if settings.view_token else None

    @property
    def needed(self) -> bool:
        """Whether one needs a token at all."""
        return self._all is not None

    def of_token(self, token: object) -> Access:
        """What *token* opens: NONE where it is wrong, or no text."""
        if self._all is None:
            return Access.ALL
        given = token.encode("utf-8", "surrogatepass") if isinstance(token, str) else b""
        # Both are compared whatever the first says, so that the time tells nothing.
        everything = hmac.compare_digest(given, self._all)
        reading = self._view is not None and hmac.compare_digest(given, self._view)
        return Access.ALL if everything else Access.VIEW if reading else Access.NONE

    def grant(self, token: object) -> Grant:
        """What *token* opens; one for a single job counts too."""
        access = self.of_token(token)
        job = self.jobs.job(token) if self.needed else 0
        return Grant(Access.JOB, job) if job else Grant(access)

    def of_request(self, environ: Mapping[str, Any]) -> Grant:
        """What the Bearer token or the session cookie of a request opens. Raises Forbidden for a wrong Bearer token."""
        if self._all is None:
            return Grant(Access.ALL)
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._of_bearer(token)
        cookie = environ.get("HTTP_COOKIE")
        return Grant(self.sessions.access(parse_cookie(cookie).get(COOKIE, "")) if cookie else Access.NONE)

    def _of_bearer(self, token: str) -> Grant:
        # WSGI hands header bytes over as Latin-1.
        grant = self.grant(token.strip().encode("latin-1", "replace").decode("utf-8", "replace"))
        if grant.access is Access.NONE:
            raise Forbidden("The token is wrong.")
        return grant
