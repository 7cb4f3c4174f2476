"""Sends once more what was acknowledged and is still kept: to a backend that has lost it, or to another one."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from posemon_otel.delivery import answers, backlog, exporters, quiet, wire
from posemon_otel.delivery.otlp import Heads
from posemon_otel.delivery.readable import event_to_log, to_log, to_readable
from posemon_otel.journal import Journal
from posemon_otel.settings import Settings

SIGNALS = {"traces": (wire.FINISH,), "logs": (wire.LOG, wire.EVENT)}
"""What can be sent again, and the entries it is made of. Counts cannot: they would be counted twice."""


class Sent(NamedTuple):
    """What was sent of a signal.

    Attributes:
        signal: ``traces`` or ``logs``.
        records: How many spans or log records the other side has taken.
        failure: What it answered to the first batch that it did not take, which ended the sending; else empty.
    """

    signal: str
    records: int
    failure: str


def replay(chosen: Settings, folder: Path, since_ns: int, batch_records: int) -> list[Sent]:
    """Sends what was acknowledged once more. No mark moves.

    Args:
        chosen: The settings; their exporters are used.
        folder: As ``state.journals_folder`` tells.
        since_ns: Leave out what was written before, in nanoseconds since 1970.
        batch_records: Spans or log records in one request.

    Returns:
        What was sent, a signal each; those without an exporter are left out.
    """
    sent = []
    for signal in SIGNALS:
        made = exporters.makers(signal, chosen)
        if made:
            exporter = exporters.Lazy(made)
            try:
                with quiet.within():
                    sent.append(_send(signal, exporter, folder, since_ns, batch_records))
            finally:
                exporter.shutdown()
    return sent


def _send(signal: str, exporter: Any, folder: Path, since_ns: int, batch_records: int) -> Sent:
    done = 0
    for journal in backlog.every_journal(folder):
        records = _records(journal, signal, since_ns)
        while batch := list(itertools.islice(records, batch_records)):
            failure = _export(exporter, batch)
            if failure:
                return Sent(signal, done, failure)
            done += len(batch)
    return Sent(signal, done, "")


def _records(journal: Journal, signal: str, since_ns: int) -> Iterator[Any]:
    """The SDK's records of what the consumer of the signal has acknowledged."""
    resource, scopes = Heads().of(journal)
    mark = journal.mark(signal)
    try:
        for at, tag, payload in journal.entries():
            if tag == wire.SCOPE:
                scopes.learn(payload)
            if tag not in SIGNALS[signal] or not backlog.behind(mark, at):
                continue
            entry = backlog.decoded(tag, payload)
            if entry is None or (entry.end if tag == wire.FINISH else entry.time) < since_ns:
                continue
            if tag != wire.FINISH:
                yield to_log(event_to_log(entry) if tag == wire.EVENT else entry, resource, scopes)
            elif entry.flags & 1:
                yield to_readable(entry, resource, scopes)
    except FileNotFoundError:
        return  # its owner has just removed a segment


def _export(exporter: Any, batch: list[Any]) -> str:
    """What went wrong; empty where nothing did."""
    with answers.listening() as heard:
        try:
            if exporter.export(batch).name == "SUCCESS":
                return ""
            problem = "not taken"
        except Exception as exc:
            problem = type(exc).__name__
    return f"{heard[-1].status} from {heard[-1].endpoint}" if heard else problem
