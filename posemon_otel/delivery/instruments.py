"""The registry's metrics as plain SDK instruments, fed with finished operations and events."""

import math
from collections.abc import Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Meter

from posemon_otel.delivery import drops, wire
from posemon_otel.delivery.otlp import decode
from posemon_otel.delivery.shipper import Entry
from posemon_otel.entries import Event, Finish
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import errors as e
from posemon_otel.semconv import metrics as m
from posemon_otel.semconv import operations as o

_SCALARS = frozenset((str, bool, int, float))
_EXACT = 2**53

_MAKERS = {m.COUNTER: "create_counter", m.UP_DOWN_COUNTER: "create_up_down_counter", m.HISTOGRAM: "create_histogram"}


class Instruments:
    """The registry's metrics as instruments of one meter."""

    def __init__(self, meter: Meter) -> None:
        self._by_name: dict[str, Any] = {}
        self._series: dict[str, set[frozenset[tuple[str, Any]]]] = {}
        for metric in m.METRICS:
            if metric in m.OBSERVED:
                continue
            more = {"explicit_bucket_boundaries_advisory": metric.buckets} if metric.buckets else {}
            make = getattr(meter, _MAKERS[metric.instrument])
            self._by_name[metric.name] = make(metric.name, metric.unit, metric.meaning, **more)
            self._series[metric.name] = set()

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

    def begin_anew(self) -> None:
        """In a forked child, whose points are gone: the parent's series are not the child's."""
        for known in self._series.values():
            known.clear()
        self.zeros()

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
        """Makes the point of an event. A type that is free text, and not a name, is counted under one name."""
        type_ = o.EVENT_PERSISTED if event.name == o.EVENT_PERSISTED else event.type
        self._add(m.EVENTS, 1, {a.EVENT_TYPE: type_}, _context(event.trace_id, event.span_id, event.flags))

    def _add(self, metric: m.Metric, value: Any, attributes: dict[str, Any], context: Context | None = None) -> None:
        number = _number(value)
        if number is None or (number < 0 and metric.instrument != m.UP_DOWN_COUNTER):
            drops.count("metrics", "no_number")
            drops.say_once(f"{metric.name}: a value that is no number, or negative, is not counted")
            return
        value = number
        attributes = {key: part if type(part) in _SCALARS else str(part) for key, part in attributes.items()}
        self._watch_series(metric.name, attributes)
        instrument = self._by_name[metric.name]
        if metric.instrument == m.HISTOGRAM:
            instrument.record(value, attributes, context=context)
        else:
            instrument.add(value, attributes, context=context)

    def _watch_series(self, name: str, attributes: dict[str, Any]) -> None:
        """Counts what the SDK adds to its overflow series; a view without the attribute may still tell it apart."""
        known, key = self._series[name], frozenset(attributes.items())
        if key in known:
            return
        if len(known) < m.SERIES_LIMIT:
            known.add(key)
        else:
            drops.count("metrics", "series_limit")
            drops.say_once(
                f"{name} has more than {m.SERIES_LIMIT} sets of attributes; what is beyond is counted in one series,"
                " otel.metric.overflow. An attribute holds ids or the like"
            )


def _number(value: Any) -> float | None:
    """What an instrument takes: one that is no number or not finite would fail the export of every metric with it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value) if abs(value) > _EXACT else value  # sums of larger integers outgrow 64 bits


def replay_entries(instruments: Instruments, entries: Sequence[Entry]) -> None:
    """Replays a batch of entries of a journal."""
    for tag, payload in entries:
        if tag == wire.FINISH:
            finish = decode(tag, payload, "metrics")
            if finish is not None:
                instruments.replay(finish)
        elif tag == wire.EVENT:
            event = decode(tag, payload, "metrics")
            if event is not None:
                instruments.count(event)


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
