"""Whose fault it is that a request has no answer."""

import pytest
from gunicorn.http.errors import InvalidHeader, InvalidResponseHeader, InvalidResponseHeaderName
from werkzeug.exceptions import BadRequest, RequestTimeout

from webqueue.web.unreadable import MOST_TOLD, refusal_of


@pytest.mark.parametrize(
    "error", [InvalidResponseHeader("X"), InvalidResponseHeaderName("X"), ValueError("x"), SystemExit()]
)
def test_what_is_the_applications_own_fault_is_no_refusal(error: BaseException) -> None:
    """gunicorn logs it and answers 500; a header of the answer that is none is an error of its parser, too."""
    assert refusal_of(error) is None


def test_a_refusal_stays_what_it_is() -> None:
    """As where a request ends too soon."""
    error = RequestTimeout("It was not complete in time.")
    assert error is refusal_of(error)


def test_little_is_told_of_what_can_not_be_read() -> None:
    """It may be as long as a head."""
    refused = refusal_of(InvalidHeader("x" * 8_000))
    assert isinstance(refused, BadRequest)
    assert MOST_TOLD == len(refused.description or "")
