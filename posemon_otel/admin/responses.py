"""From a view to bytes: JSON, ETag, and the headers that every answer carries."""

import hashlib
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from posemon_otel.admin.errors import ApiError
from posemon_otel.admin.views import Problem, View

JSON_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_ALWAYS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", JSON_POLICY.encode()),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


def answer(request: Request, view: View, status: int = HTTPStatus.OK) -> Response:
    """The view as JSON; 304 without a body when whoever asks has the same already."""
    tag = _tag(view)
    if status == HTTPStatus.OK and request.method in ("GET", "HEAD") and _matches(request, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
    return Response(msgspec.json.encode(view), status, {"ETag": tag}, "application/json")


def problem(error: ApiError) -> Response:
    """The JSON of an error."""
    view = Problem(HTTPStatus(error.status).phrase, error.message)
    return Response(msgspec.json.encode(view), error.status, error.headers, "application/json")


def _tag(view: View) -> str:
    """Weak: equal for answers that say the same about the same, whenever they were given."""
    fields = {name: getattr(view, name) for name in view.__struct_fields__ if name not in view.VOLATILE}
    return f'W/"{hashlib.blake2b(msgspec.json.encode(fields), digest_size=12).hexdigest()}"'


def _matches(request: Request, tag: str) -> bool:
    known = request.headers.get("if-none-match", "")
    return tag.removeprefix("W/") in (part.strip().removeprefix("W/") for part in known.split(","))


class StandardHeaders:
    """Adds to each answer the headers that it does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                given = {name.lower() for name, _ in headers}
                message = {**message, "headers": headers + [pair for pair in _ALWAYS if pair[0] not in given]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
