"""/login and /logout: a session for a browser, in exchange for the token."""

from typing import cast

from flask import Response, current_app, request

from webqueue.web.access import COOKIE, SESSION_SECONDS, Access, Keys
from webqueue.web.current import KEYS, current_prefix
from webqueue.web.page import render

REFUSED = "webqueue.refused"
"""In the WSGI environ where the guard sends a browser here instead of where it wanted to go."""
MOST_FORM = 8 * 1024


def show_login() -> Response:
    """The form; to the page itself where there is nothing to log in to."""
    if not _keys().needed:
        return _redirect("/")
    return _form(401 if REFUSED in request.environ else 200)


def log_in() -> Response:
    """The right token: a session, and on to the page. A wrong one: the form again."""
    request.max_content_length = request.max_form_memory_size = MOST_FORM
    keys = _keys()
    if not keys.needed:
        return _redirect("/")
    access = keys.of_token(request.form.get("token"))
    if access is Access.NONE:
        return _form(403, error="This token is wrong.")
    response = _redirect("/")
    _set_cookie(response, keys.sessions.open(access), SESSION_SECONDS)
    return response


def log_out() -> Response:
    """The session is over."""
    _keys().sessions.close(request.cookies.get(COOKIE, ""))
    response = _redirect("/login")
    _set_cookie(response, "", 0)
    return response


def _set_cookie(response: Response, value: str, seconds: int) -> None:
    path = current_prefix() or "/"
    response.set_cookie(
        COOKIE, value, max_age=seconds, path=path, secure=request.is_secure, httponly=True, samesite="Strict"
    )


def _keys() -> Keys:
    return cast(Keys, current_app.extensions[KEYS])


def _form(status: int, error: str | None = None) -> Response:
    response = render("login.html", status, error=error)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="webqueue"'
    return response


def _redirect(path: str) -> Response:
    return Response(status=303, headers={"Location": current_prefix() + path})


ROUTES = [("GET", "/login", show_login), ("POST", "/login", log_in), ("POST", "/logout", log_out)]
