"""What every endpoint shares: the way from a request to an answer, and the parts that answer it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from posemon_otel.admin.access import Access, Gate, Person, admit
from posemon_otel.admin.database import Threads
from posemon_otel.admin.errors import ApiError
from posemon_otel.admin.parameters import Parameters
from posemon_otel.admin.queue import QueueReader
from posemon_otel.admin.rates import Limiter
from posemon_otel.admin.responses import answer, problem
from posemon_otel.admin.sign_in import SignInCodes
from posemon_otel.admin.tokens import Claims
from posemon_otel.admin.views import View
from posemon_otel.records import MetricsService

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 3.0
"""How long an endpoint that anyone may call waits to know who does."""


class Part(NamedTuple):
    """State of a part of the system.

    Attributes:
        state: ``available``, ``failing`` or ``unknown``.
        detail: A line for admins; empty when there is nothing to say.
    """

    state: str
    detail: str = ""


class Site(NamedTuple):
    """The parts behind the endpoints.

    Attributes:
        service: Asks the database.
        threads: Where it is asked.
        queue: Reads BullMQ's counts.
        gate: Knows who is asking.
        limiter: Counts requests.
        secret: Key of the tokens.
        prefix: Where the endpoints begin, without a slash at the end.
        codes: For links that sign in; ``None`` where there are none.
        login: Whether signing in by e-mail and password is offered.
        show_names: Whether top users carry names and e-mail addresses.
        journal: Says how the journal is; ``None`` where nobody can.
    """

    service: MetricsService
    threads: Threads
    queue: QueueReader
    gate: Gate
    limiter: Limiter
    secret: str
    prefix: str
    codes: SignInCodes | None
    login: bool
    show_names: bool
    journal: Callable[[], Part] | None


class Call(NamedTuple):
    """One request to one endpoint, admitted and with its parameters read."""

    site: Site
    request: Request
    person: Person | None
    parameters: Parameters

    @property
    def address(self) -> str:
        """Where it comes from."""
        return address_of(self.request)


class Endpoint(NamedTuple):
    """An endpoint, as data.

    Attributes:
        path: Below the prefix.
        access: Who may call it.
        handler: Answers it.
        summary: One line about it.
        parameters: Names of the query parameters that it takes.
        method: HTTP method.
        outside: Whether the path stands outside the prefix.
    """

    path: str
    access: Access
    handler: Callable[[Call], Awaitable[View | Response]]
    summary: str
    parameters: tuple[str, ...] = ()
    method: str = "GET"
    outside: bool = False


def address_of(request: Request) -> str:
    """The address of whoever sent a request."""
    return request.client.host if request.client else ""


async def respond(site: Site, endpoint: Endpoint, request: Request) -> Response:
    """Answers a request; whatever goes wrong becomes the JSON of an error, and its cause goes to the log alone."""
    try:
        person = await _person(site, endpoint, request)
        site.limiter.request(f"user {person.claims.user_id}" if person else f"address {address_of(request)}")
        admit(person, endpoint.access)
        call = Call(site, request, person, Parameters(request.query_params, endpoint.parameters))
        result = await endpoint.handler(call)
        return answer(request, result) if isinstance(result, View) else result
    except ApiError as error:
        return problem(error)
    except Exception:
        _log.exception("%s %s failed", endpoint.method, endpoint.path)
        return problem(ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here; the log tells what."))


async def _person(site: Site, endpoint: Endpoint, request: Request) -> Person | None:
    """Who is asking. Where anyone may, an unusable token and a silent database only mean that nobody is."""
    open_to_all = endpoint.access is Access.ANYONE
    try:
        async with asyncio.timeout(_LOOK_SECONDS if open_to_all else None):
            return await site.gate.person(request)
    except TimeoutError:
        return None
    except ApiError as error:
        if error.status == HTTPStatus.UNAUTHORIZED:
            site.limiter.refused(address_of(request))
        if open_to_all:
            return None
        raise


async def find_role(service: MetricsService, threads: Threads, claims: Claims) -> str | None:
    """The role of whom a token names, as the database says now.

    Returns:
        ``None`` when users are kept and this one is not among them; the token's own claim where none are kept.
    """

    def look() -> str | None:
        user = service.get_user(claims.user_id)
        if user is not None:
            return user.role
        return None if service.has_users else claims.role or ""

    return await threads.run(look)
