"""The rows of `test_compliance`: section, feature, check, and what the provider is made with."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled, suppress_instrumentation
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.delivery.side_by_side import FixedIds
from tests.delivery.worlds import World

Check = Callable[[World], None]
ROWS: list[tuple[str, str, Check, dict[str, Callable[[], Any]]]] = []


def row(section: str, *features: str, **given: Callable[[], Any]) -> Callable[[Check], Check]:
    """Registers the check of one or more rows; `given` makes arguments of the provider."""

    def register(check: Check) -> Check:
        ROWS.extend((section, feature, check, given) for feature in features)
        return check

    return register


# TracerProvider ------------------------------------------------------------------------------------------------------


@row("TracerProvider", "Create TracerProvider", resource=lambda: Resource({"service.name": "created"}))
def creates(world: World) -> None:
    assert isinstance(world.provider, (sdk.TracerProvider, trace_api.TracerProvider))
    assert trace_api.get_tracer_provider() is world.provider
    world.tracer.start_span("span").end()
    assert world.span().resource.attributes["service.name"] == "created"


@row("TracerProvider", "Get a Tracer", "Get a Tracer with schema_url", "Get a Tracer with scope attributes")
def gets_tracers(world: World) -> None:
    for number, arguments in enumerate(
        (("a",), ("b", "2.0"), ("c", None, "https://x.org/1"), ("d", "1", None, {"k": 1}))
    ):
        tracer = world.provider.get_tracer(*arguments)  # type: ignore[arg-type]
        assert isinstance(tracer, trace_api.Tracer)
        tracer.start_span(f"span {number}").end()
    scopes = [span.instrumentation_scope for span in world.spans()]
    assert [(s.name, s.version or None, s.schema_url or None, dict(s.attributes or {})) for s in scopes if s] == [
        ("a", None, None, {}),
        ("b", "2.0", None, {}),
        ("c", None, "https://x.org/1", {}),
        ("d", "1", None, {"k": 1}),
    ]


@row("TracerProvider", "Associate Tracer with InstrumentationScope")
@row("Sampling", "Fetch InstrumentationScope from ReadableSpan")
def knows_its_scope(world: World) -> None:
    world.tracer.start_span("span").end()
    scope = world.span().instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.version, scope.schema_url) == ("tests", "1.0", "https://example.org/schema")
    assert dict(scope.attributes or {}) == {"scope.key": "scope value"}


@row("TracerProvider", "Safe for concurrent calls")
@row("Tracer", "Safe for concurrent calls")
def is_used_by_many_threads(world: World) -> None:
    def work(number: int) -> None:
        for turn in range(25):
            with world.provider.get_tracer("shared").start_as_current_span(f"outer {number} {turn}") as outer:
                with world.provider.get_tracer(f"scope {turn % 3}").start_as_current_span("inner") as inner:
                    assert inner.parent.span_id == outer.get_span_context().span_id  # type: ignore[attr-defined]

    in_threads(work)
    spans = world.spans()
    assert len(spans) == 4 * 25 * 2
    assert len({span.context.span_id for span in spans if span.context}) == len(spans)


@row("TracerProvider", "Shutdown (SDK only required)")
def shuts_down(world: World) -> None:
    recorder = Recorder()
    world.provider.add_span_processor(recorder)
    world.provider.shutdown()
    assert recorder.calls == ["shutdown"]


@row("TracerProvider", "ForceFlush (SDK only required)")
def flushes(world: World) -> None:
    recorder = Recorder()
    world.provider.add_span_processor(recorder)
    assert world.provider.force_flush(1000) is True
    recorder.answer = False
    assert world.provider.force_flush(1000) is False
    assert recorder.calls == ["force_flush"] * 2


# Context, tracer, span context ---------------------------------------------------------------------------------------


@row("Trace / Context interaction", "Get active Span", "Set active Span")
@row("Tracer", "Get active Span", "Mark Span active")
def has_an_active_span(world: World) -> None:
    assert trace_api.get_current_span() is trace_api.INVALID_SPAN
    span = world.tracer.start_span("span")
    assert trace_api.get_current_span() is trace_api.INVALID_SPAN
    context = trace_api.set_span_in_context(span)
    assert trace_api.get_current_span(context) is span
    token = context_api.attach(context)
    assert trace_api.get_current_span() is span
    context_api.detach(token)
    with trace_api.use_span(span, end_on_exit=True):
        assert trace_api.get_current_span() is span
    with world.tracer.start_as_current_span("current") as current:
        assert trace_api.get_current_span() is current
    assert trace_api.get_current_span() is trace_api.INVALID_SPAN
    assert [span.name for span in world.spans()] == ["span", "current"]


@row("Tracer", "Create a new Span", "Documentation defines adding attributes at span creation as preferred")
def creates_a_span(world: World) -> None:
    sampled = Sampled(sampling.Decision.RECORD_AND_SAMPLE)
    world.tracer.sampler = sampled  # type: ignore[attr-defined]
    world.tracer.start_span("span", kind=SpanKind.PRODUCER, attributes={"given": "at the start"}).end()
    assert world.span().kind is SpanKind.PRODUCER
    assert world.attributes() == {"from": "the sampler", "given": "at the start"}
    assert sampled.asked[0][4] == {"given": "at the start"}, "the sampler saw them"


@row("SpanContext", "IsValid", "IsRemote")
def has_a_span_context(world: World) -> None:
    remote = SpanContext(11, 12, is_remote=True, trace_flags=TraceFlags(1))
    context = trace_api.set_span_in_context(trace_api.NonRecordingSpan(remote))
    with world.tracer.start_as_current_span("span", context=context) as span:
        own = span.get_span_context()
        assert own.is_valid
        assert not own.is_remote
        assert own.trace_id == 11
        world.tracer.start_span("child").end()
    assert not SpanContext(0, 0, is_remote=False).is_valid
    parent, child = world.span().parent, world.span("child").parent
    assert parent is not None
    assert parent.is_remote
    assert child is not None
    assert not child.is_remote


@row("SpanContext", "Conforms to the W3C TraceContext spec")
def travels_as_w3c_says(world: World) -> None:
    propagator = TraceContextTextMapPropagator()
    came = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1,b=2"}
    with world.tracer.start_as_current_span("span", context=propagator.extract(came)) as span:
        goes: dict[str, str] = {}
        propagator.inject(goes)
        own = span.get_span_context()
    assert goes["traceparent"] == f"00-0af7651916cd43dd8448eb211c80319c-{own.span_id:016x}-01"
    assert goes["tracestate"] == "a=1,b=2"
    arrived = world.span().context
    assert arrived is not None
    assert arrived.trace_state.to_header() == "a=1,b=2"
    assert arrived.trace_id == 0x0AF7651916CD43DD8448EB211C80319C


# Span ----------------------------------------------------------------------------------------------------------------


@row("Span", "Create root span", "No explicit parent Span/SpanContext allowed")
def creates_a_root(world: World) -> None:
    with world.tracer.start_as_current_span("around"):
        world.tracer.start_span("span", context=Context()).end()
    with pytest.raises(TypeError):
        world.tracer.start_span("span", parent=trace_api.INVALID_SPAN)  # type: ignore[call-arg]
    assert world.span().parent is None
    assert world.span().context.trace_id != world.span("around").context.trace_id  # type: ignore[union-attr]


@row("Span", "Create with default parent (active span)", "Create with parent from Context")
def takes_its_parent(world: World) -> None:
    with world.tracer.start_as_current_span("active") as active:
        world.tracer.start_span("below the active").end()
    other = world.tracer.start_span("other")
    with world.tracer.start_as_current_span("active again"):
        world.tracer.start_span("below the other", context=trace_api.set_span_in_context(other)).end()
    other.end()
    for name, parent in (("below the active", active), ("below the other", other)):
        found = world.span(name)
        assert found.parent is not None
        assert found.parent.span_id == parent.get_span_context().span_id
        assert found.context.trace_id == parent.get_span_context().trace_id  # type: ignore[union-attr]


@row("Span", "SpanProcessor.OnStart receives parent Context")
def tells_processors_the_context(world: World) -> None:
    recorder = Recorder()
    world.provider.add_span_processor(recorder)
    context = context_api.set_value("key", "value")
    span = world.tracer.start_span("span", context=context)
    assert recorder.started == [(span, context)]
    span.set_attribute("after", "the start")
    span.end()
    assert [ended.name for ended in recorder.ended] == ["span"]
    assert world.attributes() == {"set by a processor": 1, "after": "the start"}


@row("Span", "UpdateName")
def gets_another_name(world: World) -> None:
    with world.tracer.start_span("before") as span:
        span.update_name("span")
    assert world.span().name == "span"


@row("Span", "User-defined start timestamp", "End", "End with timestamp")
def starts_and_ends(world: World) -> None:
    world.tracer.start_span("given", start_time=5).end(end_time=9)
    world.tracer.start_span("at 0", start_time=0).end(end_time=0)
    span = world.tracer.start_span("once")
    span.end()
    span.end(end_time=7)
    assert [(s.name, s.start_time, s.end_time) for s in world.spans()[:2]] == [("given", 5, 9), ("at 0", 0, 0)]
    once = world.span("once")
    assert once.start_time is not None
    assert once.end_time is not None
    assert once.end_time >= once.start_time > 1_700_000_000_000_000_000


@row("Span", "IsRecording", "IsRecording becomes false after End")
def says_whether_it_records(world: World) -> None:
    span = world.tracer.start_span("span", attributes={"a": 1})
    assert span.is_recording()
    span.end()
    assert not span.is_recording()
    span.set_attribute("a", 2)
    span.add_event("late")
    span.add_link(OTHER)
    span.update_name("late")
    span.set_status(StatusCode.ERROR)
    span.record_exception(ValueError("late"))
    arrived = world.span()
    assert (world.attributes(), arrived.events, arrived.links) == ({"a": 1}, (), ())
    assert arrived.status.status_code is StatusCode.UNSET


@row("Span", "Set status with StatusCode (Unset, Ok, Error)")
def has_a_status(world: World) -> None:
    steps: dict[str, tuple[list[Any], tuple[StatusCode, str | None]]] = {
        "none": ([], (StatusCode.UNSET, None)),
        "ok": ([StatusCode.OK], (StatusCode.OK, None)),
        "error": ([Status(StatusCode.ERROR, "why")], (StatusCode.ERROR, "why")),
        "ok is final": ([StatusCode.OK, Status(StatusCode.ERROR, "late")], (StatusCode.OK, None)),
        "ok overrides": ([Status(StatusCode.ERROR, "why"), StatusCode.OK], (StatusCode.OK, None)),
        "the last error": ([Status(StatusCode.ERROR, "1"), Status(StatusCode.ERROR, "2")], (StatusCode.ERROR, "2")),
        "unset is ignored": ([Status(StatusCode.ERROR, "why"), StatusCode.UNSET], (StatusCode.ERROR, "why")),
        "described ok": ([Status(StatusCode.OK, "said")], (StatusCode.OK, None)),
    }
    for name, (statuses, _) in steps.items():
        with world.tracer.start_span(name) as span:
            for status in statuses:
                span.set_status(status)
    found = {span.name: (span.status.status_code, span.status.description) for span in world.spans()}
    assert found == {name: expected for name, (_, expected) in steps.items()}


@row("Span", "Safe for concurrent calls")
@row("Span events", "Safe for concurrent calls")
def is_written_by_many_threads(world: World) -> None:
    span = world.tracer.start_span("span")

    def work(number: int) -> None:
        for turn in range(25):
            span.set_attribute(f"key {number} {turn}", turn)
            span.add_event(f"event {number} {turn}", {"turn": turn})
            span.add_link(SpanContext(5, 1 + turn, is_remote=False))

    in_threads(work)
    span.end()
    arrived = world.span()
    assert len(arrived.attributes or {}) == len({event.name for event in arrived.events}) == len(arrived.links) == 100


@row(
    "Span",
    "events collection size limit",
    "attribute collection size limit",
    "links collection size limit",
    span_limits=lambda: SpanLimits(
        max_span_attributes=2, max_events=2, max_links=2, max_event_attributes=1, max_link_attributes=1
    ),
)
@row("Sampling", "SpanLimits", span_limits=lambda: SpanLimits(2, 2, 2, None, 1, 1))
def is_bounded(world: World) -> None:
    with world.tracer.start_span("span") as span:
        for number in range(4):
            span.set_attribute(f"key {number}", number)
            span.add_event(f"event {number}", {"a": 1, "b": 2})
            span.add_link(SpanContext(5, 1 + number, is_remote=False), {"a": 1, "b": 2})
    arrived = world.span()
    assert world.attributes() == {"key 2": 2, "key 3": 3}
    assert [event.name for event in arrived.events] == ["event 2", "event 3"]
    assert [link.context.span_id for link in arrived.links] == [3, 4]
    assert [dict(one.attributes or {}) for one in (*arrived.events, *arrived.links)] == [{"b": 2}] * 4
    assert (arrived.dropped_attributes, arrived.dropped_events, arrived.dropped_links) == (2, 2, 2)


@row("Sampling", "Attribute Limits", span_limits=lambda: SpanLimits(max_attribute_length=4))
def bounds_values(world: World) -> None:
    with world.tracer.start_span("span", attributes={"text": "123456", "texts": ["123456", "1"], "number": 123456}):
        trace_api.get_current_span()
    assert world.attributes() == {"text": "1234", "texts": ["1234", "1"], "number": 123456}


# Attributes ----------------------------------------------------------------------------------------------------------


@row(
    "Span attributes",
    "SetAttribute",
    "String type",
    "Boolean type",
    "Double floating-point type",
    "Signed int64 type",
    "Array of primitives (homogeneous)",
)
def takes_every_type(world: World) -> None:
    given: dict[str, Any] = {
        "text": "a",
        "empty": "",
        "flag": True,
        "real": 0.5,
        "whole": 3,
        "least": -(2**63),
        "most": 2**63 - 1,
        "texts": ["a", "b"],
        "flags": [True, False],
        "reals": [0.5, 1.0],
        "wholes": [1, 2],
        "none": [],
    }
    with world.tracer.start_span("span") as span:
        for key, value in given.items():
            span.set_attribute(key, value)
        span.set_attribute("text", "set again")
    found = world.attributes()
    assert found == given | {"text": "set again"}
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in given.items()}


@row("Span attributes", "`null` values documented as invalid/undefined")
def takes_null(world: World) -> None:
    with world.tracer.start_span("span", attributes={"null": None, "kept": 1}) as span:
        span.set_attribute("also null", None)
    assert world.attributes()["kept"] == 1
    assert {key for key, value in world.attributes().items() if value is not None} == {"kept"}


@row("Span attributes", "Unicode support for keys and string values")
def takes_unicode(world: World) -> None:
    given = {"größe": "日本語", "ключ": "🎨🖌️", "emoji 🎨": ["ä", "é"]}
    world.tracer.start_span("bild 🎨", attributes=given).end()
    assert world.attributes("bild 🎨") == given


# Links, events, exceptions -------------------------------------------------------------------------------------------

OTHER = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("k", "v")]))


@row(
    "Span linking",
    "Links can be recorded on span creation",
    "Links can be recorded after span creation",
    "Links order is preserved",
)
def has_links(world: World) -> None:
    first = SpanContext(1, 1, is_remote=False)
    invalid = SpanContext(0, 0, is_remote=False)
    with world.tracer.start_span("span", links=[Link(first, {"n": 1}), Link(OTHER, {"n": 2})]) as span:
        span.add_link(SpanContext(2, 2, is_remote=False), {"n": 3})
        span.add_link(invalid)
        span.add_link(invalid, {"n": 4})
    links = world.span().links
    assert [(link.context.trace_id, link.context.span_id) for link in links] == [(1, 1), (5, 6), (2, 2), (0, 0)]
    assert [dict(link.attributes or {}) for link in links] == [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]
    assert links[1].context.trace_state.to_header() == "k=v"
    assert links[1].context.trace_flags == 1


@row("Span events", "AddEvent", "Add order preserved")
def has_events(world: World) -> None:
    with world.tracer.start_span("span") as span:
        span.add_event("now")
        span.add_event("with attributes", {"a": [1, 2], "b": "c"})
        span.add_event("earlier", None, timestamp=7)
    events = world.span().events
    assert [event.name for event in events] == ["now", "with attributes", "earlier"]
    assert {key: list(v) if isinstance(v, tuple) else v for key, v in (events[1].attributes or {}).items()} == {
        "a": [1, 2],
        "b": "c",
    }
    assert events[2].timestamp == 7
    assert events[0].timestamp <= events[1].timestamp


class OwnError(Exception):
    pass


@row("Span exceptions", "RecordException", "RecordException with extra parameters")
def records_exceptions(world: World) -> None:
    def fail() -> None:
        raise OwnError("went wrong")

    for record, status in ((True, True), (False, True), (True, False)):
        with (
            pytest.raises(OwnError),
            world.tracer.start_as_current_span(
                f"{record} {status}", record_exception=record, set_status_on_exception=status
            ),
        ):
            fail()
    with world.tracer.start_span("span") as span:
        span.record_exception(ValueError("plain"))
        span.record_exception(ValueError("more"), {"own": 1, "exception.message": "overridden"}, timestamp=7)
    found = {span.name: span for span in world.spans()}
    assert [len(found[name].events) for name in ("True True", "False True", "True False")] == [1, 0, 1]
    assert found["True True"].status.description == found["False True"].status.description == "OwnError: went wrong"
    assert found["True False"].status.status_code is StatusCode.UNSET
    (event,) = found["True True"].events
    assert event.name == "exception"
    attributes = dict(event.attributes or {})
    assert attributes["exception.type"] == f"{OwnError.__module__}.OwnError"
    assert attributes["exception.message"] == "went wrong"
    assert "in fail" in str(attributes["exception.stacktrace"])
    plain, more = found["span"].events
    assert (plain.attributes or {})["exception.type"] == "ValueError"
    assert {"own": 1, "exception.message": "overridden"}.items() <= dict(more.attributes or {}).items()
    assert more.timestamp == 7


# Sampling ------------------------------------------------------------------------------------------------------------


class Sampled(sampling.Sampler):
    def __init__(self, decision: sampling.Decision) -> None:
        self.decision = decision
        self.asked: list[tuple[Any, ...]] = []

    def should_sample(self, *asked: Any, **more: Any) -> sampling.SamplingResult:
        self.asked.append((*asked, *more.values()))
        return sampling.SamplingResult(
            self.decision, {"from": "the sampler"} | dict(asked[4] or {}), TraceState([("sampler", "state")])
        )

    def get_description(self) -> str:
        return "sampled"


@row(
    "Sampling",
    "Allow samplers to modify tracestate",
    "ShouldSample gets full parent Context",
    sampler=lambda: Sampled(sampling.Decision.RECORD_AND_SAMPLE),
)
def asks_the_sampler(world: World) -> None:
    context = context_api.set_value("key", "value")
    link = Link(OTHER)
    with world.tracer.start_as_current_span("span", context, SpanKind.CLIENT, {"a": 1}, [link]) as span:
        assert span.get_span_context().trace_state.to_header() == "sampler=state"
        assert span.get_span_context().trace_flags & 1
    (asked,) = world.provider.sampler.asked  # type: ignore[attr-defined]
    assert asked[0] == context
    assert asked[1:4] == (span.get_span_context().trace_id, "span", SpanKind.CLIENT)
    assert dict(asked[4]) == {"a": 1}
    assert list(asked[5]) == [link]
    arrived = world.span()
    assert world.attributes() == {"from": "the sampler", "a": 1}
    assert arrived.context is not None
    assert arrived.context.trace_state.to_header() == "sampler=state"


@row(
    "Sampling",
    "New Span ID created also for non-recording Spans",
    sampler=lambda: Sampled(sampling.Decision.DROP),
)
def names_spans_that_do_not_record(world: World) -> None:
    seen = set()
    with world.tracer.start_as_current_span("dropped") as outer:
        seen.add(outer.get_span_context().span_id)
        with world.tracer.start_as_current_span("dropped too") as inner:
            assert inner.get_span_context().trace_id == outer.get_span_context().trace_id
            seen.add(inner.get_span_context().span_id)
        for span in (outer, inner):
            assert not span.is_recording()
            assert not span.get_span_context().trace_flags & 1
            span.set_attribute("a", 1)
            span.add_event("event")
            span.set_status(StatusCode.ERROR)
            span.record_exception(ValueError("unrecorded"))
            span.end()
    assert len(seen) == 2
    assert 0 not in seen
    assert world.spans() == []


@row("Sampling", "IdGenerators", id_generator=lambda: FixedIds(random=True))
def takes_ids_of_the_user(world: World) -> None:
    with world.tracer.start_as_current_span("span"):
        world.tracer.start_span("child").end()
    contexts = [world.span().context, world.span("child").context]
    assert [(c.trace_id, c.span_id) for c in contexts if c] == [((0xABC << 100) + 1, 2), ((0xABC << 100) + 1, 3)]


@row("Sampling", "Built-in `SpanProcessor`s implement `ForceFlush` spec")
def flushes_built_in_processors(world: World) -> None:
    exporter = InMemorySpanExporter()
    processor = BatchSpanProcessor(exporter, schedule_delay_millis=60_000)
    world.provider.add_span_processor(processor)
    try:
        world.tracer.start_span("span").end()
        assert world.provider.force_flush(5000) is True
        assert [span.name for span in exporter.get_finished_spans()] == ["span"]
    finally:
        processor.shutdown()


# Not rows of the table, and promised ---------------------------------------------------------------------------------

FURTHER: list[tuple[str, str, Check, dict[str, Callable[[], Any]]]] = []


def further(feature: str, **given: Callable[[], Any]) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        FURTHER.append(("Further", feature, check, given))
        return check

    return register


@further("RECORD_ONLY records and is not exported", sampler=lambda: Sampled(sampling.Decision.RECORD_ONLY))
def records_only(world: World) -> None:
    recorder = Recorder()
    world.provider.add_span_processor(recorder)
    with world.tracer.start_as_current_span("span") as span:
        assert span.is_recording()
        assert not span.get_span_context().trace_flags & 1
    assert [ended.name for ended in recorder.ended] == ["span"]
    assert world.spans() == []


@further("suppressed instrumentation is the instrumentations' affair")
def leaves_suppression_to_instrumentations(world: World) -> None:
    with suppress_instrumentation():
        assert not is_instrumentation_enabled()
        world.tracer.start_span("span").end()
    assert is_instrumentation_enabled()
    assert world.span().name == "span"


@further("the order of attributes, and a key that is set again")
def keeps_the_order(world: World) -> None:
    with world.tracer.start_span("span", attributes={"b": 1, "a": 2}) as span:
        span.set_attributes({"d": 3, "c": 4})
        span.set_attribute("b", 5)
    assert list(world.attributes().items()) == [("a", 2), ("d", 3), ("c", 4), ("b", 5)]


@further("decorators, of coroutines too")
def decorates(world: World) -> None:
    @world.tracer.start_as_current_span("sync")
    def double(number: int) -> int:
        return 2 * number

    @world.tracer.start_as_current_span("async")
    async def half(number: int) -> float:
        await asyncio.sleep(0.02)
        return number / 2

    assert double(2) == 4
    assert asyncio.run(half(4)) == 2
    assert [span.name for span in world.spans()] == ["sync", "async"]
    slept = world.span("async")
    assert (slept.end_time or 0) - (slept.start_time or 0) >= 20_000_000


# -----------------------------------------------------------------------------------------------------------------


class Recorder(sdk.SpanProcessor):
    def __init__(self) -> None:
        self.started: list[tuple[Any, Any]] = []
        self.ended: list[sdk.ReadableSpan] = []
        self.calls: list[str] = []
        self.answer = True

    def on_start(self, span: sdk.Span, parent_context: Context | None = None) -> None:
        self.started.append((span, parent_context))
        span.set_attribute("set by a processor", 1)

    def on_end(self, span: sdk.ReadableSpan) -> None:
        self.ended.append(span)

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        self.calls.append("force_flush")
        return self.answer


def in_threads(work: Callable[[int], None]) -> None:
    failed: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert failed == []
