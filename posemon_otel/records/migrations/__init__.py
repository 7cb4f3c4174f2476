"""Versions of our own database, by Alembic: what is there, what is needed, and the way from one to the other."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from posemon_otel.records.database import DatabaseError, is_postgres, reading, writing
from posemon_otel.records.results import SchemaState
from posemon_otel.records.tables import metadata

_LOCK = 7_076_911_245  # a number of ours among PostgreSQL's advisory locks
_VERSIONS = "alembic_version"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def revisions() -> tuple[str, ...]:
    """Our revisions, newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def state_of(connection: Connection) -> SchemaState:
    """What the database is to us; see ``check``."""
    known = revisions()
    head = known[0]
    names = set(inspect(connection).get_table_names())
    if _VERSIONS not in names:
        theirs = sorted(names & set(metadata.tables))
        if not theirs:
            return SchemaState("empty", None, head, "there are no tables yet: run `posemon db upgrade`")
        return SchemaState(
            "foreign",
            None,
            head,
            f"its table {theirs[0]} was not made by posemon, which never alters others' databases: choose another",
        )
    found = connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalars().all()  # noqa: S608 - a constant
    revision = found[0] if found else None
    if revision is None and not names & set(metadata.tables):
        return SchemaState("empty", None, head, "there are no tables yet: run `posemon db upgrade`")
    if revision not in known:
        return SchemaState(
            "foreign",
            revision,
            head,
            f"its revision {revision} is not of this version of posemon: upgrade posemon or choose another database",
        )
    if revision != head:
        return SchemaState("stale", revision, head, f"it is at revision {revision}: run `posemon db upgrade`")
    return SchemaState("current", revision, head)


def check(engine: Engine) -> SchemaState:
    """Compares our own database with what this version needs; changes nothing.

    Raises:
        DatabaseError: The database cannot be read.
    """
    with reading(engine) as connection:
        return state_of(connection)


def upgrade(engine: Engine) -> SchemaState:
    """Brings our own database to the newest revision, in one transaction; safe to call from several processes at once.

    Returns:
        What was there before.

    Raises:
        DatabaseError: The database cannot be written, or is not ours.
    """
    with writing(engine, seconds=None) as connection:
        if is_postgres(connection):
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = state_of(connection)
        if before.state == "foreign":
            raise DatabaseError(f"POSEMON_DATABASE_URL: expected posemon's own database, but {before.problem}")
        if not before.current:
            command.upgrade(_config(connection), "head")
        return before
