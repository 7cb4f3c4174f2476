"""The demo's parts: what each is started with, and how all of them end, in the reverse order."""

from __future__ import annotations

import contextlib
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from posemon_otel import settings
from posemon_otel.demo import folder as folders
from posemon_otel.demo.faults import Plan
from posemon_otel.demo.flux import FluxServer
from posemon_otel.demo.flux_api import ImageRequest
from posemon_otel.demo.folder import RunFolder
from posemon_otel.demo.valkey import NoValkeyError, Valkey
from posemon_otel.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from posemon_otel.admin import Part, SignInCodes

ADMIN_ID, ADMIN_EMAIL = "demo-admin", "admin@example.com"
WORKER = "posemon_otel.demo.worker"
LATENCY, JITTER = 0.12, 0.06
FLUX_TIMEOUT = 5.0
"""Seconds that the worker waits for FLUX."""

CONCURRENCY = 4
_ENDS_WITHIN = 8.0
_KILLED_AFTER = 2.0
_PING_SECONDS = 5.0


class DemoError(Exception):
    """The demo cannot go on; the message is one line that says what to do."""


class WorkerProcess:
    """The worker, a process of its own: traces cross processes as they do in production."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def check(self) -> None:
        """Raise a `DemoError` when it has ended by itself."""
        code = self._process.poll()
        if code is not None:
            lines = self._log.read_text(errors="replace").strip().splitlines()
            last = lines[-1] if lines else "it printed nothing"
            raise DemoError(f"the worker ended with exit code {code} ({last}); its output is in {self._log}")

    def stop(self, *, patient: bool = True) -> bool:
        """Let it finish its jobs and deliver its telemetry; kill it where that takes too long.

        Returns:
            Whether it ended in order with everything delivered.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            return self._process.wait(_ENDS_WITHIN if patient else _KILLED_AFTER) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False


def start_flux(stack: contextlib.ExitStack, rule: Callable[[ImageRequest], object]) -> FluxServer:
    """Start the FLUX stand-in.

    Args:
        stack: Ends it.
        rule: Decides which requests fail.
    """
    plan: Plan[ImageRequest] = Plan(rule=rule)  # type: ignore[arg-type]
    return stack.enter_context(FluxServer(latency=LATENCY, jitter=JITTER, plan=plan))


class Redis(NamedTuple):
    """The queue's server.

    Attributes:
        url: Its address.
        queue: BullMQ's queue on it.
        foreign: Whether it is the user's own.
        note: What there is to say about it.
    """

    url: str
    queue: str
    foreign: bool = False
    note: str = ""

    def check(self) -> None:
        """Raise a `DemoError` when it does not answer."""
        from redis import Redis as Client
        from redis.exceptions import RedisError

        with Client.from_url(self.url, socket_timeout=_PING_SECONDS, socket_connect_timeout=_PING_SECONDS) as client:
            try:
                client.ping()
            except RedisError as error:
                raise DemoError(f"the queue's server at {self.url} does not answer any more: {error}") from None


class Admin(NamedTuple):
    """The admin app that is served.

    Attributes:
        base: Its address, without the prefix of the endpoints.
        codes: Codes of its sign-in links.
        email: Whom to sign in.
        password: Theirs.
    """

    base: str
    codes: SignInCodes
    email: str
    password: str

    def sign_in_link(self, prefix: str) -> str:
        """A link to the dashboard that signs the admin in, once; the code stands where browsers do not send it."""
        return f"{self.base}{prefix}/dashboard#code={self.codes.issue(ADMIN_ID, email=self.email)}"


def start_redis(stack: contextlib.ExitStack, run: RunFolder, chosen: Settings) -> Redis:
    """Start the embedded Valkey; where there is none for this machine, take the Redis that a setting names.

    Raises:
        DemoError: There is neither.
    """
    try:
        return Redis(stack.enter_context(Valkey(run.valkey)).url, settings.QUEUE.default)
    except NoValkeyError as error:
        url = chosen[settings.REDIS_URL]
        if not url:
            raise DemoError(f"{error}; or set {settings.REDIS_URL.variables[0]} to a Redis that may be used") from None
        # A name of its own: other workers of that Redis must not take the demo's jobs, nor this one theirs.
        queue = f"{settings.QUEUE.default}-demo-{secrets.token_hex(3)}"
        return Redis(url, queue, foreign=True, note=f"{error}; your Redis is used, with the queue {queue}")


def start_worker(
    stack: contextlib.ExitStack, run: RunFolder, chosen: Settings, flux_url: str, redis: Redis
) -> WorkerProcess:
    """Start the worker, with everything that it is told in its environment."""
    from posemon_otel.demo.worker import SERVICE

    told = folders.telemetry_settings(run, SERVICE, chosen)
    told |= {settings.DATABASE_URL: database_url(run, chosen)}
    log = stack.enter_context(run.worker_log.open("wb"))
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", WORKER, "--exit-with-stdin"],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C is for the demo, which then ends the worker in order
        env=folders.environment(
            told,
            REDIS_URL=redis.url,
            QUEUE=redis.queue,
            FLUX_URL=flux_url,
            FLUX_TIMEOUT=str(FLUX_TIMEOUT),
            IMAGES=str(run.images),
            WORKER_CONCURRENCY=str(CONCURRENCY),
            HF_HUB_DISABLE_TELEMETRY="1",
        ),
    )
    worker = WorkerProcess(process, run.worker_log)
    stack.callback(worker.stop, patient=False)
    return worker


def database_url(run: RunFolder, chosen: Settings) -> str:
    """The demo's database: the one that a setting names, else a file in the run's folder."""
    return chosen[settings.DATABASE_URL] or run.database_url


def open_database(stack: contextlib.ExitStack, run: RunFolder, chosen: Settings) -> Engine:
    """Open the database, with its tables and an admin in it.

    Raises:
        DemoError: It cannot be used, or holds generations of others, which the demo does not mix with its own.
    """
    from sqlalchemy import func, select

    from posemon_otel.records import DatabaseError, connect, reading, upgrade
    from posemon_otel.records.tables import pose_generations, sample_generations

    try:
        engine = connect(database_url(run, chosen), private=not chosen[settings.DATABASE_URL])
        stack.callback(engine.dispose)
        upgrade(engine)
        ours = select(sample_generations.c.generation_id)
        others = select(func.count()).where(pose_generations.c.id.not_in(ours))
        with reading(engine) as connection:
            found = connection.execute(others).scalar_one()
    except DatabaseError as error:
        raise DemoError(str(error)) from None
    if found:
        name = settings.DATABASE_URL.variables[0]
        raise DemoError(
            f"{name}: expected an empty database for the demo, this one holds {found} generations; unset it"
        )
    return engine


def start_admin(stack: contextlib.ExitStack, engine: Engine, redis: Redis, journal: Callable[[], Part]) -> Admin:
    """Serve the admin app on a free port.

    Args:
        stack: Ends it.
        engine: Its database.
        redis: Where the queue is.
        journal: Says how the journals are.
    """
    import bcrypt

    from posemon_otel.admin import SignInCodes, create_app, start
    from posemon_otel.records import add_user

    password = secrets.token_urlsafe(9)
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(6)).decode()  # a password for minutes
    add_user(engine, ADMIN_ID, email=ADMIN_EMAIL, password_hash=hashed, name="Demo admin", role="admin")
    codes = SignInCodes()
    app = create_app(
        engine,
        jwt_secret=secrets.token_hex(32),
        redis_url=redis.url,
        queue=redis.queue,
        login=True,
        sign_in_codes=codes,
        journal=journal,
    )
    server = start(app)
    stack.callback(server.stop)
    return Admin(server.address, codes, ADMIN_EMAIL, password)


def end_on_sigterm() -> None:
    """Let SIGTERM end the demo as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
