"""The wall clock is set back or forward by an hour while things run: durations, retries and deadlines do not notice."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from posemon_otel import clock
from posemon_otel.operation import Operation
from posemon_otel.semconv import operations as o
from tests.receiver import Receiver, attributes
from tests.support import Recording

HOUR = 3600

# Every reader of the wall clock is moved: the functions are replaced before anything that may keep them is imported.
PROGRAM = """
import sys, time
real_ns, real, moved = time.time_ns, time.time, [0]
time.time_ns = lambda: real_ns() + moved[0] * 10**9
time.time = lambda: real() + moved[0]
import posemon_otel as posemon
from opentelemetry import trace

handle = posemon.configure("clocked", journal_dir=sys.argv[1], disabled_instrumentations=("*",), log_format="none",
                           ship_interval=0.05, metric_interval=600_000)
jump = int(sys.argv[2])
tracer = trace.get_tracer("another library")

def set_clock(spans):
    time.sleep(0.1)
    moved[0] += jump
    spans.add_event("the clock was set")
    time.sleep(0.1)

with posemon.generation("g1", expected_poses=1) as generation, generation.pose("p1"):
    with tracer.start_as_current_span("theirs") as span:
        set_clock(span)
    with posemon.performance_tracker.measure("ours"):
        set_clock(trace.get_current_span())
    token = posemon.performance_tracker.start("by token")
    set_clock(trace.get_current_span())
    seconds = posemon.performance_tracker.end(token)
    try:
        with posemon.flux_call("flux-dev", provider="bfl"):
            set_clock(trace.get_current_span())
            raise TimeoutError
    except TimeoutError:
        pass
assert 0.2 <= seconds < 20, seconds
sys.stdout.write("working\\n")
sys.stdout.flush()
sys.stdin.readline()  # the receiver has refused for a while
moved[0] += jump
begun = time.monotonic()
assert handle.force_flush(30), "delivered"
moved[0] -= 2 * jump
begun = time.monotonic()
assert handle.shutdown(5.0), "delivered"
assert time.monotonic() - begun < 7
"""


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_durations_retries_and_deadlines(tmp_path: Path, jump: int) -> None:
    refused = threading.Semaphore(0)
    away = threading.Event()
    away.set()

    def answer(_path: str) -> int:
        if away.is_set():
            refused.release()
            return 503
        return 200

    with Receiver(answer=answer) as receiver:
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path), str(jump)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "PYTHONPATH": str(Path.cwd())},
        ) as program:
            assert program.stdin is not None
            assert program.stdout is not None
            try:
                assert program.stdout.readline() == "working\n", program.stderr and program.stderr.read()
                assert refused.acquire(timeout=20), "the receiver is asked"
                away.clear()
                _, errors = program.communicate("go\n", timeout=60)
            finally:
                program.kill()
            assert program.returncode == 0, errors
    spans = {span.name: span for _, _, span in receiver.spans()}
    assert set(spans) == {
        "pose.generation",
        "pose.render",
        "theirs",
        "ours",
        "by token",
        "generate_content flux-dev",
    }
    for name, span in spans.items():
        seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        assert (0.8 if name.startswith("pose") else 0.2) <= seconds < 30, name
        for event in span.events:
            assert span.start_time_unix_nano <= event.time_unix_nano <= span.end_time_unix_nano, (name, event.name)
    assert {event.name for event in spans["generate_content flux-dev"].events} == {"the clock was set", "exception"}
    for series in ("pose.generation.duration", "pose.operation.duration"):
        for count, total in receiver.metrics()[series].values():
            assert 0.2 * count <= total < 30 * count, series
    assert {attributes(record.attributes)["error.type"] for _, _, record in receiver.logs() if record.event_name} >= {
        "TIMEOUT_ERROR"
    }


def test_an_exception_lies_within_its_span(recording: Recording) -> None:
    wall, monotonic = [10**18], [5]
    clock.use(lambda: wall[0], lambda: monotonic[0])
    operation = Operation(o.MEASURE, {}, name="measured")
    wall[0] -= HOUR * 10**9
    monotonic[0] += 7
    operation.finish(ValueError("late"))
    (finish,) = recording.finishes
    assert (finish.start, finish.end, finish.events[0].time) == (10**18, 10**18 + 7, 10**18 + 7)
    assert recording.exceptions()[0].time == 10**18 + 7
