"""Where a span of ours differs from the SDK's on purpose: what leaves is redacted, and nothing raises."""

import enum
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from opentelemetry import trace as trace_api
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from posemon_otel import clock, faults, operation, redaction
from posemon_otel.delivery import values
from posemon_otel.delivery.provider import Tracer, TracerProvider
from posemon_otel.delivery.readable import finish_of
from posemon_otel.delivery.span import Span
from posemon_otel.entries import Event, Finish, Log
from posemon_otel.operation import Operation
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o

OTHER = SpanContext(5, 6, is_remote=True)
SECRET = "sk-abcdefghijklmnop123"


@pytest.fixture
def finishes() -> list[Finish]:
    return []


@pytest.fixture
def tracer(finishes: list[Finish]) -> Tracer:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.on_end_sink = lambda span: finishes.append(finish_of(span))
    made = provider.get_tracer("tests")
    assert isinstance(made, Tracer)
    return made


def test_nothing_raw_leaves(tracer: Tracer, finishes: list[Finish]) -> None:
    exporter = InMemorySpanExporter()
    tracer.provider.add_span_processor(SimpleSpanProcessor(exporter))
    raw = {
        "url.full": f"https://user:pass@example.org/a?token={SECRET}",
        "http.request.header.authorization": ("Basic " + SECRET,),
        "db.query.text": "SELECT * FROM users WHERE email = 'someone@example.org'",
        "api_key": 12345,
        "note": f"called with {SECRET}",
        "texts": ["plain", f"key {SECRET}"],
        "nested": {"password": SECRET, "deep": {"text": f"see {SECRET}"}},
        "cookies": {"session": SECRET},
        "body": b"\x89PNG" * 1000,
        a.GEN_AI_REQUEST_MODEL: f"https://someone:{SECRET}@host/model",
    }
    with tracer.start_span("raw", attributes=raw, links=[Link(OTHER, raw)]) as span:
        span.add_event("event", raw)
        span.add_link(OTHER, raw)
        span.set_attributes(raw)
        span.record_exception(ValueError(f"refused {SECRET}"), {"note": SECRET})
        span.set_status(Status(StatusCode.ERROR, f"refused {SECRET}"))
    text = repr(finishes) + "".join(span.to_json() for span in exporter.get_finished_spans())
    for hidden in (SECRET, "pass@", "someone", "session", "12345", "PNG"):
        assert hidden not in text
    attributes = finishes[0].attributes
    assert attributes["url.full"] == "https://example.org/a"
    assert attributes["http.request.header.authorization"] == ("[redacted]",)
    assert attributes["api_key"] == "[redacted]"
    assert attributes["note"] == "called with [redacted]"
    assert attributes["texts"] == ("plain", "key [redacted]")
    assert attributes["body"] == "<4000 bytes>"
    assert finishes[0].status_description == "refused [redacted]"


def test_processors_see_nothing_raw_at_the_start_either(tracer: Tracer) -> None:
    seen: list[Any] = []

    class Looking(sdk.SpanProcessor):
        def on_start(self, span: sdk.Span, parent_context: Any = None) -> None:
            seen.append(dict(span.attributes or {}))
            span.set_attribute("note", SECRET)

        def on_end(self, span: sdk.ReadableSpan) -> None:
            seen.append(dict(span.attributes or {}))

    tracer.provider.add_span_processor(Looking())
    tracer.start_span("looked at", attributes={"url.full": "http://h/?a=b", "n": 1}).end()
    assert seen == [{"url.full": "http://h/", "n": 1}, {"url.full": "http://h/", "n": 1, "note": "[redacted]"}]


def test_a_command_loses_what_follows_a_flag_of_a_secret(tracer: Tracer, finishes: list[Finish]) -> None:
    words = ["worker", "--token", "S", "--steps", "4"]
    tracer.start_span("command", attributes={"process.command_args": words}).end()
    shown = finishes[0].attributes["process.command_args"]
    assert list(shown) == ["worker", "--token", "[redacted]", "--steps", "4"]


def test_a_prompt_that_becomes_known_later_goes(tracer: Tracer, finishes: list[Finish]) -> None:
    prompt = "a red fox"[: values._SHORT] + " leaping"
    tracer.start_span("before", attributes={"note": prompt}).end()
    redaction.translate({"prompt": prompt})
    tracer.start_span("after", attributes={"note": prompt, "event": "x"}).end()
    assert [finish.attributes["note"] for finish in finishes] == [prompt, "[prompt]"]


def test_values_are_cut_when_they_are_set(tracer: Tracer, finishes: list[Finish]) -> None:
    span = tracer.start_span("huge", attributes={"at the start": "x" * 1_000_000})
    span.set_attribute("later", "y" * 1_000_000)
    span.set_attribute("list", ["z" * 1_000_000] * 1000)
    span.set_attribute("numbers", list(range(200_000)))
    span.add_event("event", {"text": "x" * 1_000_000})
    assert isinstance(span, Span)
    assert len(span.attributes["later"]) == len(span.attributes["at the start"]) == 16_384
    span.update_name("n" * 1_000_000)
    span.end()
    assert sum(map(len, finishes[0].attributes["list"])) <= 80 * 1024
    assert len(finishes[0].attributes["numbers"]) <= 64 * 1024
    assert len(finishes[0].events[0].attributes["text"]) == 16_384
    assert len(finishes[0].name) == 16_384


def test_a_cut_leaves_no_half_secret(finishes: list[Finish]) -> None:
    provider = TracerProvider(shutdown_on_exit=False, span_limits=sdk.SpanLimits(max_attribute_length=12))
    provider.on_end_sink = lambda span: finishes.append(finish_of(span))
    provider.get_tracer("tests").start_span("cut", attributes={"note": "key: " + SECRET, "l": ["key: " + SECRET]}).end()
    assert "sk-abc" not in repr(finishes)
    assert len(finishes[0].attributes["note"]) == 12


def test_half_an_emoji_is_scrubbed_everywhere(tracer: Tracer, finishes: list[Finish]) -> None:
    half = "\ud83d"
    span = tracer.start_span(half, attributes={half: half, "nested": {half: [half]}}, links=[Link(OTHER, {half: half})])
    span.add_event(half, {half: half})
    span.set_status(StatusCode.ERROR, half)
    span.end()
    repr(finishes).encode()
    for text in (finishes[0].name, finishes[0].status_description, finishes[0].events[0].name):
        assert text == "?"


class Shade(enum.StrEnum):
    RED = "red"


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


class HostileMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError

    def __len__(self) -> int:
        return 1


def test_nothing_that_is_set_raises(tracer: Tracer, finishes: list[Finish]) -> None:
    endless: list[Any] = []
    endless.append(endless)
    round_: dict[str, Any] = {}
    round_["self"] = round_
    odd = {
        "hostile": Hostile(),
        "endless": endless,
        "round": round_,
        "mapping": HostileMapping(),
        "huge": 2**70,
        "huger": 10**5000,
        "nothing": object(),
        "shade": Shade.RED,
        "set": {1},
        "class": int,
        "nan": float("nan"),
    }
    span = tracer.start_span("odd", attributes=odd, links=[Link(OTHER, odd)])
    span.set_attributes(odd)
    span.set_attributes(None)  # type: ignore[arg-type]
    span.set_attributes([("a", 1)])  # type: ignore[arg-type]
    span.set_attribute(Hostile(), 1)  # type: ignore[arg-type]
    span.add_event(Hostile(), odd)  # type: ignore[arg-type]
    span.end()
    attributes = finishes[0].attributes
    assert attributes["shade"] == "red"
    assert type(attributes["shade"]) is str
    assert attributes["nothing"] is None
    assert attributes["huge"] == hex(2**70)
    assert isinstance(attributes["hostile"], str)


def test_numbers_of_numpy_stay_numbers(tracer: Tracer, finishes: list[Finish]) -> None:
    class Int64:  # what redaction knows a NumPy scalar by
        shape, dtype = (), "int64"

        def __str__(self) -> str:
            return "7"

        def item(self) -> int:
            return 7

    tracer.start_span("numpy", attributes={"n": Int64()}).end()
    assert finishes[0].attributes == {"n": 7}


def test_mappings_and_links_that_raise_are_faults(tracer: Tracer, finishes: list[Finish]) -> None:
    faults.strict = False
    span = tracer.start_span("odd", attributes=HostileMapping(), links=[Link(OTHER), "no link", Link(OTHER)])  # type: ignore[list-item]
    span.set_attributes(HostileMapping())
    span.add_event("event", HostileMapping())
    span.set_attribute("good", 1)
    span.end()
    assert finishes[0].attributes == {"good": 1}
    assert len(finishes[0].links) == 1
    assert faults.counts["setting attributes"] >= 3


def test_an_exception_that_cannot_be_printed_stays_the_exception(tracer: Tracer, finishes: list[Finish]) -> None:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    for make in (tracer.start_span, tracer.start_as_current_span):
        with pytest.raises(UnprintableError), make("raised"):
            raise UnprintableError
    for finish in finishes:
        assert finish.status == StatusCode.ERROR.value
        assert finish.status_description.startswith("UnprintableError: <unprintable")
        assert finish.events[0].attributes[a.EXCEPTION_TYPE].endswith("UnprintableError")


def test_a_redactor_that_fails_lets_nothing_out(
    tracer: Tracer, finishes: list[Finish], monkeypatch: pytest.MonkeyPatch
) -> None:
    faults.strict = False

    def fail(attributes: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(values, "redacted_all", fail)
    tracer.start_span("failed", attributes={"password": SECRET}).end()
    assert (finishes[0].attributes, finishes[0].dropped) == ({}, (1, 0, 0))


def test_a_sink_that_fails_is_a_fault_of_its_own(tracer: Tracer) -> None:
    faults.strict = False
    tracer.provider.on_end_sink = lambda span: 1 / 0  # type: ignore[assignment, return-value]
    tracer.start_span("handed on").end()
    assert faults.counts["handing on an ended span"] >= 1


def test_the_clock_may_be_set_while_a_span_runs(tracer: Tracer, finishes: list[Finish]) -> None:
    wall, monotonic = [10**18], [5]
    clock.use(lambda: wall[0], lambda: monotonic[0])
    span = tracer.start_span("measured")
    wall[0] -= 3600 * 10**9
    monotonic[0] += 7
    span.add_event("event")
    monotonic[0] += 3
    span.end()
    assert (finishes[0].start, finishes[0].end) == (10**18, 10**18 + 10)
    assert finishes[0].events[0].time == 10**18 + 7


def test_many_threads_on_one_span(tracer: Tracer, finishes: list[Finish]) -> None:
    """Each call is whole, one `end` counts, and nothing is set or left raw after it."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            span = tracer.start_span("shared")

            def work(span: trace_api.Span = span) -> None:
                for number in range(40):
                    span.set_attribute(f"key {number % 7}", f"see {SECRET}")
                    span.set_attributes({"password": SECRET, "n": number})
                    if number < 20:
                        span.add_event("event")
                    span.record_exception(ValueError("x")) if number == 30 else None
                span.end()

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
    finally:
        sys.setswitchinterval(interval)
    assert len(finishes) == 30
    assert SECRET not in repr(finishes)


# Operations ----------------------------------------------------------------------------------------------------------


class Sink:
    """What the journal's sink does with spans, and nothing else."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.logs: list[Log] = []

    def start(self, operation: Operation, context: Any) -> trace_api.Span:
        span = self.tracer.start_span(
            operation.name, context, attributes=operation.attributes, start_time=operation.start
        )
        assert isinstance(span, Span)
        span.operation = operation
        return span

    def finish(self, operation: Operation) -> None:
        operation.span.end(operation.end)

    def log(self, log: Log) -> None:
        self.logs.append(log)

    def event(self, event: Event) -> None:
        raise NotImplementedError


@pytest.fixture
def sink(tracer: Tracer) -> Sink:
    made = Sink(tracer)
    operation.use(made)
    return made


def test_the_finish_of_an_operation(sink: Sink, finishes: list[Finish]) -> None:
    running = Operation(o.GENERATION, {a.GENERATION_ID: "g1", "steps": [1.5, 2]}, facts={"row": 1})
    running.attempt = 2
    with pytest.raises(ValueError), running:
        trace_api.get_current_span().set_attribute("password", SECRET)
        raise ValueError("wrong size")
    finish = finishes[0]
    assert (finish.kind, finish.outcome, finish.attempt, finish.facts) == ("generation", "error", 2, {"row": 1})
    assert finish.error == running.error
    assert (finish.start, finish.end) == (running.start, running.end)
    assert finish.attributes["password"] == "[redacted]"
    assert finish.attributes["steps"] == (1.5, 2)
    assert finish.attributes | {"password": None, "steps": None} == running.attributes | {
        "password": None,
        "steps": None,
    }
    assert [event.attributes[a.EXCEPTION_MESSAGE] for event in finish.events] == ["wrong size"]
    assert len(sink.logs) == 1


def test_what_an_operation_set_passes_as_it_is(sink: Sink, finishes: list[Finish]) -> None:
    message = f"cleaned by the operation already: {SECRET}"
    with Operation(o.GENERATION, {"note": message}):
        pass
    assert finishes[0].attributes["note"] == message


def test_an_exception_is_an_event_once_by_the_innermost(tracer: Tracer, sink: Sink, finishes: list[Finish]) -> None:
    """The span of another library holds it; its log record and its count stay the operation's."""
    with pytest.raises(ValueError), Operation(o.GENERATION, {}), Operation(o.GENERATE_IMAGE, {}):
        with tracer.start_as_current_span("POST"):
            raise ValueError("wrong")
    by_kind = {finish.kind: finish for finish in finishes}
    assert [len(by_kind[kind].events) for kind in ("span", "generate_image", "generation")] == [1, 0, 0]
    inner, outer = by_kind["generate_image"].error, by_kind["generation"].error
    assert inner is not None
    assert outer is not None
    assert (inner.recorded, outer.recorded) == (False, True)
    assert len(sink.logs) == 1


def test_another_exception_is_recorded_again(tracer: Tracer, sink: Sink, finishes: list[Finish]) -> None:
    with pytest.raises(KeyError), Operation(o.GENERATE_IMAGE, {}):
        try:
            with tracer.start_as_current_span("POST"):
                raise ValueError("wrong")
        except ValueError:
            raise KeyError("lost") from None
    assert [len(finish.events) for finish in finishes] == [1, 1]


def test_what_the_user_records_on_an_operations_span_is_recorded_once(sink: Sink, finishes: list[Finish]) -> None:
    with pytest.raises(ValueError), Operation(o.GENERATE_IMAGE, {}):
        try:
            raise ValueError("wrong")
        except ValueError as exc:
            trace_api.get_current_span().record_exception(exc)
            raise
    assert len(finishes[0].events) == 1
