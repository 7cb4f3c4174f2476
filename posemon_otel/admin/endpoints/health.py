"""``/health``: for load balancers and for people. Degraded is 200: an instance that serves is not killed."""

import asyncio
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from starlette.responses import Response

from posemon_otel.admin import views
from posemon_otel.admin.access import Access
from posemon_otel.admin.checks import FAILING, Recent, judge
from posemon_otel.admin.errors import ApiError
from posemon_otel.admin.responses import answer
from posemon_otel.admin.site import Call, Endpoint, Part

APP = "pose-generator"
HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"

WINDOW = timedelta(minutes=15)
"""How far back operations tell about the parts that they need."""

DATABASE_SECONDS = 3.0
"""A database that takes longer counts as away: whoever asks for health does not wait."""


async def _recent(call: Call) -> Recent | None:
    """What happened lately; ``None`` when the database does not answer."""
    now = datetime.now(UTC)
    service = call.site.service

    def ask() -> Recent:
        analysis = service.get_error_analysis(now - WINDOW, now)
        errors = {error.error_type: error.count for error in analysis.errors}
        return Recent(service.get_system_metrics(now - WINDOW, now), errors)

    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            return await call.site.threads.run(ask)
    except (ApiError, TimeoutError):
        return None


async def _health(call: Call) -> Response:
    (counts, warning), recent = await asyncio.gather(call.site.queue.read(), _recent(call))
    parts = judge(recent, counts, warning, redis_wanted=call.site.queue.url is not None)
    parts["journal"] = call.site.journal() if call.site.journal else Part("unknown")
    status = _overall(parts)
    details = {name: part.detail for name, part in parts.items() if part.detail}
    view = views.Health(
        status=status,
        timestamp=views.stamp(datetime.now(UTC)),
        app=APP,
        checks={name: part.state for name, part in parts.items()},
        details=details if call.person is not None and call.person.admin else None,
    )
    return answer(call.request, view, _code(status))


def _overall(parts: dict[str, Part]) -> str:
    if parts["database"].state == FAILING:
        return UNHEALTHY
    return DEGRADED if any(part.state == FAILING for part in parts.values()) else HEALTHY


async def _live(call: Call) -> views.Health:  # noqa: ARG001 - it answers, so it lives
    return views.Health(HEALTHY, views.stamp(datetime.now(UTC)), APP)


async def _ready(call: Call) -> Response:
    status = UNHEALTHY if await _recent(call) is None else HEALTHY
    return answer(call.request, views.Health(status, views.stamp(datetime.now(UTC)), APP), _code(status))


def _code(status: str) -> HTTPStatus:
    return HTTPStatus.SERVICE_UNAVAILABLE if status == UNHEALTHY else HTTPStatus.OK


HEALTH: tuple[Endpoint, ...] = (
    Endpoint("/health", Access.ANYONE, _health, "how each part is; 503 only when nothing can be served"),
    Endpoint("/health/live", Access.ANYONE, _live, "whether the process answers"),
    Endpoint("/health/ready", Access.ANYONE, _ready, "whether the database answers"),
)
