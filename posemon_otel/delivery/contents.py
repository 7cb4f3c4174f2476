"""What stands in the journals, entry by entry, as people may see it. Changes nothing in them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from posemon_otel.delivery import backlog, quarantine, wire
from posemon_otel.journal import Journal, Position

KINDS = {
    "start": wire.START,
    "finish": wire.FINISH,
    "log": wire.LOG,
    "event": wire.EVENT,
    "scope": wire.SCOPE,
}
"""Names of the kinds of entries, and their tags."""

QUARANTINED = "quarantined"
"""The kind of what a backend refused; it stands in a file beside the journal."""

_NAMES = {tag: name for name, tag in KINDS.items()}
_CONSUMERS = ("traces", "logs", "metrics", "records")


class Item(NamedTuple):
    """One entry.

    Attributes:
        service: ``service.name`` of the process that wrote it.
        folder: That process's journal.
        position: Where it stands there; ``None`` for what is quarantined.
        kind: One of ``KINDS``, or ``QUARANTINED``.
        time_ns: When it was written or refused, in nanoseconds since 1970; ``None`` where it does not say.
        trace_id: As hex; empty outside a trace.
        fields: Its content by name: ids as hex, the rest as it will be exported.
    """

    service: str
    folder: Path
    position: Position | None
    kind: str
    time_ns: int | None
    trace_id: str
    fields: dict[str, Any]


def items(folder: Path, *, trace: str = "", kind: str = "") -> Iterator[Item]:
    """The entries of all journals, each journal's in the order in which they were written.

    Args:
        folder: As ``state.journals_folder`` tells.
        trace: How the trace id begins, in hexadecimal digits.
        kind: One of ``KINDS`` or ``QUARANTINED``; all of them where left out.
    """
    for journal in backlog.every_journal(folder):
        service = backlog.service_of(journal)
        if kind != QUARANTINED:
            try:
                yield from _entries(journal, service, trace, KINDS.get(kind))
            except OSError:
                continue  # its owner has just removed it
        if kind in ("", QUARANTINED):
            yield from _refused(journal, service, trace)


def _entries(journal: Journal, service: str, trace: str, wanted: int | None) -> Iterator[Item]:
    whole = bytes.fromhex(trace[: len(trace) // 2 * 2])
    for at, tag, payload in journal.entries():
        if (wanted is not None and tag != wanted) or whole not in payload:
            continue
        entry = backlog.decoded(tag, payload)
        fields: dict[str, Any] = {"tag": tag, "bytes": len(payload)} if entry is None else plain(entry)
        trace_id = fields.get("trace_id", "")
        if trace_id.startswith(trace):
            name = _NAMES.get(tag, "unknown")
            yield Item(service, journal.folder, at, name, wire.moment(tag, payload), trace_id, fields)


def _refused(journal: Journal, service: str, trace: str) -> Iterator[Item]:
    for consumer in _CONSUMERS:
        for one in quarantine.quarantined(journal.folder, consumer):
            if one.trace_id.startswith(trace):
                entry = None if one.payload is None else backlog.decoded(one.tag, one.payload)
                fields = {"consumer": consumer, **one._asdict()}
                fields["payload"] = None if entry is None else plain(entry)
                yield Item(service, journal.folder, None, QUARANTINED, one.time_ns, one.trace_id, fields)


def plain(entry: Any) -> dict[str, Any]:
    """An entry's fields by name, as JSON can hold them: trace and span ids as hex, what is nested likewise."""
    return {name: _plain(name, value) for name, value in entry._asdict().items()}


def _plain(name: str, value: Any) -> Any:
    if name in ("span_id", "parent_id"):
        return f"{value:016x}" if value else ""
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "_asdict"):
        return plain(value)
    if isinstance(value, Mapping):
        return {key: _plain("", inner) for key, inner in value.items()}
    return [_plain("", inner) for inner in value] if isinstance(value, (list, tuple)) else value
