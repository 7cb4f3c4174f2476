"""Database addresses: what a setting may say, and what becomes of it."""

from pathlib import Path
from urllib.parse import quote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

EXPECTED = "sqlite:////folder/file.db or postgresql://user:password@host:5432/database"

_PRISMA_ONLY = frozenset((
    "schema",
    "connection_limit",
    "pool_timeout",
    "socket_timeout",
    "pgbouncer",
    "statement_cache_size",
    "sslaccept",
    "sslidentity",
))  # fmt: skip
"""Parameters that Prisma reads out of DATABASE_URL itself; libpq refuses them."""

CONNECT_SECONDS = 5
"""How long a connection may take to open; as long as SQLite waits for another's lock."""


class DatabaseError(Exception):
    """A database cannot be used. One line: the setting, what was expected, what came, what to do."""


def shown(url: URL) -> str:
    """The address without its password and parameters, for messages."""
    return url.set(query={}).render_as_string(hide_password=True)


def parse(text: str, setting: str) -> URL:
    """Reads an address.

    Args:
        text: The setting's value: an SQLAlchemy URL, or the ``DATABASE_URL`` that Prisma uses.
        setting: The setting's name, for messages.

    Raises:
        DatabaseError: It is empty, no address, or one of a database that is neither SQLite nor PostgreSQL.
    """
    if not text.strip():
        raise DatabaseError(f"{setting}: expected {EXPECTED}, got nothing; set it")
    try:
        url = make_url(text.strip())
        backend = {"postgres": "postgresql"}.get(url.drivername.split("+")[0], url.drivername.split("+")[0])
    except (ArgumentError, ValueError):
        # The text may hold a password, so it is not repeated.
        raise DatabaseError(f"{setting}: expected {EXPECTED}, got something that is no address; correct it") from None
    if backend == "sqlite":
        return _sqlite(url, setting)
    if backend == "postgresql":
        if not url.database:
            raise DatabaseError(f"{setting}: expected {EXPECTED}, got no database name; add it after the host")
        return url.set(drivername="postgresql+psycopg")
    raise DatabaseError(f"{setting}: expected {EXPECTED}, got {backend}://…; only these two are supported")


def _sqlite(url: URL, setting: str) -> URL:
    if not url.database or url.database == ":memory:":
        raise DatabaseError(f"{setting}: expected {EXPECTED}, got a database in memory, which threads cannot share")
    if url.host:
        raise DatabaseError(f"{setting}: expected sqlite:////folder/file.db, got a host name; write four slashes")
    return URL.create("sqlite+pysqlite", database=str(Path(url.database).expanduser().absolute()))


def read_only_sqlite(url: URL) -> URL:
    """The same file, opened so that nothing can be written into it and a missing one is not made."""
    return URL.create(
        "sqlite+pysqlite", database=f"file:{quote(str(url.database))}", query={"mode": "ro", "uri": "true"}
    )


def postgres_arguments(url: URL) -> tuple[URL, dict[str, object]]:
    """Takes Prisma's own parameters out of an address, and the driver's arguments from them."""

    def parameter(name: str) -> str:
        value = url.query.get(name, "")
        return value if isinstance(value, str) else value[-1]

    arguments: dict[str, object] = {}
    if "connect_timeout" not in url.query:
        arguments["connect_timeout"] = CONNECT_SECONDS
    if parameter("pgbouncer").lower() == "true":
        arguments["prepare_threshold"] = None  # the next statement may meet another server connection
    schema = parameter("schema")
    if schema not in ("", "public"):
        name = schema.replace('"', '""').replace("\\", "\\\\").replace(" ", "\\ ")
        arguments["options"] = f'-csearch_path="{name}"'
    return url.difference_update_query(_PRISMA_ONLY), arguments
