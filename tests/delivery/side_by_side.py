"""The same calls on the SDK's provider and on ours, with the same ids and clock: whole exported spans compared."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from opentelemetry import trace as trace_api
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from posemon_otel import clock
from posemon_otel.delivery.provider import TracerProvider
from posemon_otel.delivery.readable import finish_of, to_readable
from posemon_otel.entries import Finish

RESOURCE = Resource({"service.name": "tests", "service.instance.id": "one"})
START = 1_700_000_000_000_000_000


class FixedIds(IdGenerator):
    """1, 2, 3 ..."""

    def __init__(self, random: bool = True) -> None:
        self.last = 0
        self.random = random

    def generate_span_id(self) -> int:
        self.last += 1
        return self.last

    def generate_trace_id(self) -> int:
        self.last += 1
        return (0xABC << 100) + self.last

    def is_trace_id_random(self) -> bool:
        return self.random


class Time:
    """A clock that stands until it is told to go."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def tick(self, nanoseconds: int = 1_000_000) -> None:
        self.now += nanoseconds


Scenario = Callable[[trace_api.Tracer, Time], Any]
Spans = list[dict[str, Any]]


def of_sdk(monkeypatch: Any, scenario: Scenario, **given: Any) -> Spans:
    """Spans that the SDK exports."""
    time = Time()
    monkeypatch.setattr(sdk, "time_ns", time)
    return _run(sdk.TracerProvider, scenario, time, given)[0]


def of_ours(scenario: Scenario, **given: Any) -> Spans:
    """Spans that our provider exports; that the journal's entries say the same is asserted on the way."""
    time = Time()
    clock.use(time, time)
    finishes: list[tuple[Finish, InstrumentationScope]] = []

    def make(**arguments: Any) -> TracerProvider:
        provider = TracerProvider(**arguments)
        provider.on_end_sink = lambda span: finishes.append((finish_of(span), span.instrumentation_scope))
        return provider

    exported, resource = _run(make, scenario, time, given)
    journal = [
        plain(to_readable(stored(finish), resource, {finish.scope: scope}))
        for finish, scope in finishes
        if finish.flags & 1
    ]
    for before, after in zip(exported, journal, strict=True):
        assert as_lists(before) == as_lists(after)
    return exported


def stored(finish: Finish) -> Finish:
    """The entry, written and read back."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(finish), type=Finish)


def _run(
    make: Callable[..., sdk.TracerProvider], scenario: Scenario, time: Time, given: Mapping[str, Any]
) -> tuple[Spans, Resource]:
    exporter = InMemorySpanExporter()
    arguments = {"resource": RESOURCE, "id_generator": FixedIds(), "shutdown_on_exit": False}
    provider = make(**(arguments | {name: value() if callable(value) else value for name, value in given.items()}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    scenario(provider.get_tracer("tests", "1.0", "https://example.org/schema", {"scope.key": "scope value"}), time)
    return [plain(span) for span in exporter.get_finished_spans()], provider.resource


def plain(span: sdk.ReadableSpan) -> dict[str, Any]:
    """Everything that can be read of a span."""
    scope = span.instrumentation_scope
    return {
        "name": span.name,
        "context": _context(span.context),
        "parent": None if span.parent is None else (span.parent.trace_id, span.parent.span_id, span.parent.is_remote),
        "kind": span.kind,
        "times": (span.start_time, span.end_time),
        "status": (span.status.status_code, span.status.description or None),
        "attributes": list((span.attributes or {}).items()),
        "events": [(e.name, e.timestamp, _attributes(e.attributes), e.dropped_attributes) for e in span.events],
        "links": [(_context(one.context), _attributes(one.attributes), one.dropped_attributes) for one in span.links],
        "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
        "resource": dict(span.resource.attributes),
        "scope": scope and (scope.name, scope.version, scope.schema_url, dict(scope.attributes or {})),
        "json": _json(span),
    }


def _context(context: trace_api.SpanContext | None) -> Any:
    return context and (context.trace_id, context.span_id, context.trace_flags, dict(context.trace_state))


def _attributes(attributes: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    return [
        # The text of a traceback is made differently: without carets, and scrubbed.
        (key, value.splitlines()[-1:] if key == "exception.stacktrace" else value)
        for key, value in (attributes or {}).items()
    ]


def _json(span: sdk.ReadableSpan) -> Any:
    made = json.loads(span.to_json())
    for event in made["events"]:
        event["attributes"].pop("exception.stacktrace", None)
    return made


def as_lists(value: Any) -> Any:
    """Tuples as lists, at every level: the journal does not tell them apart."""
    if isinstance(value, (list, tuple)):
        return [as_lists(part) for part in value]
    if isinstance(value, Mapping):
        return {key: as_lists(part) for key, part in value.items()}
    return value
