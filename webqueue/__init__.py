"""webqueue: a job queue that lives inside a Flask application.

What needs Flask is imported on first use, so that the core can be used, and tested, without it.
"""

from typing import TYPE_CHECKING, Any

from webqueue.backoff import Backoff
from webqueue.context import current_job
from webqueue.errors import Cancelled, Rejected, Retry, Unfit

if TYPE_CHECKING:
    from webqueue.web.app import create_app
    from webqueue.web.extension import WebQueue

__all__ = ["Backoff", "Cancelled", "Rejected", "Retry", "Unfit", "WebQueue", "create_app", "current_job"]


def __getattr__(name: str) -> Any:
    if name == "WebQueue":
        from webqueue.web.extension import WebQueue

        return WebQueue
    if name == "create_app":
        from webqueue.web.app import create_app

        return create_app
    raise AttributeError(f"module 'webqueue' has no attribute {name!r}")
