"""What can be read of a span, running or ended: every public property of the SDK's, on slots of our own."""

import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from opentelemetry import trace as trace_api
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationInfo, InstrumentationScope

from posemon_otel.delivery import values
from posemon_otel.entries import Finish, SpanEvent, SpanLink
from posemon_otel.operation import Operation
from posemon_otel.semconv import operations as o

if TYPE_CHECKING:
    from posemon_otel.delivery.provider import Tracer


UNSET = trace_api.Status()
"""What every span begins with."""

_INTERNAL = trace_api.SpanKind.INTERNAL
_TRACE_IDS, _SPAN_IDS = (1 << 128) - 1, (1 << 64) - 1


class SpanView(sdk.ReadableSpan):
    """The reading side of ``Span``. No property and no method of the base class reads state of the base class's own.

    The slots bear the names that ``ReadableSpan`` gives its attributes, as there are span processors that rewrite them.

    Attributes:
        tracer: What made it.
        operation: The operation that it is the span of; ``None`` for another library's.
    """

    __slots__ = (
        "_attributes",
        "_context",
        "_dropped",
        "_end_time",
        "_event_count",
        "_events",
        "_kind",
        "_link_count",
        "_links",
        "_name",
        "_parent",
        "_start_time",
        "_status",
        "operation",
        "tracer",
    )

    operation: Operation | None
    tracer: "Tracer"
    _attributes: dict[str, Any]
    _context: trace_api.SpanContext
    _dropped: int
    _end_time: int | None
    _event_count: int
    _events: list[sdk.Event]
    _kind: trace_api.SpanKind
    _link_count: int
    _links: list[trace_api.Link]
    _name: str
    _parent: trace_api.SpanContext | None
    _start_time: int
    _status: trace_api.Status

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    def get_span_context(self) -> trace_api.SpanContext:
        """Its ids, flags and trace state."""
        return self._context

    @property
    def context(self) -> trace_api.SpanContext:
        """The same as ``get_span_context()``."""
        return self._context

    @property
    def kind(self) -> trace_api.SpanKind:
        """Its kind."""
        return self._kind

    @property
    def parent(self) -> trace_api.SpanContext | None:
        """The parent's context; ``None`` for a root."""
        return self._parent

    @property
    def start_time(self) -> int:
        """Nanoseconds since 1970."""
        return self._start_time

    @property
    def end_time(self) -> int | None:
        """Nanoseconds since 1970; ``None`` while it runs."""
        return self._end_time

    @property
    def status(self) -> trace_api.Status:
        """Its status."""
        return self._status

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Its attributes, read-only."""
        return MappingProxyType(self._attributes)

    @property
    def events(self) -> Sequence[sdk.Event]:
        """Its events."""
        return tuple(self._events)

    @property
    def links(self) -> Sequence[trace_api.Link]:
        """Its links."""
        return tuple(self._links)

    @property
    def dropped_attributes(self) -> int:
        """Attributes beyond the limit."""
        return self._dropped

    @property
    def dropped_events(self) -> int:
        """Events beyond the limit."""
        return self._event_count - len(self._events)

    @property
    def dropped_links(self) -> int:
        """Links beyond the limit."""
        return self._link_count - len(self._links)

    @property
    def resource(self) -> Resource:
        """The provider's Resource of this process."""
        return self.tracer.resource

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        """Who made it."""
        return self.tracer.scope

    @property
    def instrumentation_info(self) -> InstrumentationInfo:
        """The deprecated form of ``instrumentation_scope``."""
        warnings.warn(
            "You should use instrumentation_scope. Deprecated since version 1.11.1.", DeprecationWarning, stacklevel=2
        )
        return self.tracer.instrumentation_info

    def is_recording(self) -> bool:
        """Whether it runs."""
        return self._end_time is None

    def to_json(self, indent: int | None = 4) -> str:
        """As the SDK writes it."""
        written: str = self.frozen().to_json(indent)
        return written

    def frozen(self) -> sdk.ReadableSpan:
        """A copy in the SDK's own type."""
        return sdk.ReadableSpan(
            name=self._name,
            context=self._context,
            parent=self._parent,
            resource=self.resource,
            attributes=values.bounded(self._attributes, self._dropped),
            events=_bounded_list(self._events, self.dropped_events),
            links=_bounded_list(self._links, self.dropped_links),
            kind=self._kind,
            instrumentation_info=self.tracer.instrumentation_info,
            status=self._status,
            start_time=self._start_time,
            end_time=self._end_time,
            instrumentation_scope=self.tracer.scope,
        )

    def to_finish(self) -> Finish:
        """What the journal keeps of it, once it has ended: what it holds is redacted then, and does not change."""
        context, parent, operation, status, kind = self._context, self._parent, self.operation, self._status, self._kind
        state = context.trace_state
        end_time = self._end_time
        return Finish(
            context.trace_id.to_bytes(16, "big"),
            context.span_id,
            0 if parent is None else parent.span_id,
            parent is not None and parent.is_remote,
            int(context.trace_flags),
            "" if state is trace_api.DEFAULT_TRACE_STATE else state.to_header(),
            self.tracer.number,
            o.SPAN.key if operation is None else operation.kind.key,
            kind.value if kind is not _INTERNAL and isinstance(kind, trace_api.SpanKind) else o.INTERNAL,
            self._name,
            self._start_time,
            self._start_time if end_time is None else end_time,
            self._attributes,
            0 if status is UNSET else status.status_code.value,
            "" if status is UNSET else status.description or "",
            "" if operation is None else operation.outcome,
            None if operation is None else operation.error,
            list(map(_event_entry, self._events)),
            list(map(_link_entry, self._links)),
            (self._dropped, self._event_count - len(self._events), self._link_count - len(self._links)),
            {} if operation is None else operation.facts,
            1 if operation is None else operation.attempt,
            operation is None or operation.terminal,
        )


def _bounded_list(items: Sequence[Any], dropped: int) -> Any:
    made = BoundedList.from_seq(None, items)
    made.dropped = dropped
    return made


def _event_entry(event: sdk.Event) -> SpanEvent:
    return SpanEvent(event.name, event.timestamp, dict(event.attributes or {}), event.dropped_attributes)


def _link_entry(link: trace_api.Link) -> SpanLink:
    context = link.context
    return SpanLink(
        # Masked: another process's ids may be anything.
        (context.trace_id & _TRACE_IDS).to_bytes(16, "big"),
        context.span_id & _SPAN_IDS,
        int(context.trace_flags),
        context.trace_state.to_header(),
        dict(link.attributes or {}),
        link.dropped_attributes,
    )
