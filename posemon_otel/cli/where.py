"""``posemon where TRACE_ID``."""

import string
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from posemon_otel import settings
from posemon_otel.cli.groups import Failure
from posemon_otel.settings import Settings

if TYPE_CHECKING:
    from posemon_otel.delivery.trail import Fate, Trail

_MOST_NAMED = 3


def digits(_context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    """The hexadecimal digits of a trace id or of its beginning; a callback of click."""
    from posemon_otel.delivery.trail import TRACE_DIGITS

    given = (value or "").strip().lower()
    wrong = len(given) > TRACE_DIGITS or not set(given) <= set(string.hexdigits)
    if value is not None and (wrong or not given):
        expected = f"the hexadecimal digits of a trace id, {TRACE_DIGITS} of them or the first few"
        raise click.BadParameter(f"expected {expected}, got {value!r}", param=parameter)
    return given


@click.command()
@click.argument("trace_id", callback=digits)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def where(trace_id: str, *, as_json: bool) -> None:
    """What became of a trace: recorded, shipped, acknowledged, rejected; when, by whom.

    The first digits of its id are enough where no other trace begins so. It reads the journals on this machine alone.
    """
    from posemon_otel.delivery.trail import trails
    from posemon_otel.state import journals_folder

    folder = journals_folder(Settings())
    found = trails(folder, trace_id, _MOST_NAMED)
    if not found:
        why = f"never recorded here, or gone with its segments ({settings.JOURNAL_KEEP.variables[0]})"
        raise Failure(f"trace {trace_id}: in no journal in {folder}: {why}")
    if len(found) > 1:
        named = ", ".join(sorted(found)[:_MOST_NAMED]) + (", ..." if len(found) > _MOST_NAMED else "")
        raise Failure(f"trace {trace_id}: several begin so ({named}): give more digits")
    ((whole, its),) = found.items()
    if as_json:
        import json

        click.echo(json.dumps({"trace_id": whole, "processes": [_plain(one) for one in its]}, indent=2))
        return
    click.echo(f"trace {whole}")
    for one in its:
        for line in _lines(one):
            click.echo(line)


def _lines(one: "Trail") -> list[str]:
    counted = ((one.spans, "span"), (one.logs, "log record"), (one.events, "event"), (one.open, "operation"))
    parts = [f"{number} {word}{'s' * (number != 1)}" for number, word in counted if number]
    if one.open:
        parts[-1] += " not ended"
    return [
        f"{one.service}  {one.folder.name}  {'alive' if one.alive else 'ended'}",
        f"  {'recorded':9} {', '.join(parts)}, {moment(one.first_ns)} to {moment(one.last_ns)}",
        *(f"  {fate.consumer:9} {_told(fate)}" for fate in one.fates),
    ]


def _told(fate: "Fate") -> str:
    counts = ((fate.acknowledged, "acknowledged"), (fate.rejected, "rejected"), (fate.waiting, "waiting"))
    told = ", ".join(f"{number} {word}" for number, word in counts if number)
    by = f" by {fate.endpoint}: {fate.status}" if fate.endpoint else ""
    at = "" if fate.time_ns is None else f", {moment(fate.time_ns)}"
    return f"{told}{by}{at}"


def _plain(one: "Trail") -> dict[str, Any]:
    fates = [{**fate._asdict(), "shipped": fate.shipped, "waiting": fate.waiting} for fate in one.fates]
    return {**one._asdict(), "folder": str(one.folder), "fates": fates}


def moment(nanoseconds: int) -> str:
    """A time in UTC, to the millisecond.

    Args:
        nanoseconds: Since 1970.
    """
    try:
        shown = datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):  # a clock, or a span of another library, that says anything
        return f"{nanoseconds} ns"
    return shown.replace("+00:00", "Z")
