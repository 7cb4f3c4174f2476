"""``posemon journal status|flush|inspect|replay``."""

import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from posemon_otel import settings
from posemon_otel.cli.groups import Failure, hushed
from posemon_otel.cli.where import digits, moment
from posemon_otel.settings import Settings

if TYPE_CHECKING:
    from posemon_otel.delivery.backlog import Backlog
    from posemon_otel.delivery.contents import Item

_KINDS = ("start", "finish", "log", "event", "scope", "quarantined")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SHOWN = ("name", "body", "type", "outcome", "status", "endpoint", "consumer")
_MOST_SHOWN = 100


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
        click.echo(json.dumps([_plain(one) for one in found], indent=2))
        return
    if not found:
        click.echo(f"no journals in {folder}")
    for one in found:
        click.echo(_line(one))


@journal.command()
@click.option("--timeout", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="SECONDS")
def flush(timeout: float) -> None:
    """Deliver what ended processes left, once; exit with 1 when something still waits.

    Living processes deliver theirs themselves. What waits for callbacks waits for a worker.
    """
    from posemon_otel.delivery.ship import NothingToShipError, usable
    from posemon_otel.delivery.ship import flush as deliver

    chosen = Settings()
    settings.use(chosen)
    try:
        with hushed():
            left = deliver(chosen, usable(chosen), timeout)
    except NothingToShipError as error:
        raise Failure(str(error)) from None
    for problem in dict.fromkeys(chosen.problems):
        click.echo(f"posemon: {problem}", err=True)
    if left:
        told = ", ".join(
            f"{_size(one.bytes) + ' of ' if one.bytes else ''}{one.service}'s {one.consumer}"
            f" ({one.failure or 'not set up here'})"
            for one in left
        )
        raise Failure(f"there wait still {told}: `posemon doctor` tells where they should go")
    click.echo("everything that ended processes left is delivered")


@journal.command()
@click.option("--trace", metavar="ID", callback=digits, help="Of this trace alone; its first digits are enough.")
@click.option("--kind", type=click.Choice(_KINDS), metavar="KIND", help=f"One of {', '.join(_KINDS)}.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, an object a line, with everything that stands there.")
def inspect(trace: str, kind: str | None, *, as_json: bool) -> None:
    """The entries of the journals, decoded, and what backends refused."""
    from posemon_otel.delivery.contents import items
    from posemon_otel.state import journals_folder

    for item in items(journals_folder(Settings()), trace=trace, kind=kind or ""):
        click.echo(json.dumps({**item._asdict(), "folder": str(item.folder)}) if as_json else _shown(item))


def since(_context: click.Context, parameter: click.Parameter, value: str | None) -> int:
    """A moment in nanoseconds since 1970, given as a time or as how long ago; a callback of click."""
    if value is None:
        return 0
    ago = re.fullmatch(r"(\d+)([smhd])", value.strip())
    try:
        if ago:
            return time.time_ns() - int(ago[1]) * _UNITS[ago[2]] * 10**9
        at = datetime.fromisoformat(value.strip())
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e9)
    except (ValueError, OverflowError):
        expected = "a time like 2026-11-24T17:00 (UTC), or how long ago: 90s, 15m, 2h, 7d"
        raise click.BadParameter(f"expected {expected}, got {value!r}", param=parameter) from None


@journal.command()
@click.option("--since", "since_ns", callback=since, metavar="WHEN", help="A time (UTC), or how long ago: 15m, 2h, 7d.")
@click.option("--to", metavar="ENDPOINT", help="An OTLP endpoint in place of the configured exporters.")
def replay(since_ns: int, to: str | None) -> None:
    """Send spans and log records that were acknowledged again, as far as they are kept (POSEMON_JOURNAL_KEEP).

    What gets them twice tells them by their ids. Metrics and rows are not sent: they would be counted twice.
    """
    from posemon_otel.delivery.again import replay as send
    from posemon_otel.delivery.ship import NothingToShipError, usable

    chosen = _aimed_at(to) if to else Settings()
    settings.use(chosen)
    try:
        with hushed():
            sent = send(chosen, usable(chosen), since_ns, chosen[settings.SHIP_BATCH])
    except NothingToShipError as error:
        raise Failure(str(error)) from None
    if not sent:
        raise Failure(f"no exporter is set up: set {settings.TRACES_EXPORTER.variables[0]}, or name one with --to")
    for one in sent:
        click.echo(f"{one.signal}: {one.records} sent again")
    failed = [f"{one.signal}: {one.failure}" for one in sent if one.failure]
    if failed:
        raise Failure(f"{'; '.join(failed)}: the rest was not sent; `posemon doctor` tells where it should go")


def _aimed_at(endpoint: str) -> Settings:
    """The settings, with this endpoint for spans and log records."""
    plain = Settings()
    protocols = {
        "traces": plain[settings.OTLP_TRACES_PROTOCOL] or plain[settings.OTLP_PROTOCOL],
        "logs": plain[settings.OTLP_LOGS_PROTOCOL] or plain[settings.OTLP_PROTOCOL],
    }
    aimed = {
        signal: endpoint if protocol == "grpc" else f"{endpoint.rstrip('/')}/v1/{signal}"
        for signal, protocol in protocols.items()
    }
    chosen = Settings(
        {
            "traces_exporter": "otlp",
            "logs_exporter": "otlp",
            "otlp_traces_endpoint": aimed["traces"],
            "otlp_logs_endpoint": aimed["logs"],
        }
    )
    if chosen.origin(settings.OTLP_TRACES_ENDPOINT) != "argument":
        raise Failure(f"--to: expected {settings.OTLP_ENDPOINT.expected}, got {endpoint!r}")
    return chosen


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


def _shown(item: "Item") -> str:
    at = "-" if item.position is None else f"{item.position.segment}:{item.position.entry}"
    when = "-" if item.time_ns is None else moment(item.time_ns)
    told = (str(item.fields[name]) for name in _SHOWN if item.fields.get(name))
    line = " ".join(" ".join(told).split())
    shown = line if len(line) <= _MOST_SHOWN else line[:_MOST_SHOWN] + "..."
    return f"{item.service}  {item.folder.name[:8]}  {at:8}  {when}  {item.kind:11}  {item.trace_id or '-':32}  {shown}"


def _size(count: int) -> str:
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
