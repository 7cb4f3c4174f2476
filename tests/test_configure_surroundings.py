"""``configure`` in odd surroundings: it never raises, says little, and what is recorded arrives."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from posemon_otel import settings
from tests.receiver import Receiver

ROOT = Path(__file__).parents[1]

WORK = """
import os, sys
import posemon_otel
from posemon_otel import worker_logger
handle = posemon_otel.configure("odd", disabled_instrumentations=("*",), log_format="none")
from opentelemetry import trace
with trace.get_tracer("app").start_as_current_span("work"):
    worker_logger.info("said")
"""
FLUSH = """
print(handle.mode, handle.force_flush(20.0))
"""


@pytest.fixture
def receiver():
    with Receiver() as made:
        yield made


@pytest.fixture
def run(tmp_path, receiver):
    """Runs a program; what is given by name stands in its environment, ``None`` takes a variable out."""

    def program(code, *flags, before="", **environ):
        base = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "POSEMON_JOURNAL_DIR": str(tmp_path / "journal"),
            "POSEMON_SHIP_INTERVAL": "0.05",
        } | environ
        path = tmp_path / "program.py"
        path.write_text(code)
        return subprocess.run(
            [
                "/bin/sh",
                "-c",
                f'{before}; exec "$0" "$@"' if before else 'exec "$0" "$@"',
                sys.executable,
                *flags,
                path,
            ],
            env={name: value for name, value in base.items() if value is not None},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return program


@pytest.mark.parametrize("flags", [("-X", "dev", "-W", "error"), ("-OO", "-I")])
def test_under_flags_of_the_interpreter(run, receiver, flags):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + WORK + FLUSH  # -I reads no PYTHONPATH
    done = run(code, *flags)
    assert (done.returncode, done.stdout, done.stderr) == (0, "journal True\n", "")
    assert receiver.names() == ["work"]
    assert [record.body.string_value for _, _, record in receiver.logs()] == ["said"]


@pytest.mark.parametrize("closed", ["exec 2>&-", "exec 0<&- 2>&-"])
def test_with_a_closed_stderr(run, receiver, closed):
    """What would be said has nowhere to go, and no file of ours takes the place of stderr."""
    code = WORK.replace('log_format="none"', 'ship_batch="many"')
    code += "\nos.system('echo not for the journal >&2')\n"
    done = run(code + FLUSH, before=closed)
    assert (done.returncode, done.stdout, done.stderr) == (0, "journal True\n", "")
    assert receiver.names() == ["work"]
    assert len(receiver.logs()) == 1


NOWHERE = {"HOME": None, "POSEMON_JOURNAL_DIR": None, "TMPDIR": "/nonexistent", "XDG_STATE_HOME": None}
STRANGER = 54321
"""A number that no user has."""


def test_with_no_place_to_write_to(run, receiver):
    """Another user, without a home, an entry in the list of users or a folder for temporary files."""
    if os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    imports = """
import importlib, os, pkgutil
import posemon_otel.delivery, posemon_otel.instrumentation, requests
for module in pkgutil.walk_packages(posemon_otel.__path__, "posemon_otel."):
    if module.name.split(".")[1] in ("delivery", "journal", "redaction", "thread_pools", "std_logging", "console"):
        importlib.import_module(module.name)
for signal in ("trace_exporter", "metric_exporter", "_log_exporter"):
    importlib.import_module(f"opentelemetry.exporter.otlp.proto.http.{signal}")
for service in ("trace", "metrics", "logs"):
    importlib.import_module(f"opentelemetry.proto.collector.{service}.v1.{service}_service_pb2")
"""
    becoming = f"os.setgroups([])\nos.setgid({STRANGER})\nos.setuid({STRANGER})\n"
    try:
        done = run(imports + becoming + WORK + FLUSH, **NOWHERE)
    finally:
        for left in Path("/dev/shm").glob(f"posemon-{STRANGER}*"):
            shutil.rmtree(left)
    assert (done.returncode, done.stdout) == (0, "journal True\n"), done.stderr
    assert receiver.names() == ["work"]
    lines = done.stderr.splitlines()
    assert [line for line in lines if "Traceback" in line] == []
    assert len(lines) == 1, "where the journal is, and what to do"
    assert settings.JOURNAL_DIR.variables[0] in lines[0]


def test_switched_off(run, receiver):
    code = WORK + (
        "import threading\n"
        "print(handle.mode, handle.force_flush(1.0), handle.shutdown(), threading.active_count(), os.listdir('.'))"
    )
    done = run(code, OTEL_SDK_DISABLED="true")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "disabled True True 1 ['program.py']\n"
    assert receiver.requests == []


FORKING = (
    WORK
    + """
children = []
for number in range(3):
    pid = os.fork()
    if not pid:
        # Like a worker of a server that loads the application beforehand: the child calls it again, or does not.
        if number:
            assert posemon_otel.configure("odd") is handle
        with trace.get_tracer("app").start_as_current_span(f"child {number}"):
            pass
        os._exit(0 if number else not handle.force_flush(20.0))
    children.append(pid)
print(*(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children), flush=True)
sys.stdin.read()
"""
)


def test_before_a_server_forks_its_workers(tmp_path, receiver):
    path = tmp_path / "program.py"
    path.write_text(FORKING)
    environ = {
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "POSEMON_SHIP_INTERVAL": "0.05",
    }
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", path],
        env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        said = process.stdout.readline()
        assert said == "0 0 0\n", process.communicate(timeout=60)
        assert wait_for(lambda: len(set(receiver.names())) == 4)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out, err) == (0, "", "")
    # Who ends between a request and its acknowledgement has its span sent again, which the span's id tells.
    spans = {span.span_id: (span.name, resource["service.instance.id"]) for resource, _, span in receiver.spans()}
    assert sorted(name for name, _ in spans.values()) == ["child 0", "child 1", "child 2", "work"]
    assert len({instance for _, instance in spans.values()}) == 4


NESTED = (
    """
import subprocess, sys
level = int(sys.argv[1]) if len(sys.argv) > 1 else 0
"""
    + WORK.replace('"work"', 'f"level {level}"')
    + """
if level < 2:
    subprocess.run([sys.executable, __file__, str(level + 1)], check=True, timeout=40)
"""
    + FLUSH
)


def test_in_a_process_of_a_process_of_a_process(run, receiver):
    done = run(NESTED)
    assert (done.returncode, done.stdout, done.stderr) == (0, "journal True\n" * 3, "")
    assert sorted(receiver.names()) == ["level 0", "level 1", "level 2"]


AFTER_THEIRS = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, ConsoleSpanExporter
theirs = TracerProvider()
theirs.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name + chr(10))))
trace.set_tracer_provider(theirs)
metrics.set_meter_provider(MeterProvider())
"""


def test_after_the_application_s_providers(run):
    done = run(AFTER_THEIRS + WORK + "\nprint(trace.get_tracer_provider() is theirs, handle.mode, handle.shutdown())")
    assert (done.returncode, done.stdout, done.stderr) == (0, "work\nTrue direct True\n", "")


def test_before_the_application_s_providers(run, receiver):
    """OpenTelemetry keeps the first: it says so, and ours goes on."""
    done = run(WORK + AFTER_THEIRS + "\ntrace.get_tracer('app').start_span('later').end()" + FLUSH)
    assert (done.returncode, done.stdout) == (0, "journal True\n")
    assert [line for line in done.stderr.splitlines() if "not allowed" not in line] == []
    assert sorted(receiver.names()) == ["later", "work"]


EVERYTHING_WRONG = """
import posemon_otel
from posemon_otel import settings

class Hostile:
    def __str__(self):
        raise RuntimeError

every = [setting.name for setting in settings.ALL if setting.name not in ("disabled", "otlp_endpoint")]
handle = posemon_otel.configure(**{name: Hostile() for name in every})
problems = handle.settings.problems
print(handle.mode, len(problems) == len(every), handle.shutdown(2.0))
for argument in ("servce_name", "journal_directory"):
    try:
        posemon_otel.configure(**{argument: "x"})
    except TypeError as error:
        print(str(error).startswith(f"no such setting: {argument}"))
"""


def test_only_an_unknown_argument_raises(run):
    done = run(EVERYTHING_WRONG)
    assert (done.returncode, done.stdout) == (0, "journal True True\nTrue\nTrue\n"), done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == len(settings.ALL) - 2


def wait_for(reached, seconds=30.0):
    """Whether it is so within the time."""
    deadline = time.monotonic() + seconds
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.02)
    return reached()
