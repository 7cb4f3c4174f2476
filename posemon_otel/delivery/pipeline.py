"""Everything that one process needs to deliver: provider, sink, journal, shipper. ``bootstrap`` makes one."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.id_generator import IdGenerator

from posemon_otel import faults, operation, settings
from posemon_otel.delivery import drops, exporters, forks, named, receipts
from posemon_otel.delivery.direct import DirectSink
from posemon_otel.delivery.errands import Errands
from posemon_otel.delivery.happenings import Happenings
from posemon_otel.delivery.journal_metrics import JournalMetrics, observe_processors
from posemon_otel.delivery.journal_sink import JournalSink
from posemon_otel.delivery.metering import MeterProvider, of_kind, pushes
from posemon_otel.delivery.metric_export import Acknowledging, Inherited, Interval
from posemon_otel.delivery.metrics import Replay
from posemon_otel.delivery.otlp import Logs, Traces
from posemon_otel.delivery.own_journal import OwnJournal, State
from posemon_otel.delivery.provider import TracerProvider
from posemon_otel.delivery.records import Records
from posemon_otel.delivery.recovery import interrupt_open
from posemon_otel.delivery.shipper import Consumer, Shipper
from posemon_otel.semconv import SCHEMA_URL, SCOPE
from posemon_otel.semconv import operations as o
from posemon_otel.settings import Settings
from posemon_otel.version import __version__

_FLUSH_SHARE = 0.8
"""Share of the exit's budget for a last delivery; the rest is for ending what hangs."""

_HOPELESS_WAIT = 0.5
"""Seconds that metrics still have at exit where spans and logs cannot be delivered."""

Makers = Mapping[str, Sequence[Callable[[], Any]]]
"""What makes the exporters of each signal."""


class Pipeline:
    """The delivery of one process.

    Attributes:
        sink: Where operations go.
        shipper: The threads that deliver.
        tracer_provider: Ours, or ``None`` where spans go to the providers that are set globally.
        meter_provider: Ours, or ``None`` likewise.
    """

    def __init__(
        self,
        chosen: Settings,
        resource: Resource,
        *,
        direct: bool,
        provider: TracerProvider | None = None,
        stock: Sequence[Any] = (),
        view: Callable[[Any], None] | None = None,
        makers: Makers | None = None,
        readers: Sequence[MetricReader] = (),
        views: Sequence[View] = (),
        ids: IdGenerator | None = None,
    ) -> None:
        """Makes the parts; nothing runs before the first append.

        Args:
            chosen: The settings; problems found here are added to its ``problems``.
            resource: This process's Resource.
            direct: Whether spans, logs and metrics go to the providers that are set globally, at once.
            provider: The tracer provider of an earlier pipeline, to be used again.
            stock: The SDK's providers behind the direct sink that are ours to flush and end.
            view: Called with the spans of finished generations.
            makers: What makes the exporters, instead of those that the settings name.
            readers: Metric readers beside those of the exporters.
            views: What metrics look like, for every reader.
            ids: Makes trace and span ids.
        """
        self._settings = chosen
        self._direct = direct
        self._view = view
        self._stock = tuple(stock)
        self._closed = False
        self._abandoned: list[Any] = []
        self._errands = Errands()
        if makers is None:
            makers = {} if direct else {signal: exporters.makers(signal, chosen) for signal in exporters.SIGNALS}
        self._makers = makers
        self._intervals: list[Interval] = []
        self._readers = of_kind(MetricReader, readers, "metric_readers", chosen.problems)
        self._views = of_kind(View, views, "views", chosen.problems)
        if not direct and provider is None:
            ids = ids or named.id_generator(chosen)
            provider = TracerProvider(named.sampler(chosen), resource, shutdown_on_exit=False, id_generator=ids)
        self.tracer_provider = None if direct else provider
        self.meter_provider: MeterProvider | None = None
        self._journal = OwnJournal(
            chosen,
            lambda: resource if self.tracer_provider is None else self.tracer_provider.resource,
            consumers=lambda: [consumer.name for consumer in self.shipper.consumers],
            opened=self._start,
            answered=self._answered,
        )
        self._journal_sink = JournalSink(self.tracer_provider, self._journal.open)
        self._replay = Replay(self._journal.journal, self._generations)
        self.shipper = self._make_shipper()
        if direct:
            self.sink: operation.Sink = DirectSink(self._journal_sink, self._generations)
        else:
            self.sink = self._journal_sink
            self.meter_provider = self._make_meter_provider()
        if self.meter_provider is None:
            self._journal_metrics().observe(metrics.get_meter(SCOPE, __version__, schema_url=SCHEMA_URL))
        forks.in_child(self.forget_parent, "starting anew in a forked child")

    def force_flush(self, timeout: float, *, last: bool = False) -> bool:
        """Delivers everything finished before the call.

        Args:
            timeout: Seconds.
            last: Whether the process ends: then a receiver that has just failed is not waited for.

        Returns:
            Whether the receivers have acknowledged it all.
        """
        deadline = time.monotonic() + timeout
        goal = self._replay.goal()
        before = [interval.exporter.delivered for interval in self._intervals]
        flushed: list[bool] = []
        # On a thread of its own: a hanging receiver must not hold the caller beyond its timeout.
        wait = self._errands.start(lambda: flushed.append(self._flush_providers(deadline)))
        delivered = self.shipper.flush(timeout, last=last)
        wait(deadline - time.monotonic() if delivered or not last else _HOPELESS_WAIT)
        counted = all(
            interval.exporter.delivered > old for interval, old in zip(self._intervals, before, strict=True)
        ) and (not self._intervals or self._replay.reached(goal))
        return delivered and counted and flushed == [True] and not self._journal.waiting

    def shutdown(self, budget: float | None = None) -> bool:
        """Delivers what it can within the budget, then ends; the rest stays in the journal.

        Args:
            budget: Seconds; the setting ``POSEMON_EXIT_BUDGET`` where left out.

        Returns:
            Whether everything was delivered.
        """
        if self._closed:
            return True
        self._closed = True
        budget = self._settings[settings.EXIT_BUDGET] if budget is None else budget
        deadline = time.monotonic() + budget
        try:
            delivered = self.force_flush(budget * _FLUSH_SHARE, last=True)
        except Exception as exc:  # the end comes all the same
            faults.fault("the last flush", exc)
            delivered = False
        if operation.sink() is self.sink:
            operation.use(None)
        if self.tracer_provider is not None:
            self.tracer_provider.on_end_sink = self._journal_sink.late
        self._errands.run(lambda: self._end(deadline), deadline - time.monotonic())
        self._journal.close(seal=self._journal_sink.idle)
        return delivered

    # -----------------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if not self._closed:
            self.shipper.start()

    def journal_state(self) -> State:
        """Where this process's journal is, and why if that is not where it is meant to be."""
        return self._journal.state()

    def _answered(self) -> bool:
        own = self._journal.journal()
        if any(interval.exporter.delivered for interval in self._intervals):
            return True
        return own is not None and any(receipts.receipts(own.folder, signal) for signal in exporters.SIGNALS)

    def _generations(self) -> int:
        return self._journal_sink.open_operations(o.GENERATION.key)

    def _flush_providers(self, deadline: float) -> bool:
        def left() -> int:
            return max(1, int((deadline - time.monotonic()) * 1000))

        truly = True
        for interval in self._intervals:
            interval.collect(left() / 1000)
        for reader in filter(pushes, self._readers):
            try:
                truly &= bool(reader.force_flush(left()))
            except Exception as exc:
                faults.fault("flushing a metric reader", exc)
        for provider in self._stock or self._global_providers():
            truly &= provider.force_flush(left()) is True
        return truly

    def _global_providers(self) -> list[Any]:
        """The application's own, behind the direct sink."""
        if not self._direct:
            return []
        found = [trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider()]
        return [provider for provider in found if hasattr(provider, "force_flush")]

    def _end(self, deadline: float) -> None:
        def left() -> float:
            return max(0.001, deadline - time.monotonic())

        self.shipper.stop(left())
        for interval in self._intervals:
            interval.stop(left())
        for reader in self._readers:
            try:
                reader.shutdown(timeout_millis=left() * 1000)
            except Exception as exc:
                faults.fault("ending a metric reader", exc)
        for provider in self._stock:
            provider.shutdown()

    def _make_shipper(self) -> Shipper:
        batch = self._settings[settings.SHIP_BATCH]
        consumers: list[Consumer] = []
        if self._makers.get("traces"):
            consumers.append(Traces(exporters.Lazy(self._makers["traces"]), batch))
        if self._makers.get("logs"):
            consumers.append(Logs(exporters.Lazy(self._makers["logs"]), batch))
        if self._settings[settings.DATABASE_URL]:
            consumers.append(Records(self._connect, batch))
        consumers.append(Happenings(self._view))
        if self._makers.get("metrics"):
            consumers.append(Inherited(self._makers["metrics"][0], self._views))
        return Shipper(
            consumers,
            roots=self._journal.roots,
            own=self._journal.journal,
            housekeeping=self._keep_house,
            recover=interrupt_open,
            interval=self._settings[settings.SHIP_INTERVAL],
        )

    def _keep_house(self) -> None:
        self._journal_sink.write_starts()
        if self._intervals or self._readers:
            self._replay.drain()
        self._journal.keep_house()

    def _make_meter_provider(self) -> MeterProvider:
        assert self.tracer_provider is not None
        self._intervals = self._make_intervals()
        readers = [interval.reader for interval in self._intervals]
        provider = MeterProvider(readers, self.tracer_provider.resource, shutdown_on_exit=False, views=self._views)
        for reader in self._readers:
            provider.add_metric_reader(reader)
        self._replay.attach(provider)
        self._journal_metrics().observe(provider.get_meter(SCOPE, __version__, SCHEMA_URL))
        if self._settings[settings.SDK_METRICS]:
            observe_processors(provider, self._journal.journal, self._replay.progress, self._consumer_names())
        for interval in self._intervals:
            interval.start()
        return provider

    def _make_intervals(self) -> list[Interval]:
        seconds = self._settings[settings.METRIC_INTERVAL] / 1000
        return [Interval(Acknowledging(make(), self._replay), seconds) for make in self._makers.get("metrics", [])]

    def _journal_metrics(self) -> JournalMetrics:
        return JournalMetrics(self._journal.journal, self._consumer_names())

    def _consumer_names(self) -> list[str]:
        return [consumer.name for consumer in self.shipper.consumers]

    def _connect(self) -> Any:
        from posemon_otel.records import RecordWriter, connect

        return RecordWriter(connect(self._settings[settings.DATABASE_URL]))

    def forget_parent(self) -> None:
        """In a forked child: own threads, journal and Resource; the parent's are left alone, not closed."""
        if self._closed:
            return
        leaving = self._intervals
        self._errands = Errands()
        self._abandoned += [self.shipper, self._journal.journal(), *leaving]
        self._journal.forget_parent()
        self._journal_sink.forget_parent()
        drops.reset()
        self.shipper = self._make_shipper()
        if self.meter_provider is not None:
            # The same provider: the instruments that the application has made go on, each from nothing.
            self.meter_provider.forget_parent(self._readers, [interval.reader for interval in leaving])
            self._replay.forget_parent()
            self._intervals = self._make_intervals()
            for interval in self._intervals:
                self.meter_provider.add_metric_reader(interval.reader)
                interval.start()
            self._replay.begin_anew()
