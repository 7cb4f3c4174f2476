"""Generations in their order: the latest of them, and counts over time."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Row, func, select

from posemon_otel.records.columns import whole_seconds
from posemon_otel.records.failures import failures, missing_poses, types_of_poses
from posemon_otel.records.messages import stored_type
from posemon_otel.records.periods import MOST_STEPS, parse_interval
from posemon_otel.records.results import Bucket, GenerationSummary, Timeseries
from posemon_otel.records.source import Source, g, status_of, statuses, with_facts, within
from posemon_otel.records.tables import sample_generations
from posemon_otel.records.totals import percent
from posemon_otel.semconv.errors import ErrorType
from posemon_otel.semconv.operations import COMPLETED, FAILED, PARTIAL, STATUSES


def timeseries(
    connection: Connection, source: Source, start: datetime | None, end: datetime, interval: timedelta | None
) -> Timeseries:
    """Counts by status and errors by type, in steps without gaps.

    Raises:
        ValueError: The interval makes more than ``MOST_STEPS`` steps, or is no whole number of seconds.
    """
    period = within(statuses(connection), start, end)
    if start is None:
        start = connection.execute(select(func.min(g.createdAt)).where(period)).scalar()
    if start is None:
        return Timeseries(int(parse_interval(None, None, end).total_seconds()), ())
    length = parse_interval(None, start, end) if interval is None else interval
    step = int(length.total_seconds())
    if step < 1 or length != timedelta(seconds=step):
        raise ValueError(f"interval: expected whole seconds, at least one, got {length}")
    first, last = int(start.timestamp()) // step, int((end - timedelta(milliseconds=1)).timestamp()) // step
    if last - first > MOST_STEPS:
        raise ValueError(f"interval: expected at most {MOST_STEPS} steps, got {last - first + 1}; take a longer one")

    seconds = whole_seconds(g.createdAt)
    query = (
        select((seconds - seconds % step).label("time_step"), status_of(source).label("shown_status"), func.count())
        .where(period)
        .group_by("time_step", "shown_status")
    )
    counts: dict[int, Counter[str]] = {number * step: Counter() for number in range(first, last + 1)}
    for at, status, count in connection.execute(query):
        counts[at][status] += count
    errors: dict[int, Counter[str]] = {at: Counter() for at in counts}
    for failure in failures(connection, source, start, end, step=step):
        errors[failure.step][failure.error_type.value] += failure.generations
    return Timeseries(step, tuple(_bucket(at, counts[at], dict(errors[at])) for at in counts), missing_poses(source))


def _bucket(at: int, counts: Counter[str], errors: dict[str, int]) -> Bucket:
    return Bucket(
        start=datetime.fromtimestamp(at, UTC),
        total=counts.total(),
        by_status={status: counts[status] for status in (*STATUSES, *sorted(set(counts) - set(STATUSES)))},
        success_rate=percent(counts[COMPLETED], counts[COMPLETED] + counts[FAILED] + counts[PARTIAL]),
        errors=errors,
    )


def latest_generations(
    connection: Connection, source: Source, limit: int, *, status: str | None, user_id: str | None
) -> tuple[GenerationSummary, ...]:
    """The generations created last, newest first.

    Each status is asked for apart, because the index on (status, createdAt) gives its newest in a few steps.
    """
    rows, facts = with_facts(source)
    shown = status_of(source).label("shown_status")
    sample = sample_generations.c.generation_id if source.ours else None
    if source.ours:
        rows = rows.outerjoin(sample_generations, sample_generations.c.generation_id == g.id)
    base = select(
        g.id, g.userId, shown, g.totalExpectedPoses, g.posesCompleted, g.posesFailed, g.creditCharged,
        g.creditRefunded, g.createdAt, g.startedAt, g.completedAt, g.avgGenerationTime, g.totalProcessingTime,
        g.errorMessage, *(column.label(f"fact_{name}") for name, column in facts.items()),
        (sample.is_not(None) if sample is not None else g.id.is_(None)).label("is_sample"),
    ).select_from(rows)  # fmt: skip
    if status is not None:
        base = base.where(status_of(source) == status)
    if user_id is not None:
        base = base.where(g.userId == user_id)
    found: list[Row[tuple[object, ...]]] = []
    for stored in statuses(connection):
        newest = base.where(g.status == stored).order_by(g.createdAt.desc(), g.id.desc()).limit(limit)
        found += connection.execute(newest).all()
    found.sort(key=lambda row: (row.createdAt, row.id), reverse=True)
    found = found[:limit]
    asked = [
        row.id for row in found if row.shown_status == PARTIAL or (row.shown_status == FAILED and not _says_why(row))
    ]
    types = types_of_poses(connection, source, asked)
    return tuple(_summary(row, types.get(row.id, set())) for row in found)


def _says_why(row: Row[tuple[object, ...]]) -> bool:
    return bool(row.fact_error_type or (row.errorMessage or "").strip())


def _summary(row: Row[tuple[object, ...]], types_of_poses: set[ErrorType]) -> GenerationSummary:
    error_type = None
    if row.shown_status in (FAILED, PARTIAL):
        own = stored_type(row.fact_error_type, row.errorMessage)
        error_type = (own if own in types_of_poses else min(types_of_poses, default=own)).value
    return GenerationSummary(
        id=row.id,
        user_id=row.userId,
        status=row.shown_status,
        expected_poses=row.totalExpectedPoses,
        poses_completed=row.posesCompleted,
        poses_failed=row.posesFailed,
        credits_charged=row.creditCharged,
        credits_refunded=row.creditRefunded,
        created_at=row.createdAt,
        started_at=row.startedAt,
        completed_at=row.completedAt,
        avg_generation_time=row.avgGenerationTime,
        total_processing_time=row.totalProcessingTime,
        error_type=error_type,
        attempt=row.fact_attempt,
        trace_id=row.fact_trace_id,
        model=row.fact_model,
        provider=row.fact_provider,
        sample=bool(row.is_sample),
    )
