"""A span of ours and one of the SDK's, given the same calls, are exported alike."""

import logging
from typing import Any

import pytest
from opentelemetry import trace as trace_api
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags, TraceState

from posemon_otel.delivery.provider import TracerProvider
from posemon_otel.delivery.span import Span
from tests.delivery.side_by_side import START, Scenario, Time, of_ours, of_sdk

SCENARIOS: dict[str, tuple[Scenario, dict[str, Any]]] = {}


def scenario(**given: Any) -> Any:
    def register(function: Scenario) -> Scenario:
        SCENARIOS[function.__name__] = function, given
        return function

    return register


OTHER = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("k", "v")]))
INVALID = SpanContext(0, 0, is_remote=False)
INVALID_WITH_STATE = SpanContext(0, 0, is_remote=False, trace_state=TraceState([("k", "v")]))


@scenario()
def attributes_of_every_type(tracer: trace_api.Tracer, time: Time) -> None:
    given = {"text": "a", "flag": True, "whole": 3, "real": 0.5, "texts": ["a", "b"], "numbers": (1, 2), "none": None}
    with tracer.start_span("all", attributes=given) as span:
        given["text"] = "changed after the start"
        given["numbers"] = ()
        span.set_attribute("mixed", [1, "a", None, True])
        span.set_attribute("nested", {"a": {"b": [1, {"c": 2}]}, "d": None})
        span.set_attribute("empty", [])
        span.set_attribute("unicode", "größer")
        with pytest.raises(TypeError):
            span.attributes["text"] = "read-only"


@scenario()
def attributes_are_copied_and_move_to_the_end(tracer: trace_api.Tracer, time: Time) -> None:
    items = ["a"]
    mapping = {"one": 1, "list": items}
    span = tracer.start_span("copied")
    span.set_attributes(mapping)
    items.append("b")
    mapping["one"] = 2
    span.set_attribute("two", 2)
    span.set_attribute("one", 3)
    span.set_attributes({"list": ["c"], "two": 4})
    span.end()


@scenario()
def keys_that_are_none(tracer: trace_api.Tracer, time: Time) -> None:
    with tracer.start_span("keys") as span:
        span.set_attribute("", 1)
        span.set_attribute(None, 1)  # type: ignore[arg-type]
        span.set_attribute(5, 1)  # type: ignore[arg-type]
        span.set_attributes({"": 1, "good": 2, 7: 3, None: 4})  # type: ignore[dict-item]
        span.add_event("event", {"": 1, 8: 2, "good": 3})  # type: ignore[dict-item]


@scenario(span_limits=lambda: SpanLimits(max_span_attributes=3, max_span_attribute_length=4))
def limits_of_attributes(tracer: trace_api.Tracer, time: Time) -> None:
    with tracer.start_span("limited", attributes={"a": "12345", "b": ["123456", "1"], "c": 3, "d": 4}) as span:
        span.set_attribute("e", {"deep": "123456"})
        span.set_attribute("c", "rewritten")
        span.set_attributes({"f": 1, "a": 2})


@scenario(span_limits=lambda: SpanLimits(max_events=2, max_event_attributes=1, max_attribute_length=3))
def limits_of_events(tracer: trace_api.Tracer, time: Time) -> None:
    with tracer.start_span("limited") as span:
        for number in range(4):
            time.tick()
            span.add_event(f"event {number}", {"first": "12345", "second": number})


@scenario(span_limits=lambda: SpanLimits(max_links=2, max_link_attributes=1))
def limits_of_links(tracer: trace_api.Tracer, time: Time) -> None:
    links = [Link(SpanContext(7, number, is_remote=False), {"a": 1, "b": 2}) for number in (1, 2, 3)]
    with tracer.start_span("limited", links=links) as span:
        span.add_link(OTHER, {"c": 1})


@scenario(
    span_limits=lambda: SpanLimits(
        max_span_attributes=0, max_events=0, max_links=0, max_event_attributes=0, max_link_attributes=0
    )
)
def limits_of_nothing(tracer: trace_api.Tracer, time: Time) -> None:
    with tracer.start_span("nothing", attributes={"a": 1}, links=[Link(OTHER)]) as span:
        span.set_attribute("b", 2)
        span.set_attributes({"c": 3, "d": 4})
        span.add_event("event", {"a": 1})
        span.add_link(OTHER)


@scenario(span_limits=lambda: SpanLimits(max_event_attributes=0, max_link_attributes=0, max_attribute_length=0))
def limits_of_nothing_within(tracer: trace_api.Tracer, time: Time) -> None:
    with tracer.start_span("nothing", attributes={"a": "text"}, links=[Link(OTHER, {"a": 1})]) as span:
        span.add_event("event", {"a": 1, "b": 2})


@scenario(
    span_limits=lambda: SpanLimits(
        max_span_attributes=SpanLimits.UNSET,
        max_events=SpanLimits.UNSET,
        max_links=SpanLimits.UNSET,
        max_event_attributes=SpanLimits.UNSET,
    )
)
def limits_unset(tracer: trace_api.Tracer, time: Time) -> None:
    with tracer.start_span("many", attributes={f"key {number}": number for number in range(200)}) as span:
        for number in range(200):
            span.add_event(f"event {number}", {f"key {one}": one for one in range(130)} if not number else None)
            span.add_link(OTHER)


@scenario()
def limits_by_default(tracer: trace_api.Tracer, time: Time) -> None:
    with tracer.start_span("many") as span:
        for number in range(130):
            span.set_attribute(f"key {number}", number)
            span.add_event(f"event {number}")
            span.add_link(OTHER, {f"key {number}": 1})


@scenario()
def events(tracer: trace_api.Tracer, time: Time) -> None:
    given = {"a": [1]}
    with tracer.start_span("events") as span:
        time.tick()
        span.add_event("plain")
        span.add_event("with attributes", given)
        given["a"].append(2)
        given["b"] = [3]
        span.add_event("at the epoch", {}, timestamp=0)
        span.add_event("at a time", None, timestamp=START - 5)
        with pytest.raises(TypeError):
            span.events[1].attributes["a"] = 1


@scenario()
def links(tracer: trace_api.Tracer, time: Time) -> None:
    given = [Link(OTHER, {"a": "b"}), None, Link(INVALID), Link(INVALID, {"kept": 1}), Link(INVALID_WITH_STATE)]
    with tracer.start_span("links", links=given) as span:  # type: ignore[arg-type]
        span.add_link(OTHER)
        span.add_link(OTHER, {"none": None})
        span.add_link(INVALID)
        span.add_link(INVALID, {"kept": 2})
        span.add_link(INVALID_WITH_STATE)
        span.add_link(None)  # type: ignore[arg-type]
    tracer.start_span("no links", links=None).end()


class CustomError(Exception):
    pass


@scenario()
def exceptions(tracer: trace_api.Tracer, time: Time) -> None:
    with tracer.start_span("recorded") as span:
        for exc in (ValueError("wrong"), CustomError("own"), KeyError("key"), KeyboardInterrupt(), Exception()):
            try:
                raise exc
            except BaseException as caught:
                time.tick()
                span.record_exception(caught)
        span.record_exception(exception=ValueError("never raised"), escaped=True)
        span.record_exception(ValueError("a"), {"exception.message": "overridden", "more": 1, "exception.type": "T"})
        span.record_exception(ValueError("at"), timestamp=5)


@scenario(span_limits=lambda: SpanLimits(max_event_attributes=2))
def exceptions_within_limits(tracer: trace_api.Tracer, time: Time) -> None:
    with tracer.start_span("recorded") as span:
        span.record_exception(ValueError("wrong"), {"own": 1})


@scenario()
def exceptions_that_pass_through(tracer: trace_api.Tracer, time: Time) -> None:
    for record in (True, False):
        for status in (True, False):
            for error in (ValueError("x"), KeyboardInterrupt("x"), SystemExit(3)):
                with (
                    pytest.raises(type(error)),
                    tracer.start_as_current_span("current", record_exception=record, set_status_on_exception=status),
                ):
                    raise error
                with (
                    pytest.raises(type(error)),
                    tracer.start_span("plain", record_exception=record, set_status_on_exception=status),
                ):
                    raise error
                with pytest.raises(type(error)), trace_api.use_span(tracer.start_span("used"), True, record, status):
                    raise error


@scenario()
def exception_after_the_end(tracer: trace_api.Tracer, time: Time) -> None:
    with pytest.raises(ValueError), tracer.start_as_current_span("ended") as span:
        span.end()
        raise ValueError
    with pytest.raises(ValueError), tracer.start_span("ended") as span:
        span.end()
        raise ValueError


@scenario()
def status_precedence(tracer: trace_api.Tracer, time: Time) -> None:
    steps = (
        [StatusCode.OK, StatusCode.ERROR],
        [StatusCode.ERROR, StatusCode.UNSET, StatusCode.OK],
        [Status(StatusCode.ERROR, "first"), Status(StatusCode.ERROR, "second")],
        [Status(StatusCode.ERROR, "first"), StatusCode.UNSET],
        [Status(StatusCode.OK, "no description"), Status(StatusCode.ERROR, "late")],
        [StatusCode.UNSET, Status(StatusCode.UNSET, "nothing")],
        ["OK", None, 2],
    )
    for number, statuses in enumerate(steps):
        with tracer.start_span(f"status {number}") as span:
            for status in statuses:
                span.set_status(status)  # type: ignore[arg-type]
    with tracer.start_span("described") as span:
        span.set_status(StatusCode.ERROR, "described")
    with tracer.start_span("stray") as span:
        span.set_status(Status(StatusCode.ERROR, "own"), "stray")
    with tracer.start_span("not for OK") as span:
        span.set_status(StatusCode.OK, "described")
    with pytest.raises(ValueError), tracer.start_as_current_span("OK is final") as span:
        span.set_status(StatusCode.OK)
        raise ValueError("late")


@scenario()
def after_the_end(tracer: trace_api.Tracer, time: Time) -> None:
    span = tracer.start_span("ended", attributes={"a": 1})
    span.add_event("event")
    assert span.is_recording()
    span.end()
    assert not span.is_recording()
    use_after_end(span)


def use_after_end(span: trace_api.Span) -> None:
    span.set_attribute("b", 1)
    span.set_attributes({"c": 1})
    span.add_event("late")
    span.add_link(OTHER)
    span.update_name("late")
    span.set_status(StatusCode.ERROR, "late")
    span.record_exception(ValueError("late"))
    span.end()
    span.end(7)


@scenario()
def names(tracer: trace_api.Tracer, time: Time) -> None:
    with tracer.start_span("first") as span:
        span.update_name("second")
    tracer.start_span("").end()


@scenario()
def times(tracer: trace_api.Tracer, time: Time) -> None:
    tracer.start_span("explicit", start_time=5).end(9)
    tracer.start_span("epoch", start_time=0).end(0)
    tracer.start_span("ends at the epoch").end(end_time=0)
    span = tracer.start_span("measured")
    time.tick(17)
    span.end()
    span = tracer.start_span("half", start_time=5)
    time.tick(17)
    span.end()


@scenario()
def kinds_and_nesting(tracer: trace_api.Tracer, time: Time) -> None:
    for kind in trace_api.SpanKind:
        with tracer.start_as_current_span(kind.name, kind=kind) as outer:
            with tracer.start_span("not current") as inner:
                assert trace_api.get_current_span() is outer
            assert inner.parent is outer.get_span_context()  # type: ignore[attr-defined]
            with tracer.start_as_current_span("current", end_on_exit=False) as inner:
                assert trace_api.get_current_span() is inner
            assert inner.is_recording()
            inner.end()
    assert trace_api.get_current_span() is trace_api.INVALID_SPAN


@scenario()
def remote_parents(tracer: trace_api.Tracer, time: Time) -> None:
    for flags in range(4):
        remote = SpanContext(9, 8, is_remote=True, trace_flags=TraceFlags(flags), trace_state=TraceState([("a", "b")]))
        context = trace_api.set_span_in_context(trace_api.NonRecordingSpan(remote))
        with tracer.start_as_current_span(f"flags {flags}", context=context) as span:
            assert span.get_span_context().trace_state == remote.trace_state
            assert span.get_span_context().trace_flags == flags
            with tracer.start_span("child"):
                pass
    context = trace_api.set_span_in_context(trace_api.INVALID_SPAN)
    tracer.start_span("root", context=context).end()


@pytest.mark.parametrize("name", SCENARIOS)
def test_exported_alike(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, given = SCENARIOS[name]
    expected = of_sdk(monkeypatch, calls, **given)
    assert expected
    assert of_ours(calls, **given) == expected


LIMITS = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
)


@pytest.mark.parametrize("value", ["", "0", "2"])
@pytest.mark.parametrize("variable", LIMITS)
def test_limits_from_the_environment(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(tracer: trace_api.Tracer, time: Time) -> None:
        many = {f"k{number}": "abcde" for number in range(140)}
        with tracer.start_span("filled", attributes=many, links=[Link(OTHER, many)]) as span:
            span.add_event("event", many)
            for _ in range(140):
                span.add_event("again")
                span.add_link(OTHER)

    monkeypatch.setenv(variable, value)
    assert of_ours(fill) == of_sdk(monkeypatch, fill)


def test_each_call_after_the_end_warns_as_the_sdk_does(caplog: pytest.LogCaptureFixture) -> None:
    counts = []
    for provider in (sdk.TracerProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False)):
        span = provider.get_tracer("tests").start_span("ended")
        span.end()
        caplog.clear()
        use_after_end(span)
        counts.append([record.levelno for record in caplog.records if record.name == "opentelemetry.sdk.trace"])
    assert counts[0] == counts[1] == [logging.WARNING] * 9


def test_it_is_a_span_of_every_kind_that_applications_ask_for() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("tests")
    span = tracer.start_span("span")
    assert isinstance(provider, sdk.TracerProvider)
    assert isinstance(tracer, sdk.Tracer)
    assert isinstance(span, Span)
    assert isinstance(span, (sdk.Span,))
    assert isinstance(span, sdk.ReadableSpan)
    assert isinstance(span, trace_api.Span)
    with pytest.warns(DeprecationWarning, match="instrumentation_scope"):
        assert span.instrumentation_info.name == "tests"
    assert repr(span).startswith('Span(name="span", context=SpanContext(')
    span.start()
    assert span.is_recording()
    span.end()


def test_every_public_name_of_the_sdk_has_its_equal() -> None:
    def public(thing: object) -> set[str]:
        return {name for name in dir(thing) if not name.startswith("_")}

    theirs, ours = sdk.TracerProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False)
    assert public(theirs) <= public(ours)
    assert public(theirs.get_tracer("t")) <= public(ours.get_tracer("t"))
    assert public(theirs.get_tracer("t").start_span("s")) <= public(ours.get_tracer("t").start_span("s"))


def test_to_json_of_a_running_span(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []

    def write(tracer: trace_api.Tracer, time: Time) -> None:
        span = tracer.start_span("running", attributes={"a": (1, 2)}, links=[Link(OTHER, {"b": 1})])
        span.add_event("event", {"c": True})
        texts.append((span.to_json(), span.to_json(indent=None)))  # type: ignore[attr-defined]
        span.end()

    of_sdk(monkeypatch, write)
    of_ours(write)
    assert texts[0] == texts[1]
