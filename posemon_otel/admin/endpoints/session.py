"""``/session`` and ``/api/auth/login``: how a token or a link becomes a session, and a password a token."""

import time
from http import HTTPStatus
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from posemon_otel.admin import views
from posemon_otel.admin.access import SESSION_COOKIE, Access, Person, check_origin
from posemon_otel.admin.errors import bad_request, unauthorized
from posemon_otel.admin.responses import answer
from posemon_otel.admin.sign_in import password_matches
from posemon_otel.admin.site import Call, Endpoint
from posemon_otel.admin.tokens import make_token

SESSION_SECONDS = 12 * 3600.0
"""A session ends after this, and never after the token that began it."""

LOGIN_PATH = "/api/auth/login"
_BODY_BYTES = 16 * 1024
_WRONG = "E-mail address or password is wrong."

Body = TypeVar("Body", bound=msgspec.Struct)


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /api/auth/login``."""

    email: str
    password: str


class Opening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /session``: a link's code or a token, one of both."""

    code: str | None = None
    token: str | None = None


async def _login(call: Call) -> Response:
    check_origin(call.request)
    body = await _read(call.request, Credentials)
    email = body.email.strip()
    call.site.limiter.sign_in(call.address, email)
    user = await call.site.threads.run(call.site.service.get_user_by_email, email)
    stored = user.password if user else None
    if not await call.site.threads.run(password_matches, body.password, stored) or user is None:
        raise unauthorized(_WRONG)
    call.site.limiter.signed_in(email)
    token = make_token(user.id, None, call.site.secret, email=user.email)
    data = views.LoginData(views.SignedInUser(user.id, user.email, user.name), token)
    return answer(call.request, views.Login(success=True, message="Login successful", data=data))


async def _open(call: Call) -> Response:
    check_origin(call.request)
    body = await _read(call.request, Opening)
    if (body.code is None) == (body.token is None):
        raise bad_request("Expected either code or token.")
    call.site.limiter.sign_in(call.address, None)
    person = await call.site.gate.accept(body.token if body.token is not None else _redeem(call, body.code or ""))
    ttl = min(SESSION_SECONDS, person.claims.expires_at - time.time())
    if ttl <= 0:
        raise unauthorized("The token has expired.")
    response = answer(call.request, _session_view(person))
    claims = person.claims
    response.set_cookie(
        SESSION_COOKIE,
        make_token(claims.user_id, claims.role, call.site.secret, ttl, email=claims.email),
        max_age=int(ttl),
        path=_cookie_path(call),
        secure=call.request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def _redeem(call: Call, code: str) -> str:
    """A token for whom a link's code signs in."""
    sign_in = call.site.codes.redeem(code) if call.site.codes else None
    if sign_in is None:
        raise unauthorized("This link was used already or is too old; ask for a new one.")
    return make_token(sign_in.user_id, sign_in.role, call.site.secret, SESSION_SECONDS, email=sign_in.email)


async def _who(call: Call) -> views.Session:
    assert call.person is not None
    return _session_view(call.person)


async def _close(call: Call) -> Response:
    check_origin(call.request)
    response = Response(status_code=HTTPStatus.NO_CONTENT)
    response.delete_cookie(
        SESSION_COOKIE,
        path=_cookie_path(call),
        secure=call.request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def _session_view(person: Person) -> views.Session:
    return views.Session(person.claims.user_id, person.claims.email, person.role, person.admin)


def _cookie_path(call: Call) -> str:
    """The app's own part of the site, also where it is mounted below another path."""
    return f"{call.request.scope.get('root_path', '')}{call.site.prefix}" or "/"


async def _read(request: Request, kind: type[Body]) -> Body:
    """The body, when it is JSON of the right shape and not too long.

    Another type of content is refused: it is what a form of another site could send.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().casefold() != "application/json":
        raise bad_request("Expected Content-Type: application/json.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES:
            raise bad_request(f"Expected a body of at most {_BODY_BYTES} bytes.")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise bad_request(f"The body is not as expected: {error}.") from None


LOGIN = Endpoint(
    LOGIN_PATH, Access.ANYONE, _login, "e-mail address and password for a token", method="POST", outside=True
)
SESSION: tuple[Endpoint, ...] = (
    Endpoint("/session", Access.USER, _who, "who is signed in"),
    Endpoint("/session", Access.ANYONE, _open, "a link's code or a token for a session cookie", method="POST"),
    Endpoint("/session", Access.ANYONE, _close, "sign out", method="DELETE"),
)
