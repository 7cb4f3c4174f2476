"""The process that a fault happens to: ``python -m tests.faults.child SCENARIO stock|posemon FOLDER``.

The same script runs in both modes. ``stock`` is OpenTelemetry's SDK as its documentation sets it up by hand: batch
processors and a periodic reader, OTLP over HTTP. ``posemon`` is one call of ``configure``.
"""

import json
import logging
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

from opentelemetry import metrics, trace

STOCK, POSEMON = "stock", "posemon"
NEXT_START = "next start"
BRIEF = "FAULTS_BRIEF"
"""Environment variable that cuts a scenario short, for tests."""


class Run:
    """What a script works with.

    Attributes:
        mode: ``stock`` or ``posemon``.
        folder: A folder for the scenario.
    """

    def __init__(self, mode: str, folder: Path) -> None:
        self.mode = mode
        self.folder = folder
        self._flushing: list[Any] = []
        self._ended = os.open(folder / "ended", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._count = 0
        self._lock = threading.Lock()

    @property
    def brief(self) -> bool:
        """Whether the scenario is cut short, for a test."""
        return os.environ.get(BRIEF) == "1"

    @property
    def tracer(self) -> trace.Tracer:
        return trace.get_tracer("application")

    @property
    def meter(self) -> metrics.Meter:
        return metrics.get_meter("application")

    def set_up(self) -> None:
        """Sets telemetry up, once more where it is called again."""
        if self.mode == POSEMON:
            import posemon_otel

            self._flushing = [posemon_otel.configure("faults", disabled_instrumentations=("*",), log_format="none")]
        else:
            self._flushing += _stock()

    def item(self, name: str = "", **attributes: Any) -> None:
        """Makes a span that ends, and notes that it has ended."""
        with self._lock:
            self._count += 1
            number = self._count
        try:
            with self.tracer.start_as_current_span(name or f"item {number}") as span:
                for key, value in attributes.items():
                    span.set_attribute(key, value)
        finally:
            self.ended()

    def items(self, count: int, pause: float = 0.0) -> None:
        """Makes ``count`` spans, ``pause`` seconds apart."""
        for _ in range(count):
            self.item()
            if pause:
                time.sleep(pause)

    def forked(self) -> None:
        """In a forked child: the parent's lock may have been held by a thread that is not here."""
        self._lock = threading.Lock()

    def ended(self) -> None:
        """Notes that a span whose name begins with ``item`` has ended."""
        os.write(self._ended, b".\n")

    def tell(self, **facts: Any) -> None:
        """Tells the harness what was seen."""
        with (self.folder / "facts").open("a") as file:
            file.write(json.dumps(facts) + "\n")

    def flush(self, seconds: float) -> bool:
        """Flushes everything as the mode does it, and tells how long it took and what it said."""
        began = time.monotonic()
        if self.mode == POSEMON:
            said = self._flushing[0].force_flush(seconds)
        else:
            each = [provider.force_flush(int(seconds * 1000)) for provider in self._flushing]
            said = all(each)
        self.tell(flush=round(time.monotonic() - began, 2), said=said)
        return said

    def flush_traces(self, seconds: float) -> bool:
        """Flushes the traces alone where that can be done."""
        began = time.monotonic()
        flushed = self._flushing[0].force_flush(seconds if self.mode == POSEMON else int(seconds * 1000))
        self.tell(flush=round(time.monotonic() - began, 2), said=flushed)
        return bool(flushed)

    def attempt(self, what: str, act: Any) -> None:
        """Does what user code does, and tells what was raised into it."""
        try:
            act()
            self.tell(**{what: "nothing"})
        except BaseException as exc:
            self.tell(**{what: type(exc).__name__})


def _stock() -> list[Any]:
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": "faults"})
    traces = TracerProvider(resource=resource)
    file = os.environ.get("FAULTS_TRACES_FILE")
    if file:
        from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter

        traces.add_span_processor(BatchSpanProcessor(FileSpanExporter(file)))
    else:
        traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(traces)
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource)
    metrics.set_meter_provider(meters)
    logs = LoggerProvider(resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    set_logger_provider(logs)
    logging.getLogger().addHandler(LoggingHandler(logger_provider=logs))
    return [traces, meters, logs]


def main() -> None:
    name, mode, folder = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.basicConfig()
    run = Run(mode, Path(folder))
    if name == NEXT_START:
        run.set_up()
        sys.stdin.read()
        os._exit(0)
    from tests.faults.table import BY_KEY

    try:
        BY_KEY[name](brief=run.brief).script(run)
    finally:
        run.tell(left=time.monotonic())


if __name__ == "__main__":
    main()
