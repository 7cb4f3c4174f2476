"""The sink for applications that bring their own SDK providers, and for a switched-off journal.

Spans, logs and metrics are written to those providers at once. Rows and callbacks still go through a journal.
"""

from collections.abc import Callable

from opentelemetry import metrics, trace
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from posemon_otel import entries, faults
from posemon_otel.delivery.instruments import Instruments
from posemon_otel.delivery.journal_sink import JournalSink, keep_identity
from posemon_otel.delivery.metrics import observe
from posemon_otel.delivery.readable import event_to_log
from posemon_otel.entries import Event, Log
from posemon_otel.operation import Operation, describe
from posemon_otel.semconv import SCHEMA_URL, SCOPE
from posemon_otel.semconv import operations as o
from posemon_otel.timings import Measured, now_ns
from posemon_otel.version import __version__

_SPAN_KINDS = tuple(trace.SpanKind)
_IDS = RandomIdGenerator()


class DirectSink:
    """Writes to the application's providers; hands what rows and callbacks need to a journal.

    What those providers' samplers and processors raise stays here: rows, callbacks and metrics come all the same.
    """

    def __init__(self, journal: JournalSink, active: Callable[[], int]) -> None:
        """Makes a sink on the providers that are set globally.

        Args:
            journal: Takes finishes and events, for the consumers ``records`` and ``events`` alone.
            active: How many generations are running.
        """
        self._journal = journal
        self._provider = Measured("the application's tracer provider", trace.get_tracer_provider())
        meter = metrics.get_meter(SCOPE, __version__, schema_url=SCHEMA_URL)
        self._instruments = Instruments(meter)
        self._instruments.zeros()
        observe(meter, lambda _options: [metrics.Observation(active())])

    def start(self, operation: Operation, context: Context) -> trace.Span:
        scope = entries.scopes[operation.scope]
        begun = now_ns()
        try:
            tracer = trace.get_tracer(
                scope.name, scope.version, schema_url=scope.schema_url, attributes=scope.attributes
            )
            span = tracer.start_span(
                operation.name,
                context,
                _SPAN_KINDS[operation.kind.span_kind],
                operation.attributes,
                operation.links,
                operation.start,
            )
        except Exception as exc:
            self._provider.failed(exc, "starting the application's span")
            span = _stand_in(operation.parent_context)
        self._provider.took(begun)
        self._journal.began(operation, span)
        return span

    def finish(self, operation: Operation) -> None:
        span = operation.span
        begun = now_ns()
        try:
            keep_identity(operation)
            for event in operation.events:
                span.add_event(event.name, event.attributes, event.time)
            if operation.outcome in o.FAILED_OUTCOMES and operation.error is not None:
                span.set_status(trace.Status(trace.StatusCode.ERROR, operation.error.message))
            span.end(operation.end)
        except Exception as exc:
            self._provider.failed(exc, "ending the application's span")
        self._provider.took(begun)
        finish = describe(operation, [])
        self._journal.finished(finish)
        try:
            self._instruments.replay(finish)
        except Exception as exc:
            faults.fault("counting a finished operation", exc)

    def log(self, log: Log) -> None:
        scope = entries.scopes[log.scope]
        try:
            get_logger(scope.name, scope.version, schema_url=scope.schema_url, attributes=scope.attributes).emit(
                _record(log)
            )
        except Exception as exc:
            faults.fault("writing a log record", exc)

    def event(self, event: Event) -> None:
        self._journal.event(event)
        self.log(event_to_log(event))
        try:
            self._instruments.count(event)
        except Exception as exc:
            faults.fault("counting an event", exc)


def _stand_in(parent: trace.SpanContext) -> trace.Span:
    """A span that records nothing, for one that could not be started: what is below it stays in the trace."""
    trace_id = parent.trace_id if parent.is_valid else _IDS.generate_trace_id()
    flags = parent.trace_flags if parent.is_valid else trace.TraceFlags(trace.TraceFlags.SAMPLED)
    return trace.NonRecordingSpan(
        trace.SpanContext(trace_id, _IDS.generate_span_id(), is_remote=False, trace_flags=flags)
    )


def _record(log: Log) -> LogRecord:
    where = Context()
    if log.trace_id:
        known = trace.SpanContext(
            int.from_bytes(log.trace_id, "big"), log.span_id, is_remote=False, trace_flags=trace.TraceFlags(log.flags)
        )
        where = trace.set_span_in_context(trace.NonRecordingSpan(known), where)
    return LogRecord(
        timestamp=log.time,
        observed_timestamp=log.time,
        context=where,
        severity_text=log.severity_text,
        severity_number=SeverityNumber(log.severity),
        body=log.body,
        attributes=log.attributes,
        event_name=log.event_name or None,
    )
