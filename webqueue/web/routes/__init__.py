"""All routes. A new resource is a module with a table ROUTES of (method, path, view), and its name in MODULES."""

from typing import Final

from flask import Blueprint
from marshmallow import ValidationError
from werkzeug.exceptions import default_exceptions

from webqueue.errors import WebqueueError
from webqueue.strictjson import NotJSON
from webqueue.web import problems
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


def blueprint(static_path: str = "/static") -> Blueprint:
    """A blueprint with every route; its errors are problem documents. Raises SettingsError where assets are missing."""
    made = Blueprint(NAME, __name__, static_folder=folder("static"), static_url_path=static_path)
    for module in MODULES:
        for method, path, view in module.ROUTES:
            made.add_url_rule(path, view.__name__, view, methods=[method])
    for kind in (WebqueueError, NotJSON, ValidationError, Exception):
        made.register_error_handler(kind, problems.answer)
    for code in default_exceptions:  # by code, or a handler of the user's application would come before ours
        made.register_error_handler(code, problems.answer)
    return made
