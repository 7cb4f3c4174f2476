"""The admin app: its parts put together."""

import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from posemon_otel.admin.access import Gate
from posemon_otel.admin.database import Threads, open_engine
from posemon_otel.admin.endpoints import ENDPOINTS, LOGIN
from posemon_otel.admin.errors import ApiError
from posemon_otel.admin.jwks import RemoteKeys
from posemon_otel.admin.pages import DASHBOARD_PATH, STATIC_PATH, StaticFolder, dashboard
from posemon_otel.admin.queue import QueueReader
from posemon_otel.admin.rates import Limiter, Rates
from posemon_otel.admin.responses import StandardHeaders, problem
from posemon_otel.admin.sign_in import SignInCodes
from posemon_otel.admin.site import Endpoint, Part, Site, find_role, respond
from posemon_otel.admin.tokens import SECRET_BYTES, check_audience, check_secret
from posemon_otel.records import MetricsService
from posemon_otel.settings import (
    ADMIN_PREFIX,
    JWKS_AUDIENCE,
    JWKS_ISSUER,
    JWKS_URL,
    JWT_SECRET,
    QUEUE,
    REDIS_URL,
    SHOW_USER_NAMES,
    Settings,
    current,
)

_MESSAGES = {
    HTTPStatus.NOT_FOUND: "There is nothing here.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This method is not allowed here.",
}


def create_app(
    engine: Engine | None = None,
    *,
    database_url: str | None = None,
    jwt_secret: str | None = None,
    jwks_url: str | None = None,
    jwks_audience: str | None = None,
    jwks_issuer: str | None = None,
    redis_url: str | None = None,
    queue: str | None = None,
    prefix: str | None = None,
    login: bool = False,
    sign_in_codes: SignInCodes | None = None,
    show_user_names: bool | None = None,
    journal: Callable[[], Part] | None = None,
    rates: Rates | None = None,
    settings: Settings | None = None,
) -> Starlette:
    """Makes the admin app, to be served alone or mounted in another app.

    Args:
        engine: The database, from ``posemon_otel.records.connect``.
        database_url: Its address, in place of ``engine``; else ``POSEMON_DATABASE_URL``, else ``DATABASE_URL``, which
            is only read.
        jwt_secret: Key of the tokens, at least 32 bytes; else ``JWT_SECRET``.
        jwks_url: Keys of an identity provider whose RS256 and ES256 tokens are taken too; else ``POSEMON_JWKS_URL``.
            With it the key may be missing: sessions then end with the process.
        jwks_audience: Whom those tokens must be for (``aud``); else ``POSEMON_JWKS_AUDIENCE``. Needed beside the keys.
        jwks_issuer: Whose they must be (``iss``); else ``POSEMON_JWKS_ISSUER``, else anybody's with such a key.
        redis_url: BullMQ's Redis; else ``POSEMON_REDIS_URL``. Without one the queue's numbers are ``null``.
        queue: BullMQ's queue; else ``POSEMON_QUEUE``.
        prefix: Where the endpoints begin; else ``POSEMON_ADMIN_PREFIX``.
        login: Whether ``POST /api/auth/login`` is there; for an app that stands alone.
        sign_in_codes: Codes of links that sign in, from whoever makes such links.
        show_user_names: Whether top users carry names and e-mail addresses; else ``POSEMON_SHOW_USER_NAMES``.
        journal: Says how the journal is, for ``/health``.
        rates: How often somebody may ask.
        settings: Stands in for the process's settings.

    Raises:
        SecretError: There is no key, or it is too short, or nothing says whom the provider's tokens are for.
        DatabaseError: No database is named, or its address cannot be used. One that is merely away is no error here.
    """
    values = settings or current()
    keys_url = jwks_url or values[JWKS_URL]
    remote = None
    if keys_url:
        audience = check_audience(jwks_audience or values[JWKS_AUDIENCE])
        remote = RemoteKeys(keys_url, audience, jwks_issuer or values[JWKS_ISSUER] or None)
    own = jwt_secret or values[JWT_SECRET]
    secret = secrets.token_hex(SECRET_BYTES) if remote and not own else check_secret(own)
    service = MetricsService(engine if engine is not None else open_engine(values, database_url))
    threads = Threads()
    site = Site(
        service=service,
        threads=threads,
        queue=QueueReader(redis_url or values[REDIS_URL], queue or values[QUEUE]),
        gate=Gate(secret, partial(find_role, service, threads), remote),
        limiter=Limiter(rates or Rates()),
        secret=secret,
        prefix=_normal(values[ADMIN_PREFIX] if prefix is None else prefix),
        codes=sign_in_codes,
        login=login,
        show_names=values[SHOW_USER_NAMES] if show_user_names is None else show_user_names,
        journal=journal,
    )
    app = Starlette(
        routes=_routes(site),
        middleware=[Middleware(StandardHeaders)],
        exception_handlers={HTTPException: _http_problem, Exception: _fault},
    )
    app.router.redirect_slashes = False  # a redirect would be built from the Host header that somebody sent
    return app


def _routes(site: Site) -> list[BaseRoute]:
    routes: list[BaseRoute] = []
    paths: dict[str, dict[str, Endpoint]] = {}
    for endpoint in (*ENDPOINTS, *((LOGIN,) if site.login else ())):
        path = endpoint.path if endpoint.outside else f"{site.prefix}{endpoint.path}"
        paths.setdefault(path, {})[endpoint.method] = endpoint
    for path, by_method in paths.items():
        routes.append(Route(path, _handler(site, by_method), methods=list(by_method)))

    def page(request: Request) -> Response:
        return dashboard(request, site.prefix, login=site.login)

    routes.append(Route(f"{site.prefix}{DASHBOARD_PATH}", page))
    routes.append(Mount(f"{site.prefix}{STATIC_PATH}", StaticFolder()))
    return routes


def _handler(site: Site, by_method: dict[str, Endpoint]) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await respond(site, by_method[method], request)

    return handle


def _http_problem(_request: Request, error: Exception) -> Response:
    """What the router refuses, in our own shape."""
    assert isinstance(error, HTTPException)
    message = _MESSAGES.get(HTTPStatus(error.status_code), HTTPStatus(error.status_code).phrase)
    return problem(ApiError(error.status_code, message, error.headers))


def _fault(_request: Request, _error: Exception) -> Response:
    """What failed outside of every endpoint."""
    return problem(ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here; the log tells what."))


def _normal(prefix: str) -> str:
    stripped = prefix.strip("/")
    return f"/{stripped}" if stripped else ""
