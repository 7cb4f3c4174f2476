"""``/metrics``: the original's four endpoints, the indicators and the time series."""

from dataclasses import replace
from datetime import datetime

from posemon_otel.admin import views
from posemon_otel.admin.access import Access
from posemon_otel.admin.parameters import INTERVAL, LIMIT, PERIOD_PARAMETERS, refused
from posemon_otel.admin.site import Call, Endpoint
from posemon_otel.health import evaluate_all
from posemon_otel.records.periods import parse_interval
from posemon_otel.records.results import SystemMetrics
from posemon_otel.semconv.health import AVG_GENERATION_TIME, QUEUE_DEPTH, REFUND_RATE, SUCCESS_RATE

TOP_USERS_LIMIT = 10
POPULAR_POSES_LIMIT = 20
ERRORS_PERIOD = "30d"
ALL_HISTORY = "all"


async def system_numbers(call: Call, start: datetime | None, end: datetime) -> SystemMetrics:
    """The numbers of a period with those of the queue, which are ``None`` with a warning where Redis is silent."""
    counts, warning = await call.site.queue.read()
    metrics = await call.site.threads.run(call.site.service.get_system_metrics, start, end)
    if counts is None:
        return replace(metrics, warnings=(*metrics.warnings, *([warning] if warning else [])))
    return replace(
        metrics,
        queue_depth=counts.depth,
        queue_waiting=counts.waiting,
        queue_active=counts.active,
        queue_delayed=counts.delayed,
        queue_failed=counts.failed,
    )


async def _metrics(call: Call) -> views.Metrics:
    start, end = call.parameters.period()
    return views.Metrics.of(await system_numbers(call, start, end))


async def _top_users(call: Call) -> views.TopUsers:
    limit = call.parameters.limit(TOP_USERS_LIMIT)
    start, end = call.parameters.period(default=ALL_HISTORY)
    top = await call.site.threads.run(call.site.service.get_top_users, limit, start, end, names=call.site.show_names)
    return views.TopUsers.of(top)


async def _popular_poses(call: Call) -> views.PopularPoses:
    limit = call.parameters.limit(POPULAR_POSES_LIMIT)
    return views.PopularPoses.of(await call.site.threads.run(call.site.service.get_popular_poses, limit))


async def _errors(call: Call) -> views.ErrorAnalysis:
    start, end = call.parameters.period(default=ERRORS_PERIOD)
    return views.ErrorAnalysis.of(await call.site.threads.run(call.site.service.get_error_analysis, start, end))


async def _indicators(call: Call) -> views.Indicators:
    start, end = call.parameters.period()
    metrics = await system_numbers(call, start, end)
    judgements = evaluate_all(
        {
            SUCCESS_RATE.key: metrics.settled_success_rate,
            AVG_GENERATION_TIME.key: metrics.avg_generation_time,
            QUEUE_DEPTH.key: metrics.queue_depth,
            REFUND_RATE.key: metrics.refund_rate if metrics.total_credits_spent else None,
        }
    )
    return views.Indicators.of(judgements, metrics)


async def _timeseries(call: Call) -> views.Timeseries:
    start, end = call.parameters.period()
    text = call.parameters.text(INTERVAL)
    try:
        interval = None if text is None else parse_interval(text, start, end)
        series = await call.site.threads.run(call.site.service.timeseries, start, end, interval)
    except ValueError as error:  # no such interval, or one that makes too many steps
        raise refused(error) from None
    return views.Timeseries.of(series)


METRICS: tuple[Endpoint, ...] = (
    Endpoint("/metrics", Access.ADMIN, _metrics, "numbers of a period", PERIOD_PARAMETERS),
    Endpoint(
        "/metrics/top-users", Access.ADMIN, _top_users, "users with most generations", (LIMIT, *PERIOD_PARAMETERS)
    ),
    Endpoint("/metrics/popular-poses", Access.USER, _popular_poses, "public poses by use", (LIMIT,)),
    Endpoint("/metrics/errors", Access.ADMIN, _errors, "failures by error type", PERIOD_PARAMETERS),
    Endpoint("/metrics/indicators", Access.ADMIN, _indicators, "the health indicators", PERIOD_PARAMETERS),
    Endpoint("/metrics/timeseries", Access.ADMIN, _timeseries, "counts step by step", (INTERVAL, *PERIOD_PARAMETERS)),
)
