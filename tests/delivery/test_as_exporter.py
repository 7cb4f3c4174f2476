"""A stock SDK with our journal behind its batch processors: what it has exported survives the process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from opentelemetry import trace as trace_api
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExportResult, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from posemon_otel import settings
from posemon_otel.delivery import as_exporter, drops, exporters, quiet
from posemon_otel.delivery.readable import to_readable
from posemon_otel.settings import Settings
from tests.backends import free_port
from tests.receiver import Receiver, attributes

BIN = Path(sys.executable).parent

WORK = """
import logging, os, signal, sys
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger, get_logger_provider
name, ending = sys.argv[1:]
with trace.get_tracer("app", "1.2").start_as_current_span(name, kind=trace.SpanKind.CLIENT) as span:
    span.set_attribute("url.full", "https://me:hunter2@example.com/x?token=hunter2")
    span.add_event("half way", {"n": 1})
    get_logger("app").emit(LogRecord(body=f"log of {name}", severity_number=SeverityNumber.INFO))
trace.get_tracer_provider().force_flush()
get_logger_provider().force_flush()
assert "posemon_otel.bootstrap" not in sys.modules or sys.modules["posemon_otel.bootstrap"].handle() is None
print("exported", flush=True)
if ending == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdin.read()
"""


@pytest.fixture
def stock(tmp_path):
    """Runs a program under the SDK's own automatic configuration."""
    program = tmp_path / "work.py"
    program.write_text(WORK)

    def run(name, ending, endpoint):
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "POSEMON_"))}
        environ |= {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "OTEL_PYTHON_DISTRO": "distro",
            "OTEL_PYTHON_CONFIGURATOR": "configurator",
            "OTEL_TRACES_EXPORTER": exporters.OURS,
            "OTEL_LOGS_EXPORTER": exporters.OURS,
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_SERVICE_NAME": "stock",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "POSEMON_JOURNAL_DIR": str(tmp_path / "journal"),
            "POSEMON_EXIT_BUDGET": "4",
        }
        process = subprocess.Popen(
            [BIN / "opentelemetry-instrument", "python", str(program), name, ending],
            env=environ, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    started: list[subprocess.Popen[str]] = []
    yield run
    for process in started:
        process.kill()
        process.communicate(timeout=30)


def test_what_a_killed_process_had_exported_arrives_with_the_next_one(stock):
    away = f"http://127.0.0.1:{free_port()}"
    killed = stock("first", "kill", away)
    assert (killed.communicate(timeout=60)[0], killed.returncode) == ("exported\n", -signal.SIGKILL)
    with Receiver() as receiver:
        second = stock("second", "exit", receiver.url)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and len(receiver.names() + receiver.logs()) < 4:
            time.sleep(0.05)
        out, err = second.communicate(timeout=60)
        assert (out, second.returncode) == ("exported\n", 0), err
        assert [line for line in err.splitlines() if "set by OTEL_PYTHON_CONFIGURATOR" not in line] == []
        spans = {span.name: (resource, scope, span) for resource, scope, span in receiver.spans()}
        assert sorted(spans) == sorted(receiver.names()) == ["first", "second"], "each once"
        for resource, scope, span in spans.values():
            assert (resource["service.name"], scope, span.kind) == ("stock", "app", 3)
            assert attributes(span.attributes)["url.full"] == "https://example.com/x"
            assert [event.name for event in span.events] == ["half way"]
        instances = [resource["service.instance.id"] for resource, _, _ in spans.values()]
        assert len(set(instances)) == 2, "each process its own Resource"
        logs = {record.body.string_value: record for _, _, record in receiver.logs()}
        assert sorted(logs) == ["log of first", "log of second"]
        assert logs["log of first"].span_id == spans["first"][2].span_id


@pytest.fixture
def here(tmp_path, monkeypatch):
    """This process's exporters, delivering into a file of a test."""
    for name, value in {
        "POSEMON_JOURNAL_DIR": str(tmp_path / "journal"),
        "POSEMON_SHIP_INTERVAL": "0.05",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    drops.reset()
    quiet.reset()
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        yield receiver
    assert as_exporter._journals == {}, "a test shuts its exporters down"


def test_spans_and_logs_of_several_resources_keep_theirs(here):
    spans, logs = as_exporter.JournalSpanExporter(), as_exporter.JournalLogExporter()
    providers = []
    for name in ("a", "b"):
        provider = sdk.TracerProvider(resource=Resource({"service.name": name}), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(spans))
        provider.get_tracer("t").start_span(f"of {name}").end()
        assert provider.force_flush()
        providers.append(provider)
    logging_provider = LoggerProvider(Resource({"service.name": "a"}), shutdown_on_exit=False)
    logging_provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
    logging_provider.get_logger("t").emit(LogRecord(body="token=hunter2", severity_number=SeverityNumber.WARN))
    assert spans.force_flush(10_000)
    assert {(resource["service.name"], span.name) for resource, _, span in here.spans()} == {
        ("a", "of a"),
        ("b", "of b"),
    }
    ((resource, scope, record),) = here.logs()
    assert (resource["service.name"], scope, record.severity_number) == ("a", "t", 13)
    assert "hunter2" not in record.body.string_value
    for provider in providers:
        provider.shutdown()
    assert len(as_exporter._journals) == 2, "the exporter of logs is open yet"
    logging_provider.shutdown()


def test_after_its_shutdown_it_takes_nothing_and_another_one_does(here):
    first = as_exporter.JournalSpanExporter()
    span = span_of(lambda _span: None)
    assert first.export([span]) is SpanExportResult.SUCCESS
    first.shutdown()
    first.shutdown()
    assert first.export([span]) is SpanExportResult.FAILURE
    logs = as_exporter.JournalLogExporter()
    assert logs.export([]) is LogRecordExportResult.SUCCESS
    second = as_exporter.JournalSpanExporter()
    assert second.export([span]) is SpanExportResult.SUCCESS
    assert second.force_flush(10_000)
    assert here.names() == ["x", "x"]
    second.shutdown()
    logs.shutdown()


def test_a_flush_tells_the_truth_and_keeps_its_time(here):
    here.answer = lambda _path: 503
    exporter = as_exporter.JournalSpanExporter()
    assert exporter.export([span_of(lambda _span: None)]) is SpanExportResult.SUCCESS, "it is on disk"
    began = time.monotonic()
    assert not exporter.force_flush(300)
    assert time.monotonic() - began < 0.3 + 0.5
    here.answer = lambda _path: 200
    assert exporter.force_flush(10_000)
    exporter.shutdown()


def span_of(fill):
    """A stock span, ended."""
    provider = sdk.TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    span = provider.get_tracer("t").start_span("x")
    fill(span)
    span.end()
    return span


def test_a_span_comes_back_as_it_was():
    state = trace_api.TraceState([("a", "b")])
    other = trace_api.SpanContext(5, 6, is_remote=True, trace_flags=trace_api.TraceFlags(1), trace_state=state)

    def fill(span):
        span.set_attributes({"n": 1, "list": ["a", "b"], "password": "hunter2"})
        span.add_event("e", {"k": 1.5}, 7)
        span.add_link(other, {"l": True})
        span.set_status(trace_api.StatusCode.ERROR, "failed with token=hunter2hunter2")

    span = span_of(fill)
    finish = as_exporter.to_finish(span)
    back = to_readable(finish, Resource({}), {finish.scope: span.instrumentation_scope})
    assert (back.context.trace_id, back.context.span_id) == (span.context.trace_id, span.context.span_id)
    assert (back.name, back.kind, back.start_time, back.end_time) == (
        span.name,
        span.kind,
        span.start_time,
        span.end_time,
    )
    assert dict(back.attributes) == {**span.attributes, "password": back.attributes["password"]}
    assert "hunter2" not in back.to_json()
    assert [(event.name, event.timestamp, dict(event.attributes)) for event in back.events] == [("e", 7, {"k": 1.5})]
    assert [(link.context.span_id, dict(link.attributes)) for link in back.links] == [(6, {"l": True})]
    assert back.links[0].context.trace_state == state
    assert back.status.status_code is trace_api.StatusCode.ERROR


def test_dropped_counts_and_long_values():
    provider = sdk.TracerProvider(span_limits=sdk.SpanLimits(max_attributes=1), shutdown_on_exit=False)
    span = provider.get_tracer("t").start_span("x", attributes={"a": 1, "b": "x" * 20_000})
    span.end()
    finish = as_exporter.to_finish(span)
    assert finish.dropped == (1, 0, 0)
    assert [len(value) for value in finish.attributes.values()] == [settings.VALUE_LENGTH_LIMIT.default]


def test_the_journal_does_not_deliver_to_itself():
    environ = {"POSEMON_JOURNAL_EXPORTER": exporters.OURS, "OTEL_TRACES_EXPORTER": f"console,{exporters.OURS}"}
    chosen = Settings(environ=environ)
    assert chosen[settings.JOURNAL_EXPORTER] == "otlp"
    (problem,) = chosen.problems
    assert problem.startswith("POSEMON_JOURNAL_EXPORTER: expected as for traces, and not itself")
    assert len(exporters.makers("traces", chosen)) == 2, "under configure it is what stands behind the journal"
    without = Settings(environ=environ | {"POSEMON_JOURNAL_EXPORTER": "none"})
    assert len(exporters.makers("traces", without)) == 1
