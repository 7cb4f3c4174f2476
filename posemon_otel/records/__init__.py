"""The database side: tables, migrations, upserts and queries that answer with frozen data. No HTTP, no OpenTelemetry.

Needs SQLAlchemy and Alembic: ``pip install 'posemon-otel[admin]'``, and ``posemon-otel[postgres]`` for PostgreSQL.
"""

from importlib.util import find_spec

if find_spec("sqlalchemy") is None or find_spec("alembic") is None:
    raise ImportError(
        "posemon_otel.records needs SQLAlchemy and Alembic, and one is missing: pip install 'posemon-otel[admin]'"
    )

from posemon_otel.records.database import connect, ping, reading, writing
from posemon_otel.records.migrations import check, upgrade
from posemon_otel.records.rows import EventRow, GenerationRow, PoseRow, pose_row_id
from posemon_otel.records.service import MetricsService
from posemon_otel.records.urls import DatabaseError
from posemon_otel.records.writes import RecordWriter, add_user

__all__ = [
    "DatabaseError",
    "EventRow",
    "GenerationRow",
    "MetricsService",
    "PoseRow",
    "RecordWriter",
    "add_user",
    "check",
    "connect",
    "ping",
    "pose_row_id",
    "reading",
    "upgrade",
    "writing",
]
