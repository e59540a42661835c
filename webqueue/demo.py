"""The demo kinds, served where nobody has registered any: something to push on the first day."""

import threading
from typing import Any, Final

from marshmallow import Schema, fields, validate

from webqueue.context import current_job
from webqueue.handlers import Handlers

STEP_SECONDS: Final = 0.1
"""``sleep`` says how far it is, and looks whether it was cancelled, so often."""


class Sleep(Schema):
    """How long to sleep."""

    seconds = fields.Float(required=True, validate=validate.Range(0, 3600))


class Greet(Schema):
    """Whom to greet, and where."""

    name = fields.String(required=True, validate=validate.Length(min=1, max=100))
    email = fields.Email(required=True)


class Fail(Schema):
    """What to fail with."""

    message = fields.String(load_default="It failed, as it was told to.", validate=validate.Length(max=1000))


def echo(**payload: Any) -> dict[str, Any]:
    """Returns its payload."""
    return payload


def sleep(seconds: float) -> dict[str, float]:
    """Sleeps so many seconds; says how far it is and can be cancelled."""
    steps = max(1, round(seconds / STEP_SECONDS))
    nobody = threading.Event()
    for step in range(steps):
        current_job.check()
        current_job.progress(step / steps, f"{step * seconds / steps:.1f} of {seconds:g} s")
        nobody.wait(seconds / steps)
    return {"slept": seconds}


def fail(message: str) -> None:
    """Fails with a message."""
    raise RuntimeError(message)


def greet(name: str, email: str) -> str:
    """Greets somebody."""
    current_job.log(f"greeting {name} at {email}")
    return f"Hello, {name}!"


def register_demo(handlers: Handlers) -> None:
    """Add the demo kinds to *handlers*."""
    handlers.register(echo)
    handlers.register(sleep, schema=Sleep)
    handlers.register(fail, schema=Fail)
    handlers.register(greet, schema=Greet)
