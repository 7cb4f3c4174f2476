"""Between the journal's entries and the SDK's own records: an ended span to its ``Finish``, entries back to records."""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as SdkEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from posemon_otel.delivery import values
from posemon_otel.delivery.span import Span
from posemon_otel.entries import Event, Finish, Log, SpanEvent, SpanLink
from posemon_otel.semconv import attributes as a

_KINDS = tuple(trace_api.SpanKind)
_STATUS = tuple(trace_api.Status(code) for code in trace_api.StatusCode)
_INFO = 9


def finish_of(span: Span) -> Finish:
    """The ``Finish`` of an ended span, another library's or an operation's."""
    return span.to_finish()


def to_readable(finish: Finish, resource: Resource, scopes: Mapping[int, InstrumentationScope]) -> ReadableSpan:
    """The SDK's own span of a ``Finish``, for any span exporter.

    Args:
        finish: A finished operation or span.
        resource: Of the process that wrote it.
        scopes: That process's instrumentation scopes by number.
    """
    state = _state(finish.trace_state)
    trace_id = int.from_bytes(finish.trace_id, "big")
    flags = trace_api.TraceFlags(finish.flags)
    dropped_attributes, dropped_events, dropped_links = finish.dropped
    return ReadableSpan(
        finish.name,
        trace_api.SpanContext(trace_id, finish.span_id, is_remote=False, trace_flags=flags, trace_state=state),
        trace_api.SpanContext(trace_id, finish.parent_id, finish.parent_remote, flags, state)
        if finish.parent_id
        else None,
        resource,
        _attributes(finish.attributes, dropped_attributes),
        _listed([_to_event(event) for event in finish.events], dropped_events),
        _listed([_to_link(link) for link in finish.links], dropped_links),
        _KINDS[finish.span_kind],
        None,
        trace_api.Status(trace_api.StatusCode.ERROR, finish.status_description or None)
        if finish.status == trace_api.StatusCode.ERROR.value
        else _STATUS[finish.status],
        finish.start,
        finish.end,
        _scope(scopes, finish.scope),
    )


def _scope(scopes: Mapping[int, InstrumentationScope], number: int) -> InstrumentationScope | None:
    try:
        return scopes[number]  # not get: a mapping may look up what it has not seen yet
    except KeyError:
        return None


def _state(header: str) -> trace_api.TraceState | None:
    return trace_api.TraceState.from_header([header]) if header else None


def _attributes(attributes: Mapping[str, Any], dropped: int) -> Mapping[str, Any]:
    """As the SDK holds them: lists are tuples. Its bounded type costs much: only to carry a count."""
    if dropped:
        return values.bounded(attributes, dropped)
    return {key: tuple(value) if type(value) is list else value for key, value in attributes.items()}


def _listed(items: Sequence[Any], dropped: int) -> Sequence[Any]:
    if not dropped:
        return items
    made = BoundedList.from_seq(None, items)
    made.dropped = dropped
    return made


def _to_event(event: SpanEvent) -> SdkEvent:
    return SdkEvent(event.name, _attributes(event.attributes, event.dropped), event.time)


def _to_link(link: SpanLink) -> trace_api.Link:
    context = trace_api.SpanContext(
        int.from_bytes(link.trace_id, "big"),
        link.span_id,
        is_remote=False,
        trace_flags=trace_api.TraceFlags(link.flags),
        trace_state=_state(link.trace_state),
    )
    return trace_api.Link(context, _attributes(link.attributes, link.dropped))


def to_log(log: Log, resource: Resource, scopes: Mapping[int, InstrumentationScope]) -> ReadableLogRecord:
    """The SDK's own record of a log entry, for any log exporter. Arguments as for ``to_readable``."""
    span = trace_api.INVALID_SPAN
    if log.trace_id:
        trace_id = int.from_bytes(log.trace_id, "big")
        flags = trace_api.TraceFlags(log.flags)
        span = trace_api.NonRecordingSpan(
            trace_api.SpanContext(trace_id, log.span_id, is_remote=False, trace_flags=flags)
        )
    record = LogRecord(
        timestamp=log.time,
        observed_timestamp=log.time,
        # Never empty: the record would take the reading thread's context for an empty one.
        context=trace_api.set_span_in_context(span, Context()),
        severity_text=log.severity_text,
        severity_number=SeverityNumber(log.severity),
        body=log.body,
        attributes=_attributes(log.attributes, 0),
        event_name=log.event_name or None,
    )
    return ReadableLogRecord(record, resource, _scope(scopes, log.scope))


def event_to_log(event: Event) -> Log:
    """The log record of an event: its EventName is the event's name, its body the type that the user gave."""
    attributes: dict[str, Any] = {**event.attributes, a.EVENT_TYPE: event.type, a.EVENT_ID: event.id}
    if event.generation_id is not None:
        attributes[a.GENERATION_ID] = event.generation_id
    if event.user_id is not None:
        attributes[a.USER_ID] = event.user_id
    return Log(
        event.time,
        event.trace_id,
        event.span_id,
        event.flags,
        event.scope,
        _INFO,
        SeverityNumber(_INFO).name,
        event.type,
        attributes,
        event.name,
    )
