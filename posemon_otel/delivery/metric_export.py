"""The way of metrics to a receiver: collections of this process, and what dead processes had not exported."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider, MetricsTimeoutError
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource

from posemon_otel import faults
from posemon_otel.delivery import drops, numbers, quiet, wire
from posemon_otel.delivery.instruments import Instruments, replay_entries
from posemon_otel.delivery.metrics import REPLAYED, Replay
from posemon_otel.delivery.shipper import Entry
from posemon_otel.journal import Journal
from posemon_otel.semconv import SCHEMA_URL, SCOPE
from posemon_otel.version import __version__

_ENTRIES = 10_000
_COLLECTIONS_KEPT = 60
"""Collections of differences that wait for a receiver: an hour at the usual interval."""


class _Wrapping(MetricExporter):
    """An exporter before another one."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner._preferred_temporality, inner._preferred_aggregation)  # noqa: SLF001 - no public form
        self._inner = inner

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return bool(self._inner.force_flush(timeout_millis))

    def shutdown(self, timeout_millis: float = 30_000, **more: Any) -> None:
        self._inner.shutdown(timeout_millis, **more)


class Acknowledging(_Wrapping):
    """Tells ``Replay`` when the receiver has taken a collection; an outage is two lines, not one an interval.

    Where differences are exported (delta temporality) a collection that fails would be lost: it is kept and goes first.

    Attributes:
        delivered: Collections that the receiver has taken.
    """

    def __init__(self, inner: Any, replay: Replay) -> None:
        super().__init__(inner)
        self.delivered = 0
        self._replay = replay
        self._receiver = replay.receiver()
        temporality = inner._preferred_temporality or {}  # noqa: SLF001 - no public form
        self._keeps = AggregationTemporality.DELTA in temporality.values()
        self._kept: deque[MetricsData] = deque()

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: Any) -> MetricExportResult:
        with quiet.within():
            failed = not self._send(numbers.bounded(metrics_data), timeout_millis, more)
        if not failed:
            self.delivered += 1
            self._replay.exported(self._receiver)
        (quiet.gone if failed else quiet.back)("metrics")
        return MetricExportResult.FAILURE if failed else MetricExportResult.SUCCESS

    def _send(self, newest: MetricsData, timeout_millis: float, more: dict[str, Any]) -> bool:
        self._kept.append(newest)
        try:
            while self._kept:
                result = self._inner.export(self._kept[0], timeout_millis=timeout_millis, **more)
                if result is not MetricExportResult.SUCCESS:
                    return False
                self._kept.popleft()
            return True
        finally:
            if not self._keeps:
                self._kept.clear()  # the next collection holds it all
            elif len(self._kept) > _COLLECTIONS_KEPT:
                drops.count("metrics", "receiver_away", _points(self._kept.popleft()))


def _points(data: MetricsData) -> int:
    return sum(
        len(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


class Interval:
    """A reader of the SDK that is asked by a thread of ours: the SDK's own thread cannot be told to end after a fork.

    Attributes:
        reader: The reader.
        exporter: Where its collections go.
    """

    def __init__(self, exporter: Acknowledging, seconds: float) -> None:
        """Makes it; ``start`` starts the thread.

        Args:
            exporter: Where collections go.
            seconds: Between two of them.
        """
        self.exporter = exporter
        self.reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread, once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="posemon-metric-interval", daemon=True)
            self._thread.start()

    def collect(self, seconds: float) -> None:
        """Collects and exports."""
        try:
            self.reader.collect(timeout_millis=seconds * 1000)
        except MetricsTimeoutError:  # out of time, as at the end of a process: the counts stay in the journal
            return
        except Exception as exc:
            faults.fault("collecting metrics", exc)

    def stop(self, seconds: float) -> None:
        """Ends the thread and gives the receiver up; what it does not have stays in the journal."""
        self._ended.set()
        try:
            self.reader.shutdown(timeout_millis=seconds * 1000)
        except Exception as exc:
            faults.fault("ending a metric reader", exc)

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            self.collect(max(self._seconds, 10.0))


class Inherited:
    """The consumer of dead processes' metrics: their rest goes out under their own Resource."""

    name = REPLAYED
    dead_only = True
    batch_entries = _ENTRIES

    def __init__(self, make_exporter: Callable[[], Any], views: Sequence[Any] = ()) -> None:
        self._make_exporter = make_exporter
        self._views = tuple(views)

    def deliver(self, journal: Journal, entries: Sequence[Entry]) -> bool:
        if not any(tag in (wire.FINISH, wire.EVENT) for tag, _ in entries):
            return True
        exporter = _Once(self._make_exporter())
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
        resource = Resource(journal.head.get("resource", {}))
        provider = MeterProvider([reader], resource, shutdown_on_exit=False, views=self._views)
        try:
            replay_entries(Instruments(provider.get_meter(SCOPE, __version__, SCHEMA_URL)), entries)
            reader.collect()
            return exporter.succeeded or not exporter.asked  # what makes no point has nothing to deliver
        finally:
            provider.shutdown()

    def close(self) -> None:
        """Each delivery has a connection of its own, closed with it."""


class _Once(_Wrapping):
    """Remembers whether the collection went through."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.asked = self.succeeded = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: Any) -> MetricExportResult:
        self.asked = True
        fitting = numbers.bounded(metrics_data)
        result: MetricExportResult = self._inner.export(fitting, timeout_millis=timeout_millis, **more)
        self.succeeded = result is MetricExportResult.SUCCESS
        return result
