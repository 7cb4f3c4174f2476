"""The consumers of traces and logs: entries become the SDK's own records and go to an SDK exporter."""

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from posemon_otel import faults
from posemon_otel.delivery import drops, wire
from posemon_otel.delivery.readable import event_to_log, to_log, to_readable
from posemon_otel.delivery.shipper import Entry
from posemon_otel.journal import Journal


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
        self._known: dict[object, tuple[Resource, _Scopes]] = {}

    def of(self, journal: Journal) -> tuple[Resource, _Scopes]:
        """The Resource of the process that wrote the journal, as it was written, and its scopes."""
        made = self._known.get(journal.folder)
        if made is None:
            head = journal.head
            made = (Resource(head.get("resource", {}), head.get("schema_url") or None), _Scopes(journal))
            self._known[journal.folder] = made
        return made


def decode(tag: int, payload: Any, signal: str) -> Any:
    """The entry, or ``None`` for one that cannot be read, which is counted."""
    try:
        return wire.decoder(tag).decode(payload)
    except Exception as exc:
        drops.count(signal, "not_decodable")
        faults.fault("reading an entry of the journal", exc)
        return None


class Traces:
    """Finished spans to a span exporter. Unsampled ones are for metrics and rows alone."""

    name = "traces"
    dead_only = False

    def __init__(self, exporter: Any, batch_entries: int) -> None:
        self._exporter = exporter
        self.batch_entries = batch_entries
        self._heads = Heads()

    def deliver(self, journal: Journal, entries: Sequence[Entry]) -> bool:
        spans = []
        resource, scopes = self._heads.of(journal)
        for tag, payload in entries:
            if tag == wire.SCOPE:
                scopes.learn(payload)
            elif tag == wire.FINISH:
                finish = decode(tag, payload, self.name)
                if finish is not None and finish.flags & 1:
                    spans.append(to_readable(finish, resource, scopes))
        return not spans or self._exporter.export(spans).name == "SUCCESS"

    def close(self) -> None:
        self._exporter.shutdown()


class Logs:
    """Log records, and events as log records, to a log exporter."""

    name = "logs"
    dead_only = False

    def __init__(self, exporter: Any, batch_entries: int) -> None:
        self._exporter = exporter
        self.batch_entries = batch_entries
        self._heads = Heads()

    def deliver(self, journal: Journal, entries: Sequence[Entry]) -> bool:
        records = []
        resource, scopes = self._heads.of(journal)
        for tag, payload in entries:
            if tag == wire.SCOPE:
                scopes.learn(payload)
            elif tag in (wire.LOG, wire.EVENT):
                entry = decode(tag, payload, self.name)
                if entry is not None:
                    log = event_to_log(entry) if tag == wire.EVENT else entry
                    records.append(to_log(log, resource, scopes))
        return not records or self._exporter.export(records).name == "SUCCESS"

    def close(self) -> None:
        self._exporter.shutdown()
