"""The table of OpenTelemetry's variables: whole, and true. What a wrong value does: one line, and the default."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, MetricsData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from posemon_otel import settings
from posemon_otel.delivery import exporters, named, stock
from posemon_otel.delivery import globals as otel_globals
from posemon_otel.otel_variables import HONOURED, IGNORED, MAPPED, VARIABLES
from posemon_otel.settings import Settings
from tests.backends import BACKENDS

ROOT = Path(__file__).parents[1]
TABLE = {variable.name: variable for variable in VARIABLES}
NAME = re.compile(r"OTEL_[A-Z0-9_]+")


@cache
def of_packages():
    """Variables by the installed package of OpenTelemetry whose code holds the name."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"].lower()
        for path in distribution.files or () if name.startswith("opentelemetry") else ():
            if path.suffix == ".py":
                for node in ast.walk(ast.parse(path.locate().read_text())):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                        found.setdefault(node.value, set()).add(name)
    return found


OURS = {name for setting in settings.ALL for name in setting.variables if name.startswith("OTEL_")}


def test_the_table_holds_what_the_installed_packages_know_and_nothing_else():
    known = of_packages()
    assert len(known) > 100, "the walk has found the packages"
    assert sorted(known.keys() - TABLE.keys()) == [], "say what becomes of it in posemon_otel/otel_variables.py"
    assert sorted(TABLE.keys() - known.keys() - OURS) == [], "no package reads it any more"
    assert len(TABLE) == len(VARIABLES), "each stands there once"


def test_the_declared_variables_are_found_by_the_walk():
    """What the packages list under their entry point is a part of what the walk finds."""
    known = of_packages()
    for entry in importlib.metadata.entry_points(group="opentelemetry_environment_variables"):
        declared = {name for name in vars(entry.load()).values() if isinstance(name, str) and NAME.fullmatch(name)}
        assert declared
        assert declared <= known.keys()


def test_what_our_settings_read_is_not_called_ignored():
    assert sorted(name for name in OURS if TABLE[name].treatment == IGNORED) == []
    assert {variable.treatment for variable in VARIABLES} == {HONOURED, MAPPED, IGNORED}
    for variable in VARIABLES:
        assert variable.how
        for setting in re.findall(r"`(POSEMON_[A-Z_]+)", variable.how):
            assert setting in {name for one in settings.ALL for name in one.variables}


# Where each honoured or mapped variable is seen to do what it should: a test here or elsewhere.
HERE = "tests/test_otel_variables.py::"
SHOWN = {
    r"OTEL_SDK_DISABLED": "tests/test_configure_surroundings.py::test_switched_off",
    r"OTEL_CONFIG_FILE": "tests/delivery/test_direct.py::test_a_configuration_file_of_opentelemetry_is_used",
    r"OTEL_(SERVICE_NAME|RESOURCE_ATTRIBUTES|EXPERIMENTAL_RESOURCE_DETECTORS|PYTHON_ID_GENERATOR|TRACES_SAMPLER(_ARG)?)"
    r"|OTEL_(PROPAGATORS|PYTHON_CONTEXT|BSP_SCHEDULE_DELAY|BSP_MAX_EXPORT_BATCH_SIZE)": HERE
    + "test_a_process_does_what_its_variables_say",
    r"OTEL_PYTHON_(TRACER|METER|LOGGER)_PROVIDER": HERE + "test_providers_that_the_api_loads_are_kept",
    r"OTEL_PYTHON_(DISTRO|CONFIGURATOR)|OTEL_(TRACES|LOGS|METRICS)_EXPORTER": "tests/delivery/test_as_exporter.py::"
    "test_what_a_killed_process_had_exported_arrives_with_the_next_one",
    r"OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "tests/delivery/test_provider.py::test_the_sdks_own_metrics",
    r"OTEL_(SPAN_|EVENT_|LINK_)?(ATTRIBUTE_|EVENT_|LINK_)(COUNT|VALUE_LENGTH)_LIMIT": "tests/delivery/test_span.py::"
    "test_limits_from_the_environment",
    r"OTEL_(BSP|BLRP)_(MAX_QUEUE_SIZE|SCHEDULE_DELAY|MAX_EXPORT_BATCH_SIZE)|OTEL_LOGRECORD_.*"
    r"|.*_RETRYABLE_ERROR_CODES": HERE + "test_without_the_journal_the_sdk_s_processors_read_theirs",
    r"OTEL_METRICS_EXEMPLAR_FILTER|OTEL_EXPORTER_OTLP_METRICS_(TEMPORALITY_.*|DEFAULT_.*)": HERE
    + "test_metrics_are_as_the_variables_say",
    r"OTEL_METRIC_EXPORT_INTERVAL": HERE + "test_metrics_are_as_the_variables_say",
    r"OTEL_EXPORTER_OTLP_(\w+_)?(ENDPOINT|PROTOCOL|HEADERS|TIMEOUT|COMPRESSION|INSECURE)": HERE
    + "test_each_signal_goes_where_and_as_its_own_variables_say",
    r"OTEL_EXPORTER_OTLP_(\w+_)?(CERTIFICATE|CLIENT_KEY)": "tests/real/test_tls.py::"
    "test_all_signals_arrive_with_a_client_certificate_and_wait_without",
    r"OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN": "tests/test_operation.py::test_exceptions_may_be_logs_alone",
    r"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "tests/test_redaction.py::"
    "test_a_prompt_leaves_where_a_setting_asks",
}
LIBRARIES = re.compile(
    r"OTEL_INSTRUMENTATION_HTTP_.*|OTEL_PYTHON_INSTRUMENTATION_.*|OTEL_PYTHON_LOG(GING)?_.*|OTEL_SEMCONV_STABILITY_OPT_IN"
    r"|OTEL_PYTHON_AUTO_INSTRUMENTATION_.*|.*_CREDENTIAL_PROVIDER|OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
)
"""Read by packages at which we only do not stand in the way."""


def test_every_honoured_variable_has_its_test():
    missing = []
    for variable in VARIABLES:
        if variable.treatment != IGNORED and not LIBRARIES.fullmatch(variable.name):
            where = next((where for names, where in SHOWN.items() if re.fullmatch(names, variable.name)), "")
            path, _, name = where.partition("::")
            if not name or f"def {name}(" not in (ROOT / path).read_text():
                missing.append(f"{variable.name}: {where or 'no test'}")
    assert missing == []


# What is wrong -----------------------------------------------------------------------------------------------------

WRONG = [
    ("OTEL_BSP_MAX_QUEUE_SIZE", "0", ""),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "many", ""),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0", ""),
    ("OTEL_BSP_SCHEDULE_DELAY", "soon", ""),
    ("OTEL_BLRP_SCHEDULE_DELAY", "0", ""),
    ("OTEL_BLRP_EXPORT_TIMEOUT", "1.5", ""),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", "-1", ""),
    ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "x", ""),
    ("OTEL_METRICS_EXEMPLAR_FILTER", "sometimes", ""),
    ("OTEL_METRICS_EXEMPLAR_FILTER", "ALWAYS_ON", "always_on"),
    ("OTEL_METRIC_EXPORT_TIMEOUT", "long", ""),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", ""),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", ""),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "nan", ""),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", ""),
    ("OTEL_EXPORTER_OTLP_INSECURE", "maybe", ""),
    ("OTEL_EXPORTER_OTLP_HEADERS", "a=1,hunter2", "a=1"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2", ""),
    ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "both", ""),
    ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "x", ""),
    ("OTEL_PROPAGATORS", "tracecontext,b4", "tracecontext"),
    ("OTEL_PROPAGATORS", "b4", ""),
    ("OTEL_RESOURCE_ATTRIBUTES", "a=1,b", "a=1"),
    ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "none_such", ""),
    ("OTEL_PYTHON_TRACER_PROVIDER", "none_such", ""),
    ("OTEL_PYTHON_METER_PROVIDER", "none_such", ""),
    ("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "none_such", ""),
    ("OTEL_PYTHON_EXPORTER_OTLP_GRPC_RETRYABLE_ERROR_CODES", "unavailable,SOON", "unavailable"),
]


@pytest.mark.parametrize(("name", "value", "instead"), WRONG)
def test_a_wrong_value_is_one_line_and_what_of_it_is_usable(name, value, instead, monkeypatch):
    monkeypatch.setenv(name, value)
    chosen = Settings()
    (line,) = chosen.problems
    assert re.fullmatch(rf"{name}: expected .+, got .+; using .+", line)
    assert "hunter2" not in line
    settings.use(chosen)
    assert settings.os.environ.get(name, "") == instead
    assert Settings().problems == [], "what is left is good"


@pytest.mark.parametrize(
    ("environ", "batch"),
    [
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "100"}, "100"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "200"}, "100"),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5000"}, "2048"),
        ({"OTEL_BLRP_MAX_QUEUE_SIZE": "100", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "x"}, "100"),
    ],
)
def test_a_batch_fits_its_queue(environ, batch, monkeypatch):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    name = f"OTEL_{next(iter(environ)).split('_')[1]}_MAX_EXPORT_BATCH_SIZE"
    monkeypatch.setattr(settings.os, "environ", dict(settings.os.environ))
    settings.use(Settings())
    settings.use(Settings())
    assert settings.os.environ[name] == batch


def test_a_certificate_that_is_not_there_is_told_of_and_nothing_less_is_used(tmp_path, monkeypatch):
    """The machine's own authorities would do for less than what was asked for."""
    path = tmp_path / "ca.pem"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(path))
    chosen = Settings()
    (line,) = chosen.problems
    assert (
        line == f"OTEL_EXPORTER_OTLP_CERTIFICATE: expected a file that can be read, got '{path}'; using it all the same"
    )
    settings.use(chosen)
    assert settings.os.environ["OTEL_EXPORTER_OTLP_CERTIFICATE"] == str(path)
    path.touch()
    assert Settings().problems == []


GOOD = {
    "OTEL_BSP_MAX_QUEUE_SIZE": "4096",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "0",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "GZIP",
    "OTEL_EXPORTER_OTLP_INSECURE": "True",
    "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b, x=y=z,",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
    "OTEL_PROPAGATORS": "tracecontext, baggage",
    "OTEL_RESOURCE_ATTRIBUTES": "a=1,b=%2C c,",
    "OTEL_METRICS_EXEMPLAR_FILTER": "always_off",
    "OTEL_TRACES_SAMPLER": "traceidratio",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "",
    "OTEL_PYTHON_TRACER_PROVIDER": "sdk_tracer_provider",
}


def test_good_values_are_left_as_they_are():
    chosen = Settings(environ=GOOD)
    assert (chosen.problems, chosen.wrong) == ([], [])


def test_the_shorter_names_win_and_their_units_are_told():
    chosen = Settings(environ={"OTEL_BSP_SCHEDULE_DELAY": "250", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "7"})
    assert (chosen[settings.SHIP_INTERVAL], chosen[settings.SHIP_BATCH]) == (0.25, 7)
    chosen = Settings(environ={"OTEL_BSP_SCHEDULE_DELAY": "250", "POSEMON_SHIP_INTERVAL": "3"})
    assert chosen[settings.SHIP_INTERVAL] == 3.0
    chosen = Settings(environ={"OTEL_BSP_SCHEDULE_DELAY": "0"})
    assert chosen.problems == [
        "OTEL_BSP_SCHEDULE_DELAY: expected seconds, at least 0.01 (it counts in 0.001 s), got '0'; using 1.0"
    ]


@pytest.mark.parametrize("protocol", ["", "grpc"])
@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_an_endpoint_without_a_scheme_is_for_grpc_alone(variable, protocol):
    environ = {variable: "collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    chosen = Settings(environ=environ)
    if protocol:
        assert chosen.problems == []
        assert exporters._where("grpc", "traces", chosen) == {"endpoint": "collector:4317"}, "insecure: the exporter's"
    else:
        (line,) = chosen.problems
        assert line.startswith(f"{variable}: expected an address with a scheme")
        assert exporters._where("http/protobuf", "traces", chosen) == {"endpoint": "http://localhost:4318/v1/traces"}


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("http://c:4318", "http://c:4318/v1/logs"),
        ("http://c:4318/", "http://c:4318/v1/logs"),
        ("https://c/otlp//", "https://c/otlp/v1/logs"),
    ],
)
def test_the_shared_endpoint_gets_the_signal_s_path_and_its_own_one_none(given, taken):
    chosen = Settings(environ={"OTEL_EXPORTER_OTLP_ENDPOINT": given})
    assert exporters._where("http/protobuf", "logs", chosen) == {"endpoint": taken}
    chosen = Settings(environ={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": given})
    assert exporters._where("http/protobuf", "logs", chosen) == {"endpoint": given}


# Whole processes ---------------------------------------------------------------------------------------------------


def run(code, tmp_path, **environ):
    """Runs a program with these variables alone."""
    base = {"HOME": str(tmp_path), "POSEMON_JOURNAL_DIR": str(tmp_path / "journal"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=base | environ, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done


SAY = """
import json
import posemon_otel
handle = posemon_otel.configure(disabled_instrumentations=("*",))
from opentelemetry import context, propagate, trace
from posemon_otel import settings
provider = trace.get_tracer_provider()
provider.get_tracer("t").start_span("x").end()
print(json.dumps({
    "mode": handle.mode,
    "provider": type(provider).__module__,
    "resource": dict(provider.resource.attributes),
    "sampler": provider.sampler.get_description(),
    "ids": type(provider.id_generator).__name__,
    "fields": sorted(propagate.get_global_textmap().fields),
    "context": type(context._RUNTIME_CONTEXT).__name__,
    "ship": [handle.settings[settings.SHIP_INTERVAL], handle.pipeline.shipper.consumers[0].batch_entries],
}))
"""


def test_a_process_does_what_its_variables_say(tmp_path):
    done = run(
        SAY,
        tmp_path,
        OTEL_SERVICE_NAME="worker",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test,service.name=other",
        OTEL_EXPERIMENTAL_RESOURCE_DETECTORS="process",
        OTEL_TRACES_SAMPLER="parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.25",
        OTEL_PYTHON_ID_GENERATOR="random",
        OTEL_PROPAGATORS="baggage",
        OTEL_PYTHON_CONTEXT="contextvars_context",
        OTEL_BSP_SCHEDULE_DELAY="250",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="7",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        OTEL_TRACES_EXPORTER="console",
    )
    *_, said = map(json.loads, re.findall(r"^\{.*\}$", done.stdout, re.MULTILINE))
    resource = said.pop("resource")
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("worker", "test")
    assert "process.pid" in resource
    assert said == {
        "mode": "journal",
        "provider": "posemon_otel.delivery.provider",
        "sampler": "ParentBased{root:TraceIdRatioBased{0.25},remoteParentSampled:AlwaysOnSampler,"
        "remoteParentNotSampled:AlwaysOffSampler,localParentSampled:AlwaysOnSampler,"
        "localParentNotSampled:AlwaysOffSampler}",
        "ids": "RandomIdGenerator",
        "fields": ["baggage"],
        "context": "ContextVarsRuntimeContext",
        "ship": [0.25, 7],
    }
    assert done.stderr == ""


def test_providers_that_the_api_loads_are_kept(tmp_path):
    done = run(
        SAY.partition("from opentelemetry")[0]
        + "from opentelemetry import metrics, trace\n"
        + "found = (trace.get_tracer_provider(), metrics.get_meter_provider())\n"
        + "print(handle.mode, *(type(provider).__module__ for provider in found))",
        tmp_path,
        OTEL_PYTHON_TRACER_PROVIDER="sdk_tracer_provider",
        OTEL_PYTHON_METER_PROVIDER="sdk_meter_provider",
        OTEL_TRACES_EXPORTER="none",
    )
    assert done.stdout.split() == ["direct", "opentelemetry.sdk.trace", "opentelemetry.sdk.metrics._internal"]


ALL_WRONG = """
import posemon_otel
handle = posemon_otel.configure(disabled_instrumentations=("*",))
import logging
from opentelemetry import metrics, trace
from opentelemetry._logs import LogRecord, get_logger
with trace.get_tracer("t").start_as_current_span("x") as span:
    span.add_event("e")
    get_logger("t").emit(LogRecord(body="b"))
    metrics.get_meter("t").create_counter("c").add(1)
import opentelemetry.propagate
print(handle.mode, handle.force_flush(20.0))
handle.shutdown(1.0)
"""


@pytest.mark.parametrize(("journal", "kind"), [("on", "http"), ("off", "grpc")])
def test_a_wholly_wrong_environment_is_a_line_a_variable_and_all_arrives(tmp_path, kind, journal):
    names = {variable.name for variable in VARIABLES if variable.check is not None and not variable.check.keep}
    names |= {"OTEL_TRACES_SAMPLER", "OTEL_PYTHON_ID_GENERATOR", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_LOG_LEVEL"}
    with BACKENDS[kind]() as backend:
        environ = dict.fromkeys(names, "?!wrong") | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": backend.protocol,
            "POSEMON_JOURNAL": journal,
        }
        done = run(ALL_WRONG, tmp_path, **environ)
        assert done.stdout.split() == ["journal" if journal == "on" else "direct", "True"], done.stderr
        assert {signal for signal, _ in backend.kept} == {"traces", "metrics", "logs"}
    lines = done.stderr.splitlines()
    told = [line.partition(":")[0] for line in lines]
    assert sorted(told) == sorted(names - {"OTEL_LOG_LEVEL"}), "each once, and nothing else"


def test_without_the_journal_the_sdk_s_processors_read_theirs(monkeypatch):
    for one in ("BSP", "BLRP"):
        monkeypatch.setenv(f"OTEL_{one}_MAX_QUEUE_SIZE", "300")
        monkeypatch.setenv(f"OTEL_{one}_MAX_EXPORT_BATCH_SIZE", "30")
        monkeypatch.setenv(f"OTEL_{one}_SCHEDULE_DELAY", "1234")
    monkeypatch.setenv("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "3")
    monkeypatch.setenv("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4")
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_GRPC_RETRYABLE_ERROR_CODES", "aborted")
    (make,) = exporters.makers("traces", Settings({"otlp_protocol": "grpc"}), retrying=True)
    exporter = make()
    assert [code.name for code in exporter._retryable_error_codes] == ["ABORTED"]
    exporter.shutdown()
    chosen = Settings({"traces_exporter": "console", "logs_exporter": "console", "metrics_exporter": "none"})
    with otel_globals.set_aside():
        made = stock.set_providers(chosen, Resource({}))
        try:
            traces, _, logs = made
            (measured,) = traces.processors.measured
            (batching,) = logs._multi_log_record_processor._log_record_processors
            for processor in (measured.processor, batching):
                inner = processor._batch_processor
                assert (inner._max_queue_size, inner._max_export_batch_size, inner._schedule_delay) == (300, 30, 1.234)
            limits = logs._log_record_limits
            assert (limits.max_log_record_attributes, limits.max_log_record_attribute_length) == (3, 4)
        finally:
            for provider in made:
                provider.shutdown()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_metrics_are_as_the_variables_say(protocol, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram")
    monkeypatch.setenv("OTEL_METRICS_EXEMPLAR_FILTER", "always_off")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "1500")
    chosen = Settings({"otlp_protocol": protocol})
    assert chosen[settings.METRIC_INTERVAL] == 1500
    (make,) = exporters.makers("metrics", chosen)
    exporter = make()
    try:
        assert exporter._preferred_temporality[Counter] is AggregationTemporality.DELTA
        assert isinstance(exporter._preferred_aggregation[Histogram], ExponentialBucketHistogramAggregation)
    finally:
        exporter.shutdown()
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], Resource({}), shutdown_on_exit=False)
    where = trace.SpanContext(1, 2, is_remote=False, trace_flags=trace.TraceFlags(1))
    counter = provider.get_meter("t").create_counter("c")
    counter.add(1, context=trace.set_span_in_context(trace.NonRecordingSpan(where)))
    (resource,) = reader.get_metrics_data().resource_metrics
    assert list(resource.scope_metrics[0].metrics[0].data.data_points[0].exemplars) == []
    provider.shutdown()


@pytest.fixture
def heard():
    """A server that notes path, headers and whether the body is compressed; by signal."""
    seen = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            seen[self.path] = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(200)
            self.end_headers()

        def log_message(self, format, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    server.server_close()
    thread.join(5)


def of_signals(monkeypatch, url):
    """Variables for all signals, and others for logs."""
    for name, value in {
        "ENDPOINT": url,
        "LOGS_ENDPOINT": f"{url}/elsewhere",
        "HEADERS": "x-key=all",
        "LOGS_HEADERS": "x-key=logs",
        "COMPRESSION": "gzip",
        "LOGS_COMPRESSION": "none",
        "TIMEOUT": "3",
        "LOGS_TIMEOUT": "4",
    }.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)


def test_each_signal_goes_where_and_as_its_own_variables_say(heard, monkeypatch):
    url, seen = heard
    of_signals(monkeypatch, url)
    timeouts = {}
    for signal in exporters.SIGNALS:
        (make,) = exporters.makers(signal, Settings())
        exporter = make()
        timeouts[signal] = exporter._client._timeout
        exporter.export(MetricsData([]) if signal == "metrics" else [])
        exporter.shutdown()
    assert timeouts == {"traces": 3.0, "metrics": 3.0, "logs": 4.0}
    assert {path: (headers["x-key"], headers.get("content-encoding")) for path, headers in seen.items()} == {
        "/v1/traces": ("all", "gzip"),
        "/v1/metrics": ("all", "gzip"),
        "/elsewhere": ("logs", None),
    }


def test_over_grpc_too(monkeypatch, caplog):
    of_signals(monkeypatch, "127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "deflate")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://127.0.0.1:1/ignored")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_INSECURE", "true")
    found = {}
    for signal in exporters.SIGNALS:
        (make,) = exporters.makers(signal, Settings({"otlp_protocol": "grpc"}))
        exporter = make()
        found[signal] = (
            exporter._endpoint,
            exporter._insecure,
            dict(exporter._headers)["x-key"],
            exporter._timeout,
            exporter._compression.name,
        )
        exporter.shutdown()
    assert found == {
        "traces": ("127.0.0.1:4317", True, "all", 3.0, "Gzip"),
        "metrics": ("127.0.0.1:4317", False, "all", 3.0, "NoCompression"),
        "logs": ("127.0.0.1:1", False, "logs", 4.0, "NoCompression"),
    }
    (line,) = [record.message for record in caplog.records if record.name == "posemon_otel"]
    assert 'value "deflate" for compression envvar OTEL_EXPORTER_OTLP_METRICS_COMPRESSION' in line
    assert line.endswith(": over gRPC expected gzip or none; using none")


def test_samplers_and_id_generators_of_packages(monkeypatch):
    class Made(sampling.StaticSampler):
        def __init__(self, argument):
            super().__init__(sampling.Decision.DROP)
            self.argument = argument

    class Ids(RandomIdGenerator):
        pass

    loaded = {"theirs": Made, "ids": Ids, "number": lambda *_: 7, "raising": lambda *_: 1 / 0}

    def entry_points(group, name):
        return [SimpleNamespace(load=lambda: loaded[name])] if name in loaded else []

    monkeypatch.setattr(named, "entry_points", entry_points)
    assert named.sampler(Settings({"traces_sampler": "theirs", "traces_sampler_arg": "a=b"})).argument == "a=b"
    assert type(named.id_generator(Settings({"id_generator": "ids"}))) is Ids
    for wrong in ("number", "raising", "missing"):
        chosen = Settings({"traces_sampler": wrong, "id_generator": wrong})
        assert named.sampler(chosen) is sampling.DEFAULT_ON
        assert named.id_generator(chosen) is None
        assert [line.partition(":")[0] for line in chosen.problems] == [
            "OTEL_TRACES_SAMPLER",
            "OTEL_PYTHON_ID_GENERATOR",
        ]
    for ratio in ("2", "half"):
        chosen = Settings({"traces_sampler": "traceidratio", "traces_sampler_arg": ratio})
        assert named.sampler(chosen).rate == 1.0
        assert chosen.problems == [f"OTEL_TRACES_SAMPLER_ARG: expected a ratio from 0 to 1, got '{ratio}'; using 1.0"]
    assert named.sampler(Settings()) is sampling.DEFAULT_ON
    assert named.sampler(Settings({"traces_sampler": "ALWAYS_OFF"})) is sampling.ALWAYS_OFF
