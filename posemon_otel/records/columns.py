"""Column types and expressions that read alike on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Float, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


def as_utc(moment: datetime) -> datetime:
    """The same moment, aware and in UTC; what has no zone is UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class UtcTime(TypeDecorator[datetime]):
    """``timestamp(3)`` without zone that holds UTC, as Prisma writes it; aware in Python.

    Milliseconds are cut, not rounded, so that both databases hold the same and nothing moves into the future.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(precision=3))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        moment = as_utc(value)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else as_utc(value)


TextList = JSON().with_variant(postgresql.ARRAY(Text()), "postgresql")
"""``text[]``; a JSON list on SQLite."""

Double = Float().with_variant(postgresql.DOUBLE_PRECISION(), "postgresql")
"""``double precision``."""


class epoch_seconds(FunctionElement[float]):  # noqa: N801 - it is used like a function
    """Seconds since 1970 of a ``UtcTime`` column, with its milliseconds."""

    type = Float()
    inherit_cache = True


@compiles(epoch_seconds, "postgresql")  # type: ignore[no-untyped-call, untyped-decorator, unused-ignore]
def _epoch_postgresql(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST(EXTRACT(EPOCH FROM {compiler.process(element.clauses, **kw)}) AS double precision)"


@compiles(epoch_seconds)  # type: ignore[no-untyped-call, untyped-decorator, unused-ignore]
def _epoch_sqlite(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    # julianday() would lose milliseconds: times would come out as 0.99999 s.
    column = compiler.process(element.clauses, **kw)
    return f"(CAST(strftime('%s', {column}) AS INTEGER) + CAST(substr({column}, 20, 4) AS REAL))"


class whole_seconds(FunctionElement[int]):  # noqa: N801 - it is used like a function
    """Seconds since 1970 of a ``UtcTime`` column, without its milliseconds."""

    type = BigInteger()
    inherit_cache = True


@compiles(whole_seconds, "postgresql")  # type: ignore[no-untyped-call, untyped-decorator, unused-ignore]
def _whole_postgresql(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST(FLOOR(EXTRACT(EPOCH FROM {compiler.process(element.clauses, **kw)})) AS bigint)"


@compiles(whole_seconds)  # type: ignore[no-untyped-call, untyped-decorator, unused-ignore]
def _whole_sqlite(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST(strftime('%s', {compiler.process(element.clauses, **kw)}) AS INTEGER)"
