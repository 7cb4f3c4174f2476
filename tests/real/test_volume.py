"""Volume: an hour's outage, a burst of a million spans, and four workers of which one is killed."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.faults.burst import WARM_UP
from tests.receiver import Receiver

ROOT = Path(__file__).parents[2]
BURST = int(os.environ.get("POSEMON_BURST", "1000000"))
FLAT = 16 * 1024 * 1024
HOUR = 3600 * 10
"""Spans of an hour at 10 a second."""


class SpanIds:
    """Takes the place of a receiver's list of requests: keeps the ids of spans alone."""

    def __init__(self) -> None:
        self.ids: set[bytes] = set()
        self._lock = threading.Lock()

    def append(self, request: tuple[str, bytes]) -> None:
        path, body = request
        if path != "/v1/traces":
            return
        with self._lock:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.ids.update(span.span_id for span in scope.spans)


class Worker:
    """A worker process that is spoken to line by line."""

    def __init__(self, module: str, *arguments: str, folder: Path, url: str, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"tests.faults.{module}", *arguments],
            cwd=ROOT,
            env={
                "PATH": "",
                "PYTHONPATH": str(ROOT),
                "OTEL_EXPORTER_OTLP_ENDPOINT": url,
                "POSEMON_JOURNAL_DIR": str(folder),
                **environ,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hears(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.says()

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ends(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(20)


@contextlib.contextmanager
def working(*arguments: Any, **more: Any) -> Iterator[Worker]:
    worker = Worker(*arguments, **more)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait()
        for stream in (worker.process.stdin, worker.process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


@pytest.mark.timeout(120)
def test_an_hour_of_outage_loses_nothing(tmp_path):
    """The volume is real; the hour is not waited for."""
    arrived = SpanIds()
    status = 200
    with Receiver(answer=lambda _path: status) as receiver:
        receiver.requests = arrived  # type: ignore[assignment]
        with working("burst", str(HOUR), "6000", folder=tmp_path, url=receiver.url) as worker:
            warm = json.loads(worker.says())
            assert warm["said"] is True
            status = 503
            away = json.loads(worker.hears("go"))
            assert len(arrived.ids) == WARM_UP
            status = 200
            back = json.loads(worker.hears("flush"))
            assert back["said"] is True
            assert len(arrived.ids) == WARM_UP + HOUR
            assert away["high_water"] - warm["high_water"] < FLAT
            assert back["high_water"] - warm["high_water"] < FLAT
            assert worker.ends() == 0


@pytest.mark.timeout(300)
def test_a_burst_of_a_million_spans_arrives_in_flat_memory(tmp_path):
    arrived = SpanIds()
    with Receiver() as receiver:
        receiver.requests = arrived  # type: ignore[assignment]
        with working("burst", str(BURST), folder=tmp_path, url=receiver.url) as worker:
            warm = json.loads(worker.says())
            made = json.loads(worker.hears("go"))
            flushed = json.loads(worker.hears("flush"))
            print(warm, made, flushed)
            assert flushed["said"] is True
            assert len(arrived.ids) == WARM_UP + BURST
            assert flushed["high_water"] - warm["high_water"] < FLAT
            assert worker.ends() == 0


@pytest.mark.timeout(60)
def test_the_rest_of_a_killed_worker_arrives_within_5_seconds(tmp_path):
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        workers = [
            stack.enter_context(
                working(
                    "worker",
                    f"w{number}",
                    folder=tmp_path,
                    url=receiver.url,
                    # The one that is killed would not have sent anything by itself for an hour.
                    POSEMON_SHIP_INTERVAL="3600" if number == 0 else "1",
                )
            )
            for number in range(4)
        ]
        assert [worker.says() for worker in workers] == ["ready"] * 4
        time.sleep(1.0)
        for worker in workers:
            assert [worker.hears(str(number)) for number in range(50)] == ["ended"] * 50
        workers[0].process.kill()
        killed = time.monotonic()
        wanted = {f"w0 {number}" for number in range(50)}
        assert wanted.isdisjoint(receiver.names()), "it has sent its spans by itself"
        while not wanted <= set(receiver.names()) and time.monotonic() - killed < 20:
            time.sleep(0.05)
        took = time.monotonic() - killed
        assert wanted <= set(receiver.names())
        print(f"{took:.2f} s")
        assert took < 5.0
        assert [worker.ends() for worker in workers[1:]] == [0, 0, 0]
        assert {f"w{w} {n}" for w in range(4) for n in range(50)} == set(receiver.names())
