"""/healthz and /readyz: for whoever watches the process."""

from flask import Response

from webqueue.errors import Unavailable
from webqueue.web.answers import answer
from webqueue.web.current import current_engine


def healthz() -> Response:
    """The process answers. Touches no store."""
    return answer({"status": "ok"})


def readyz() -> Response:
    """Whether a push would be taken and run; otherwise 503 with the reasons."""
    reasons = current_engine().ready()
    if reasons:
        raise Unavailable(" ".join(reasons))
    return answer({"status": "ready"})


ROUTES = [("GET", "/healthz", healthz), ("GET", "/readyz", readyz)]
