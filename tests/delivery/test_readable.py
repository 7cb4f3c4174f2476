"""Entries of the journal as the SDK's own records, as its exporters read them."""

import pytest
from opentelemetry import trace as trace_api
from opentelemetry._logs import SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, StatusCode

from posemon_otel.delivery.readable import event_to_log, to_log, to_readable
from posemon_otel.entries import Event, Finish, Log, SpanEvent, SpanLink
from posemon_otel.semconv import attributes as a
from tests.delivery.side_by_side import stored

RESOURCE = Resource({"service.name": "tests"})
SCOPE = InstrumentationScope("posemon_otel.flux", "1")
TRACE = (0xABC << 100) + 7
FINISH = Finish(
    trace_id=TRACE.to_bytes(16, "big"),
    span_id=(1 << 64) - 1,
    parent_id=9,
    parent_remote=True,
    flags=3,
    trace_state="k=v,other=1",
    scope=4,
    kind="generate_image",
    span_kind=2,
    name="generate_content flux",
    start=100,
    end=200,
    attributes={"text": "a", "list": [1, 2]},
    status=2,
    status_description="refused",
    outcome="error",
    error=None,
    events=[SpanEvent("exception", 150, {"a": 1}, 2)],
    links=[SpanLink(TRACE.to_bytes(16, "big"), 5, 1, "l=1", {"b": ["c"]}, 1)],
    dropped=(3, 4, 5),
    facts={},
    attempt=1,
    terminal=True,
)


def readable(**changed: object) -> ReadableSpan:
    return to_readable(stored(FINISH._replace(**changed)), RESOURCE, {4: SCOPE})


def test_a_finish_as_a_span() -> None:
    span = readable()
    assert span.context.trace_id == TRACE
    assert (span.context.span_id, span.context.trace_flags, span.context.is_remote) == ((1 << 64) - 1, 3, False)
    assert dict(span.context.trace_state) == {"k": "v", "other": "1"}
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id, span.parent.is_remote) == (TRACE, 9, True)
    assert (span.name, span.kind, span.start_time, span.end_time) == (FINISH.name, SpanKind.CLIENT, 100, 200)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "refused")
    assert span.attributes == {"text": "a", "list": (1, 2)}
    assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (3, 4, 5)
    assert (span.events[0].name, span.events[0].timestamp, span.events[0].attributes) == ("exception", 150, {"a": 1})
    assert span.events[0].dropped_attributes == 2
    link = span.links[0]
    assert (link.context.trace_id, link.context.span_id, link.context.trace_flags) == (TRACE, 5, 1)
    assert (dict(link.context.trace_state), link.attributes, link.dropped_attributes) == ({"l": "1"}, {"b": ("c",)}, 1)
    assert span.resource is RESOURCE
    assert span.instrumentation_scope is SCOPE
    assert "refused" in span.to_json()


def test_the_smallest_span() -> None:
    span = readable(
        parent_id=0, trace_state="", status=0, status_description="", events=[], links=[], dropped=(0, 0, 0), scope=99
    )
    assert span.parent is None
    assert span.status.is_unset
    assert span.context.trace_state == {}
    assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (0, 0, 0)
    assert not isinstance(span.attributes, BoundedAttributes)
    assert span.instrumentation_scope is None


@pytest.mark.parametrize("status", range(3))
def test_every_status(status: int) -> None:
    assert readable(status=status).status.status_code.value == status


def test_the_stock_encoder_takes_it() -> None:
    encoded = encode_spans([readable()]).resource_spans[0].scope_spans[0]
    assert encoded.scope.name == "posemon_otel.flux"
    span = encoded.spans[0]
    assert int.from_bytes(span.span_id, "big") == (1 << 64) - 1
    assert (span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count) == (3, 4, 5)
    assert span.events[0].dropped_attributes_count == 2
    assert span.trace_state == "k=v,other=1"


LOG = Log(5, TRACE.to_bytes(16, "big"), 9, 1, 4, 17, "ERROR", "refused", {"a": [1], "b": "c"}, "exception")


def test_a_log() -> None:
    made = to_log(LOG, RESOURCE, {4: SCOPE})
    record = made.log_record
    assert (record.timestamp, record.observed_timestamp) == (5, 5)
    assert (record.trace_id, record.span_id, record.trace_flags) == (TRACE, 9, 1)
    assert (record.severity_number, record.severity_text, record.body) == (SeverityNumber.ERROR, "ERROR", "refused")
    assert (record.attributes, record.event_name) == ({"a": (1,), "b": "c"}, "exception")
    assert (made.resource, made.instrumentation_scope) == (RESOURCE, SCOPE)
    encoded = encode_logs([made]).resource_logs[0].scope_logs[0].log_records[0]
    assert (encoded.event_name, encoded.trace_id) == ("exception", LOG.trace_id)
    assert '"body": "refused"' in made.to_json()


def test_a_log_outside_a_span_does_not_take_the_readers_span() -> None:
    around = trace_api.NonRecordingSpan(trace_api.SpanContext(1, 2, is_remote=False))
    with trace_api.use_span(around):
        record = to_log(LOG._replace(trace_id=b"", span_id=0, flags=0, event_name=""), RESOURCE, {}).log_record
    assert (record.trace_id, record.span_id, record.event_name) == (0, 0, None)


EVENT = Event("e1", 5, LOG.trace_id, 9, 1, 4, "generation_completed", "pose.generation.completed", "g1", "u1", {"n": 1})


def test_an_event_as_a_log() -> None:
    log = event_to_log(EVENT)
    assert (log.time, log.trace_id, log.span_id, log.flags, log.scope) == (5, LOG.trace_id, 9, 1, 4)
    assert (log.severity, log.severity_text, log.body) == (9, "INFO", "generation_completed")
    assert log.event_name == "pose.generation.completed"
    assert log.attributes == {
        "n": 1,
        a.EVENT_TYPE: "generation_completed",
        a.EVENT_ID: "e1",
        a.GENERATION_ID: "g1",
        a.USER_ID: "u1",
    }
    assert EVENT.attributes == {"n": 1}


def test_an_event_of_nobody() -> None:
    log = event_to_log(EVENT._replace(generation_id=None, user_id=None))
    assert {a.GENERATION_ID, a.USER_ID}.isdisjoint(log.attributes)
