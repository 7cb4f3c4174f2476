"""One run of `posemon demo --generations 20 --exit`: what it says, writes and exports.

The counts are read here with code of their own: the demo's is what is tested.
"""

import json
import re
import sqlite3
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from posemon_otel.demo.faults import Failure
from posemon_otel.demo.scenario import EXPECTED, expected_errors, expected_statuses, scenario
from tests.demo.programs import attributes, demo, exported_spans, said

N = 20
DESIGNED = scenario(N)


class Run(NamedTuple):
    code: int
    out: str
    err: str
    folder: Path

    def lines(self, service, signal):
        path = self.folder / "telemetry" / service / f"{signal}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def spans(self, *services):
        return [
            {**span, "service": service}
            for service in services
            for span in exported_spans(self.folder / "telemetry" / service)
        ]

    def rows(self, query):
        with sqlite3.connect(self.folder / "posemon.db") as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    home = tmp_path_factory.mktemp("demo")
    folder = home / "run"
    done = demo(home, "--generations", str(N), "--exit", "--view", "--dir", str(folder))
    return Run(done.returncode, done.stdout, done.stderr, folder)


@pytest.fixture(scope="module")
def spans(run):
    return run.spans("pose-app", "pose-worker")


@pytest.fixture(scope="module")
def totals(run):
    """The newest value of each series of the worker's counters, by metric."""
    newest = {}
    for line in run.lines("pose-worker", "metrics"):
        for resource in line["resourceMetrics"]:
            for scope in resource["scopeMetrics"]:
                for metric in scope["metrics"]:
                    for point in metric.get("sum", {}).get("dataPoints", []):
                        series = frozenset(attributes(point).items())
                        newest[metric["name"], series] = int(point.get("asInt", 0))
    return newest


def of_metric(totals, name, *keys):
    counted = Counter()
    for (metric, series), value in totals.items():
        if metric == name and value:
            said_here = dict(series)
            counted[tuple(said_here.get(key) for key in keys)] += value
    return counted


def test_a_run_as_designed_exits_with_0_and_says_nothing_on_stderr(run):
    assert (run.code, run.err) == (0, "")


def test_generations_are_counted_alike_in_four_places(run, spans, totals):
    designed = expected_statuses(DESIGNED.orders)
    ended = said(run.out, "generations")[0]
    summary = Counter({status: int(count) for count, status in re.findall(r"(\d+) ([a-z]+)[,;]", ended)})
    exported = Counter(attributes(span).get("pose.generation.status") for span in spans)
    del exported[None]
    metric = Counter({key: n for (key,), n in of_metric(totals, "pose.generations", "pose.generation.status").items()})
    rows = Counter(
        dict(
            run.rows(
                "SELECT status, count(*) FROM pose_generations"
                " WHERE id NOT IN (SELECT generation_id FROM sample_generations) GROUP BY status"
            )
        )
    )
    assert summary == exported == metric == rows == designed
    assert sum(designed.values()) == N
    assert said(run.out, "counted") == [
        "alike in 4 places: this summary, GET /metrics, exported metrics, exported spans"
    ]


def test_every_kind_of_failure_is_injected(run):
    planned = {pose.failure for order in DESIGNED.orders for pose in order.poses} - {None}
    assert planned == set(Failure) - {Failure.SLOW}  # which is late, but a picture
    assert set(EXPECTED) == planned


def test_each_failure_has_its_type_and_reason_on_span_metric_and_log(run, spans, totals):
    tries = Counter()
    for order in DESIGNED.orders:
        # A pose that fails in every try fails as often as its generation is tried: thrice where nothing came out.
        for pose in order.poses:
            if pose.failure is not None:
                times = pose.times if order.status != "partial" else 1
                kind, reason = EXPECTED[pose.failure]
                tries[kind.value, reason] += times
    on_spans = Counter(
        (attributes(span)["error.type"], attributes(span)["pose.error.reason"])
        for span in spans
        if span["name"] == "pose.render" and span["status"].get("code") == 2
    )
    on_logs = Counter(
        (attributes(record)["error.type"], attributes(record)["pose.error.reason"])
        for line in run.lines("pose-worker", "logs")
        for resource in line["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
        if record.get("eventName") == "exception"
    )
    assert on_spans == on_logs == of_metric(totals, "pose.errors", "error.type", "pose.error.reason") == tries


def test_the_summary_counts_each_generation_once_for_each_of_its_error_types(run):
    counted = {kind: int(count) for count, kind in re.findall(r"(\d+) (\w+_ERROR)", said(run.out, "errors")[0])}
    assert counted == dict(expected_errors(DESIGNED.orders))


def test_one_trace_leads_from_the_application_to_flux_and_storage(spans):
    by_id = {span["spanId"]: span for span in spans}
    traces = {}
    for span in spans:
        if span["name"] != "POST":  # of a client library that may be watched as well
            traces.setdefault(span["traceId"], []).append(span)
    generations = [span for span in spans if span["name"] == "pose.generation"]
    assert len({span["traceId"] for span in generations}) == N

    def parents(span):
        while span.get("parentSpanId"):
            span = by_id[span["parentSpanId"]]
            yield span["name"], span["service"]

    chain = [
        ("pose.render", "pose-worker"),
        ("pose.generation", "pose-worker"),
        ("process pose-generation", "pose-worker"),
        ("send pose-generation", "pose-app"),
    ]
    for trace in traces.values():
        leaves = [span for span in trace if span["name"].startswith(("generate_content ", "put "))]
        if any(span["name"] == "pose.generation" for span in trace):
            assert leaves
        for leaf in leaves:
            assert list(parents(leaf)) == chain
    assert {span["name"] for span in spans if span["name"].startswith("generate_content")} == {
        "generate_content black-forest-labs/FLUX.1-dev"
    }


def test_no_prompt_and_no_address_of_a_user_is_exported_or_journalled(run):
    for folder in ("telemetry", "journal"):
        files = [path for path in (run.folder / folder).rglob("*") if path.is_file()]
        written = b"".join(path.read_bytes() for path in files)
        assert len(written) > 10_000
        for secret in (b"studio photograph", b"soft light", b"@example.com", b"hf_demo"):
            assert secret not in written


def test_the_application_keeps_its_own_columns(run):
    rows = run.rows(
        "SELECT textPrompt, projectId, queueJobId, id, creditCharged, totalExpectedPoses FROM pose_generations"
        " WHERE id LIKE 'demo-%'"
    )
    assert len(rows) == N
    for prompt, project, job, generation, charged, expected in rows:
        assert "studio photograph" in prompt
        assert (project, job, charged) == ("demo", generation, 30 * expected)


def test_failed_poses_are_refunded(run):
    refunded = dict(run.rows("SELECT id, creditRefunded FROM pose_generations WHERE id LIKE 'demo-%'"))
    assert refunded == {order.id: 30 * len(order.failures) for order in DESIGNED.orders}


def test_pictures_and_thumbnails_are_real(run):
    rendered = run.rows(
        "SELECT outputImageUrl, thumbnailUrl FROM generated_poses"
        " WHERE generationId LIKE 'demo-%' AND status = 'completed'"
    )
    assert len(rendered) == sum(
        pose.failure is None or pose.times < 3 for order in DESIGNED.orders for pose in order.poses
    )
    for addresses, size, kind in ((0, (384, 384), "PNG"), (1, (96, 96), "WEBP")):
        for row in rendered:
            with Image.open(run.folder / row[addresses].lstrip("/")) as picture:
                picture.load()
                assert (picture.size, picture.format) == (size, kind)


def test_sample_history_is_marked_and_ends_before_the_run(run):
    ((count, last),) = run.rows(
        "SELECT count(*), max(createdAt) FROM pose_generations"
        " WHERE id IN (SELECT generation_id FROM sample_generations)"
    )
    ((first,),) = run.rows("SELECT min(createdAt) FROM pose_generations WHERE id LIKE 'demo-%'")
    assert count > 1000
    assert last < first
    assert said(run.out, "history") == [f"{count} sample generations of the last 30 days, marked as such"]


def test_an_event_tells_of_the_recovery(run):
    assert run.rows("SELECT type, generation_id FROM generation_events") == [("recovery_triggered", None)]
    names = [
        record.get("eventName")
        for line in run.lines("pose-app", "logs")
        for resource in line["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]
    assert names == ["pose.recovery.triggered"]


def test_it_says_where_everything_is(run):
    assert said(run.out, "run folder") == [str(run.folder)]
    for line in said(run.out, "telemetry"):
        assert Path(line.rsplit("  ", 1)[0]).stat().st_size > 0
    assert len(said(run.out, "telemetry")) == 6
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/api/apps/pose-generator", said(run.out, "API")[0])
    assert re.match(
        r"http://127\.0\.0\.1:\d+/api/apps/pose-generator/dashboard#code=\S+", said(run.out, "dashboard")[0]
    )
    assert '    posemon.configure("pose-worker")\n' in run.out


def test_progress_is_shown_in_plain_lines(run):
    shown = [int(done) for done in re.findall(rf"^  (\d+)/{N} generations  ", run.out, re.MULTILINE)]
    assert shown == sorted(shown)
    assert shown[-1] == N
    for act in ("usual traffic", "incident: FLUX answers 503", "recovery: FLUX is back"):
        assert act in run.out
    assert "\x1b" not in run.out


def test_the_view_is_a_tree_of_one_trace(run):
    tree = run.out.split("\ntrace ", 1)[1].split("\n\n")[0]
    names = [re.sub(r"^[│├└─ ]+", "", line) for line in tree.splitlines()[1:]]
    assert names[0].startswith("send pose-generation")
    assert names[1].startswith("process pose-generation")
    assert names[2].startswith("pose.generation")
    assert any("TIMEOUT_ERROR" in name for name in names)
