"""``create_app``: the plain application factory."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

from webqueue.demo import register_demo
from webqueue.web.extension import WebQueue


def create_app(config: Mapping[str, Any] | None = None, **settings: Any) -> Flask:
    """A Flask application that serves the demo kinds, its consumers running; *settings* beat *config*, Flask's.

    Raises SettingsError, and StoreError where the store can't be opened.
    """
    jobs = WebQueue()
    jobs.demo = True
    register_demo(jobs.handlers)
    return jobs.create_app(config, **settings)
