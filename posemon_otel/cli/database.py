"""``posemon db upgrade`` and ``posemon db check``."""

import click

from posemon_otel import settings
from posemon_otel.cli.groups import Failure
from posemon_otel.cli.serve import default_database, default_database_url
from posemon_otel.settings import Settings


@click.group()
def db() -> None:
    """Our own database, POSEMON_DATABASE_URL: by default a file in the state folder."""


@db.command()
def upgrade() -> None:
    """Make the tables, or bring them to this version."""
    from posemon_otel.records import DatabaseError, connect
    from posemon_otel.records import upgrade as bring

    try:
        before = bring(connect(_address(), private=not Settings()[settings.DATABASE_URL]))
    except DatabaseError as error:
        raise Failure(str(error)) from None
    click.echo(
        f"already at revision {before.head}"
        if before.current
        else f"upgraded from {before.revision or 'nothing'} to revision {before.head}"
    )


@db.command()
def check() -> None:
    """Say whether the tables are those of this version; exit with 1 when not. Changes nothing."""
    from posemon_otel.records import DatabaseError, connect
    from posemon_otel.records import check as look

    chosen = Settings()
    expected = default_database(chosen)
    if not chosen[settings.DATABASE_URL] and not expected.exists():
        raise Failure(f"there is no database yet at {expected}: run `posemon db upgrade`")
    try:
        state = look(connect(_address(), read_only=True))
    except DatabaseError as error:
        raise Failure(str(error)) from None
    if not state.current:
        raise Failure(f"{settings.DATABASE_URL.variables[0]}: {state.problem}")
    click.echo(f"at revision {state.head}, as this version needs it")


def _address() -> str:
    chosen = Settings()
    return chosen[settings.DATABASE_URL] or default_database_url(chosen)
