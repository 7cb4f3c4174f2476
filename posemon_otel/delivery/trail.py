"""What became of a trace: where it was recorded, and who has taken it. Read from journals; changes nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from posemon_otel.delivery import backlog, quarantine, receipts, wire
from posemon_otel.delivery.metrics import EXPORTED, REPLAYED
from posemon_otel.journal import Journal, Position, afterwards
from posemon_otel.semconv import operations as o

TRACE_DIGITS = 32
"""Hexadecimal digits of a trace id."""

_ROWS = (o.GENERATION.key, o.RENDER.key)


class Fate(NamedTuple):
    """What became of a trace's entries at one consumer.

    Attributes:
        consumer: ``traces``, ``logs``, ``metrics`` or ``records``.
        recorded: Entries that it is owed.
        acknowledged: Those that were taken.
        rejected: Those that were refused, and set aside.
        time_ns: When the last answer came, in nanoseconds since 1970; ``None`` where nothing says it.
        endpoint: Who gave it: a URL without credentials, or the exporter's name; empty where nothing says it.
        status: The answer.
    """

    consumer: str
    recorded: int
    acknowledged: int
    rejected: int
    time_ns: int | None
    endpoint: str
    status: str

    @property
    def shipped(self) -> int:
        """Entries that were sent and answered."""
        return self.acknowledged + self.rejected

    @property
    def waiting(self) -> int:
        """Entries that are still to be sent, or whose answer never came."""
        return self.recorded - self.shipped


class Trail(NamedTuple):
    """A trace in the journal of one process.

    Attributes:
        trace_id: As hex.
        service: ``service.name`` of the process.
        folder: Its journal.
        alive: Whether it lives.
        spans: Ended spans.
        open: Operations whose start stands there and whose end does not.
        logs: Log records.
        events: Events.
        first_ns: Time of the earliest entry, in nanoseconds since 1970.
        last_ns: Time of the latest.
        fates: What became of them, a consumer each.
    """

    trace_id: str
    service: str
    folder: Path
    alive: bool
    spans: int
    open: int
    logs: int
    events: int
    first_ns: int
    last_ns: int
    fates: tuple[Fate, ...]


class _Found(NamedTuple):
    """An entry of a trace."""

    at: Position
    tag: int
    entry: Any


def trails(folder: Path, prefix: str, most: int) -> dict[str, list[Trail]]:
    """Traces whose id begins so, and for each its trail in every process that has entries of it.

    Args:
        folder: As ``state.journals_folder`` tells.
        prefix: Hexadecimal digits in lower case.
        most: How many traces are wanted; at more it stops looking, and their trails are not whole.
    """
    found: dict[str, list[Trail]] = {}
    for journal in backlog.every_journal(folder):
        by_trace: dict[str, list[_Found]] = {}
        try:
            for trace_id, one in _entries(journal, prefix):
                by_trace.setdefault(trace_id, []).append(one)
                if len(found.keys() | by_trace.keys()) > most:
                    break
            for trace_id, entries in by_trace.items():
                found.setdefault(trace_id, []).append(_trail(journal, trace_id, entries))
        except OSError:
            continue  # its owner has just removed it
        if len(found) > most:
            break
    return found


def _entries(journal: Journal, prefix: str) -> Iterator[tuple[str, _Found]]:
    whole = bytes.fromhex(prefix[: len(prefix) // 2 * 2])
    for at, tag, payload in journal.entries():
        if whole in payload and tag != wire.SCOPE:  # most are told apart by that, without being decoded
            entry = backlog.decoded(tag, payload)
            trace_id = entry.trace_id.hex() if entry is not None else ""
            if trace_id and trace_id.startswith(prefix):
                yield trace_id, _Found(at, tag, entry)


def _trail(journal: Journal, trace_id: str, found: list[_Found]) -> Trail:
    ended = {one.entry.span_id for one in found if one.tag == wire.FINISH}
    begun = {one.entry.span_id for one in found if one.tag == wire.START}
    moments = [moment for one in found for moment in _moments(one)]
    fates = (_fate(journal, consumer, trace_id, found) for consumer in ("traces", "logs", "metrics", "records"))
    return Trail(
        trace_id,
        backlog.service_of(journal),
        journal.folder,
        journal.alive,
        len(ended),
        len(begun - ended),
        sum(one.tag == wire.LOG for one in found),
        sum(one.tag == wire.EVENT for one in found),
        min(moments),
        max(moments),
        tuple(fate for fate in fates if fate is not None),
    )


def _moments(one: _Found) -> tuple[int, ...]:
    if one.tag == wire.FINISH:
        return one.entry.start, one.entry.end
    return (one.entry.start if one.tag == wire.START else one.entry.time,)


def _owed(consumer: str, one: _Found) -> bool:
    """Whether a consumer makes something of an entry."""
    tag, entry = one.tag, one.entry
    if consumer == "traces":
        return tag == wire.FINISH and bool(entry.flags & 1)
    if consumer == "logs":
        return tag in (wire.LOG, wire.EVENT)
    if consumer == "metrics":
        return tag in (wire.FINISH, wire.EVENT)
    return tag == wire.EVENT or (tag == wire.FINISH and entry.kind in _ROWS)


def _fate(journal: Journal, consumer: str, trace_id: str, found: list[_Found]) -> Fate | None:
    """What became of a trace at a consumer; ``None`` where nothing is owed to it."""
    owed = [one for one in found if _owed(consumer, one)] if consumer in journal.consumers else []
    if not owed:
        return None
    # what was replayed into the instruments of a process is not yet what a receiver has
    replayed = consumer == REPLAYED and (journal.alive or not afterwards.is_completed(journal))
    mark = journal.mark(EXPORTED if replayed else consumer)
    answers = receipts.receipts(journal.folder, consumer)
    refused = {one.span_id for one in quarantine.quarantined(journal.folder, consumer) if one.trace_id == trace_id}
    acknowledged = rejected = 0
    last: receipts.Receipt | None = None
    for one in owed:
        if not backlog.behind(mark, one.at):
            continue
        answer = next((known for known in reversed(answers) if known.first <= one.at < known.end), None)
        if answer is None:
            refusal = f"{one.entry.span_id:016x}" in refused
        else:
            refusal = answer.status.startswith(receipts.REJECTED)
            last = answer if last is None or answer.time_ns >= last.time_ns else last
        rejected, acknowledged = rejected + refusal, acknowledged + (not refusal)
    told = (None, "", "") if last is None else (last.time_ns, last.endpoint, last.status)
    return Fate(consumer, len(owed), acknowledged, rejected, *told)
