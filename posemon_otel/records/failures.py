"""Why generations failed: every failure of a period, by type.

A generation that failed counts once, with its own type or message. Where it has neither, and where it is only partial,
it counts once for each type among its failed poses; where those say nothing, by its own, at worst as UNKNOWN_ERROR.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal, or_, select

from posemon_otel.records.columns import whole_seconds
from posemon_otel.records.messages import stored_type
from posemon_otel.records.results import ErrorAnalysis, ErrorCount
from posemon_otel.records.source import (
    Source,
    g,
    happened,
    pose_error_type,
    status_of,
    statuses,
    with_facts,
    within,
)
from posemon_otel.records.tables import generated_poses, pose_facts
from posemon_otel.records.totals import percent
from posemon_otel.semconv.errors import ErrorType
from posemon_otel.semconv.operations import FAILED, PARTIAL


class Failure(NamedTuple):
    """Failures of one type in one step of time.

    Attributes:
        step: Beginning of the step in which the generations were created, seconds since 1970; 0 without steps.
        error_type: Their type.
        generations: How many.
        last: When the last of them happened.
    """

    step: int
    error_type: ErrorType
    generations: int
    last: datetime | None


def error_analysis(connection: Connection, source: Source, start: datetime | None, end: datetime) -> ErrorAnalysis:
    """Failures by type, most frequent first."""
    counts: dict[ErrorType, int] = {}
    lasts: dict[ErrorType, datetime] = {}
    for failure in failures(connection, source, start, end):
        counts[failure.error_type] = counts.get(failure.error_type, 0) + failure.generations
        if failure.last is not None:
            lasts[failure.error_type] = max(failure.last, lasts.get(failure.error_type, failure.last))
    total = sum(counts.values())
    return ErrorAnalysis(
        tuple(
            ErrorCount(kind.value, count, lasts.get(kind), percent(count, total) or 0.0, kind.retryable)
            for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0].value))
        ),
        missing_poses(source),
    )


def missing_poses(source: Source) -> tuple[str, ...]:
    """The warning for a database that cannot say which poses failed."""
    if generated_poses.name in source.tables:
        return ()
    return ("errors of poses: this database has no table generated_poses",)


def failures(
    connection: Connection, source: Source, start: datetime | None, end: datetime, *, step: int = 0
) -> Iterator[Failure]:
    """Failures of the generations created in a period.

    Args:
        connection: A read transaction.
        source: What it reads.
        start: Beginning of the period.
        end: Its end.
        step: Seconds of a step of time; 0 has no steps.
    """
    period = within(statuses(connection), start, end)
    yield from _own(connection, source, period, step)
    yield from _of_poses(connection, source, period, step)


def _explained(own_type: ColumnElement[Any]) -> ColumnElement[bool]:
    return or_(own_type.is_not(None), func.trim(func.coalesce(g.errorMessage, "")) != "")


def _step(step: int) -> ColumnElement[int]:
    seconds = whole_seconds(g.createdAt)
    return seconds - seconds % step if step else literal(0)


def _own(connection: Connection, source: Source, period: ColumnElement[bool], step: int) -> Iterator[Failure]:
    """Failed generations that say why themselves, grouped by the database: messages repeat."""
    rows, facts = with_facts(source)
    own_type = facts["error_type"]
    query = (
        select(
            _step(step).label("time_step"),
            own_type.label("own_type"),
            case((own_type.is_(None), g.errorMessage)).label("own_message"),
            func.count(),
            func.max(happened()),
        )
        .select_from(rows)
        .where(period, g.status == FAILED, _explained(own_type))
        .group_by("time_step", "own_type", "own_message")
    )
    for at, error_type, message, count, last in connection.execute(query):
        yield Failure(at, stored_type(error_type, message), count, last)


def _of_poses(connection: Connection, source: Source, period: ColumnElement[bool], step: int) -> Iterator[Failure]:
    """The other failed generations and the partial ones, by what their poses say."""
    rows, facts = with_facts(source)
    own_type = facts["error_type"]
    partial = status_of(source) == PARTIAL
    query = (
        select(g.id, _step(step).label("time_step"), happened().label("last"), own_type.label("own"), g.errorMessage)
        .select_from(rows)
        .where(period, or_(partial, and_(g.status == FAILED, ~_explained(own_type))))
    )
    found = connection.execute(query).all()
    types = types_of_poses(connection, source, [row.id for row in found], query.with_only_columns(g.id))
    for row in found:
        for error_type in types.get(row.id) or {stored_type(row.own, row.errorMessage)}:
            yield Failure(row.time_step, error_type, 1, row.last)


def types_of_poses(
    connection: Connection, source: Source, ids: Sequence[str], chosen: Any = None
) -> dict[str, set[ErrorType]]:
    """The error types among the failed poses of generations; those that say nothing are left out.

    Args:
        connection: A read transaction.
        source: What it reads.
        ids: The generations.
        chosen: A query for the same ids, so that many of them need not travel back.
    """
    if generated_poses.name not in source.tables or not ids:
        return {}
    p = generated_poses.c
    rows: Any = generated_poses
    if source.ours:
        rows = generated_poses.outerjoin(pose_facts, pose_facts.c.pose_id == p.id)
    query = (
        select(p.generationId, pose_error_type(source).label("own"), p.errorMessage)
        .select_from(rows)
        .where(p.generationId.in_(ids if chosen is None else chosen), p.status == FAILED)
        .distinct()
    )
    return _grouped(connection.execute(query))


def _grouped(rows: Iterable[tuple[str, str | None, str | None]]) -> dict[str, set[ErrorType]]:
    types: dict[str, set[ErrorType]] = {}
    for generation, error_type, message in rows:
        if error_type or (message and message.strip()):
            types.setdefault(generation, set()).add(stored_type(error_type, message))
    return types
