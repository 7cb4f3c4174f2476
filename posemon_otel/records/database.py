"""Engines and transactions: how a database is opened, read as one snapshot, and written."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from posemon_otel.records.urls import (
    CONNECT_SECONDS,
    DatabaseError,
    parse,
    postgres_arguments,
    read_only_sqlite,
    shown,
)

__all__ = ["DatabaseError", "connect", "is_postgres", "ping", "reading", "writing"]

QUERY_SECONDS = 30.0
"""How long one statement of a reader may take."""

WRITE_SECONDS = 30.0
"""How long one statement of a writer may take."""

LOCK_SECONDS = CONNECT_SECONDS
"""How long a writer waits for somebody else's lock."""

_SETTING, _READ_ONLY, _ADDRESS = "posemon_setting", "posemon_read_only", "posemon_address"
_WRITES = "posemon_writes"
_PROGRESS_STEPS = 20_000


def connect(
    url: str, *, setting: str = "POSEMON_DATABASE_URL", read_only: bool = False, private: bool = False
) -> Engine:
    """Makes an engine; nothing is opened yet, so a database that is away is no error here (``ping`` tells).

    Args:
        url: An SQLAlchemy URL of SQLite or PostgreSQL; the parameters that Prisma adds are understood.
        setting: Where the address comes from, for messages.
        read_only: Whether the database belongs to somebody else: nothing is ever written, a missing file is not made.
        private: Whether an SQLite file that is made is its user's alone, and its folder too where that is made. What is
            there keeps the mode that it has, and without this the umask decides.

    Raises:
        DatabaseError: The address cannot be used, its folder cannot be made, or the driver is not installed.
    """
    address = parse(url, setting)
    options = {_SETTING: setting, _READ_ONLY: read_only, _ADDRESS: shown(address)}
    if address.get_backend_name() == "sqlite":
        return _sqlite_engine(address, options, private=private)
    address, arguments = postgres_arguments(address)
    try:
        return create_engine(
            address, connect_args=arguments, execution_options=options, pool_pre_ping=True, pool_timeout=CONNECT_SECONDS
        )
    except ImportError:
        raise DatabaseError(
            f"{setting}: PostgreSQL needs the driver psycopg, and it is missing: pip install 'posemon-otel[postgres]'"
        ) from None


def _sqlite_engine(address: URL, options: dict[str, Any], *, private: bool) -> Engine:
    path = Path(str(address.database))
    if options[_READ_ONLY]:
        if not path.is_file():
            raise DatabaseError(
                f"{options[_SETTING]}: expected an SQLite file, there is none at {path}; correct the path"
            )
        address = read_only_sqlite(address)
    else:
        try:
            path.parent.mkdir(0o700 if private else 0o777, parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(
                f"{options[_SETTING]}: cannot make the folder {path.parent}: {error.strerror}; choose another"
            ) from None
    engine = create_engine(
        address, connect_args={"timeout": CONNECT_SECONDS}, execution_options=options, pool_timeout=CONNECT_SECONDS
    )
    read_only = options[_READ_ONLY]

    if private and not read_only:

        @event.listens_for(engine, "do_connect")
        def make(*_: object) -> None:
            # SQLite gives -wal and -shm the mode of the database.
            with contextlib.suppress(OSError):  # it is there; or it cannot be made, which SQLite says better
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver would begin by itself, and only before writes: no snapshot
        if not read_only:
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: one that had read before could not get it any more (SQLITE_BUSY_SNAPSHOT).
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_wal(connection: sqlite3.Connection) -> None:
    """Readers and the writer then need not wait. Changing the mode ignores the busy timeout, hence the loop."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def is_postgres(engine: Engine | Connection) -> bool:
    """Whether it is PostgreSQL; else it is SQLite."""
    return engine.dialect.name == "postgresql"


def ping(engine: Engine) -> None:
    """Opens a connection and asks it something.

    Raises:
        DatabaseError: There is no answer; the message says why.
    """
    with reading(engine) as connection:
        connection.execute(text("SELECT 1"))


@contextmanager
def reading(engine: Engine, *, seconds: float = QUERY_SECONDS) -> Iterator[Connection]:
    """One read transaction: every query in it sees the same moment.

    Args:
        engine: From ``connect``.
        seconds: How long one statement may take (SQLite: all of them together).

    Raises:
        DatabaseError: The database is away, a statement took too long or failed.
    """
    with _translated(engine, seconds), engine.connect() as plain:
        if is_postgres(engine):
            connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
                yield connection
            return
        raw = plain.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        deadline = time.monotonic() + seconds
        raw.set_progress_handler(lambda: time.monotonic() > deadline, _PROGRESS_STEPS)
        try:
            with plain.begin():
                yield plain
        finally:
            raw.set_progress_handler(None, 0)


@contextmanager
def writing(engine: Engine, *, seconds: float | None = WRITE_SECONDS) -> Iterator[Connection]:
    """One write transaction, committed at the end and rolled back when the block raises.

    Args:
        engine: From ``connect``.
        seconds: How long one statement may take on PostgreSQL; ``None``: as long as it does, locks included.

    Raises:
        DatabaseError: The database is away, locked or slow, read-only by our own rule, or a statement failed.
    """
    if engine.get_execution_options().get(_READ_ONLY, False):
        raise DatabaseError(f"{_setting(engine)}: this database is the application's; posemon never writes into it")
    with _translated(engine, seconds or WRITE_SECONDS), engine.connect() as plain:
        connection = plain.execution_options(**{_WRITES: True})
        with connection.begin():
            if is_postgres(engine) and seconds is not None:
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(LOCK_SECONDS * 1000)}")
            yield connection


def address_of(engine: Engine) -> str:
    """Where the database is, without credentials."""
    return str(engine.get_execution_options().get(_ADDRESS, shown(engine.url)))


def _setting(engine: Engine) -> str:
    return str(engine.get_execution_options().get(_SETTING, "the database"))


@contextmanager
def _translated(engine: Engine, seconds: float) -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError:
        raise DatabaseError(f"{_setting(engine)}: all connections are in use; try again") from None
    except SQLAlchemyError as error:
        raise DatabaseError(_message(engine, error, seconds)) from error


def _message(engine: Engine, error: SQLAlchemyError, seconds: float) -> str:
    cause: BaseException = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).strip().splitlines()
    what = lines[0] if lines else type(cause).__name__
    where = f"{_setting(engine)}: {address_of(engine)}"
    if "interrupted" in what or "statement timeout" in what:
        return f"{where}: a statement took longer than {seconds:g} s; ask for a shorter period"
    if "file is not a database" in what:
        return f"{where}: expected an SQLite file, got something else; correct the path"
    if "unable to open database file" in what:
        return f"{where}: cannot open the file; check its path and rights"
    if "permission denied" in what or "readonly database" in what:
        return f"{where}: {what}; grant the right or use another user"
    if isinstance(error, DBAPIError) and error.statement is None:
        return f"{where}: expected a reachable database, got: {what}; start it or correct the address"
    return f"{where}: {what}"
