"""``posemon ship``: delivery as a process of its own."""

import signal
import threading

import click

from posemon_otel import settings
from posemon_otel.cli.groups import Failure
from posemon_otel.settings import Settings

_LOOK_EVERY = 0.25


@click.command()
@click.option("--service", metavar="NAME", help="Ship for this service alone; for all in the folder by default.")
def ship(service: str | None) -> None:
    """Deliver for the workers on this machine, so that they spend nothing on it.

    Their own threads step aside while it runs, and take over when it ends, however it ends. It ships traces, logs and
    rows of living processes, and what dead ones left; a living worker's metrics and callbacks stay in the worker.
    Exporters and database are those of its own environment. Ctrl-C or SIGTERM ends it within POSEMON_EXIT_BUDGET.
    """
    from posemon_otel.delivery.outside import consumers
    from posemon_otel.delivery.ship import NothingToShipError, Ship, usable
    from posemon_otel.state import journal_root

    chosen = Settings()
    settings.use(chosen)
    try:
        folder = usable(chosen)
    except NothingToShipError as error:
        raise Failure(str(error)) from None
    names = [consumer.name for consumer in consumers(chosen)]
    for problem in chosen.problems:
        click.echo(f"posemon: {problem}", err=True)
    if not names:
        exporter, database = settings.TRACES_EXPORTER.variables[0], settings.DATABASE_URL.variables[0]
        raise Failure(f"there is nobody to deliver to: set {exporter} or {database}")
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    one = journal_root(chosen, service).name if service else ""
    shipping = Ship(chosen, folder, click.echo, service=one)
    click.echo(f"delivers {', '.join(names)} from {folder} (Ctrl-C ends it)")
    try:
        while not ending.is_set():
            shipping.look()
            ending.wait(_LOOK_EVERY)
    except OSError as error:  # the service's folder cannot be made, or is not ours alone
        raise Failure(error.strerror or str(error)) from None
    finally:
        shipping.stop(chosen[settings.EXIT_BUDGET])
