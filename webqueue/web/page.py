"""Pages: our templates in an environment of their own, so that a user's templates of the same names don't interfere."""

import json
from functools import cache, partial
from typing import Any, Final

from flask import Response, request, url_for
from jinja2 import Environment, FileSystemLoader

from webqueue.web.access import Access, access_of, logged_in
from webqueue.web.assets import folder
from webqueue.web.current import current_prefix

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def render(template: str, status: int = 200, **values: Any) -> Response:
    """*template* with *values*, and what every page needs: where it is, and what its reader may do."""
    values = {
        "prefix": current_prefix(),
        "path": request.path,
        "server": request.host_url.rstrip("/"),
        "can_write": access_of(request.environ) is Access.ALL,
        "logged_in": logged_in(request.environ),
        **values,
    }
    text = _environment().get_template(template).render(values)
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return Response(text, status, headers, mimetype="text/html")


def prefers_page() -> bool:
    """Whether the client would rather have HTML than JSON."""
    accept = request.accept_mimetypes
    return accept.best_match(["application/json", "text/html"]) == "text/html"


@cache
def _environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(folder("templates")), autoescape=True)
    environment.globals["url_for"] = url_for
    # Unlike tojson it keeps the order of keys, and as text (escaped as such) it reads as it was written.
    environment.filters["pretty"] = partial(json.dumps, ensure_ascii=False, indent=2)
    return environment
