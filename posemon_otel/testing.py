"""Capturing telemetry in tests, ours and users': everything goes its real way, journal included, into memory.

Or through the direct sink, as in an application that brings providers of the SDK: ``capture(sink="direct")``.

With pytest, make a fixture of it::

    @pytest.fixture
    def telemetry():
        with posemon_otel.testing.capture() as captured:
            yield captured
"""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal
from unittest import mock

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from posemon_otel import bootstrap, clock, operation, settings
from posemon_otel.delivery import globals as otel_globals
from posemon_otel.delivery.pipeline import Pipeline
from posemon_otel.settings import Settings

EPOCH_NS = 1_767_225_600_000_000_000
"""Where the fixed clock begins: 2026-01-01T00:00:00Z."""

Sink = Literal["journal", "direct"]
default_sink: Sink = "journal"
"""What ``capture`` goes through where it is not told; our own test suite runs on both."""


class FixedIds(IdGenerator):
    """Trace ids 1, 2, 3 ... and span ids 1, 2, 3 ..., the same in every run."""

    def __init__(self) -> None:
        self._spans, self._traces = itertools.count(1), itertools.count(1)

    def generate_span_id(self) -> int:
        return next(self._spans)

    def generate_trace_id(self) -> int:
        return next(self._traces)


class FixedClock:
    """Both clocks, standing still until ``tick``."""

    def __init__(self) -> None:
        self._ns = EPOCH_NS

    def tick(self, seconds: float) -> None:
        """Lets time pass."""
        self._ns += round(seconds * 1e9)

    def __call__(self) -> int:
        return self._ns


class Captured:
    """What was captured.

    Attributes:
        clock: ``clock.tick(seconds)`` lets time pass; ``None`` where the real clocks are used.
        pipeline: The delivery behind it.
        sink: ``journal`` or ``direct``.
    """

    def __init__(
        self, pipeline: Pipeline, sink: Sink, spans: Any, logs: Any, reader: InMemoryMetricReader, ticking: Any
    ) -> None:
        self.pipeline = pipeline
        self.sink: Sink = sink
        self.clock: FixedClock | None = ticking
        self._spans = spans
        self._logs = logs
        self._reader = reader

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """Every span that has ended, in the order in which they ended."""
        self._flush()
        return tuple(self._spans.get_finished_spans())

    @property
    def logs(self) -> list[Any]:
        """Every log record (``opentelemetry.sdk._logs.ReadableLogRecord``), events among them."""
        self._flush()
        return list(self._logs.get_finished_logs())

    def span(self, name: str) -> ReadableSpan:
        """The one span of that name.

        Raises:
            AssertionError: There is none, or there are several.
        """
        found = [span for span in self.spans if span.name == name]
        names = [span.name for span in self.spans]
        assert len(found) == 1, f"expected one span {name!r}, got {names}"
        return found[0]

    def metrics(self) -> dict[str, dict[tuple[tuple[str, Any], ...], Any]]:
        """The points of each metric by their sorted attributes; a histogram's value is (count, sum)."""
        data = self._reader.get_metrics_data()
        found: dict[str, dict[tuple[tuple[str, Any], ...], Any]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = found.setdefault(metric.name, {})
                    for point in metric.data.data_points:
                        value = point.value if isinstance(point, NumberDataPoint) else (point.count, point.sum)
                        points[tuple(sorted((point.attributes or {}).items()))] = value
        return found

    def _flush(self) -> None:
        if self.sink == "direct":
            return  # each was written when it ended
        assert self.pipeline.shipper.flush(10.0, ("traces", "logs")), "captured telemetry did not arrive within 10 s"


@contextmanager
def capture(
    *,
    fixed: bool = True,
    sink: Sink | None = None,
    tracer_provider: sdk.TracerProvider | None = None,
    **arguments: Any,
) -> Iterator[Captured]:
    """Sets up telemetry into memory for the length of a block, and takes it down again.

    Args:
        fixed: Whether ids and clock are fixed, so that whole spans can be compared.
        sink: ``journal``: through our own provider and the journal; ``direct``: through providers of the SDK, as in an
            application that brings its own. ``default_sink`` where it is left out.
        tracer_provider: One with a sampler, limits or ids of its own, to be used instead; behind the journal a
            ``posemon_otel.delivery.TracerProvider``.
        **arguments: Settings, as for ``configure``.

    Raises:
        RuntimeError: ``configure`` is in force; a test captures instead of configuring.
    """
    if bootstrap.handle() is not None:
        raise RuntimeError("configure() is in force: call shutdown() before capture()")
    sink = default_sink if sink is None else sink
    spans, logs, reader = InMemorySpanExporter(), InMemoryLogRecordExporter(), InMemoryMetricReader()  # type: ignore[no-untyped-call]
    before = settings.current()
    ticking, ids = (FixedClock(), FixedIds()) if fixed else (None, None)
    if ticking is not None:
        clock.use(ticking, ticking)
    # The SDK's own spans take the time of its module; ours are given theirs.
    sdk_clock = nullcontext() if ticking is None else mock.patch.object(sdk, "time_ns", ticking)
    with tempfile.TemporaryDirectory(prefix="posemon-test-") as folder, otel_globals.set_aside(), sdk_clock:
        chosen = Settings(
            {"service_name": "test", "log_format": "none", "journal_dir": folder, "ship_interval": 0.01, **arguments}
        )
        parts: dict[str, Any] = {}
        if sink == "journal":
            makers = {"traces": [lambda: spans], "logs": [lambda: logs], "metrics": []}
            parts = {"makers": makers, "readers": [reader], "ids": ids}
            if tracer_provider is not None:
                trace.set_tracer_provider(tracer_provider)
        else:
            resource = Resource.create({"service.name": "test"})
            if tracer_provider is None:
                tracer_provider = sdk.TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
            _set_providers(tracer_provider, resource, spans, logs, reader)
        handle = bootstrap.configure_with(chosen, **parts)
        try:
            assert handle.pipeline is not None
            assert handle.mode == sink
            yield Captured(handle.pipeline, sink, spans, logs, reader, ticking)
        finally:
            handle.shutdown(5.0)
            operation.use(None)
            settings.use(before)
            clock.use()


def _set_providers(
    tracer_provider: sdk.TracerProvider, resource: Resource, spans: Any, logs: Any, reader: InMemoryMetricReader
) -> None:
    """An application's own set-up of the SDK."""
    tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(MeterProvider([reader], resource, shutdown_on_exit=False))
    logger_provider = LoggerProvider(resource, shutdown_on_exit=False)
    logger_provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
    set_logger_provider(logger_provider)
