"""Everything that one process needs to deliver: provider, journal, sink, shipper. ``bootstrap`` makes one."""

import contextlib
import os
import re
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.id_generator import IdGenerator

from posemon_otel import faults, operation, settings
from posemon_otel.delivery import drops, exporters
from posemon_otel.delivery.direct import DirectSink
from posemon_otel.delivery.happenings import Happenings
from posemon_otel.delivery.journal_sink import JournalSink
from posemon_otel.delivery.metrics import Acknowledging, Inherited, Replay
from posemon_otel.delivery.otlp import Logs, Traces
from posemon_otel.delivery.provider import TracerProvider
from posemon_otel.delivery.records import Records
from posemon_otel.delivery.recovery import interrupt_open
from posemon_otel.delivery.shipper import Consumer, Shipper
from posemon_otel.journal import Journal, Writer
from posemon_otel.semconv import operations as o
from posemon_otel.settings import Settings

_FLUSH_SHARE = 0.8
"""Share of the exit's budget for a last delivery; the rest is for ending what hangs."""


class Pipeline:
    """The delivery of one process.

    Attributes:
        sink: Where operations go.
        tracer_provider: Ours, or ``None`` where the application brought its own.
        meter_provider: Ours, or ``None`` likewise.
    """

    def __init__(
        self,
        chosen: Settings,
        resource: Resource,
        *,
        direct: bool,
        provider: TracerProvider | None = None,
        view: Callable[[Any], None] | None = None,
        makers: Mapping[str, Sequence[Callable[[], Any]]] | None = None,
        readers: Sequence[MetricReader] = (),
        ids: IdGenerator | None = None,
    ) -> None:
        """Makes the parts; nothing runs before the first append.

        Args:
            chosen: The settings; problems found here are added to its ``problems``.
            resource: This process's Resource.
            direct: Whether spans, logs and metrics go to the providers that are set globally, at once.
            provider: The tracer provider of an earlier pipeline, to be used again.
            view: Called with the spans of finished generations.
            makers: What makes the exporters of each signal, instead of those that the settings name.
            readers: Further metric readers.
            ids: Makes trace and span ids.
        """
        self._settings = chosen
        self._resource = resource
        self._direct = direct
        self._view = view
        self._root: Path | None = None
        self._temporary: Any = None
        self._own: Journal | None = None
        self._opening = threading.Lock()
        self._closed = False
        self._abandoned: list[Any] = []
        if makers is None:
            makers = {} if direct else {signal: exporters.makers(signal, chosen) for signal in exporters.SIGNALS}
        self._makers = makers
        self._readers: list[tuple[MetricReader, Acknowledging | None]] = []
        if not direct and provider is None:
            provider = TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=ids)
        self.tracer_provider = None if direct else provider
        if self.tracer_provider is not None:
            self._resource = self.tracer_provider.resource
        self.meter_provider: MeterProvider | None = None
        self._journal_sink = JournalSink(self.tracer_provider, self._open_writer)
        self._replay = Replay(lambda: self._own, lambda: self._journal_sink.open_operations(o.GENERATION.key))
        self.shipper = self._make_shipper()
        if direct:
            self.sink: operation.Sink = DirectSink(self._journal_sink)
        else:
            self.sink = self._journal_sink
            self.meter_provider = self._make_meter_provider(readers)
        _after_fork(self)

    def add_metric_reader(self, reader: MetricReader) -> None:
        """Adds a reader of the user's; its collections drain the journal as ours do."""
        if self.meter_provider is not None:
            self.meter_provider.add_metric_reader(reader)

    @property
    def journal(self) -> Journal | None:
        """This process's journal; ``None`` before its first append."""
        return self._own

    def force_flush(self, timeout: float) -> bool:
        """Delivers everything finished before the call.

        Args:
            timeout: Seconds.

        Returns:
            Whether the receivers have acknowledged it all.
        """
        deadline = time.monotonic() + timeout
        before = {id(exporter): exporter.delivered for _, exporter in self._readers if exporter is not None}
        collecting = threading.Thread(target=self._collect, args=(deadline,), name="posemon-flush", daemon=True)
        collecting.start()  # on a thread of its own: a hanging receiver must not hold the caller beyond its timeout
        delivered = self.shipper.flush(timeout)
        collecting.join(max(0.0, deadline - time.monotonic()))
        counted = all(exporter is None or exporter.delivered > before[id(exporter)] for _, exporter in self._readers)
        return delivered and counted and not collecting.is_alive()

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
        delivered = self.force_flush(budget * _FLUSH_SHARE) if self.shipper.started else True
        operation.use(None)
        if self.tracer_provider is not None:
            self.tracer_provider.on_end_sink = None
        ending = threading.Thread(target=self._end, args=(deadline,), name="posemon-shutdown", daemon=True)
        ending.start()
        ending.join(max(0.0, deadline - time.monotonic()))
        self._journal_sink.close()
        if self._own is not None:
            self._own.release_ship()
        if self._temporary is not None:
            self._temporary.cleanup()
        return delivered

    # -----------------------------------------------------------------------------------------------------------------

    def _end(self, deadline: float) -> None:
        self.shipper.stop(max(0.0, deadline - time.monotonic()))
        for reader, _ in self._readers:
            with contextlib.suppress(Exception):
                reader.shutdown(timeout_millis=max(1.0, (deadline - time.monotonic()) * 1000))

    def _collect(self, deadline: float) -> None:
        for reader, _ in self._readers:
            try:
                reader.collect(timeout_millis=max(1.0, (deadline - time.monotonic()) * 1000))
            except Exception as exc:
                faults.fault("collecting metrics", exc)

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
            consumers.append(Inherited(self._makers["metrics"][0]))
        return Shipper(
            consumers,
            root=self._folder,
            own=lambda: self._own,
            housekeeping=self._journal_sink.write_starts,
            recover=interrupt_open,
            interval=self._settings[settings.SHIP_INTERVAL],
        )

    def _make_meter_provider(self, more: Sequence[MetricReader] = ()) -> MeterProvider:
        self._readers = []
        for make in self._makers.get("metrics", []):
            exporter = Acknowledging(make(), self._replay)
            reader = PeriodicExportingMetricReader(exporter, self._settings[settings.METRIC_INTERVAL])
            self._readers.append((reader, exporter))
        provider = MeterProvider(
            [*(reader for reader, _ in self._readers), *more], self._resource, shutdown_on_exit=False
        )
        self._replay.attach(provider)
        return provider

    def _connect(self) -> Any:
        from posemon_otel.records import RecordWriter, connect

        return RecordWriter(connect(self._settings[settings.DATABASE_URL]))

    # The journal -----------------------------------------------------------------------------------------------------

    def _folder(self) -> Path:
        if self._root is None:
            if self._direct and self._settings[settings.JOURNAL] == "off":
                self._temporary = tempfile.TemporaryDirectory(prefix="posemon-")
                self._root = Path(self._temporary.name) / "journal"
            else:
                self._root = journal_root(self._settings, str(self._resource.attributes.get("service.name", "")))
        return self._root

    def _open_writer(self, sink: JournalSink) -> Writer:
        with self._opening:
            current = sink.writer
            if current is not None and not current.closed:
                return current
            writer = self._try_roots(sink)
            own = Journal.open(writer.folder, keep_bytes=self._settings[settings.JOURNAL_KEEP])
            own.try_ship()
            self._own = own
        if not self._closed:
            self.shipper.start()
        return writer

    def _try_roots(self, sink: JournalSink) -> Writer:
        first = self._folder()
        try:
            return self._make_writer(sink, first)
        except OSError as exc:
            spare = _spare_root(first)
            writer = self._make_writer(sink, spare)
            self._root = spare
            drops.say_once(
                f"the journal's folder {first} cannot be used ({exc.strerror or exc}); {spare} is used, which does not"
                " outlive the machine. Set POSEMON_JOURNAL_DIR to a folder that this process may write"
            )
            return writer

    def _make_writer(self, sink: JournalSink, root: Path) -> Writer:
        head = {"resource": _plain(self._resource.attributes), "schema_url": self._resource.schema_url}
        return Writer(
            root,
            head=head,
            consumers=[consumer.name for consumer in self.shipper.consumers],
            prelude=sink.prelude,
            segment_bytes=self._settings[settings.SEGMENT_BYTES],
            cap_bytes=self._settings[settings.JOURNAL_CAP],
            keep_bytes=self._settings[settings.JOURNAL_KEEP],
        )

    # Fork ------------------------------------------------------------------------------------------------------------

    def forget_parent(self) -> None:
        """In a forked child: own threads, own journal, own Resource; the parent's are left alone, not closed."""
        if self._closed:
            return
        self._abandoned += [self.shipper, self._own, self.meter_provider, *self._readers]
        self._opening = threading.Lock()
        self._own = None
        self._journal_sink.forget_parent()
        drops.reset()
        if self.tracer_provider is not None:
            self._resource = self.tracer_provider.resource
        self._replay = Replay(lambda: self._own, lambda: self._journal_sink.open_operations(o.GENERATION.key))
        self.shipper = self._make_shipper()
        if not self._direct:
            self.meter_provider = self._make_meter_provider()


def journal_root(chosen: Settings, service: str) -> Path:
    """The folder in which the processes of a service keep their journals."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", service).lstrip(".") or "service"
    explicit = chosen[settings.JOURNAL_DIR]
    if explicit:
        return Path(explicit).expanduser() / name
    state = chosen[settings.STATE_HOME]
    return (Path(state) if state else Path.home() / ".local" / "state") / "posemon" / name


def _spare_root(refused: Path) -> Path:
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, which journals check for its owner
    base = memory if memory.is_dir() else Path(tempfile.gettempdir())
    return base / f"posemon-{os.getuid()}" / refused.name


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for key, value in attributes.items()
    }


def _after_fork(pipeline: Pipeline) -> None:
    weak = weakref.ref(pipeline)

    def in_child() -> None:
        living = weak()
        if living is not None:
            try:
                living.forget_parent()
            except Exception as exc:
                faults.fault("starting anew in a forked child", exc)

    os.register_at_fork(after_in_child=in_child)
