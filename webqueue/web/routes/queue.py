"""/queue: how it stands, and holding it."""

from flask import Response, request

from webqueue.web.answers import answer
from webqueue.web.current import current_engine
from webqueue.web.incoming import read_filter
from webqueue.web.schemas import PauseBody, ResumeBody

_PAUSE, _RESUME = PauseBody(), ResumeBody()


def show_queue() -> Response:
    """Counts, consumers, rates."""
    return answer(current_engine().overview())


def pause_queue() -> Response:
    """Nothing new starts, in one queue or in all; pushes are still accepted."""
    engine = current_engine()
    asked = read_filter(_PAUSE)
    engine.pause(**asked | {"who": asked["who"] or request.remote_addr})
    return answer(engine.overview())


def resume_queue() -> Response:
    """What was paused goes on."""
    engine = current_engine()
    engine.resume(read_filter(_RESUME)["queue"])
    return answer(engine.overview())


ROUTES = [
    ("GET", "/queue", show_queue),
    ("POST", "/queue/pause", pause_queue),
    ("POST", "/queue/resume", resume_queue),
]
