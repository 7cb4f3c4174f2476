"""What recent operations and the queue say about the parts of the system: pure."""

from collections.abc import Mapping
from typing import NamedTuple

from posemon_otel.admin.queue import QueueCounts
from posemon_otel.admin.site import Part
from posemon_otel.records.results import SystemMetrics
from posemon_otel.semconv.errors import ErrorType

AVAILABLE, FAILING, UNKNOWN = "available", "failing", "unknown"

_BLAMED: dict[str, tuple[ErrorType, ...]] = {
    # A row keeps the type alone: a timeout or a lost connection is laid to FLUX, the one call that every pose makes.
    "flux": (ErrorType.FLUX_API_ERROR, ErrorType.TIMEOUT_ERROR, ErrorType.NETWORK_ERROR),
    "storage": (ErrorType.STORAGE_ERROR,),
    "controlNet": (ErrorType.CONTROLNET_ERROR,),
}


class Recent(NamedTuple):
    """What happened in the last minutes.

    Attributes:
        metrics: The numbers of the generations.
        errors: Failures by error type.
    """

    metrics: SystemMetrics
    errors: Mapping[str, int]


def judge(
    recent: Recent | None, counts: QueueCounts | None, warning: str | None, *, redis_wanted: bool
) -> dict[str, Part]:
    """State of database, redis, queue, workers, flux, storage and controlNet.

    Args:
        recent: ``None`` when the database does not answer.
        counts: ``None`` when Redis does not answer or is not configured.
        warning: Why there are no counts.
        redis_wanted: Whether Redis is configured.
    """
    if counts is not None:
        redis = Part(AVAILABLE)
        queue = Part(AVAILABLE, f"{counts.waiting} waiting, {counts.active} active, {counts.failed} failed")
    else:
        redis = queue = Part(FAILING if redis_wanted else UNKNOWN, warning or "")
    database = Part(FAILING, "the database does not answer") if recent is None else Part(AVAILABLE)
    parts = {"database": database, "redis": redis, "queue": queue, "workers": _workers(recent, counts)}
    for name, types in _BLAMED.items():
        parts[name] = _dependency(recent, types)
    return parts


def _workers(recent: Recent | None, counts: QueueCounts | None) -> Part:
    """Connected workers, else generations that somebody must have rendered."""
    if counts is not None and counts.connections is not None:
        if counts.connections:
            return Part(AVAILABLE, f"{counts.connections} connections to the queue")
        if counts.waiting:
            return Part(FAILING, f"none is connected while {counts.waiting} jobs wait")
    if recent is not None and _rendered(recent):
        return Part(AVAILABLE, "generations ended in the last 15 minutes")
    return Part(UNKNOWN)


def _dependency(recent: Recent | None, types: tuple[ErrorType, ...]) -> Part:
    """Failing when it spoilt at least as many generations as succeeded; unknown when nothing used it."""
    if recent is None:
        return Part(UNKNOWN)
    spoilt = sum(recent.errors.get(error_type, 0) for error_type in types)
    rendered = _rendered(recent)
    if not spoilt and not rendered:
        return Part(UNKNOWN)
    detail = f"last 15 minutes: {rendered} generations rendered, {spoilt} spoilt by it"
    return Part(FAILING if spoilt >= max(rendered, 1) else AVAILABLE, detail)


def _rendered(recent: Recent) -> int:
    return recent.metrics.completed_generations + recent.metrics.partial_generations
