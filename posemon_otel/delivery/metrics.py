"""Metrics: finished operations are replayed from the journal into plain SDK instruments, off the calling thread.

An observable instrument's callback drains the journal first, and the SDK runs callbacks before it collects: every
collection of every reader is complete. The position moves when a collection was exported, so that what a dead process
had not exported is replayed by whoever adopts its journal.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource

from posemon_otel import faults
from posemon_otel.delivery import drops, quiet, wire
from posemon_otel.delivery.otlp import decode
from posemon_otel.delivery.shipper import Entry
from posemon_otel.entries import Event, Finish
from posemon_otel.journal import Journal, Position
from posemon_otel.semconv import SCHEMA_URL, SCOPE
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import errors as e
from posemon_otel.semconv import metrics as m
from posemon_otel.semconv import operations as o
from posemon_otel.version import __version__

CONSUMER = "metrics"
_READ_BYTES, _READ_ENTRIES = 4 * 1024 * 1024, 10_000
_MAKERS = {m.COUNTER: "create_counter", m.UP_DOWN_COUNTER: "create_up_down_counter", m.HISTOGRAM: "create_histogram"}
_OBSERVED = frozenset((m.GENERATION_ACTIVE.name, m.QUEUE_DEPTH.name, m.DROPPED.name))


class Instruments:
    """The registry's metrics as instruments of one meter."""

    def __init__(self, meter: Meter) -> None:
        self._by_name: dict[str, Any] = {}
        for metric in m.METRICS:
            if metric.name in _OBSERVED:
                continue
            more = {"explicit_bucket_boundaries_advisory": metric.buckets} if metric.buckets else {}
            make = getattr(meter, _MAKERS[metric.instrument])
            self._by_name[metric.name] = make(metric.name, metric.unit, metric.meaning, **more)

    def zeros(self) -> None:
        """Lets every status and error type be seen before it first happens: a first failure is then an increase."""
        add = self._add
        for status in o.TERMINAL_STATUSES:
            if status != o.FAILED:
                add(m.GENERATIONS, 0, {a.GENERATION_STATUS: status})
        for outcome in o.OUTCOMES:
            if outcome not in o.FAILED_OUTCOMES:
                add(m.POSES, 0, {a.OUTCOME: outcome})
        for error in e.ErrorType:
            outcome = o.TIMEOUT if error is e.ErrorType.TIMEOUT_ERROR else o.ERROR
            add(m.GENERATIONS, 0, {a.GENERATION_STATUS: o.FAILED, a.ERROR_TYPE: error.value})
            add(m.POSES, 0, {a.OUTCOME: outcome, a.ERROR_TYPE: error.value})
            for reason in e.VALID_REASONS[error]:
                for component in e.COMPONENTS_OF[error]:
                    add(m.ERRORS, 0, {a.ERROR_TYPE: error.value, a.ERROR_REASON: reason, a.COMPONENT: component})

    def replay(self, finish: Finish) -> None:
        """Makes the points of one finished operation."""
        made_of = m.BY_KIND.get(finish.kind, ())
        if not finish.terminal or (not made_of and finish.error is None):
            return
        context = _context(finish.trace_id, finish.span_id, finish.flags)
        own = finish.attributes
        for metric in made_of:
            if metric.only and finish.outcome not in metric.only:
                continue
            values = finish.facts.get(m.STEPS, ()) if metric.value == m.STEPS else (_value(metric.value, finish),)
            for value in values:
                if value is not None:
                    self._add(metric, value, {key: own[key] for key in metric.attributes if key in own}, context)
        if finish.error is not None and not finish.error.recorded and finish.outcome in o.FAILED_OUTCOMES:
            self._add(m.ERRORS, 1, {key: own[key] for key in m.ERRORS.attributes if key in own}, context)

    def count(self, event: Event) -> None:
        """Makes the point of an event."""
        self._add(m.EVENTS, 1, {a.EVENT_TYPE: event.type}, _context(event.trace_id, event.span_id, event.flags))

    def _add(self, metric: m.Metric, value: float, attributes: dict[str, Any], context: Context | None = None) -> None:
        instrument = self._by_name[metric.name]
        if metric.instrument == m.HISTOGRAM:
            instrument.record(value, attributes, context=context)
        else:
            instrument.add(value, attributes, context=context)


def _value(source: str, finish: Finish) -> Any:
    if source == m.DURATION:
        return finish.seconds
    return 1 if source == m.ONE else finish.attributes.get(source)


def _context(trace_id: bytes, span_id: int, flags: int) -> Context:
    """A context with the operation's span: its trace id becomes the exemplar's."""
    if not trace_id:
        return Context()
    known = trace.SpanContext(
        int.from_bytes(trace_id, "big"), span_id, is_remote=False, trace_flags=trace.TraceFlags(flags)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(known), Context())


class Replay:
    """This process's metrics, drained from its own journal before every collection."""

    def __init__(self, own: Callable[[], Journal | None], active: Callable[[], int]) -> None:
        self._own = own
        self._active = active
        self._lock = threading.Lock()
        self._next: Position | None = None
        self._collected = threading.local()
        self._instruments: Instruments | None = None

    def attach(self, provider: Any) -> None:
        """Makes the instruments with ``provider`` and lets its collections drain the journal."""
        meter = provider.get_meter(SCOPE, __version__, SCHEMA_URL)
        self._instruments = Instruments(meter)
        self._instruments.zeros()
        observe(meter, self._observe_active)

    def drain(self) -> None:
        """Replays what is new in the journal. The caller's thread remembers how far, for ``exported``."""
        with self._lock:
            own = self._own()
            if own is None or self._instruments is None:
                return
            while True:
                batch = own.read(CONSUMER, max_bytes=_READ_BYTES, max_entries=_READ_ENTRIES, start=self._next)
                replay_entries(self._instruments, batch.entries)
                self._next = batch.position
                if not batch.entries:
                    break
            self._collected.position = self._next

    def exported(self) -> None:
        """Moves the position to where this thread's collection had drained: the receiver has it."""
        own, position = self._own(), getattr(self._collected, "position", None)
        if own is not None and position is not None:
            own.acknowledge(CONSUMER, position)

    def _observe_active(self, _options: CallbackOptions) -> Iterable[Observation]:
        try:
            self.drain()
        except Exception as exc:
            faults.fault("replaying metrics from the journal", exc)
        return [Observation(self._active())]


def observe(meter: Meter, active: Callable[[CallbackOptions], Iterable[Observation]]) -> None:
    """Makes the observed instruments. ``active``'s is the first: callbacks run in the order in which they were made."""
    running, dropped = m.GENERATION_ACTIVE, m.DROPPED
    meter.create_observable_up_down_counter(running.name, [active], running.unit, running.meaning)
    meter.create_observable_counter(dropped.name, [_observe_dropped], dropped.unit, dropped.meaning)


def _observe_dropped(_options: CallbackOptions) -> Iterable[Observation]:
    counted = drops.counts()
    return [Observation(items, {"signal": signal, "reason": reason}) for (signal, reason), items in counted.items()]


def replay_entries(instruments: Instruments, entries: Sequence[Entry]) -> None:
    """Replays a batch."""
    for tag, payload in entries:
        if tag == wire.FINISH:
            finish = decode(tag, payload, CONSUMER)
            if finish is not None:
                instruments.replay(finish)
        elif tag == wire.EVENT:
            event = decode(tag, payload, CONSUMER)
            if event is not None:
                instruments.count(event)


class Acknowledging(MetricExporter):
    """Tells ``Replay`` when the receiver has taken a collection; an outage is two lines, not one an interval."""

    def __init__(self, inner: Any, replay: Replay) -> None:
        super().__init__(inner._preferred_temporality, inner._preferred_aggregation)  # noqa: SLF001 - no public form
        self._inner = inner
        self._replay = replay
        self._failing = False
        self.delivered = 0
        """Collections that the receiver has taken."""

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: Any) -> MetricExportResult:
        with quiet.within():
            result: MetricExportResult = self._inner.export(metrics_data, timeout_millis=timeout_millis, **more)
        failed = result is not MetricExportResult.SUCCESS
        if not failed:
            self.delivered += 1
            self._replay.exported()
        if failed != self._failing:
            self._failing = failed
            faults.logger.warning(
                "metrics cannot be delivered; counts go on" if failed else "metrics are delivered again"
            )
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return bool(self._inner.force_flush(timeout_millis))

    def shutdown(self, timeout_millis: float = 30_000, **more: Any) -> None:
        self._inner.shutdown(timeout_millis, **more)


class Inherited:
    """The consumer of dead processes' metrics: their rest goes out under their own Resource."""

    name = CONSUMER
    dead_only = True
    batch_entries = _READ_ENTRIES

    def __init__(self, make_exporter: Callable[[], Any]) -> None:
        self._make_exporter = make_exporter

    def deliver(self, journal: Journal, entries: Sequence[Entry]) -> bool:
        if not any(tag in (wire.FINISH, wire.EVENT) for tag, _ in entries):
            return True
        exporter = _Once(self._make_exporter())
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
        provider = MeterProvider([reader], Resource(journal.head.get("resource", {})), shutdown_on_exit=False)
        try:
            replay_entries(Instruments(provider.get_meter(SCOPE, __version__, SCHEMA_URL)), entries)
            reader.collect()
            return exporter.succeeded
        finally:
            provider.shutdown()

    def close(self) -> None:
        """Each delivery has a connection of its own, closed with it."""


class _Once(MetricExporter):
    """Remembers whether the one collection went through."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner._preferred_temporality, inner._preferred_aggregation)  # noqa: SLF001 - no public form
        self._inner = inner
        self.succeeded = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: Any) -> MetricExportResult:
        if self.succeeded:  # the collection that a shutdown makes has nothing new
            return MetricExportResult.SUCCESS
        result: MetricExportResult = self._inner.export(metrics_data, timeout_millis=timeout_millis, **more)
        self.succeeded = result is MetricExportResult.SUCCESS
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return bool(self._inner.force_flush(timeout_millis))

    def shutdown(self, timeout_millis: float = 30_000, **more: Any) -> None:
        self._inner.shutdown(timeout_millis, **more)
