"""``posemon demo``."""

from pathlib import Path

import click


@click.command()
@click.option("--generations", type=click.IntRange(1, 10_000), metavar="N", help="How many are played; 20 by default.")
@click.option("--exit", "ends", is_flag=True, help="End after the summary, as it does without a terminal.")
@click.option("--view", is_flag=True, help="Print one generation's trace as a tree.")
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), help="The run's folder, in place of one in the state folder."
)
def demo(generations: int | None, *, ends: bool, view: bool, folder: Path | None) -> int:
    """A whole pose generator on this machine, with embedded parts and an incident.

    Jobs go through BullMQ on an embedded Valkey to a worker, which calls a FLUX stand-in through the real Hugging Face
    client. Telemetry goes to OTEL_EXPORTER_OTLP_ENDPOINT if that is set, else into files. It exits with 0 when
    everything was counted alike in every place.
    """
    from posemon_otel.demo.run import GENERATIONS, Options, main

    return main(Options(generations or GENERATIONS, ends=ends, view=view, folder=folder))
