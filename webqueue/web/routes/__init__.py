"""All routes. A new resource is a module with a table ROUTES of (method, path, view), and its name in MODULES."""

import re
from typing import Final

from flask import Blueprint, request
from flask.blueprints import BlueprintSetupState
from marshmallow import ValidationError
from werkzeug.exceptions import Forbidden, default_exceptions
from werkzeug.routing import BaseConverter

from webqueue.errors import WebqueueError
from webqueue.strictjson import NotJSON
from webqueue.web import problems
from webqueue.web.access import JUDGED
from webqueue.web.assets import folder
from webqueue.web.routes import (
    actions,
    charts,
    dashboard,
    failures,
    health,
    jobs,
    kinds,
    login,
    metrics,
    openapi,
    push_job,
    push_jobs,
    queue,
    rejections,
)

MODULES: Final = (
    push_job, push_jobs, jobs, actions, failures, charts, rejections, queue, kinds, health, dashboard, login, metrics,
    openapi,
)  # fmt: skip
NAME: Final = "webqueue"
_WORD: Final = re.compile("/jobs/[a-z]+")
NO_IDS: Final = frozenset(
    path.removeprefix("/jobs/") for module in MODULES for _, path, _ in module.ROUTES if _WORD.fullmatch(path)
)
"""Words that have a route of their own where others have an id: GET /jobs/cancel is 405, no job that is missing."""


class IdConverter(BaseConverter):
    """``<webqueue_id:id>`` in a path: whatever is none of NO_IDS. Whether it is an id the view says, in words."""

    regex = rf"(?!(?:{'|'.join(sorted(NO_IDS))})\Z).+"


def blueprint(static_path: str = "/static") -> Blueprint:
    """A blueprint with every route; its errors are problem documents. Raises SettingsError where assets are missing."""
    made = Blueprint(NAME, __name__, static_folder=folder("static"), static_url_path=static_path)
    made.record(_know_ids)
    made.before_request(_refuse_unjudged)
    for module in MODULES:
        for method, path, view in module.ROUTES:
            # Merged slashes would lead from /jobs//cancel, where an id is missing, to /jobs/cancel, which is for many.
            made.add_url_rule(path, view.__name__, view, methods=[method], merge_slashes=False)
    for kind in (WebqueueError, NotJSON, ValidationError, Exception):
        made.register_error_handler(kind, problems.answer)
    for code in default_exceptions:  # by code, or a handler of the user's application would come before ours
        made.register_error_handler(code, problems.answer)
    return made


def _know_ids(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["webqueue_id"] = IdConverter


def _refuse_unjudged() -> None:
    """Nothing goes round the guard. Raises Forbidden for a path that it has not looked at."""
    if request.environ.get(JUDGED) != request.environ["PATH_INFO"]:
        raise Forbidden("A middleware changed this path after webqueue had looked at it: put it on after init_app.")
