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

if TYPE_CHECKING:
    from posemon_otel.delivery.provider import Tracer


class SpanView(sdk.ReadableSpan):
    """The reading side of ``Span``. No property and no method of the base class reads state of the base class's own.

    The slots bear the names that ``ReadableSpan`` gives its attributes, as there are span processors that rewrite them.

    Attributes:
        tracer: What made it.
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
        "tracer",
    )

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


def _bounded_list(items: Sequence[Any], dropped: int) -> Any:
    made = BoundedList.from_seq(None, items)
    made.dropped = dropped
    return made
