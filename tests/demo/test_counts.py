import json
from collections import Counter

import pytest

from posemon_otel.demo import check, counts
from posemon_otel.demo.counts import Exported
from posemon_otel.demo.faults import Failure


def attributes(**named):
    keys = {"status": "pose.generation.status", "type": "error.type", "reason": "pose.error.reason"}
    return [{"key": keys[name], "value": {"stringValue": value}} for name, value in named.items()]


def line(resource, scope, records, *record):
    return json.dumps({resource: [{scope: [{records: list(record)}]}]}) + "\n"


def metric(name, *points):
    values = [{"attributes": attributes(**said), "asInt": str(value)} for value, said in points]
    return {"name": name, "sum": {"dataPoints": values}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "traces.jsonl").write_text(
        line(
            "resourceSpans",
            "scopeSpans",
            "spans",
            {"name": "pose.generation", "attributes": attributes(status="partial")},
            {"name": "pose.generation", "attributes": attributes(type="FLUX_API_ERROR", reason="auth")},
            {"name": "pose.render", "attributes": attributes(type="FLUX_API_ERROR", reason="auth")},
            {"name": "pose.render"},
            {"name": "generate_content m", "attributes": attributes(type="FLUX_API_ERROR", reason="auth")},
        )
        + line(
            "resourceSpans",
            "scopeSpans",
            "spans",
            {"name": "pose.generation", "attributes": attributes(status="completed")},
        )
        + '{"resourceSpans": [{"scopeSpans": [{"spa'
    )
    (tmp_path / "metrics.jsonl").write_text(
        line(
            "resourceMetrics",
            "scopeMetrics",
            "metrics",
            metric("pose.generations", (1, {"status": "completed"}), (0, {"status": "partial"})),
        )
        + line(
            "resourceMetrics",
            "scopeMetrics",
            "metrics",
            metric("pose.generations", (3, {"status": "completed"}), (2, {"status": "failed", "type": "X"})),
            metric("pose.errors", (4, {"type": "FLUX_API_ERROR", "reason": "auth"})),
            {"name": "pose.generation.duration", "histogram": {"dataPoints": []}},
        )
    )
    (tmp_path / "logs.jsonl").write_text(
        line(
            "resourceLogs",
            "scopeLogs",
            "logRecords",
            {"eventName": "exception", "attributes": attributes(type="NETWORK_ERROR", reason="connection")},
            {"attributes": attributes(type="NETWORK_ERROR", reason="connection")},
        )
    )
    return tmp_path


def test_spans_of_a_try_that_another_follows_are_no_generation(folder):
    assert counts.from_spans(folder) == Exported(
        Counter(partial=1, completed=1), Counter({("FLUX_API_ERROR", "auth"): 1})
    )


def test_of_a_metric_the_newest_value_counts_and_zeros_do_not(folder):
    assert counts.from_metrics(folder) == Exported(
        Counter(completed=3, failed=2), Counter({("FLUX_API_ERROR", "auth"): 4})
    )


def test_of_logs_only_exceptions_count(folder):
    assert counts.from_logs(folder) == Counter({("NETWORK_ERROR", "connection"): 1})


def test_files_that_are_not_there_yet_count_nothing(tmp_path):
    assert counts.from_spans(tmp_path) == counts.from_metrics(tmp_path) == Exported(Counter(), Counter())


def test_the_answers_of_the_stand_in_get_the_names_that_they_must_have():
    answers = {"image": 9, "refused": 1, Failure.HANG: 1, Failure.GATEWAY_TIMEOUT: 2, Failure.SLOW: 1, Failure.DROP: 3}
    assert check.injected(answers) == {("TIMEOUT_ERROR", "timeout"): 3, ("NETWORK_ERROR", "connection"): 3}


def counted(**changes):
    statuses, errors, types = Counter(completed=2, failed=1), Counter({("A", "b"): 3}), Counter(A=1)
    exported = Exported(statuses, errors)
    values = {
        "designed": statuses,
        "application": statuses,
        "admin": statuses,
        "metrics": exported,
        "spans": exported,
        "logs": errors,
        "injected": errors,
        "designed_types": types,
        "types": types,
        "undelivered": 0,
    }
    return check.Counted(**{**values, **changes})


def test_equal_counts_have_no_differences():
    assert counted().differences == []
    assert counted(metrics=None, spans=None, logs=None).differences == []


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        ("application", Counter(completed=3), "generations by the queue: 3 completed instead of"),
        ("admin", Counter(), "generations by GET /metrics: none instead of"),
        ("types", Counter(B=1), "failures by GET /metrics/errors: 1 B instead of 1 A"),
        ("metrics", Exported(Counter(), Counter({("A", "b"): 3})), "generations in exported metrics: none instead of"),
        ("spans", Exported(Counter(completed=2, failed=1), Counter()), "failures in exported spans: none instead of"),
        ("logs", Counter({("A", "b"): 2}), "failures in exported logs: 2 A/b instead of 3 A/b"),
    ],
)
def test_each_place_that_disagrees_is_named(place, value, line):
    (difference,) = counted(**{place: value}).differences
    assert difference.startswith(line)
