"""Log records that other code emits through OpenTelemetry's logs API, redacted and handed to our sink."""

import copy
from collections.abc import Mapping
from typing import Any, cast

from opentelemetry._logs import Logger, LogRecord, SeverityNumber, set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from posemon_otel import clock, faults, operation, redaction
from posemon_otel.delivery import values
from posemon_otel.entries import DEFAULT_SCOPE, Log, Scope, scope_number
from posemon_otel.semconv import attributes as a


def install(resource: Resource) -> None:
    """Makes a logger provider the global one, with the process's sink behind it."""
    provider = _Provider(resource, shutdown_on_exit=False)
    provider.add_log_record_processor(_ToSink())
    set_logger_provider(provider)


class _Provider(LoggerProvider):
    """The SDK's, but that its loggers never raise."""

    def get_logger(self, *arguments: Any, **more: Any) -> Logger:
        return _Logger(super().get_logger(*arguments, **more))


class _Logger(Logger):
    """The SDK's logger prints exceptions, and attributes that it does not know, which may raise: it gets text."""

    def __init__(self, inner: Logger) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def enabled(self, **asked: Any) -> bool:
        return self._inner.enabled(**asked)

    def emit(self, record: LogRecord | None = None, **given: Any) -> None:
        try:
            if record is None:
                exception = given.pop("exception", None)
                self._inner.emit(**given | {"attributes": _printable(given.get("attributes"), exception)})
                return
            attributes = _printable(record.attributes, record.exception)
            if attributes is not record.attributes:
                record = copy.copy(record)  # the caller's own stays as it is
                record.attributes, record.exception = attributes, None
            self._inner.emit(record)
        except Exception as exc:
            faults.fault("taking another library's log record", exc)


def _printable(attributes: Any, exception: BaseException | None) -> Any:
    if exception is None and (attributes is None or _plain(attributes)):
        return attributes
    clean: dict[str, Any] = {}
    if isinstance(attributes, Mapping):
        kept = {key: value for name, value in attributes.items() if (key := values.key_of(name)) is not None}
        clean = redaction.clean_attributes(kept, foreign=True)
    if exception is None:
        return clean
    return _described(exception) | clean  # the caller's win


def _plain(attributes: Any) -> bool:
    return values.fitness(attributes, values.UNLIMITED) != values.NEEDS_WORK


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
    if record.exception is not None:  # where another provider's logger has left it
        attributes |= _described(record.exception)
    body, severity = record.body, record.severity_number
    return Log(
        _moment(record.timestamp) or _moment(record.observed_timestamp) or clock.wall_ns(),
        record.trace_id.to_bytes(16, "big") if record.trace_id else b"",
        record.span_id or 0,
        int(record.trace_flags or 0),
        number_of(emitted.instrumentation_scope),
        severity.value if isinstance(severity, SeverityNumber) else 0,
        "" if record.severity_text is None else values.clean_text(record.severity_text),
        redaction.scrub(body if isinstance(body, str) else str(redaction.clean_value(body, free_text=True) or "")),
        redaction.clean_attributes(attributes, foreign=True),
        "" if record.event_name is None else values.clean_text(record.event_name),
    )


def _described(exception: BaseException) -> dict[str, Any]:
    text = redaction.exception_text(exception)
    return {
        a.EXCEPTION_TYPE: text.type,
        a.EXCEPTION_MESSAGE: text.message,
        a.EXCEPTION_STACKTRACE: text.stacktrace,
    }


def _moment(time: Any) -> int | None:
    return None if time is None else values.moment(time)
