"""Log records that other code emits through OpenTelemetry's logs API, redacted and handed to our sink."""

from typing import Any, cast

from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from posemon_otel import clock, faults, operation, redaction
from posemon_otel.entries import DEFAULT_SCOPE, Log, Scope, scope_number
from posemon_otel.semconv import attributes as a


def install(resource: Resource) -> None:
    """Makes the SDK's logger provider the global one, with the process's sink behind it."""
    provider = LoggerProvider(resource, shutdown_on_exit=False)
    provider.add_log_record_processor(_ToSink())
    set_logger_provider(provider)


class _ToSink(LogRecordProcessor):
    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        sink = operation.sink()
        if sink is None:
            return
        try:
            sink.log(log_of(log_record))
        except Exception as exc:
            faults.fault("taking another library's log record", exc)

    def shutdown(self) -> None:
        """The sink is ended by whoever made it."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - nothing waits here
        return True


def number_of(scope: InstrumentationScope | None) -> int:
    """The number of another SDK's instrumentation scope; our own scope's where there is none."""
    if scope is None:
        return DEFAULT_SCOPE
    attributes = cast("Any", dict(scope.attributes or {})) or None
    return scope_number(Scope(scope.name, scope.version or "", scope.schema_url or "", attributes))


def log_of(emitted: ReadWriteLogRecord | ReadableLogRecord) -> Log:
    """The entry of another library's log record, redacted.

    Args:
        emitted: What the SDK hands to processors and exporters.
    """
    record = emitted.log_record
    attributes = dict(record.attributes or {})
    if record.exception is not None:
        text = redaction.exception_text(record.exception)
        attributes |= {
            a.EXCEPTION_TYPE: text.type,
            a.EXCEPTION_MESSAGE: text.message,
            a.EXCEPTION_STACKTRACE: text.stacktrace,
        }
    body = record.body
    return Log(
        record.timestamp or record.observed_timestamp or clock.wall_ns(),
        record.trace_id.to_bytes(16, "big") if record.trace_id else b"",
        record.span_id or 0,
        int(record.trace_flags or 0),
        number_of(emitted.instrumentation_scope),
        record.severity_number.value if record.severity_number else 0,
        record.severity_text or "",
        redaction.scrub(body if isinstance(body, str) else str(redaction.clean_value(body, free_text=True) or "")),
        redaction.clean_attributes(attributes, foreign=True),
        record.event_name or "",
    )
