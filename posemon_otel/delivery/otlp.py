"""The consumers of traces and logs: entries become the SDK's own records and go to an SDK exporter."""

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from posemon_otel import faults
from posemon_otel.delivery import drops, quarantine, wire
from posemon_otel.delivery.answers import Verdict
from posemon_otel.delivery.readable import event_to_log, to_log, to_readable
from posemon_otel.delivery.shipper import Entry, Outcome
from posemon_otel.delivery.sieve import Held, Item, Refused, Sieve
from posemon_otel.journal import Journal

_UNDER_WAY = 4  # batches that have failed and are kept in memory, a few MiB each; of others everything is sent again
_KNOWN_HEADS = 64


class _Scopes(dict[int, InstrumentationScope]):
    """Scopes by number. A reader that begins in the middle of a segment looks up what stands before it."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def learn(self, payload: Any) -> None:
        scope: wire.ScopeEntry = wire.decoder(wire.SCOPE).decode(payload)
        self[scope.number] = InstrumentationScope(scope.name, scope.version, scope.schema_url, scope.attributes)

    def __missing__(self, number: int) -> InstrumentationScope:
        for _, tag, payload in self._journal.entries():
            if tag == wire.SCOPE:
                self.learn(payload)
        return self.setdefault(number, InstrumentationScope("unknown"))


class Heads:
    """Resource and scopes of the journals that a consumer reads."""

    def __init__(self) -> None:
        self._known: OrderedDict[Path, tuple[Resource, _Scopes]] = OrderedDict()

    def of(self, journal: Journal) -> tuple[Resource, _Scopes]:
        """The Resource of the process that wrote the journal, as it was written, and its scopes."""
        made = self._known.get(journal.folder)
        if made is None:
            head = journal.head
            made = (Resource(head.get("resource", {}), head.get("schema_url") or None), _Scopes(journal))
            self._known[journal.folder] = made
            if len(self._known) > _KNOWN_HEADS:
                self._known.popitem(last=False)
        return made


def decode(tag: int, payload: Any, signal: str) -> Any:
    """The entry, or ``None`` for one that cannot be read, which is counted."""
    try:
        return wire.decoder(tag).decode(payload)
    except Exception as exc:
        drops.count(signal, "not_decodable")
        faults.fault("reading an entry of the journal", exc)
        return None


class _Exported(ABC):
    """What spans and logs have in common: records for an exporter, given through a sieve."""

    name: str
    dead_only = False

    def __init__(self, exporter: Any, batch_entries: int) -> None:
        self._exporter = exporter
        self.batch_entries = batch_entries
        self._heads = Heads()
        self._sieve = Sieve(exporter)
        self._under_way: OrderedDict[Path, tuple[list[Entry], Held]] = OrderedDict()

    def deliver(self, journal: Journal, entries: Sequence[Entry]) -> Outcome:
        held = self._hold(journal, entries)
        nothing = not held.parts
        delivered = self._sieve.give(held, lambda refused: self._set_aside(journal, entries, refused))
        if nothing:
            return Outcome(delivered=True)
        answer = self._sieve.answer
        if delivered:
            del self._under_way[journal.folder]
        return Outcome(
            delivered,
            answer.endpoint,
            answer.status,
            answer.retry_after,
            tuple((one.item.number, one.answer.status) for one in held.refused),
            stuck=not delivered and answer.verdict is not Verdict.OUTAGE,
        )

    def close(self) -> None:
        self._exporter.shutdown()

    def _hold(self, journal: Journal, entries: Sequence[Entry]) -> Held:
        """The batch as far as it is not delivered: the one that failed before, and what has been appended since."""
        before, held = self._under_way.get(journal.folder, ([], None))
        if held is None or list(entries[: len(before)]) != before:
            before, held = [], Held()
        items = self._records(journal, entries, len(before))
        held.add(items, self._sieve.limit)
        if held.parts:
            self._under_way[journal.folder] = (list(entries), held)
            self._under_way.move_to_end(journal.folder)
            if len(self._under_way) > _UNDER_WAY:
                self._under_way.popitem(last=False)
        return held

    def _records(self, journal: Journal, entries: Sequence[Entry], begin: int) -> list[Item]:
        items = []
        resource, scopes = self._heads.of(journal)
        for index, (tag, payload) in enumerate(entries[begin:], begin):
            if tag == wire.SCOPE:
                scopes.learn(payload)
                continue
            try:
                record = self._record(tag, payload, resource, scopes)
            except Exception as exc:
                drops.count(self.name, "not_decodable")
                faults.fault("making a record of an entry of the journal", exc)
                continue
            if record is not None:
                items.append(Item(index, record, len(payload)))
        return items

    @abstractmethod
    def _record(self, tag: int, payload: Any, resource: Resource, scopes: _Scopes) -> Any:
        """The SDK's record of an entry, or ``None`` where it is none of this signal's."""

    def _set_aside(self, journal: Journal, entries: Sequence[Entry], refused: Refused) -> None:
        tag, payload = entries[refused.item.number]
        endpoint, status = refused.answer.endpoint, refused.answer.status
        drops.count(self.name, "rejected")
        drops.say_once(
            f"{endpoint} takes other {self.name} but not some ({status}): they are set aside in"
            f" {quarantine.path(journal.folder, self.name)} and counted as dropped"
        )
        entry = decode(tag, payload, self.name)
        try:
            quarantine.add(
                journal.folder,
                self.name,
                quarantine.Quarantined(
                    time.time_ns(),
                    endpoint,
                    status,
                    getattr(entry, "name", "") or getattr(entry, "event_name", ""),
                    entry.trace_id.hex(),
                    f"{entry.span_id:016x}" if entry.span_id else "",
                    tag,
                    len(payload),
                    bytes(payload),
                ),
            )
        except OSError as exc:
            drops.say_once(f"what was refused could not be set aside in {journal.folder}: {exc.strerror or exc}")


class Traces(_Exported):
    """Finished spans to a span exporter. Unsampled ones are for metrics and rows alone."""

    name = "traces"

    def _record(self, tag: int, payload: Any, resource: Resource, scopes: _Scopes) -> Any:
        finish = decode(tag, payload, self.name) if tag == wire.FINISH else None
        return to_readable(finish, resource, scopes) if finish is not None and finish.flags & 1 else None


class Logs(_Exported):
    """Log records, and events as log records, to a log exporter."""

    name = "logs"

    def _record(self, tag: int, payload: Any, resource: Resource, scopes: _Scopes) -> Any:
        entry = decode(tag, payload, self.name) if tag in (wire.LOG, wire.EVENT) else None
        if entry is None:
            return None
        return to_log(event_to_log(entry) if tag == wire.EVENT else entry, resource, scopes)
