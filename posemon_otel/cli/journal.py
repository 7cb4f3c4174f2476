"""``posemon journal status``."""

from typing import TYPE_CHECKING

import click

from posemon_otel.settings import Settings

if TYPE_CHECKING:
    from posemon_otel.delivery.backlog import Backlog


@click.group()
def journal() -> None:
    """What waits in the journals to be delivered."""


@journal.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def status(*, as_json: bool) -> None:
    """A line for each process's journal: whether it lives, and what waits for whom."""
    from posemon_otel.delivery.backlog import backlogs
    from posemon_otel.state import journals_folder

    folder = journals_folder(Settings())
    found = backlogs(folder)
    if as_json:
        import json

        click.echo(json.dumps([_plain(one) for one in found], indent=2))
        return
    if not found:
        click.echo(f"no journals in {folder}")
    for one in found:
        click.echo(_line(one))


def _line(one: "Backlog") -> str:
    waiting = ", ".join(
        f"{each.consumer} {_size(each.bytes)}" + ("" if each.seconds is None else f" ({each.seconds:.0f} s)")
        for each in one.waiting
        if each.bytes
    )
    lost = ", ".join(f"{each.consumer} {each.dropped}" for each in one.waiting if each.dropped)
    return (
        f"{one.service}  {one.folder.name}  {'alive' if one.alive else 'ended'}  {_size(one.bytes)}  "
        + (f"waiting: {waiting}" if waiting else "all delivered")
        + (f"; lost for want of room: {lost}" if lost else "")
    )


def _plain(one: "Backlog") -> dict[str, object]:
    return {
        "service": one.service,
        "folder": str(one.folder),
        "alive": one.alive,
        "bytes": one.bytes,
        "waiting": [each._asdict() for each in one.waiting],
    }


def _size(count: int) -> str:
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
