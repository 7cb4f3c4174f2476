"""What a database holds, and the expressions that every question about it shares."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, cast, func, inspect, null, select

from posemon_otel.records.columns import epoch_seconds
from posemon_otel.records.database import DatabaseError, is_postgres
from posemon_otel.records.migrations import state_of
from posemon_otel.records.tables import generation_facts, pose_facts, pose_generations
from posemon_otel.semconv.operations import COMPLETED, PARTIAL

Condition = ColumnElement[bool]

g = pose_generations.c


class Source(NamedTuple):
    """A database that can be asked.

    Attributes:
        ours: Whether it is posemon's own, with what Prisma's tables lack.
        tables: The tables and views in it.
    """

    ours: bool
    tables: frozenset[str]


def inspected(connection: Connection) -> Source:
    """Looks what there is.

    Raises:
        DatabaseError: There are no generations in it, or it is our own and of another version.
    """
    inspector = inspect(connection)
    tables = frozenset(inspector.get_table_names()) | frozenset(inspector.get_view_names())
    ours = generation_facts.name in tables
    if ours:
        state = state_of(connection)
        if not state.current:
            raise DatabaseError(f"POSEMON_DATABASE_URL: {state.problem}")
    if pose_generations.name not in tables:
        raise DatabaseError(
            f"expected a database with a table {pose_generations.name}, this one has none: "
            "run `posemon db upgrade` for posemon's own, or correct DATABASE_URL"
        )
    return Source(ours, tables)


def status_of(source: Source) -> ColumnElement[str]:
    """A generation's status: as it stands, but in our own rows one completed with failed poses is partial."""
    if not source.ours:
        return g.status
    return case((and_(g.status == COMPLETED, g.posesFailed > 0), PARTIAL), else_=g.status)


def statuses(connection: Connection) -> list[str]:
    """The statuses that occur, by a few steps in the index on (status, …): what we do not know must not be missed."""
    found = select(func.min(g.status).label("value")).cte("found", recursive=True)
    after = select(func.min(g.status)).where(g.status > found.c.value).scalar_subquery()
    found = found.union_all(select(after).where(found.c.value.is_not(None)))
    return list(connection.execute(select(found.c.value).where(found.c.value.is_not(None))).scalars())


def within(occurring: Sequence[str], start: datetime | None, end: datetime) -> Condition:
    """Created in the period. Naming the statuses has the index on (status, createdAt) used: cost follows the period."""
    period = and_(g.status.in_(occurring), g.createdAt < end)
    return period if start is None else and_(period, g.createdAt >= start)


def seconds_per_pose() -> ColumnElement[float]:
    """The column, else the time from start to end divided by the poses, else nothing."""
    took = epoch_seconds(g.completedAt) - epoch_seconds(g.startedAt)
    return func.coalesce(
        g.avgGenerationTime,
        case((and_(g.posesCompleted > 0, g.completedAt >= g.startedAt), took / g.posesCompleted)),
    )


def happened() -> ColumnElement[datetime]:
    """When a generation ended, else started, else was created."""
    return func.coalesce(g.completedAt, g.startedAt, g.createdAt, type_=g.createdAt.type)


def by_name(connection: Connection, column: ColumnElement[str]) -> ColumnElement[str]:
    """Orders text by code points on both databases."""
    return column.collate("C") if is_postgres(connection) else column


def with_facts(source: Source) -> tuple[Any, dict[str, ColumnElement[Any]]]:
    """Generations, joined with what only our own database knows; elsewhere those columns are null."""
    names = ("attempt", "error_type", "trace_id", "model", "provider")
    if not source.ours:
        return pose_generations, {name: null_like(generation_facts.c[name]) for name in names}
    joined = pose_generations.outerjoin(generation_facts, generation_facts.c.generation_id == g.id)
    return joined, {name: generation_facts.c[name] for name in names}


def pose_error_type(source: Source) -> ColumnElement[Any]:
    """The stored error type of a failed pose, where there is a place for one."""
    return pose_facts.c.error_type if source.ours else null_like(pose_facts.c.error_type)


def null_like(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A null of the column's type."""
    return cast(null(), column.type)
