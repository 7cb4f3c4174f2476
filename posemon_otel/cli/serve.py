"""``posemon serve`` and ``posemon token``."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from posemon_otel import settings
from posemon_otel.cli.groups import Failure
from posemon_otel.settings import Settings
from posemon_otel.state import state_folder

if TYPE_CHECKING:
    from sqlalchemy import Engine


@click.command()
@click.option("--host", help=f"Address to listen on; {settings.ADMIN_HOST.default} by default.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help=f"Port; {settings.ADMIN_PORT.default} by default, 0 is any."
)
def serve(host: str | None, port: int | None) -> None:
    """The admin app: metrics, health, dashboard.

    It reads POSEMON_DATABASE_URL, else the application's DATABASE_URL, which it never writes, else a database of its
    own in the state folder. JWT_SECRET is the key of its users' tokens, or POSEMON_JWKS_URL
    names where the keys of their issuer are, and POSEMON_JWKS_AUDIENCE whom they are for.
    """
    from posemon_otel.admin import DatabaseError, SecretError, ServeError, create_app, run
    from posemon_otel.admin.tokens import check_audience, check_secret

    chosen = Settings()
    settings.use(chosen)
    for problem in chosen.problems:
        click.echo(f"posemon: {problem}", err=True)
    try:
        if chosen[settings.JWT_SECRET] or not chosen[settings.JWKS_URL]:
            check_secret(chosen[settings.JWT_SECRET])  # before a database is made
        if chosen[settings.JWKS_URL]:
            check_audience(chosen[settings.JWKS_AUDIENCE])
        engine = open_database(chosen)
        app = create_app(engine, login=chosen[settings.ADMIN_LOGIN], settings=chosen)
        with contextlib.suppress(KeyboardInterrupt):
            run(
                app,
                host or chosen[settings.ADMIN_HOST],
                chosen[settings.ADMIN_PORT] if port is None else port,
                ready=lambda address: click.echo(_where(address, chosen)),
            )
    except ServeError as error:
        raise Failure(error.strerror or str(error)) from None
    except (DatabaseError, SecretError) as error:
        raise Failure(str(error)) from None


def _where(address: str, chosen: Settings) -> str:
    return f"dashboard {address}{chosen[settings.ADMIN_PREFIX].rstrip('/')}/dashboard (Ctrl-C ends it)"


def open_database(chosen: Settings) -> "Engine":
    """The database that is to be read; one in the state folder is made where none is named.

    Args:
        chosen: The settings.

    Raises:
        DatabaseError: It is away, or not what posemon needs; the message says what to do.
    """
    from posemon_otel.records import DatabaseError, check, connect, ping, upgrade

    own, application = chosen[settings.DATABASE_URL], chosen[settings.APPLICATION_DATABASE_URL]
    if own:
        engine = connect(own)
        state = check(engine)
        if not state.current:
            raise DatabaseError(f"{settings.DATABASE_URL.variables[0]}: {state.problem}")
        return engine
    if application:
        engine = connect(application, setting=settings.APPLICATION_DATABASE_URL.variables[0], read_only=True)
        ping(engine)
        return engine
    engine = connect(default_database_url(chosen), private=True)
    upgrade(engine)
    return engine


def default_database(chosen: Settings) -> Path:
    """Our own database where none is named: a file in the state folder."""
    return state_folder(chosen) / "posemon.db"


def default_database_url(chosen: Settings) -> str:
    """Its address."""
    return f"sqlite:///{default_database(chosen)}"


@click.command()
@click.option("--user", required=True, metavar="ID", help="Id of the user whom the token names.")
@click.option("--role", default="admin", show_default=True, help="Counts where no table of users says otherwise.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), default=24.0, show_default=True)
def token(user: str, role: str, hours: float) -> None:
    """A token for the admin app, alone on its line.

    JWT_SECRET is the key: the one that the admin app has.
    """
    from posemon_otel.admin import SecretError, make_token

    secret = Settings()[settings.JWT_SECRET]
    try:
        click.echo(make_token(user, role, secret, hours * 3600))
    except (SecretError, ValueError) as error:
        raise Failure(str(error)) from None
