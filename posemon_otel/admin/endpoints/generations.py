"""``/generations``: what happened lately."""

from posemon_otel.admin import views
from posemon_otel.admin.access import Access
from posemon_otel.admin.parameters import LIMIT
from posemon_otel.admin.site import Call, Endpoint

LATEST_LIMIT = 20


async def _latest(call: Call) -> views.Generations:
    limit = call.parameters.limit(LATEST_LIMIT)
    latest = await call.site.threads.run(call.site.service.latest_generations, limit)
    return views.Generations(tuple(views.Generation.of(summary) for summary in latest))


GENERATIONS: tuple[Endpoint, ...] = (
    Endpoint("/generations", Access.ADMIN, _latest, "the latest generations", (LIMIT,)),
)
