"""The provider and tracer that stand in for the SDK's: same constructor, same methods, ``isinstance`` holds.

Private hooks of the SDK work as they do there: tracer configurators, and ``_on_ending`` of span processors.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry import metrics as metrics_api
from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from posemon_otel import entries, faults, redaction
from posemon_otel.delivery import _private, limits
from posemon_otel.delivery.current import CurrentSpan
from posemon_otel.delivery.processors import Processors
from posemon_otel.delivery.span import Span
from posemon_otel.timings import Measured, Timing, now_ns

_FLAGS = tuple(trace_api.TraceFlags(flags) for flags in range(4))
"""By number: bit 0 is sampled, bit 1 a random trace id."""

_RECORD_AND_SAMPLE, _DROP = sampling.Decision.RECORD_AND_SAMPLE, sampling.Decision.DROP
_RANDOM_IDS = RandomIdGenerator()
_MOST_TRACE_ID, _MOST_SPAN_ID = (1 << 128) - 1, (1 << 64) - 1
_INTERNAL = trace_api.SpanKind.INTERNAL


class Tracer(sdk.Tracer):
    """Makes spans of one instrumentation scope.

    Attributes:
        provider: What made it.
        scope: Its instrumentation scope.
        number: The scope's number in the journal.
    """

    def __init__(self, provider: "TracerProvider", inner: sdk.Tracer, scope: InstrumentationScope) -> None:
        """Made by the provider alone.

        Args:
            provider: What makes it.
            inner: The SDK's tracer of the same scope.
            scope: Its instrumentation scope.
        """
        self.provider = provider
        self.scope = scope
        given = provider.limits
        super().__init__(
            inner.sampler,
            inner.resource,
            inner.span_processor,
            inner.id_generator,
            inner.instrumentation_info,
            given,
            scope,
            meter_provider=provider.meter_provider,
        )
        self.number = entries.scope_number(
            entries.Scope(
                scope.name,
                scope.version or "",
                scope.schema_url or "",
                redaction.clean_attributes(scope.attributes, foreign=True) if scope.attributes else None,
            )
        )
        self._enabled = _private.enabled(inner)
        self._start_metrics = _private.start_metrics(self)
        self.most_attributes = limits.count(given.max_span_attributes)
        self.longest_attribute = limits.length(given.max_span_attribute_length)
        self.longest_value = limits.length(given.max_attribute_length)
        self.most_events = limits.count(given.max_events)
        self.most_event_attributes = limits.count(given.max_event_attributes)
        self.most_links = limits.count(given.max_links)
        self.most_link_attributes = limits.count(given.max_link_attributes)

    @property
    def resource(self) -> Resource:
        """The provider's: it changes in a forked child."""
        return self.provider.resource

    @resource.setter
    def resource(self, value: Resource) -> None:
        """The SDK's constructor writes it; the provider's own is the truth."""

    def _is_enabled(self) -> bool:
        return self._enabled()

    def start_as_current_span(  # type: ignore[override]
        self,
        name: str,
        context: Context | None = None,
        kind: trace_api.SpanKind = _INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[trace_api.Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> CurrentSpan:
        """As the SDK's: a context manager and decorator that makes the span current."""

        def make() -> trace_api.Span:
            return self.start_span(
                name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
            )

        return CurrentSpan(make, record_exception, set_status_on_exception, end_on_exit)

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: trace_api.SpanKind = _INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[trace_api.Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace_api.Span:
        """As the SDK's. Never raises: what a sampler, id generator or processor raises is a fault of its own."""
        try:
            around = trace_api.get_current_span(context).get_span_context()
        except Exception as exc:  # something that is no context
            faults.fault("reading the parent's context", exc)
            context = None
            around = trace_api.get_current_span().get_span_context()
        if not self._enabled():
            return trace_api.NonRecordingSpan(around)
        parent = around if isinstance(around, trace_api.SpanContext) and around.is_valid else None
        trace_id, span_id, flags = self._ids(parent)
        decision, chosen, state = self._sample(parent, context, trace_id, name, kind, attributes, links)
        if decision is _RECORD_AND_SAMPLE:
            flags |= 1
        made = trace_api.SpanContext(trace_id, span_id, False, _FLAGS[flags], state)
        on_metrics_end = None if self._start_metrics is None else self._start_metrics(parent, decision)
        if decision is _DROP:
            return trace_api.NonRecordingSpan(made)
        span = Span(
            self,
            name,
            made,
            parent,
            kind,
            chosen,
            links,
            start_time,
            record_exception,
            set_status_on_exception,
            on_metrics_end,
        )
        processors = self.provider.processors
        if processors.measured:
            span.redact_start()
            processors.on_start(span, context)
        return span

    def _ids(self, parent: trace_api.SpanContext | None) -> tuple[int, int, int]:
        """Trace id, span id, and the flags that they bring."""
        generator = self.id_generator
        if type(generator) is not RandomIdGenerator:
            measured, begun = self.provider.measured_ids, now_ns()
            try:
                return _ids_of(generator, parent)
            except Exception as exc:
                measured.failed(exc)
            finally:
                measured.took(begun)
            generator = _RANDOM_IDS
        return _ids_of(generator, parent)

    def _sample(
        self,
        parent: trace_api.SpanContext | None,
        context: Context | None,
        trace_id: int,
        name: str,
        kind: trace_api.SpanKind,
        attributes: Mapping[str, Any] | None,
        links: Sequence[trace_api.Link] | None,
    ) -> tuple[sampling.Decision, Mapping[str, Any] | None, trace_api.TraceState | None]:
        """Decision, attributes and trace state. A sampler that raises is passed over: the parent decides."""
        sampler = self.sampler
        if sampler is not sampling.DEFAULT_ON:
            measured, begun = self.provider.measured_sampler, now_ns()
            try:
                result = sampler.should_sample(context, trace_id, name, kind, attributes, links or ())
                return sampling.Decision(result.decision), result.attributes, result.trace_state
            except Exception as exc:
                measured.failed(exc)
            finally:
                measured.took(begun)
        # What the SDK's default sampler answers, without asking it.
        if parent is None:
            return _RECORD_AND_SAMPLE, attributes, None
        sampled = parent.trace_flags & 1
        return (_RECORD_AND_SAMPLE if sampled else _DROP), attributes, parent.trace_state


def _ids_of(generator: IdGenerator, parent: trace_api.SpanContext | None) -> tuple[int, int, int]:
    if parent is None:
        trace_id, flags = generator.generate_trace_id(), 2 if generator.is_trace_id_random() else 0
    else:
        trace_id, flags = parent.trace_id, parent.trace_flags & 2
    span_id = generator.generate_span_id()
    if 0 < trace_id <= _MOST_TRACE_ID and 0 < span_id <= _MOST_SPAN_ID:
        return trace_id, span_id, flags
    raise ValueError(f"ids must have 128 and 64 bits and not be 0, got {trace_id!r} and {span_id!r}")


class TracerProvider(sdk.TracerProvider):
    """Stands in for the SDK's provider.

    Attributes:
        on_end_sink: Takes each span that has ended, after the users' processors.
        processors: The users' span processors.
        measured_sampler: What the sampler costs, where it is not the default one.
        measured_ids: What the id generator costs, where it is not the SDK's.
        limits: Limits of spans.
        meter_provider: Takes ``otel.sdk.span.started`` and ``.live``; the global one where it is ``None``.
    """

    def __init__(
        self,
        sampler: sampling.Sampler | None = None,
        resource: Resource | None = None,
        shutdown_on_exit: bool = True,
        active_span_processor: sdk.SynchronousMultiSpanProcessor | sdk.ConcurrentMultiSpanProcessor | None = None,
        id_generator: IdGenerator | None = None,
        span_limits: sdk.SpanLimits | None = None,
        *,
        meter_provider: metrics_api.MeterProvider | None = None,
        **hooks: Any,
    ) -> None:
        """As the SDK's, private ``hooks`` too; a limit's variable that is wrong gives one line and the default."""
        self.on_end_sink: Callable[[Span], None] | None = None
        self.processors = Processors(active_span_processor)
        self.limits = span_limits or limits.from_environment()
        self.meter_provider = meter_provider
        self._ours: dict[sdk.Tracer, Tracer] = {}
        super().__init__(
            sampler,
            resource,
            shutdown_on_exit,
            active_span_processor or self.processors,
            id_generator,
            self.limits,
            meter_provider=meter_provider,
            **hooks,
        )
        self.measured_sampler = Measured("the sampler", self.sampler)
        self.measured_ids = Measured("the id generator", self.id_generator)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> trace_api.Tracer:
        """The tracer of a scope, the same for the same scope."""
        inner = super().get_tracer(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)
        if not isinstance(inner, sdk.Tracer):
            return inner  # the SDK is disabled
        ours = self._ours.get(inner)
        if ours is None:
            name = instrumenting_module_name or ""
            scope = InstrumentationScope(name, instrumenting_library_version or "", schema_url, attributes)
            # Of two threads that ask first, one makes the tracer that both get.
            ours = self._ours.setdefault(inner, Tracer(self, inner, scope))
        return ours

    def shutdown(self) -> None:
        """Shuts the processors down. Never raises."""
        try:
            super().shutdown()
        except Exception as exc:
            faults.fault("shutting the span processors down", exc)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Has the processors flush; False where the time was up or one failed."""
        try:
            return super().force_flush(timeout_millis)
        except Exception as exc:
            faults.fault("flushing the span processors", exc)
            return False

    def timings(self) -> list[Timing]:
        """What the users' span processors, sampler and id generator have cost so far."""
        others = (self.measured_sampler.timing(), self.measured_ids.timing())
        return self.processors.timings() + [one for one in others if one.calls]
