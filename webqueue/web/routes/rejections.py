"""GET /rejections: what was refused at the door."""

from flask import Response

from webqueue.views import rejection_json
from webqueue.web.answers import answer
from webqueue.web.current import current_engine
from webqueue.web.incoming import read_query
from webqueue.web.schemas import PageQuery

_PAGE = PageQuery()


def list_rejections() -> Response:
    """A page of refused pushes, newest first."""
    page = current_engine().rejections(**read_query(_PAGE))
    return answer({"rejections": [rejection_json(one) for one in page.items], "next": page.next})


ROUTES = [("GET", "/rejections", list_rejections)]
