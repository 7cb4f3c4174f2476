"""What the database knows, as the admin app and users' own code ask for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Engine, select

from posemon_otel.records import failures, histories, totals, writes
from posemon_otel.records.columns import as_utc
from posemon_otel.records.database import QUERY_SECONDS, DatabaseError, reading, writing
from posemon_otel.records.results import (
    ErrorAnalysis,
    GenerationSummary,
    PopularPoses,
    SystemMetrics,
    Timeseries,
    TopUsers,
    User,
)
from posemon_otel.records.rows import EventRow
from posemon_otel.records.source import Source, inspected
from posemon_otel.records.tables import generation_events, users
from posemon_otel.redaction import translate


class MetricsService:
    """Questions to a database of generations: posemon's own, or the application's.

    Every call is one read transaction: its numbers agree with each other. Safe to share between threads.
    """

    def __init__(self, engine: Engine, *, query_seconds: float = QUERY_SECONDS) -> None:
        """Opens nothing yet.

        Args:
            engine: From ``connect``.
            query_seconds: How long a query may take.
        """
        self._engine = engine
        self._query_seconds = query_seconds
        self._source: Source | None = None

    @contextmanager
    def _asked(self) -> Iterator[tuple[Connection, Source]]:
        with reading(self._engine, seconds=self._query_seconds) as connection:
            if self._source is None:
                self._source = inspected(connection)
            yield connection, self._source

    @property
    def has_users(self) -> bool:
        """Whether users are kept here, so that roles can be read.

        An application's table keeps them even when it is empty. Our own is made with every database of ours: it keeps
        none until somebody is in it, else nobody could ever sign in to a fresh one.

        Raises:
            DatabaseError: The database is away or holds no generations.
        """
        with self._asked() as (connection, source):
            if users.name not in source.tables:
                return False
            return not source.ours or connection.execute(select(users.c.id).limit(1)).first() is not None

    def get_system_metrics(self, start: datetime | None = None, end: datetime | None = None) -> SystemMetrics:
        """Counts, rates, times and credits of the generations created in a period; queue numbers are left empty.

        Args:
            start: Beginning (inclusive); ``None`` is since ever. What has no zone is UTC.
            end: End (exclusive); now by default.

        Raises:
            DatabaseError: The database is away, not of this version, or too slow.
        """
        with self._asked() as (connection, source):
            return totals.system_metrics(connection, source, _utc(start), _utc(end) or datetime.now(UTC))

    def get_top_users(
        self, limit: int = 10, start: datetime | None = None, end: datetime | None = None, *, names: bool = False
    ) -> TopUsers:
        """Users with most generations; all history unless a period is given.

        Args:
            limit: How many, at least 1.
            start: As for the system metrics.
            end: As for the system metrics, but without end by default.
            names: Whether names and e-mail addresses are read.

        Raises:
            DatabaseError: As for the system metrics.
            ValueError: ``limit`` is below 1.
        """
        _check_limit(limit)
        with self._asked() as (connection, source):
            return totals.top_users(connection, source, limit, _utc(start), _utc(end), names=names)

    def get_popular_poses(self, limit: int = 20) -> PopularPoses:
        """Public poses that are used most.

        Args:
            limit: How many, at least 1.

        Raises:
            DatabaseError: As for the system metrics.
            ValueError: ``limit`` is below 1.
        """
        _check_limit(limit)
        with self._asked() as (connection, source):
            return totals.popular_poses(connection, source, limit)

    def get_error_analysis(self, start: datetime | None = None, end: datetime | None = None) -> ErrorAnalysis:
        """Failures of the generations created in a period, by error type.

        Args:
            start: As for the system metrics.
            end: As for the system metrics.

        Raises:
            DatabaseError: As for the system metrics.
        """
        with self._asked() as (connection, source):
            return failures.error_analysis(connection, source, _utc(start), _utc(end) or datetime.now(UTC))

    def timeseries(
        self, start: datetime | None = None, end: datetime | None = None, interval: timedelta | None = None
    ) -> Timeseries:
        """Counts by status and errors by type, in steps of time.

        Args:
            start: As for the system metrics.
            end: As for the system metrics.
            interval: Length of a step, whole seconds; one that suits the period by default.

        Raises:
            DatabaseError: As for the system metrics.
            ValueError: The interval makes too many steps.
        """
        with self._asked() as (connection, source):
            return histories.timeseries(connection, source, _utc(start), _utc(end) or datetime.now(UTC), interval)

    def latest_generations(
        self, limit: int = 20, *, status: str | None = None, user_id: str | None = None
    ) -> tuple[GenerationSummary, ...]:
        """The generations created last, newest first.

        Args:
            limit: How many, at least 1.
            status: Only those.
            user_id: Only this user's.

        Raises:
            DatabaseError: As for the system metrics.
            ValueError: ``limit`` is below 1.
        """
        _check_limit(limit)
        with self._asked() as (connection, source):
            return histories.latest_generations(connection, source, limit, status=status, user_id=user_id)

    def get_user(self, user_id: str) -> User | None:
        """A user by id; ``None`` where there is none, or no table of users.

        Raises:
            DatabaseError: As for the system metrics.
        """
        return self._user(users.c.id == user_id)

    def get_user_by_email(self, email: str) -> User | None:
        """A user by their address, exactly as stored; otherwise as ``get_user``.

        Raises:
            DatabaseError: As for the system metrics.
        """
        return self._user(users.c.email == email)

    def _user(self, condition: ColumnElement[bool]) -> User | None:
        with self._asked() as (connection, source):
            if users.name not in source.tables:
                return None
            u = users.c
            row = connection.execute(select(u.id, u.email, u.name, u.role, u.password).where(condition)).first()
            return None if row is None else User(*row)

    def record_event(
        self,
        type: str,  # noqa: A002 - the public name
        generation_id: str | None = None,
        user_id: str | None = None,
        **metadata: Any,
    ) -> str:
        """Writes an event into our own database, now; ``posemon_otel.record_event`` goes through the journal instead.

        Args:
            type: ``generation_started`` and its kin, or a dotted name.
            generation_id: What it is about.
            user_id: Who it is about.
            **metadata: Named and redacted as in ``posemon_otel.record_event``.

        Returns:
            The event's id.

        Raises:
            DatabaseError: As for the system metrics, or the database is the application's.
        """
        with self._asked() as (_, source):
            if not source.ours:
                raise DatabaseError("events: expected posemon's own database; the application's is never written")
        row = EventRow(str(uuid4()), type, generation_id, user_id, datetime.now(UTC), translate(metadata))
        with writing(self._engine) as connection:
            writes.insert_new(connection, generation_events, [writes.event_values(row)])
        return row.id


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else as_utc(moment)


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise ValueError(f"limit: expected at least 1, got {limit}")
