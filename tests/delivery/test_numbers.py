"""A number that OTLP cannot hold costs no other instrument its points."""

import pytest
from opentelemetry import metrics

import posemon_otel as posemon
from posemon_otel.delivery import globals as otel_globals
from tests.receiver import Receiver

HUGE = 10**30


@pytest.mark.parametrize("sign", [1, -1])
def test_the_rest_of_the_collection_arrives(tmp_path, sign):
    with otel_globals.set_aside(), Receiver() as receiver:
        handle = posemon.configure(
            "worker",
            otlp_endpoint=receiver.url,
            journal_dir=str(tmp_path),
            log_format="none",
            disabled_instrumentations=("*",),
        )
        meter = metrics.get_meter("app")
        meter.create_up_down_counter("huge").add(sign * HUGE)
        meter.create_histogram("spread").record(HUGE)
        meter.create_counter("modest").add(3)
        meter.create_gauge("level").set(0.5)
        assert handle.force_flush(10)
        handle.shutdown(5)
        assert receiver.total("modest") == 3
        assert receiver.total("level") == 0.5
        assert receiver.total("huge") == (2**63 - 1 if sign > 0 else -(2**63))
        assert next(iter(receiver.metrics()["spread"].values()))[0] == 1
