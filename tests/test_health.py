"""Every threshold at its edge, as the contract words it."""

from math import nan

import pytest

from posemon_otel import health
from posemon_otel.semconv.health import (
    ALERTS,
    AVG_GENERATION_TIME,
    INDICATORS,
    QUEUE_DEPTH,
    REFUND_RATE,
    SUCCESS_RATE,
    Status,
)


@pytest.mark.parametrize(
    ("indicator", "value", "status"),
    [
        (SUCCESS_RATE, 100.0, "good"),
        (SUCCESS_RATE, 95.01, "good"),
        (SUCCESS_RATE, 95.0, "warning"),
        (SUCCESS_RATE, 90.0, "warning"),
        (SUCCESS_RATE, 89.99, "critical"),
        (SUCCESS_RATE, 0.0, "critical"),
        (AVG_GENERATION_TIME, 0.0, "good"),
        (AVG_GENERATION_TIME, 29.99, "good"),
        (AVG_GENERATION_TIME, 30.0, "warning"),
        (AVG_GENERATION_TIME, 60.0, "warning"),
        (AVG_GENERATION_TIME, 60.01, "critical"),
        (QUEUE_DEPTH, 99, "good"),
        (QUEUE_DEPTH, 100, "warning"),
        (QUEUE_DEPTH, 500, "warning"),
        (QUEUE_DEPTH, 501, "critical"),
        (REFUND_RATE, 4.99, "good"),
        (REFUND_RATE, 5.0, "warning"),
        (REFUND_RATE, 10.0, "warning"),
        (REFUND_RATE, 10.01, "critical"),
    ],
)
def test_edges(indicator, value, status):
    assert health.evaluate(value, indicator) == status


@pytest.mark.parametrize("indicator", INDICATORS)
@pytest.mark.parametrize("value", [None, nan])
def test_no_number_is_unknown(indicator, value):
    assert health.evaluate(value, indicator) is Status.UNKNOWN


def test_all_in_order_and_the_worst_of_them():
    numbers = {"successRate": 97.0, "avgGenerationTime": 45.0, "queueDepth": None}
    judged = health.evaluate_all(numbers)
    assert [(j.indicator.key, j.value, j.status) for j in judged] == [
        ("successRate", 97.0, "good"),
        ("avgGenerationTime", 45.0, "warning"),
        ("queueDepth", None, "unknown"),
        ("refundRate", None, "unknown"),
    ]
    assert health.worst(judged) is Status.WARNING
    assert health.worst(health.evaluate_all({"successRate": 10.0, "queueDepth": 1})) is Status.CRITICAL
    assert health.worst(health.evaluate_all({"queueDepth": 1})) is Status.GOOD
    assert health.worst(health.evaluate_all({})) is Status.UNKNOWN
    assert health.worst(()) is Status.UNKNOWN


@pytest.mark.parametrize(
    ("number", "at", "above", "name"),
    [
        ("failureRate", 10.0, 10.01, "PoseFailureRateHigh"),
        ("queueWaiting", 500, 501, "PoseQueueBacklog"),
        ("avgGenerationTime", 60.0, 60.01, "PoseGenerationSlow"),
        ("creditsRefunded", 1000, 1001, "PoseRefundsHigh"),
        ("waitingWhileIdle", 0, 1, "PoseQueueStalled"),
    ],
)
def test_alerts_fire_above_their_threshold_only(number, at, above, name):
    assert health.firing({number: at}) == ()
    assert health.firing({number: None}) == ()
    assert health.firing({number: nan}) == ()
    assert [alert.key for alert in health.firing({number: above})] == [name]


def test_severities():
    assert {alert.key: str(alert.severity) for alert in ALERTS} == {
        "PoseFailureRateHigh": "critical",
        "PoseQueueBacklog": "warning",
        "PoseGenerationSlow": "warning",
        "PoseRefundsHigh": "critical",
        "PoseQueueStalled": "critical",
    }


def test_keys_and_runbooks_are_unique():
    for entries in (INDICATORS, ALERTS):
        assert len({entry.key for entry in entries}) == len({entry.runbook for entry in entries}) == len(entries)
