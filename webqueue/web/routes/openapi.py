"""GET /openapi.json: what is here, for machines."""

from flask import Response, current_app

from webqueue.web.answers import answer
from webqueue.web.current import KEYS, PREFIX, current_prefix
from webqueue.web.openapi import document


def show_openapi() -> Response:
    """The OpenAPI 3.1 document of what is here."""
    summaries = {name: (view.__doc__ or "").partition("\n")[0] for name, view in current_app.view_functions.items()}
    prefix, token = current_app.extensions[PREFIX], current_app.extensions[KEYS].needed
    ours = [rule for rule in current_app.url_map.iter_rules() if rule.endpoint.startswith("webqueue.")]
    return answer(document(ours, prefix, current_prefix(), summaries, token))


ROUTES = [("GET", "/openapi.json", show_openapi)]
