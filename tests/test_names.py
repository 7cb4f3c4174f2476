"""The names on the wire and the registry are equal, both ways: nothing unregistered, nothing registered but unseen."""

import pytest
from opentelemetry import trace

import posemon_otel as posemon
from posemon_otel import redaction, testing
from posemon_otel.delivery import drops
from posemon_otel.operation import Operation
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import errors as e
from posemon_otel.semconv import metrics as m
from posemon_otel.semconv import operations as o

# Words that stand for something made elsewhere: an id in a tracker's name, a hash of a key, what a library states.
WORDS = {
    "bool": True,
    "float": 0.5,
    "int": 3,
    "str": "a value",
}


def everything() -> None:
    """Emits every kind of operation with every word of the vocabulary."""
    words = {known.short: WORDS[known.type] for known in a.ATTRIBUTES if known.short}
    with posemon.generation("g1", user_id="u1", expected_poses=1, credits_charged=30, model="flux-dev") as generation:
        with generation.pose("p1", name="Warrior", variation="a"):
            with posemon.flux_call("flux-dev", provider="bfl", prompt="a pose", negative_prompt="blur") as call:
                call.set(**words)
            with posemon.storage_write("s3", "poses/1.png", bytes=2048):
                pass
        generation.refund(10, reason="a gift")
    for kind in (o.GENERATE_IMAGE_LOCAL, o.CONTROLNET, o.STORAGE, o.PROCESS, o.SEND):
        with Operation(kind, redaction.translate(words) | {a.MESSAGING_SYSTEM: "bullmq"}, facts={m.STEPS: [0.1, 0.2]}):
            pass
    with posemon.performance_tracker.measure("flux-api-0b5fc2d2-9f1c-4d2e-8a4e-1f2e3d4c5b6a"):
        pass
    with Operation(o.PROCESS, {a.MESSAGING_OPERATION_NAME: "process", a.MESSAGING_OPERATION_TYPE: "process"}):
        pass
    with pytest.raises(TimeoutError), posemon.flux_call("flux-dev", provider="bfl"):
        raise TimeoutError
    posemon.record_event("export_generated", "g1")
    posemon.worker_logger.error("Failed", error=ValueError("no"))
    drops.count("logs", "rejected")


@pytest.fixture(scope="module")
def fresh_metrics():
    with testing.capture(disabled_instrumentations=("*",)) as captured:
        return captured.metrics()


@pytest.fixture(scope="module")
def emitted(fresh_metrics):
    with testing.capture(
        disabled_instrumentations=("*",), hash_key="k" * 32, storage_keys=True, capture_content=True
    ) as captured:
        everything()
        yield captured
    drops.reset()


def keys_of(captured):
    found = set()
    for span in captured.spans:
        found |= set(span.attributes)
        for event in span.events:
            found |= set(event.attributes)
    for log in captured.logs:
        found |= set(log.log_record.attributes)
    return found


def test_every_attribute_is_registered_and_every_registered_one_is_emitted(emitted):
    found = {key for key in keys_of(emitted) if not key.startswith(a.DATA_PREFIX)}
    assert found - set(a.BY_KEY) == set()
    assert set(a.BY_KEY) - found == set()


def test_every_metric_is_registered_and_every_registered_one_is_emitted(emitted):
    series = emitted.metrics()
    assert set(series) == set(m.BY_NAME) - {m.QUEUE_DEPTH.name}
    for name, points in series.items():
        carried = {key for point in points for key, _ in point}
        assert carried <= set(m.BY_NAME[name].attributes), name


def test_metric_attributes_are_bounded_ones(emitted):
    for metric in m.METRICS:
        for key in metric.attributes:
            assert key in m.OWN_ATTRIBUTES or a.BY_KEY[key].metric, (metric.name, key)


def test_span_names_follow_the_templates(emitted):
    names = {span.name for span in emitted.spans}
    assert names == {
        "pose.generation",
        "pose.render",
        "generate_content flux-dev",
        "generate_content a value",
        "put s3",
        "a value a value",
        "controlnet a value",
        "process a value",
        "process",
        "send a value",
        "flux-api",
    }


def test_span_kinds_are_opentelemetry_s(emitted):
    kinds = {span.name: span.kind for span in emitted.spans}
    assert kinds["generate_content flux-dev"] is trace.SpanKind.CLIENT
    assert kinds["process"] is trace.SpanKind.CONSUMER
    assert kinds["send a value"] is trace.SpanKind.PRODUCER
    assert kinds["pose.generation"] is trace.SpanKind.INTERNAL


def test_diffusion_steps_are_a_point_each(emitted):
    (point,) = emitted.metrics()["pose.diffusion.step.duration"].values()
    assert point == (2, pytest.approx(0.3))


def test_every_status_and_error_type_starts_at_zero(fresh_metrics):
    series = fresh_metrics
    generations = {dict(key).get(a.ERROR_TYPE) or dict(key)[a.GENERATION_STATUS] for key in series["pose.generations"]}
    assert generations == {*(error.value for error in e.ErrorType), "completed", "partial"}
    pairs = {(dict(key)[a.ERROR_TYPE], dict(key)[a.ERROR_REASON]) for key in series["pose.errors"]}
    assert pairs == {(error.value, reason) for error, reasons in e.VALID_REASONS.items() for reason in reasons}
    assert set(series["pose.errors"].values()) == {0}
