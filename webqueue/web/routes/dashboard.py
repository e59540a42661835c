"""GET /: the dashboard, complete before any script runs."""

from flask import Response, request

from webqueue.web.access import Access, access_of
from webqueue.web.current import current_engine, current_prefix
from webqueue.web.page import render
from webqueue.web.search import MOST_SAID


def dashboard() -> Response:
    """The page as the queue stands now; the socket keeps it so."""
    engine = current_engine()
    return render(
        "dashboard.html",
        snapshot=engine.snapshot(),
        pauses=engine.overview()["pauses"],
        kinds=engine.kinds(),
        name=engine.name,
        durability=engine.durability,
        demo=engine.demo,
        server=request.host_url.rstrip("/") + current_prefix(),
        can_write=access_of(request.environ) is Access.ALL,
        said=request.args.get("said", "")[:MOST_SAID],
    )


ROUTES = [("GET", "/", dashboard)]
