"""Prometheus' own reader beside OTLP: the same points, under the names that the registry promises for Prometheus."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from posemon_otel.semconv import metrics as m
from tests.receiver import Receiver

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-third-party" / "bin" / "python"
PROGRAM = """
import json, sys
import posemon_otel as posemon
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.view import View
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client import generate_latest

handle = posemon.configure(
    "worker", log_format="none", disabled_instrumentations=("*",), metric_readers=[PrometheusMetricReader()],
    views=[View(instrument_name="pose.errors", attribute_keys={"error.type"})],
)
for number in range(3):
    with posemon.generation(f"g{number}", credits_charged=10) as generation, generation.pose("p"):
        pass
try:
    with posemon.generation("bad"):
        raise TimeoutError("too long")
except TimeoutError:
    pass
posemon.record_event("export_generated", "g1")
assert handle.force_flush(10)
def own(labels):
    # an empty label is one that is not there
    return {key: value for key, value in labels.items() if value and not key.startswith("otel_scope")}

samples = [
    [sample.name, own(sample.labels), sample.value]
    for family in text_string_to_metric_families(generate_latest(REGISTRY).decode())
    for sample in family.samples
]
print(json.dumps(samples))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What Prometheus scraped, and what came over OTLP."""
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON.relative_to(ROOT)} is missing: .ci/run installs it from tests/real/third_party.lock")
    with Receiver() as receiver:
        variables = {
            "PYTHONPATH": str(ROOT),
            "POSEMON_JOURNAL_DIR": str(tmp_path_factory.mktemp("journal")),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        }
        command = [str(PYTHON), "-c", PROGRAM]
        done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), receiver.metrics()


def test_counters_are_the_same(seen):
    scraped, received = seen
    for metric in m.METRICS:
        if metric.instrument != m.COUNTER or metric is m.DROPPED:
            continue
        of_prometheus = {
            frozenset(labels.items()): value for name, labels, value in scraped if name == metric.prometheus
        }
        of_otlp = {
            frozenset((key.replace(".", "_"), value) for key, value in own): value
            for (_, own), value in received.get(metric.name, {}).items()
        }
        assert of_prometheus == of_otlp, metric.name
    total = sum(value for name, _, value in scraped if name == "pose_generations_total")
    assert total == 4


def test_histograms_are_the_same(seen):
    scraped, received = seen
    counts = {name: value for name, labels, value in scraped if name == "pose_render_duration_seconds_count"}
    ((count, _),) = received["pose.render.duration"].values()
    assert counts == {"pose_render_duration_seconds_count": count} == {"pose_render_duration_seconds_count": 3}


def test_the_view_holds_for_both(seen):
    scraped, received = seen
    labels = {frozenset(labels) for name, labels, _ in scraped if name == "pose_errors_total"}
    assert labels == {frozenset({"error_type"})}
    assert {frozenset(key for key, _ in own) for _, own in received["pose.errors"]} == {frozenset({"error.type"})}
