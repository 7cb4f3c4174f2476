"""The application brings its own SDK providers: spans, logs and metrics go there at once, rows go as ever."""

import time

import pytest
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import text

import posemon_otel as posemon
from posemon_otel import testing
from posemon_otel.delivery import globals as otel_globals
from posemon_otel.records import connect, upgrade


class Application:
    """An application's own OpenTelemetry set-up."""

    def __init__(self):
        self.spans, self.logs, self.reader = InMemorySpanExporter(), InMemoryLogRecordExporter(), InMemoryMetricReader()
        resource = Resource({"service.name": "application"})
        tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        trace.set_tracer_provider(tracers)
        metrics.set_meter_provider(MeterProvider([self.reader], resource, shutdown_on_exit=False))
        loggers = LoggerProvider(resource, shutdown_on_exit=False)
        loggers.add_log_record_processor(SimpleLogRecordProcessor(self.logs))
        _logs.set_logger_provider(loggers)

    def points(self):
        found = {}
        for resource in self.reader.get_metrics_data().resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        value = getattr(point, "value", None)
                        found[metric.name, tuple(sorted((point.attributes or {}).items()))] = value
        return found


@pytest.fixture
def application(tmp_path):
    with otel_globals.set_aside():
        made = Application()
        handle = posemon.configure(
            "ignored",
            journal_dir=str(tmp_path / "journal"),
            database_url=f"sqlite:///{tmp_path / 'rows.db'}",
            log_format="none",
            ship_interval=0.02,
            disabled_instrumentations=("*",),
        )
        made.handle = handle
        made.engine = connect(f"sqlite:///{tmp_path / 'rows.db'}")
        upgrade(made.engine)
        yield made
        handle.shutdown(5.0)
        made.engine.dispose()


def work():
    try:
        with posemon.generation("g1", user_id="u1", expected_poses=1, credits_charged=30) as generation:
            with generation.pose("p1", variation="a"), posemon.flux_call("flux-dev", provider="bfl"):
                raise TimeoutError("no answer")
    except TimeoutError:
        pass
    posemon.worker_logger.info("Done")
    posemon.record_event("export_generated", "g1")


def test_everything_goes_to_the_application_s_providers_at_once(application):
    assert application.handle.mode == "direct"
    work()
    spans = {span.name: span for span in application.spans.get_finished_spans()}
    assert set(spans) == {"pose.generation", "pose.render", "generate_content flux-dev"}
    assert {span.resource.attributes["service.name"] for span in spans.values()} == {"application"}
    flux = spans["generate_content flux-dev"]
    assert flux.parent.span_id == spans["pose.render"].context.span_id
    assert flux.attributes["error.type"] == "TIMEOUT_ERROR"
    assert flux.attributes["pose.outcome"] == "timeout"
    assert [event.name for event in flux.events] == ["exception"]
    assert flux.status.status_code is trace.StatusCode.ERROR
    records = [record.log_record for record in application.logs.get_finished_logs()]
    assert {record.event_name or "" for record in records} == {"", "exception", "pose.export.generated"}
    exception = next(record for record in records if record.event_name == "exception")
    assert exception.span_id == flux.context.span_id
    points = application.points()
    assert points["pose.generations", (("error.type", "TIMEOUT_ERROR"), ("pose.generation.status", "failed"))] == 1
    assert points["pose.generations", (("pose.generation.status", "completed"),)] == 0
    assert points["pose.generation.active", ()] == 0


def test_the_current_span_is_the_application_s_own(application):
    with posemon.flux_call("flux-dev", provider="bfl"):
        current = trace.get_current_span()
        current.set_attribute("app.note", "mine")
        with trace.get_tracer("app").start_as_current_span("below"):
            pass
    spans = {span.name: span for span in application.spans.get_finished_spans()}
    assert spans["generate_content flux-dev"].attributes["app.note"] == "mine"
    assert spans["below"].parent.span_id == spans["generate_content flux-dev"].context.span_id


def test_rows_and_callbacks_come_all_the_same(application):
    happened = []
    remove = posemon.on_event(happened.append)
    try:
        work()
        assert application.handle.force_flush(20.0)
        deadline = time.monotonic() + 10
        while len(happened) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        remove()
    with application.engine.connect() as connection:
        assert connection.execute(text("select id, status from pose_generations")).all() == [("g1", "failed")]
        assert connection.execute(text("select type from generation_events")).all() == [("export_generated",)]
    assert sorted(item.type for item in happened) == ["export_generated", "generation_finished"]


def test_both_sinks_write_the_same_spans(application):
    work()
    direct = {span.name: span for span in application.spans.get_finished_spans()}
    application.handle.shutdown(5.0)
    with testing.capture(disabled_instrumentations=("*",)) as captured:
        work()
        journal = {span.name: span for span in captured.spans}
    assert set(direct) == set(journal)
    for name, span in direct.items():
        other = journal[name]
        assert dict(span.attributes) == dict(other.attributes), name
        assert span.kind == other.kind
        assert span.status.status_code == other.status.status_code
        assert span.status.description == other.status.description
        assert [event.name for event in span.events] == [event.name for event in other.events]
        assert span.instrumentation_scope == other.instrumentation_scope


def test_journal_off_sends_at_once_through_the_sdk_s_processors(tmp_path):
    from tests.receiver import Receiver

    with otel_globals.set_aside(), Receiver() as receiver:
        handle = posemon.configure(
            "worker", journal="off", otlp_endpoint=receiver.url, log_format="none", disabled_instrumentations=("*",)
        )
        assert handle.mode == "direct"
        work()
        handle.shutdown(5.0)
        assert sorted(receiver.names()) == ["generate_content flux-dev", "pose.generation", "pose.render"]
        assert receiver.total("pose.generations", pose__generation__status="failed") == 1


def test_a_configuration_file_of_opentelemetry_is_used(tmp_path):
    from tests.receiver import Receiver

    with otel_globals.set_aside(), Receiver() as receiver:
        path = tmp_path / "otel.yaml"
        path.write_text(
            f"""
            file_format: "1.0"
            tracer_provider:
              processors:
                - simple:
                    exporter:
                      otlp_http:
                        endpoint: {receiver.url}/v1/traces
            """
        )
        handle = posemon.configure(
            "worker",
            config_file=str(path),
            journal_dir=str(tmp_path / "journal"),
            log_format="none",
            disabled_instrumentations=("*",),
        )
        assert handle.settings.problems == []
        assert handle.mode == "direct"
        work()
        handle.shutdown(5.0)
        trace.get_tracer_provider().shutdown()
        assert sorted(receiver.names()) == ["generate_content flux-dev", "pose.generation", "pose.render"]


def test_a_configuration_file_that_is_wrong_costs_one_line(tmp_path):
    with otel_globals.set_aside():
        handle = posemon.configure(
            "worker",
            config_file=str(tmp_path / "missing.yaml"),
            traces_exporter="none",
            metrics_exporter="none",
            logs_exporter="none",
            journal_dir=str(tmp_path / "journal"),
            log_format="none",
            disabled_instrumentations=("*",),
        )
        assert handle.mode == "journal"
        (problem,) = handle.settings.problems
        assert problem.startswith("OTEL_CONFIG_FILE: ")
        assert "missing.yaml" in problem
        handle.shutdown(5.0)


def test_with_the_journal_off_a_forked_child_leaves_its_parent_alone(tmp_path):
    from tests.delivery.test_pipeline import child
    from tests.receiver import Receiver

    body = """
        heard = []
        posemon.on_event(lambda item: heard.append(item.generation_id))
        with posemon.generation("before"):
            pass
        assert handle.force_flush(10)
        pid = os.fork()
        if pid == 0:
            with posemon.generation("child"):
                pass
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        with posemon.generation("after"):
            pass
        assert handle.force_flush(10)
        assert heard == ["before", "after"], heard
    """
    with Receiver() as receiver:
        done = child(tmp_path, receiver.url, body, POSEMON_JOURNAL="off", TMPDIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert receiver.names().count("pose.generation") >= 2
    assert [path.name for path in tmp_path.glob("posemon-*")] == []
