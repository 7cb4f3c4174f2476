"""Who is asking, and whether they may: bearer token or session cookie, and the role that the database says now."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import NamedTuple

from starlette.requests import Request

from posemon_otel.admin.errors import forbidden, unauthorized, unavailable
from posemon_otel.admin.jwks import KeysError, RemoteKeys, is_foreign
from posemon_otel.admin.tokens import Claims, TokenError, verify

ADMIN_ROLE = "admin"
SESSION_COOKIE = "posemon_session"
_KEYS_SECONDS = 5.0
_SIGN_IN = "Sign in first: send Authorization: Bearer <token>."


class Access(StrEnum):
    """Who may call an endpoint."""

    ANYONE = "anyone"
    USER = "user"
    ADMIN = "admin"


class Person(NamedTuple):
    """Somebody who is signed in.

    Attributes:
        claims: What their token says.
        role: Their role, casefolded.
    """

    claims: Claims
    role: str

    @property
    def admin(self) -> bool:
        """Whether they may see everything."""
        return self.role == ADMIN_ROLE


FindRole = Callable[[Claims], Awaitable[str | None]]
"""The stored role of whom a token names, ``None`` when they have no access.

Asked anew for each request: whoever is removed or demoted loses access at once.
"""


class Gate:
    """Reads who is asking and refuses those who may not."""

    def __init__(self, secret: str, find_role: FindRole, keys: RemoteKeys | None = None) -> None:
        self._secret = secret
        self._find_role = find_role
        self._keys = keys

    async def person(self, request: Request) -> Person | None:
        """Who is asking; ``None`` when there is neither token nor cookie.

        Raises:
            ApiError: 401 for a token that is not accepted, 503 when the database cannot be asked.
        """
        token = _token(request)
        return None if token is None else await self.accept(token)

    async def accept(self, token: str) -> Person:
        """Who a token names.

        Raises:
            ApiError: 401 or 503, as for ``person``.
        """
        try:
            claims = await self._read(token)
        except TokenError as error:
            raise unauthorized(str(error)) from None
        except (KeysError, TimeoutError):
            raise unavailable("The keys of the identity provider cannot be read.") from None
        role = await self._find_role(claims)
        if role is None:
            raise unauthorized("This user is not, or no longer, in the database's table users.")
        return Person(claims, role.strip().casefold())

    async def _read(self, token: str) -> Claims:
        if self._keys is None or not is_foreign(token):
            return verify(token, self._secret)
        async with asyncio.timeout(_KEYS_SECONDS):
            return await asyncio.to_thread(self._keys.verify, token)


def admit(person: Person | None, access: Access) -> None:
    """Lets pass whoever may.

    Raises:
        ApiError: 401 for nobody, 403 for somebody of another role.
    """
    if access is Access.ANYONE:
        return
    if person is None:
        raise unauthorized(_SIGN_IN)
    if access is not Access.USER and not person.admin:
        raise forbidden("This needs the role admin.")


def _token(request: Request) -> str | None:
    """The bearer token, else the session's; a header that holds anything else is refused, never skipped."""
    headers = request.headers.getlist("authorization")
    if not headers:
        return request.cookies.get(SESSION_COOKIE) or None
    scheme, _, token = headers[0].partition(" ")
    if len(headers) > 1 or scheme.casefold() != "bearer" or not token.strip():
        raise unauthorized("Expected one header Authorization: Bearer <token>.")
    return token.strip()


def check_origin(request: Request) -> None:
    """Refuses what another site's page sends in a user's name.

    Browsers tell where a request comes from (``Origin``, ``Sec-Fetch-Site``); what sends neither is no browser and
    carries no cookie by itself.

    Raises:
        ApiError: 403.
    """
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    foreign = origin is not None and origin.partition("://")[2].casefold() != host.casefold()
    if foreign or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise forbidden("This request comes from another site.")
