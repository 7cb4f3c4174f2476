"""Our journal behind another SDK's batch processor: exporters of spans and logs by the name ``posemon_journal``.

What they are given is on disk when ``export`` returns; the usual shipper delivers it to ``POSEMON_JOURNAL_EXPORTER``.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from opentelemetry import trace as trace_api
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from posemon_otel import faults, redaction, settings
from posemon_otel.delivery import exporters, values
from posemon_otel.delivery.journal_sink import JournalSink
from posemon_otel.delivery.logs_provider import log_of, number_of
from posemon_otel.delivery.pipeline import Pipeline
from posemon_otel.entries import Finish, SpanEvent, SpanLink
from posemon_otel.semconv import operations as o
from posemon_otel.settings import Settings

_FLUSH_MILLIS: Final = 30_000
_TRACE_IDS, _SPAN_IDS = (1 << 128) - 1, (1 << 64) - 1

_lock = threading.Lock()
_journals: dict[Resource, Pipeline] = {}
_open: set[int] = set()


def _forget_parent() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_parent)


class _ToJournal:
    """What both have in common: one journal for each Resource, ended with the last exporter."""

    def __init__(self) -> None:
        """Takes what the environment says; nothing is opened before the first export."""
        with _lock:
            _open.add(id(self))

    def append(self, records: Sequence[Any], append: Callable[[JournalSink, Any], None]) -> bool:
        """Appends records; False where the exporter was shut down or the journal cannot be set up."""
        try:
            for record in records:
                sink = self._sink(record.resource)
                if sink is None:
                    return False
                append(sink, record)
        except Exception as exc:
            faults.fault("appending what another SDK exports", exc)
            return False
        return True

    def _sink(self, resource: Resource) -> JournalSink | None:
        with _lock:
            if id(self) not in _open:
                return None
            pipeline = _journals.get(resource)
            if pipeline is None:
                pipeline = _journals[resource] = _make(resource)
        return pipeline.sink if isinstance(pipeline.sink, JournalSink) else None

    def flush(self, timeout_millis: float) -> bool:
        """Delivers everything exported before; whether the receivers have acknowledged it all."""
        deadline = time.monotonic() + timeout_millis / 1000
        with _lock:
            pipelines = list(_journals.values())
        return all(pipeline.force_flush(max(0.0, deadline - time.monotonic())) for pipeline in pipelines)

    def close(self) -> None:
        """The last exporter delivers what it can within ``POSEMON_EXIT_BUDGET``; the rest stays in the journal."""
        with _lock:
            _open.discard(id(self))
            ending = [] if _open else list(_journals.values())
            if ending:
                _journals.clear()
        for pipeline in ending:
            pipeline.shutdown()


class JournalSpanExporter(SpanExporter):
    """``OTEL_TRACES_EXPORTER=posemon_journal``."""

    def __init__(self) -> None:
        """See ``_ToJournal``."""
        self._journal = _ToJournal()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Appends the spans, redacted as ours are."""
        appended = self._journal.append(spans, lambda sink, span: sink.finished(to_finish(span)))
        return SpanExportResult.SUCCESS if appended else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = _FLUSH_MILLIS) -> bool:
        """Delivers what is in the journal."""
        return self._journal.flush(timeout_millis)

    def shutdown(self) -> None:
        """Ends delivery with the last exporter of the process."""
        self._journal.close()


class JournalLogExporter(LogRecordExporter):
    """``OTEL_LOGS_EXPORTER=posemon_journal``."""

    def __init__(self) -> None:
        """See ``_ToJournal``."""
        self._journal = _ToJournal()

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Appends the log records, redacted as ours are."""
        appended = self._journal.append(batch, lambda sink, record: sink.log(log_of(record)))
        return LogRecordExportResult.SUCCESS if appended else LogRecordExportResult.FAILURE

    def force_flush(self, timeout_millis: int = _FLUSH_MILLIS) -> bool:
        """Delivers what is in the journal."""
        return self._journal.flush(timeout_millis)

    def shutdown(self) -> None:
        """Ends delivery with the last exporter of the process."""
        self._journal.close()


def _make(resource: Resource) -> Pipeline:
    """A pipeline of its own: that of ``configure`` may be there too, with the application's operations."""
    given = {"traces_exporter": exporters.OURS, "logs_exporter": exporters.OURS, "database_url": ""}
    chosen = Settings(given)
    settings.mend(chosen)
    makers = {signal: exporters.makers(signal, chosen) for signal in ("traces", "logs")}
    for problem in chosen.problems:
        faults.logger.warning("%s", problem)
    clean = Resource(redaction.clean_attributes(resource.attributes), resource.schema_url)
    pipeline = Pipeline(chosen, clean, direct=False, makers=makers)
    pipeline.shipper.start()  # what an earlier process left goes out
    return pipeline


def to_finish(span: ReadableSpan) -> Finish:
    """The ``Finish`` of another SDK's ended span, redacted.

    Args:
        span: An ended span.
    """
    context = span.context or trace_api.INVALID_SPAN_CONTEXT
    parent, status = span.parent, span.status
    start = span.start_time or 0
    return Finish(
        context.trace_id.to_bytes(16, "big"),
        context.span_id,
        0 if parent is None else parent.span_id,
        parent is not None and parent.is_remote,
        int(context.trace_flags),
        context.trace_state.to_header(),
        number_of(span.instrumentation_scope),
        o.SPAN.key,
        span.kind.value,
        values.clean_name(span.name),
        start,
        span.end_time or start,
        _clean(span.attributes),
        status.status_code.value,
        redaction.scrub_message(status.description) if status.description else "",
        "",
        None,
        [_event(event) for event in span.events],
        [_link(link) for link in span.links],
        (span.dropped_attributes, span.dropped_events, span.dropped_links),
        {},
        1,
        True,
    )


def _clean(attributes: Any) -> dict[str, Any]:
    """Within our limit of a value, and redacted by key."""
    kept: dict[str, Any] = {}
    if attributes:
        longest = settings.current()[settings.VALUE_LENGTH_LIMIT]
        values.merge(kept, attributes, values.UNLIMITED, longest)
    return values.redacted_all(kept)


def _event(event: Event) -> SpanEvent:
    return SpanEvent(values.clean_name(event.name), event.timestamp, _clean(event.attributes), event.dropped_attributes)


def _link(link: trace_api.Link) -> SpanLink:
    context = link.context
    return SpanLink(
        (context.trace_id & _TRACE_IDS).to_bytes(16, "big"),
        context.span_id & _SPAN_IDS,
        int(context.trace_flags),
        context.trace_state.to_header(),
        _clean(link.attributes),
        link.dropped_attributes,
    )
