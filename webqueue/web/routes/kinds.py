"""GET /kinds: what may be pushed."""

from flask import Response

from webqueue.web.answers import answer
from webqueue.web.current import current_engine


def list_kinds() -> Response:
    """Every kind, with the JSON Schema of its payload."""
    return answer({"kinds": current_engine().kinds()})


ROUTES = [("GET", "/kinds", list_kinds)]
