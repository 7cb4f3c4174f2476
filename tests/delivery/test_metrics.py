"""Metrics under fault: processes that die, fork and are many; readers, views and callbacks of the user's."""

import math
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import Counter as SdkCounter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

import posemon_otel as posemon
from posemon_otel import bootstrap, faults
from posemon_otel.delivery import drops, metering
from posemon_otel.delivery import globals as otel_globals
from posemon_otel.delivery.metric_export import Acknowledging
from posemon_otel.semconv import metrics as m
from tests.receiver import Receiver, attributes

QUIET = {"ship_interval": 0.05, "log_format": "none", "disabled_instrumentations": ("*",)}
HOURLY = {"metric_interval": 3_600_000}


@pytest.fixture
def fresh():
    drops.reset()
    with otel_globals.set_aside():
        yield
        handle = bootstrap.handle()
        if handle is not None:
            handle.shutdown(2.0)
    drops.reset()


def configure(receiver, folder, **more):
    return posemon.configure("worker", otlp_endpoint=receiver.url, journal_dir=str(folder), **(QUIET | HOURLY | more))


def generate(count=1, prefix="g"):
    for number in range(count):
        with posemon.generation(f"{prefix}{number}", credits_charged=10):
            pass


HEAD = """
    import os, signal, sys, time
    import posemon_otel as posemon
    from opentelemetry import metrics
    from posemon_otel import bootstrap, faults
    faults.strict = True

    def configure():
        return posemon.configure("worker", disabled_instrumentations=("*",), log_format="none")

    def generate(count):
        for number in range(count):
            with posemon.generation(f"{os.getpid()}-{number}", credits_charged=10):
                pass
"""


def run(folder: Path, url: str, body: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    program = folder / "program.py"
    program.write_text(textwrap.dedent(HEAD) + textwrap.dedent(body))
    env = {
        "PATH": "",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "POSEMON_JOURNAL_DIR": str(folder / "journal"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
        "POSEMON_SHIP_INTERVAL": "0.05",
        **environ,
    }
    command = [sys.executable, "-W", "error", str(program)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def truth(receiver, metric="pose.generations", **wanted):
    """What a backend has counted: of each process and each beginning of a series the newest value, summed."""
    need = {(key.replace("__", "."), value) for key, value in wanted.items()}
    newest = {}
    for message in receiver._messages("/v1/metrics"):
        for rm in message.resource_metrics:
            instance = attributes(rm.resource.attributes)["service.instance.id"]
            for sm in rm.scope_metrics:
                for found in sm.metrics:
                    for point in found.sum.data_points if found.name == metric else ():
                        own = frozenset(attributes(point.attributes).items())
                        if need <= own:
                            newest[instance, own, point.start_time_unix_nano] = point.as_int or point.as_double
    return sum(newest.values())


def adopt_all(handle, receiver, expected, **wanted):
    """Has the living process take over the dead ones until the count is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        handle.pipeline.shipper.adopt()
        if truth(receiver, **wanted) >= expected:
            return
        time.sleep(0.05)


def series(reader):
    """Metric name -> attributes -> value, or (count, sum)."""
    found = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    value = point.value if hasattr(point, "value") else (point.count, point.sum)
                    found.setdefault(metric.name, {})[frozenset(point.attributes.items())] = value
    return found


# Readers and views


def test_a_reader_of_the_user_s_sees_the_same_points_as_otlp_through_the_same_view(tmp_path, fresh):
    reader = InMemoryMetricReader()
    views = [
        View(instrument_name="pose.errors", attribute_keys={"error.type"}),
        View(
            instrument_name="pose.generation.duration",
            name="generation.seconds",
            aggregation=ExplicitBucketHistogramAggregation((1.0, 2.0)),
        ),
    ]
    with Receiver() as receiver:
        handle = configure(receiver, tmp_path, metric_readers=[reader], views=views)
        metrics.get_meter("app").create_counter("app.requests").add(3, {"path": "/"})
        generate(2)
        with pytest.raises(ValueError, match="no"), posemon.generation("bad"):
            raise ValueError("no")
        seen = series(reader)
        assert handle.force_flush(10.0)
        over_the_wire = {
            name: {own: value for (_, own), value in points.items()} for name, points in receiver.metrics().items()
        }
    moving = {metric.name for metric in m.OBSERVED}
    for name in set(seen) - moving:
        assert over_the_wire[name] == {
            own: pytest.approx(value) if isinstance(value, tuple) else value for own, value in seen[name].items()
        }, name
    assert set(over_the_wire) == set(seen)
    assert seen["app.requests"] == {frozenset({("path", "/")}): 3}
    assert "pose.generation.duration" not in seen
    assert sum(count for count, _ in seen["generation.seconds"].values()) == 3
    assert all({key for key, _ in own} <= {"error.type"} for own in seen["pose.errors"])
    assert sum(seen["pose.errors"].values()) == 1


def test_readers_and_views_go_to_the_sdk_s_provider_where_the_journal_is_off(tmp_path, fresh):
    reader = InMemoryMetricReader()
    with Receiver() as receiver:
        views = [View(instrument_name="pose.generations", name="renamed")]
        handle = configure(receiver, tmp_path, journal="off", metric_readers=[reader], views=views)
        assert handle.mode == "direct"
        generate()
        assert sum(series(reader)["renamed"].values()) == 1
        assert handle.force_flush(10.0)
        assert truth(receiver, "renamed") == 1
        # a reader that others ask is not flushed: it would tell its next caller everything twice
        assert reader._metrics_data is None


def test_readers_are_refused_with_a_line_where_the_application_has_a_provider(tmp_path, fresh, caplog):
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    handle = posemon.configure("w", journal_dir=str(tmp_path), metric_readers=[InMemoryMetricReader()], **QUIET)
    assert handle.mode == "direct"
    assert [r.message for r in caplog.records if "metric_readers" in r.message] == handle.settings.problems


def test_what_is_no_reader_or_view_costs_a_line_and_a_reader_that_is_in_use_too(tmp_path, fresh, caplog):
    taken = InMemoryMetricReader()
    MeterProvider([taken], shutdown_on_exit=False)
    good = InMemoryMetricReader()
    handle = configure_without_receiver(tmp_path, good, "reader", taken, views=[object()])
    assert handle.mode == "journal"
    assert handle.settings.problems == [
        "metric_readers: expected objects of MetricReader, got one of str; it is left out",
        "views: expected objects of View, got one of object; it is left out",
    ]
    assert [r.message for r in caplog.records if "has been registered already" in r.message]
    generate()
    assert sum(series(good)["pose.generations"].values()) == 1


def test_exemplars_carry_the_trace_of_their_operation(tmp_path, fresh):
    with Receiver() as receiver:
        handle = configure(receiver, tmp_path)
        with posemon.generation("g"):
            trace_id = trace.get_current_span().get_span_context().trace_id
        assert handle.force_flush(10.0)
        found = {
            exemplar.trace_id.hex()
            for message in receiver._messages("/v1/metrics")
            for rm in message.resource_metrics
            for sm in rm.scope_metrics
            for metric in sm.metrics
            if metric.name == "pose.generation.duration"
            for point in metric.histogram.data_points
            for exemplar in point.exemplars
        }
    assert found == {f"{trace_id:032x}"}


# Callbacks of the user's


def test_a_callback_that_raises_or_sleeps_does_not_stop_ours(tmp_path, fresh, caplog, monkeypatch):
    monkeypatch.setattr(metering, "CALLBACK_SECONDS", 0.2)
    awake = threading.Event()

    def sleeps(_options):
        awake.wait(30)
        return [Observation(1)]

    def raises(_options):
        raise RuntimeError("from the user's callback")

    reader = InMemoryMetricReader()
    with Receiver() as receiver:
        handle = configure(receiver, tmp_path, metric_readers=[reader])
        meter = metrics.get_meter("app")
        meter.create_observable_gauge("app.sleeping", [sleeps])
        meter.create_observable_counter("app.raising", [raises])
        meter.create_observable_up_down_counter("app.fine", [lambda _options: [Observation(7, {"a": 1})]])
        generate()
        began = time.monotonic()
        assert handle.force_flush(10.0)
        assert sum(series(reader)["pose.generations"].values()) == 1
        assert time.monotonic() - began < 5
        assert truth(receiver) == 1
        assert receiver.total("app.fine") == 7
        assert "app.sleeping" not in receiver.metrics()
        assert drops.counts()["metrics", "callback_slow"] >= 2
        said = [r.message for r in caplog.records if "app.sleeping" in r.message]
        assert len(said) == 1
        awake.set()
        deadline = time.monotonic() + 10
        while "app.sleeping" not in series(reader) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert series(reader)["app.sleeping"] == {frozenset(): 1}


def test_a_callback_that_is_a_generator_is_sent_the_options(tmp_path, fresh):
    def counting():
        options = yield []
        while True:
            assert options.timeout_millis > 0
            options = yield [Observation(5)]

    reader = InMemoryMetricReader()
    configure_without_receiver(tmp_path, reader)
    metrics.get_meter("app").create_observable_gauge("app.generated", [counting()])
    assert series(reader)["app.generated"] == {frozenset(): 5}
    assert series(reader)["app.generated"] == {frozenset(): 5}


def test_a_callback_is_called_where_no_thread_can_be_started_any_more(monkeypatch):
    def refused(_thread):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refused)
    observed = Observation(1)
    patient = metering.Patient("app.last", lambda _options: [observed])
    assert list(patient(CallbackOptions())) == [observed]
    assert list(patient(CallbackOptions())) == [observed]


def configure_without_receiver(folder, *readers, **more):
    none = {"traces_exporter": "none", "metrics_exporter": "none", "logs_exporter": "none"}
    return posemon.configure("worker", journal_dir=str(folder), metric_readers=readers, **(QUIET | none | more))


# Bounds


def test_series_are_bounded_and_what_is_beyond_is_counted(tmp_path, fresh, caplog):
    reader = InMemoryMetricReader()
    configure_without_receiver(tmp_path, reader)
    for number in range(m.SERIES_LIMIT + 100):
        posemon.record_event(f"app.event_{number}")
    seen = series(reader)["pose.events"]
    # our own limit is the SDK's: what is counted is what went to the overflow series
    assert len(seen) == m.SERIES_LIMIT + 1
    assert seen[frozenset({("otel.metric.overflow", True)})] == drops.counts()["metrics", "series_limit"] == 100
    assert len([r for r in caplog.records if "pose.events has more than" in r.message]) == 1


def test_what_was_replayed_but_not_exported_holds_no_segment_back(tmp_path, fresh, caplog):
    with Receiver(answer=lambda path: 503 if path == "/v1/metrics" else 200) as receiver:
        handle = configure(receiver, tmp_path, segment_bytes=4096, journal_keep=0)
        generate(100)
        assert handle.pipeline.shipper.flush(10.0)
        assert handle.pipeline._replay.drain()
        own = handle.pipeline._journal.journal()
        generate(30, "later")  # moves on to another segment, after which the old ones may go
        assert handle.pipeline.shipper.flush(10.0)
        deadline = time.monotonic() + 10
        while own.segments()[0].number < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert own.segments()[0].number >= 5
        assert own.mark("metrics-exported").low.segment <= 1
        receiver.answer = lambda _path: 200
        assert handle.force_flush(10.0)
        assert truth(receiver, pose__generation__status="completed") == 130


# Depth, age and lag, and OpenTelemetry's own metrics


def test_the_journal_s_depth_age_and_lag_are_seen(tmp_path, fresh, caplog):
    reader = InMemoryMetricReader()
    with Receiver(answer=lambda path: 503 if path == "/v1/traces" else 200) as receiver:
        handle = configure(receiver, tmp_path, metric_readers=[reader])
        generate(20)
        assert handle.pipeline.shipper.flush(10.0, ("logs",))
        handle.pipeline._intervals[0].collect(5.0)
        time.sleep(0.6)
        seen = series(reader)
        own = handle.pipeline._journal.journal()
        assert seen[m.JOURNAL_SIZE.name][frozenset()] == sum(segment.size for segment in own.segments())
        lag = {dict(key)["signal"]: value for key, value in seen[m.JOURNAL_LAG.name].items()}
        age = {dict(key)["signal"]: value for key, value in seen[m.JOURNAL_AGE.name].items()}
        assert set(lag) == set(age) == {"traces", "logs", "metrics", "events"}
        assert lag["traces"] == own.lag("traces").bytes > 1000
        assert 0.5 < age["traces"] < 60
        assert lag["logs"] == lag["metrics"] == age["logs"] == age["metrics"] == 0
        receiver.answer = lambda _path: 200
        assert handle.force_flush(20.0)
        time.sleep(0.6)
        assert set(series(reader)[m.JOURNAL_LAG.name].values()) == {0}


def test_opentelemetry_s_own_metrics_where_they_are_asked_for(tmp_path, fresh, caplog, monkeypatch):
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    reader = InMemoryMetricReader()
    with Receiver(answer=lambda path: 503 if path == "/v1/traces" else 200) as receiver:
        handle = configure(receiver, tmp_path, metric_readers=[reader])
        generate(20)
        posemon.worker_logger.info("a line")
        assert handle.pipeline.shipper.flush(10.0, ("logs",))
        component = {("otel.component.type", "posemon_journal_span_processor")}
        component |= {("otel.component.name", "posemon_journal_span_processor/0")}
        seen = series(reader)
        assert seen["otel.sdk.processor.span.queue.size"] == {frozenset(component): 20}
        assert seen["otel.sdk.processor.span.processed"] == {frozenset(component): 0}
        assert set(seen["otel.sdk.processor.log.queue.size"].values()) == {0}
        logs = sum(seen["otel.sdk.processor.log.processed"].values())
        assert logs == len(receiver.logs()) > 0
        deadline = time.monotonic() + 10
        while not failures(series(reader)) and time.monotonic() < deadline:
            time.sleep(0.02)
        drops.count("traces", "journal_full", 3)
        receiver.answer = lambda _path: 200
        assert handle.force_flush(20.0)
        seen = series(reader)
        assert seen["otel.sdk.processor.span.queue.size"] == {frozenset(component): 0}
        assert seen["otel.sdk.processor.span.processed"] == {
            frozenset(component): 17,
            frozenset(component | {("error.type", "queue_full")}): 3,
        }
        # of the SDK's own parts
        assert sum(seen["otel.sdk.span.started"].values()) == 20
        assert sum(seen["otel.sdk.exporter.span.exported"].values()) - failures(seen) == 20
        assert failures(seen) >= 20
        assert "otel.sdk.exporter.log.exported" in seen


def failures(seen):
    """Spans of attempts that failed, as the SDK's exporter counts them."""
    exported = seen.get("otel.sdk.exporter.span.exported", {})
    return sum(items for key, items in exported.items() if "error.type" in dict(key))


def test_readers_come_and_go(tmp_path, fresh):
    first, second = InMemoryMetricReader(), InMemoryMetricReader()
    configure_without_receiver(tmp_path, first)
    provider = metrics.get_meter_provider()
    provider.add_metric_reader(second)
    generate(2)
    assert sum(series(second)["pose.generations"].values()) == 2
    provider.remove_metric_reader(second)
    generate(1)
    assert provider.force_flush()
    assert second.get_metrics_data() is None
    assert sum(series(first)["pose.generations"].values()) == 3


def test_they_are_off_unless_asked_for(tmp_path, fresh):
    reader = InMemoryMetricReader()
    configure_without_receiver(tmp_path, reader)
    generate()
    assert [name for name in series(reader) if name.startswith("otel.")] == []


# Processes that end, die, fork


@pytest.mark.parametrize("ending", ["pass", "sys.exit(3)", "raise ValueError"])
def test_the_last_interval_before_exit_arrives(tmp_path, ending):
    with Receiver() as receiver:
        done = run(tmp_path, receiver.url, f"configure()\ngenerate(3)\n{ending}")
        assert "OTEL" not in done.stderr
        assert truth(receiver) == 3


def test_after_a_kill_no_count_is_missing(tmp_path, fresh):
    body = """
        handle = configure()
        mine = metrics.get_meter("app").create_counter("app.requests")
        generate(5)
        assert handle.force_flush(10)
        generate(4)
        assert handle.pipeline.shipper.flush(10)     # everything but metrics has arrived,
        assert handle.pipeline._replay.drain()       # and they were replayed, but not exported
        print(handle.pipeline.tracer_provider.resource.attributes["service.instance.id"], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    with Receiver() as receiver:
        killed = run(tmp_path, receiver.url, body)
        assert killed.returncode == -9, killed.stderr
        assert truth(receiver) == 5
        handle = configure(receiver, tmp_path / "journal")
        generate(2)
        assert handle.force_flush(10.0)
        adopt_all(handle, receiver, 11)
        time.sleep(0.3)  # whatever would come twice
        assert truth(receiver) == 11
        assert truth(receiver, "pose.credits.charged") == 110
        instances = {instance for (instance, _), n in receiver.metrics()["pose.generations"].items() if n}
        assert killed.stdout.strip() in instances
        assert len(instances) == 2


def test_a_kill_between_the_export_and_its_mark_counts_the_last_interval_twice_and_no_more(tmp_path, fresh):
    body = """
        from posemon_otel.delivery.metrics import Replay
        handle = configure()
        generate(5)
        assert handle.force_flush(10)
        generate(4)
        Replay.exported = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        handle.force_flush(10)
    """
    with Receiver() as receiver:
        killed = run(tmp_path, receiver.url, body)
        assert killed.returncode == -9, killed.stderr
        assert truth(receiver) == 9
        handle = configure(receiver, tmp_path / "journal")
        adopt_all(handle, receiver, 13)
        time.sleep(0.3)
        assert truth(receiver) == 9 + 4


def test_counts_that_went_with_their_segments_are_told_of(tmp_path, fresh, caplog):
    body = """
        handle = configure()
        generate(100)
        assert handle.pipeline.shipper.flush(10) and handle.pipeline._replay.drain()
        generate(100)
        assert handle.pipeline.shipper.flush(10) and handle.pipeline._replay.drain()
        own = handle.pipeline._journal.journal()
        while own.segments()[0].number < 4:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    small = {"POSEMON_JOURNAL_SEGMENT": "4096", "POSEMON_JOURNAL_KEEP": "0"}
    with Receiver(answer=lambda path: 503 if path == "/v1/metrics" else 200) as receiver:
        killed = run(tmp_path, receiver.url, body, OTEL_METRIC_EXPORT_INTERVAL="3600000", **small)
        assert killed.returncode == -9, killed.stderr
        receiver.answer = lambda _path: 200
        handle = configure(receiver, tmp_path / "journal")
        adopt_all(handle, receiver, 1)
    assert drops.counts()["metrics", "segments_gone"] >= 3
    assert len([r for r in caplog.records if "were no longer kept" in r.message]) == 1


def test_children_of_multiprocessing_count_for_themselves(tmp_path):
    children("fork", tmp_path)


def children(method, folder):
    """Two children of a process, and what is counted in the end."""
    body = f"""
        import multiprocessing

        def child():
            handle = configure()
            mine = metrics.get_meter("app").create_counter("app.requests")
            mine.add(1)
            generate(2)
            assert handle.force_flush(20)

        if __name__ == "__main__":
            handle = configure()
            generate(3)
            metrics.get_meter("app").create_counter("app.requests").add(100)
            assert handle.force_flush(20)
            methods = multiprocessing.get_context("{method}")
            children = [methods.Process(target=child) for _ in range(2)]
            for one in children:
                one.start()
            for one in children:
                one.join()
            assert [one.exitcode for one in children] == [0, 0]
            generate(1)
    """
    with Receiver() as receiver:
        done = run(folder, receiver.url, body)
        assert done.returncode == 0, done.stderr
        assert truth(receiver) == 8
        assert truth(receiver, "app.requests") == 102
        by_process = Counter()
        for (instance, _), value in receiver.metrics()["pose.generations"].items():
            by_process[instance] += value
        assert sorted(by_process.values()) == [2, 2, 4]


def test_a_forked_child_never_counts_its_parent_s_past(tmp_path):
    body = """
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        reader = InMemoryMetricReader()
        handle = posemon.configure("worker", disabled_instrumentations=("*",), log_format="none",
                                   metric_readers=[reader])
        mine = metrics.get_meter("app").create_counter("app.requests")
        mine.add(100)
        generate(3)
        assert handle.force_flush(10)
        generate(4)                     # in the parent's journal, not yet replayed
        pid = os.fork()
        if pid == 0:
            mine.add(1)                 # an instrument made before the fork
            generate(2)
            ok = handle.force_flush(10)
            found = {}
            for resource in reader.get_metrics_data().resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        if metric.name in ("app.requests", "pose.generations"):
                            found[metric.name] = sum(point.value for point in metric.data.data_points)
            print(sorted(found.items()), flush=True)
            time.sleep(1.0)             # intervals pass
            os._exit(0 if ok else 3)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        mine.add(10)
        generate(1)
    """
    with Receiver() as receiver:
        done = run(tmp_path, receiver.url, body, OTEL_METRIC_EXPORT_INTERVAL="200")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "[('app.requests', 1), ('pose.generations', 2)]"
        assert truth(receiver) == 10
        assert truth(receiver, "app.requests") == 111


def test_a_fork_in_the_middle_of_a_collection_leaves_no_lock_behind(tmp_path):
    body = """
        import threading
        from opentelemetry.metrics import Observation
        handle = configure()
        collecting, go_on = threading.Event(), threading.Event()
        def callback(options):
            collecting.set()
            go_on.wait(0.9)
            return [Observation(1)]
        metrics.get_meter("app").create_observable_gauge("app.slow", [callback])
        mine = metrics.get_meter("app").create_counter("app.requests")
        generate(3)
        threading.Thread(target=handle.force_flush, args=(10,), daemon=True).start()
        assert collecting.wait(10)
        pid = os.fork()
        if pid == 0:
            mine.add(1)
            generate(2)
            os._exit(0 if handle.force_flush(10) else 3)
        go_on.set()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    """
    with Receiver() as receiver:
        done = run(tmp_path, receiver.url, body)
        assert done.returncode == 0, done.stderr
        assert truth(receiver) == 5
        assert truth(receiver, "app.requests") == 1


# Receivers that are away


class Away(MetricExporter):
    """Takes nothing until it is ``back``."""

    def __init__(self, temporality: AggregationTemporality) -> None:
        super().__init__({SdkCounter: temporality})
        self.back = False
        self.taken: list[MetricsData] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_more: object) -> MetricExportResult:
        if self.back:
            self.taken.append(metrics_data)
        return MetricExportResult.SUCCESS if self.back else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_more: object) -> None:
        pass


def counted(exporter):
    return [
        point.value
        for data in exporter.taken
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "pose.generations"
        for point in metric.data.data_points
        if point.value
    ]


@pytest.mark.parametrize(
    ("temporality", "expected"), [(AggregationTemporality.DELTA, [3, 2]), (AggregationTemporality.CUMULATIVE, [5])]
)
def test_no_difference_is_lost_while_a_receiver_is_away(tmp_path, fresh, caplog, temporality, expected):
    exporter = Away(temporality)
    chosen = bootstrap.Settings({"service_name": "w", "journal_dir": str(tmp_path), **QUIET, **HOURLY})
    makers = {"traces": [], "logs": [], "metrics": [lambda: exporter]}
    handle = bootstrap.configure_with(chosen, makers=makers)
    generate(3)
    assert not handle.force_flush(5.0)
    generate(2)
    exporter.back = True
    assert handle.force_flush(5.0)
    assert counted(exporter) == expected


def test_of_the_differences_that_wait_too_long_the_oldest_go_and_are_counted(fresh, monkeypatch, caplog):
    from posemon_otel.delivery import metric_export
    from posemon_otel.delivery.metrics import Replay

    monkeypatch.setattr(metric_export, "_COLLECTIONS_KEPT", 2)
    inner = Away(AggregationTemporality.DELTA)
    reader = InMemoryMetricReader({SdkCounter: AggregationTemporality.DELTA})
    provider = MeterProvider([reader], shutdown_on_exit=False)
    mine = provider.get_meter("app").create_counter("app.requests")
    exporter = Acknowledging(inner, Replay(lambda: None, lambda: 0))
    for number in range(1, 5):
        mine.add(number)
        inner.back = number == 4
        exporter.export(reader.get_metrics_data())
    values = [d.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0].value for d in inner.taken]
    assert values == [2, 3, 4]
    assert drops.counts() == {("metrics", "receiver_away"): 1}


def test_the_mark_follows_the_slower_of_two_receivers(tmp_path, fresh, caplog):
    quick, slow = Away(AggregationTemporality.CUMULATIVE), Away(AggregationTemporality.CUMULATIVE)
    quick.back = True
    chosen = bootstrap.Settings({"service_name": "w", "journal_dir": str(tmp_path), **QUIET, **HOURLY})
    makers = {"traces": [], "logs": [], "metrics": [lambda: quick, lambda: slow]}
    handle = bootstrap.configure_with(chosen, makers=makers)
    generate(3)
    assert not handle.force_flush(5.0)
    own = handle.pipeline._journal.journal()
    assert own.mark("metrics-exported").low.segment == 0
    assert own.mark("metrics").low.segment == 1
    slow.back = True
    assert handle.force_flush(5.0)
    assert own.mark("metrics-exported").low == own.mark("metrics").low


def test_values_that_no_instrument_takes_do_not_stop_the_others(tmp_path, fresh, caplog):
    faults.strict = False
    reader = InMemoryMetricReader()
    configure_without_receiver(tmp_path, reader)
    for odd in (10**30, -5, math.nan, math.inf, "many"):
        with posemon.generation(f"odd {odd}", credits_charged=odd):
            pass
    generate(2)
    seen = series(reader)
    assert sum(seen["pose.generations"].values()) == 7
    assert seen["pose.credits.charged"][frozenset()] >= 20
