"""Capturing telemetry in tests, ours and users': everything goes its real way, journal included, into memory.

With pytest, make a fixture of it::

    @pytest.fixture
    def telemetry():
        with posemon_otel.testing.capture() as captured:
            yield captured
"""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from posemon_otel import bootstrap, clock, operation, settings
from posemon_otel.delivery import globals as otel_globals
from posemon_otel.delivery.pipeline import Pipeline
from posemon_otel.settings import Settings

EPOCH_NS = 1_767_225_600_000_000_000
"""Where the fixed clock begins: 2026-01-01T00:00:00Z."""


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
    """

    def __init__(self, pipeline: Pipeline, spans: Any, logs: Any, reader: InMemoryMetricReader, ticking: Any) -> None:
        self.pipeline = pipeline
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
        assert self.pipeline.shipper.flush(10.0, ("traces", "logs")), "captured telemetry did not arrive within 10 s"


@contextmanager
def capture(*, fixed: bool = True, **arguments: Any) -> Iterator[Captured]:
    """Sets up telemetry into memory for the length of a block, and takes it down again.

    Args:
        fixed: Whether ids and clock are fixed, so that whole spans can be compared.
        **arguments: Settings, as for ``configure``.

    Raises:
        RuntimeError: ``configure`` is in force; a test captures instead of configuring.
    """
    if bootstrap.handle() is not None:
        raise RuntimeError("configure() is in force: call shutdown() before capture()")
    spans, logs, reader = InMemorySpanExporter(), InMemoryLogRecordExporter(), InMemoryMetricReader()  # type: ignore[no-untyped-call]
    before = settings.current()
    ticking = FixedClock() if fixed else None
    if ticking is not None:
        clock.use(ticking, ticking)
    with tempfile.TemporaryDirectory(prefix="posemon-test-") as folder, otel_globals.set_aside():
        chosen = Settings(
            {"service_name": "test", "log_format": "none", "journal_dir": folder, "ship_interval": 0.01, **arguments}
        )
        handle = bootstrap.configure_with(
            chosen,
            makers={"traces": [lambda: spans], "logs": [lambda: logs], "metrics": []},
            readers=[reader],
            ids=FixedIds() if fixed else None,
        )
        try:
            assert handle.pipeline is not None
            yield Captured(handle.pipeline, spans, logs, reader, ticking)
        finally:
            handle.shutdown(5.0)
            operation.use(None)
            settings.use(before)
            clock.use()
