"""Random calls: the span that comes out is the SDK's."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace as trace_api
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from tests.delivery.side_by_side import Time, of_ours, of_sdk

# Texts without anything that redaction would look at: what it changes is tested elsewhere.
TEXT = st.text("ab é", max_size=8)
PLAIN = st.one_of(TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.none())
VALUES = st.recursive(
    PLAIN, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)), max_leaves=6
)
KEYS = st.sampled_from(["a", "b", "c", "d", "é", ""])
ATTRIBUTES = st.one_of(st.none(), st.dictionaries(KEYS, VALUES, max_size=4))
CONTEXTS = st.sampled_from([SpanContext(1, 2, is_remote=True), SpanContext(0, 0, is_remote=False)])
MOMENTS = st.one_of(st.none(), st.integers(0, 2**60))
CODES = st.sampled_from(list(StatusCode))
STEPS = st.one_of(
    st.tuples(st.just("set_attribute"), KEYS, VALUES),
    st.tuples(st.just("set_attributes"), st.dictionaries(KEYS, VALUES, max_size=4)),
    st.tuples(st.just("add_event"), TEXT, ATTRIBUTES, MOMENTS),
    st.tuples(st.just("add_link"), CONTEXTS, ATTRIBUTES),
    st.tuples(st.just("update_name"), TEXT),
    st.tuples(st.just("set_status"), st.builds(Status, CODES, st.one_of(st.none(), TEXT))),
    st.tuples(st.just("set_status"), CODES, st.one_of(st.none(), TEXT)),
    st.tuples(st.just("record_exception"), st.builds(ValueError, TEXT), ATTRIBUTES, MOMENTS, st.booleans()),
    st.tuples(st.just("tick")),
    st.tuples(st.just("end"), MOMENTS),
)
MOST = st.one_of(st.none(), st.integers(0, 3))
LIMITS = st.fixed_dictionaries(
    dict.fromkeys(
        (
            "max_span_attributes",
            "max_event_attributes",
            "max_link_attributes",
            "max_events",
            "max_links",
            "max_attribute_length",
            "max_span_attribute_length",
        ),
        MOST,
    )
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    LIMITS, TEXT, ATTRIBUTES, st.lists(st.builds(Link, CONTEXTS, ATTRIBUTES), max_size=3), st.lists(STEPS, max_size=12)
)
def test_any_sequence_of_calls(
    limits: dict[str, int | None], name: str, attributes: Any, links: list[Link], steps: list[tuple[Any, ...]]
) -> None:
    def play(tracer: trace_api.Tracer, time: Time) -> None:
        own = [Link(link.context, link.attributes) for link in links]  # the SDK changes the links that it is given
        span = tracer.start_span(name, attributes=attributes, links=own)
        for call, *arguments in steps:
            if call == "tick":
                time.tick()
            else:
                getattr(span, call)(*arguments)
        if span.is_recording():
            span.end()

    with pytest.MonkeyPatch.context() as monkeypatch:
        expected = of_sdk(monkeypatch, play, span_limits=lambda: SpanLimits(**limits))
        assert of_ours(play, span_limits=lambda: SpanLimits(**limits)) == expected
