"""A number that the wire has not is the nearest that it has, and the other metrics go out."""

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from posemon_otel.delivery.numbers import LEAST, MOST, bounded


@pytest.fixture
def meter():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    yield provider.get_meter("application"), reader.get_metrics_data
    provider.shutdown()


def values(data) -> dict[str, int | float]:
    (resource,) = data.resource_metrics
    return {metric.name: metric.data.data_points[0].value for metric in resource.scope_metrics[0].metrics}


@pytest.mark.parametrize(
    ("added", "exported"), [(10**30, MOST), (-(10**30), LEAST), (MOST + 1, MOST), (LEAST - 1, LEAST)]
)
def test_a_number_beyond_64_bits_is_the_nearest_within(meter, added, exported):
    made, collect = meter
    made.create_up_down_counter("huge").add(added)
    made.create_counter("other").add(2)
    made.create_counter("fraction").add(1.5e30)
    data = collect()
    with pytest.raises(Exception, match="out of range"):
        encode_metrics(data)
    fitting = bounded(data)
    encode_metrics(fitting)
    (resource,) = fitting.resource_metrics
    told = {metric.name: metric.data.data_points[0] for metric in resource.scope_metrics[0].metrics}
    assert told["huge"].value == exported
    assert told["other"].value == 2
    assert told["fraction"].value == 1.5e30


def test_its_exemplar_is_too(meter):
    made, collect = meter
    where = trace.SpanContext(1, 2, is_remote=False, trace_flags=trace.TraceFlags(1))
    around = trace.set_span_in_context(trace.NonRecordingSpan(where))
    counter = made.create_up_down_counter("huge")
    counter.add(10**30, context=around)
    counter.add(-(10**30), context=around)
    data = bounded(collect())
    encode_metrics(data)
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert point.value == 0
    assert {exemplar.value for exemplar in point.exemplars} <= {LEAST, MOST}
    assert point.exemplars


@pytest.mark.parametrize("added", [0, MOST, LEAST])
def test_what_fits_is_left_as_it_is(meter, added):
    made, collect = meter
    made.create_up_down_counter("fits").add(added)
    data = collect()
    assert bounded(data) is data
    assert values(data) == {"fits": added}
