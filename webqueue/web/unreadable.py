"""What gunicorn's parser takes for no request is refused as everything else is: by a problem document."""

from typing import Final

from gunicorn.http import errors
from werkzeug import exceptions as told

REFUSALS: Final[dict[type[Exception], type[told.HTTPException]]] = {
    errors.LimitRequestLine: told.RequestURITooLarge,
    errors.LimitRequestHeaders: told.RequestHeaderFieldsTooLarge,
    errors.ExpectationFailed: told.ExpectationFailed,
    errors.UnsupportedTransferCoding: told.NotImplemented,
    errors.ParseException: told.BadRequest,
}
"""Looked up along the error's classes, the nearest one counts."""
OF_THE_APPLICATION: Final = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)
MOST_TOLD: Final = 200
"""Characters of what the parser says of it."""


def refusal_of(error: BaseException) -> told.HTTPException | None:
    """What the client is told of *error*; None where it is not the client's."""
    if isinstance(error, told.HTTPException):
        return error
    if not isinstance(error, errors.ParseException) or isinstance(error, OF_THE_APPLICATION):
        return None
    refusal = next(REFUSALS[kind] for kind in type(error).__mro__ if kind in REFUSALS)
    return refusal(f"This request can't be read: {error}"[:MOST_TOLD])
