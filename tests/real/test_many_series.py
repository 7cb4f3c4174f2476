"""Metrics where there is much of it: 200,000 label values, and every way in which multiprocessing makes a child."""

import gc
import os
from pathlib import Path

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from posemon_otel.semconv import metrics as m
from tests.delivery.test_metrics import children, configure_without_receiver, fresh, series  # noqa: F401 - a fixture


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_of_multiprocessing_count_for_themselves(tmp_path, method):
    children(method, tmp_path)


def test_two_hundred_thousand_label_values_keep_memory_bounded(tmp_path, fresh):  # noqa: F811 - the fixture
    reader = InMemoryMetricReader()
    configure_without_receiver(tmp_path, reader)
    mine = metrics.get_meter("app").create_counter("app.by_user")
    for number in range(5000):  # what is bounded has reached its bound
        mine.add(1, {"user": number})
    assert series(reader)
    gc.collect()
    before = resident()
    for number in range(200_000):
        mine.add(1, {"user": number})
    gc.collect()
    assert resident() - before < 16 * 1024 * 1024
    seen = series(reader)["app.by_user"]
    assert len(seen) == m.SERIES_LIMIT + 1
    assert sum(seen.values()) == 205_000


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
