"""What goes wrong with a request, as the JSON that says so."""

from collections.abc import Mapping
from http import HTTPStatus


class ApiError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status.
        message: A sentence for whoever asked; tells nothing about the inside.
        headers: Headers that belong to the status.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


def bad_request(message: str) -> ApiError:
    """400: a parameter or a body that cannot be understood."""
    return ApiError(HTTPStatus.BAD_REQUEST, message)


def unauthorized(message: str) -> ApiError:
    """401: nobody known is asking."""
    return ApiError(HTTPStatus.UNAUTHORIZED, message, {"WWW-Authenticate": "Bearer"})


def forbidden(message: str) -> ApiError:
    """403: whoever asks may not."""
    return ApiError(HTTPStatus.FORBIDDEN, message)


def too_many(seconds: float) -> ApiError:
    """429: too many requests; ``seconds`` until the next one may come."""
    wait = max(1, int(seconds + 1))
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS, f"Too many requests; try again in {wait} s.", {"Retry-After": str(wait)}
    )


def unavailable(message: str) -> ApiError:
    """503: a part that is needed does not answer."""
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, message, {"Retry-After": "5"})
