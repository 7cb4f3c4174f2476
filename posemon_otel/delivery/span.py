"""The span behind the API: everything that the SDK's span does, at a fraction of its cost.

No locks: each change of state is one step of the interpreter (a slot deleted, an item set, a list appended), which the
interpreter lock makes whole, and signal handlers and finalisers that use the span they interrupt cannot block. Two
threads that overfill one span at the same moment may drop, and count, one attribute or event more than the limit asks.
"""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.semconv.attributes.exception_attributes import EXCEPTION_ESCAPED

from posemon_otel import clock, faults, redaction
from posemon_otel import operation as operations
from posemon_otel.delivery import values
from posemon_otel.delivery.span_view import UNSET, SpanView
from posemon_otel.delivery.values import logger
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o

if TYPE_CHECKING:
    from posemon_otel.delivery.provider import Tracer

_Status, _StatusCode = trace_api.Status, trace_api.StatusCode


class Span(SpanView, trace_api.Span):
    """A running span; an ended one is what processors read.

    It passes ``isinstance(span, opentelemetry.sdk.trace.Span)``.
    """

    __slots__ = (
        "_monotonic",
        "_on_metrics_end",
        "_open",
        "_raw",
        "_record_exception",
        "_set_status_on_exception",
    )

    def __init__(
        self,
        tracer: "Tracer",
        name: str,
        context: trace_api.SpanContext,
        parent: trace_api.SpanContext | None,
        kind: trace_api.SpanKind,
        attributes: Mapping[str, Any] | None,
        links: Sequence[trace_api.Link] | None,
        start_time: int | None,
        record_exception: bool,
        set_status_on_exception: bool,
        on_metrics_end: Callable[[], None] | None,
    ) -> None:
        """Made by a tracer alone. The base classes' constructors make what is not needed here: they are not called."""
        self.tracer = tracer
        self.operation = None
        self._name = name
        self._context = context
        self._parent = parent
        self._kind = kind
        self._status = UNSET
        self._record_exception = record_exception
        self._set_status_on_exception = set_status_on_exception
        self._on_metrics_end = on_metrics_end
        self._events = []
        self._links = []
        self._event_count = self._link_count = self._dropped = 0
        self._attributes = {}
        self._end_time = None
        self._open = True
        self._raw = False
        try:
            if attributes:
                self._merge(attributes)
            if links:
                self._link_all(links)
        except Exception as exc:  # they would not even say whether they are empty
            faults.fault("setting attributes", exc)
        given = None if start_time is None else values.moment(start_time)
        if given is None:
            self._start_time = clock.wall_ns()
            self._monotonic: int | None = clock.monotonic_ns()
        else:
            self._start_time = given
            self._monotonic = None

    def __repr__(self) -> str:
        return f'{type(self).__name__}(name="{self._name}", context={self._context})'

    # What is written -------------------------------------------------------------------------------------------------

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Sets attributes. A mapping that cannot be read is a warning."""
        target = self._attributes
        if self._end_time is not None:
            logger.warning("Setting attribute on ended span.")
        elif isinstance(attributes, Mapping):
            self._merge(attributes, target)
        elif attributes is not None:
            logger.warning("set_attributes expects a mapping, got %s; nothing is set", type(attributes).__name__)

    def set_attribute(self, key: str, value: Any) -> None:
        """Sets one attribute; a key that is set again moves to the end."""
        # The dictionary first, then the question: `end` puts another in its place after it has answered, so that a
        # thread that is late writes into one that nobody reads any more.
        target = self._attributes
        if self._end_time is not None:
            logger.warning("Setting attribute on ended span.")
        elif isinstance(key, str) and key:
            self._merge({key: value}, target)
        else:
            values.key_of(key)
            self._dropped += 1

    def _merge(self, attributes: Mapping[str, Any], target: dict[str, Any] | None = None) -> None:
        tracer = self.tracer
        if target is None:
            target = self._attributes
        try:
            fit = values.fitness(attributes, tracer.longest_attribute)
            if fit != values.CLEAN:
                self._raw = True  # before they are set: `end` copies first and asks then
            if (
                fit != values.NEEDS_WORK
                and len(target) + len(attributes) <= tracer.most_attributes
                and target.keys().isdisjoint(attributes)
            ):
                target.update(attributes)
            else:
                self._dropped += values.merge(target, attributes, tracer.most_attributes, tracer.longest_attribute)
        except Exception as exc:  # the caller's mapping raised
            faults.fault("setting attributes", exc)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Adds an event; beyond the limit the oldest goes."""
        if self._end_time is not None:
            logger.warning("Tried calling %s on an ended span.", "add_event")
            return
        self._event(name, self._bounded(attributes, self.tracer.most_event_attributes), timestamp)

    def _event(self, name: str, attributes: Any, timestamp: int | None) -> None:
        events = self._events
        self._event_count += 1
        moment = None if timestamp is None else values.moment(timestamp)
        events.append(sdk.Event(values.clean_name(name), attributes, self._now() if moment is None else moment))
        if len(events) > self.tracer.most_events:
            del events[:1]

    def add_link(self, context: trace_api.SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Adds a link; one that says nothing is left out."""
        if self._end_time is not None:
            logger.warning("Tried calling %s on an ended span.", "add_link")
            return
        self._link(context, attributes)

    def _link(self, context: trace_api.SpanContext, attributes: Mapping[str, Any] | None) -> None:
        if not isinstance(context, trace_api.SpanContext):
            return
        bounded = self._bounded(attributes, self.tracer.most_link_attributes)
        if not (context.is_valid or bounded or bounded.dropped or context.trace_state):
            return
        links = self._links
        self._link_count += 1
        links.append(trace_api.Link(context, bounded))
        if len(links) > self.tracer.most_links:
            del links[:1]

    def _link_all(self, links: Sequence[trace_api.Link]) -> None:
        try:
            for link in links:
                if link is not None:
                    self._link(link.context, link.attributes)
        except Exception as exc:  # something that is no link
            faults.fault("reading links", exc)

    def _bounded(self, attributes: Mapping[str, Any] | None, most: int) -> Any:
        """Attributes of an event or link: copied, redacted, within the limits, immutable."""
        return values.bounded(*self._redacted(attributes, most))

    def _redacted(self, attributes: Mapping[str, Any] | None, most: int) -> tuple[dict[str, Any], int]:
        target: dict[str, Any] = {}
        dropped = 0
        try:
            if attributes:
                dropped = values.merge(target, attributes, most, self.tracer.longest_value)
        except Exception as exc:
            faults.fault("setting attributes", exc)
        return values.redacted_all(target), dropped

    def update_name(self, name: str) -> None:
        """Gives it another name."""
        if self._end_time is not None:
            logger.warning("Tried calling %s on an ended span.", "update_name")
        else:
            self._name = name

    def set_status(self, status: trace_api.Status | trace_api.StatusCode, description: str | None = None) -> None:
        """Sets the status: OK is final, UNSET is ignored."""
        if self._end_time is not None:
            logger.warning("Tried calling %s on an ended span.", "set_status")
            return
        code = status.status_code if isinstance(status, _Status) else status
        if not isinstance(code, _StatusCode) or code is _StatusCode.UNSET or self._status.status_code is _StatusCode.OK:
            return
        if isinstance(status, _Status):
            if description is not None:
                logger.warning(
                    "Description %s ignored. Use either `Status` or `(StatusCode, Description)`", description
                )
            self._status = status
        else:
            if description is not None and not isinstance(description, str):
                description = values.clean_text(description)
            self._status = _Status(code, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Records an exception as an event. The operation around it will not write the same event again."""
        if self._end_time is not None:
            logger.warning("Tried calling %s on an ended span.", "record_exception")
            return
        text = redaction.exception_text(exception)
        described: dict[str, Any] = {
            a.EXCEPTION_TYPE: text.type,
            a.EXCEPTION_MESSAGE: text.message,
            a.EXCEPTION_STACKTRACE: text.stacktrace,
            EXCEPTION_ESCAPED: str(escaped),
        }
        given, dropped = self._redacted(attributes, values.UNLIMITED)
        described.update(given)  # the caller's win
        kept: dict[str, Any] = {}
        dropped += values.merge(kept, described, self.tracer.most_event_attributes, self.tracer.longest_value)
        self._event(o.EVENT_EXCEPTION, values.bounded(kept, dropped), timestamp)
        around = self.operation or operations.current()
        if around is not None:
            around.noticed(exception)

    # The end ---------------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        """Where the span's own clock stands: it does not jump when the wall clock is set."""
        if self._monotonic is not None:
            return self._start_time + clock.monotonic_ns() - self._monotonic
        return clock.wall_ns() if self.operation is None else self.operation.now

    def start(self, start_time: int | None = None, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """A span runs from the moment it is made; this warns, as the SDK's does."""
        logger.warning("Calling start() on a started span.")

    def end(self, end_time: int | None = None) -> None:
        """Ends it, once: redacts it, runs the users' processors and hands it on. Never raises.

        Args:
            end_time: Nanoseconds since 1970; the start plus the monotonic duration where it is left out.
        """
        if self.operation is not None and self.operation.running:
            logger.warning("Calling end() on the span of a running operation; it ends with the operation.")
            return
        try:
            del self._open  # of two threads that end it at the same moment, one fails here
        except AttributeError:
            logger.warning("Calling end() on an ended span.")
            return
        if self.operation is not None:
            for event in self.operation.events:
                self._event(event.name, values.bounded(event.attributes, event.dropped), event.time)
        given = None if end_time is None else values.moment(end_time)
        self._end_time = self._now() if given is None else given
        try:
            self._redact()
        except Exception as exc:
            self._dropped += len(self._attributes)
            self._attributes = {}
            faults.fault("redacting a span", exc)
        if self._on_metrics_end is not None:
            try:
                self._on_metrics_end()
            except Exception as exc:
                faults.fault("counting an ended span", exc)
        provider = self.tracer.provider
        if provider.processors.measured:
            provider.processors.on_end(self)
        if provider.on_end_sink is not None:
            try:
                provider.on_end_sink(self)
            except Exception as exc:
                faults.fault("handing on an ended span", exc)

    def redact_start(self) -> None:
        """Redacts what it was started with, where processors are about to read it."""
        if self._raw:
            self._attributes, self._raw = values.redacted_all(self._attributes), False

    def _redact(self) -> None:
        copy = dict(self._attributes)
        if self._raw:
            # An operation's own attributes are cleaned when they are set; others may have added some.
            own = {} if self.operation is None else self.operation.attributes
            if copy != own:
                same = {key: value for key, value in copy.items() if key in own and own[key] is value}
                copy = values.redacted_all(copy) | same
        self._attributes = copy
        self._name = values.clean_name(self._name)
        description = self._status.description
        if description:
            self._status = _Status(self._status.status_code, redaction.scrub_message(description))

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None and self._end_time is None:
            self.failed(exc, record=self._record_exception, status=self._set_status_on_exception, escaped=True)
        self.end()

    def failed(self, exc: BaseException, *, record: bool, status: bool, escaped: bool = False) -> None:
        """States that an exception passed through the span."""
        if record:
            self.record_exception(exc, escaped=escaped)
        if status:
            self.set_status(_Status(_StatusCode.ERROR, f"{type(exc).__name__}: {_message(exc)}"))


sdk.Span.register(Span)


def _message(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:
        return f"<unprintable {type(exc).__name__} object>"
