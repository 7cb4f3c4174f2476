"""The database as the app uses it: which one, asked on threads of its own, and answered for when it is away."""

import asyncio
import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from sqlalchemy import Engine

from posemon_otel.admin.errors import unavailable
from posemon_otel.records.database import QUERY_SECONDS, DatabaseError, connect
from posemon_otel.settings import APPLICATION_DATABASE_URL, DATABASE_URL, Settings

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8
_log = logging.getLogger(__name__)


def open_engine(settings: Settings, database_url: str | None = None) -> Engine:
    """The engine of the database that the settings name: ours, else the application's, which is only read.

    Args:
        settings: Where the addresses come from.
        database_url: Comes first.

    Raises:
        DatabaseError: No database is named, or it cannot be used.
    """
    own = database_url or settings[DATABASE_URL]
    if own:
        return connect(own, setting=DATABASE_URL.variables[0])
    application = settings[APPLICATION_DATABASE_URL]
    if application:
        return connect(application, setting=APPLICATION_DATABASE_URL.variables[0], read_only=True)
    raise DatabaseError(
        f"{DATABASE_URL.variables[0]}: expected the address of a database, got none; "
        "set it, for example, to sqlite:////var/lib/posemon/records.db"
    )


class Threads:
    """Runs what waits for the database off the event loop.

    A fixed number of threads bounds what a database that hangs can hold; whoever waits longer than a statement may take
    is answered with 503. It is no anyio limiter: those belong to one event loop, and a mounted app may see several.
    """

    def __init__(self, seconds: float = QUERY_SECONDS) -> None:
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="posemon-admin")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls ``function`` on a thread.

        Raises:
            ApiError: 503 when the database is away or slow; the cause goes to the log, never to the caller.
        """
        context = contextvars.copy_context()
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.get_running_loop().run_in_executor(
                    self._pool, lambda: context.run(function, *args, **kwargs)
                )
        except DatabaseError as error:
            _log.warning("%s", error)
            raise unavailable("The database does not answer, or took too long.") from None
        except TimeoutError:
            _log.warning("the database did not answer within %g s", self._seconds)
            raise unavailable("The database took too long.") from None
