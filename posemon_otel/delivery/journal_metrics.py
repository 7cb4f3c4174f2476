"""The journal's depth, age and lag as metrics, and OpenTelemetry's own metrics of a processor where they are asked for.

The SDK's exporters count what they export (``otel.sdk.exporter.*``), its tracer what is started; here is the rest of
what its batch processor would say. A queue has no capacity in items: the journal's is one in bytes.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

from posemon_otel import faults
from posemon_otel.delivery import drops, wire
from posemon_otel.delivery.metrics import EXPORTED, REPLAYED
from posemon_otel.delivery.progress import Progress
from posemon_otel.journal import Journal
from posemon_otel.semconv import metrics as m

SDK_SCOPE = "opentelemetry-sdk"
PROCESSED, QUEUE_SIZE = "otel.sdk.processor.{item}.processed", "otel.sdk.processor.{item}.queue.size"
COMPONENT_TYPE, COMPONENT_NAME, ERROR_TYPE = "otel.component.type", "otel.component.name", "error.type"
QUEUE_FULL = "queue_full"
_ITEMS = {"traces": "span", "logs": "log"}
_READ_AGAIN_SECONDS = 0.5
_LOOKED_AT = 256

Own = Callable[[], Journal | None]


class _Waiting(NamedTuple):
    bytes: int
    seconds: float


_NOTHING = _Waiting(0, 0.0)


class JournalMetrics:
    """What is observed of this process's own journal."""

    def __init__(self, own: Own, consumers: Sequence[str]) -> None:
        """Makes it; ``observe`` makes the instruments.

        Args:
            own: The journal, ``None`` before the first append.
            consumers: Who reads it, as ``posemon.telemetry.dropped`` names signals.
        """
        self._own = own
        self._consumers = tuple(consumers)
        self._waiting: dict[str, _Waiting] = {}
        self._read_at = -_READ_AGAIN_SECONDS

    def observe(self, meter: Meter) -> None:
        """Makes the instruments of the registry."""
        size, lag, age = m.JOURNAL_SIZE, m.JOURNAL_LAG, m.JOURNAL_AGE
        meter.create_observable_gauge(size.name, [self._size], size.unit, size.meaning)
        meter.create_observable_gauge(lag.name, [self._lag], lag.unit, lag.meaning)
        meter.create_observable_gauge(age.name, [self._age], age.unit, age.meaning)

    def _size(self, _options: CallbackOptions) -> Iterable[Observation]:
        own = self._own()
        return [Observation(0 if own is None else sum(segment.size for segment in own.segments()))]

    def _lag(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(waiting.bytes, {"signal": name}) for name, waiting in self._all().items()]

    def _age(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(waiting.seconds, {"signal": name}) for name, waiting in self._all().items()]

    def _all(self) -> dict[str, _Waiting]:
        """Every consumer's, looked up once a collection."""
        now = time.monotonic()
        if now - self._read_at >= _READ_AGAIN_SECONDS:
            own = self._own()
            try:
                self._waiting = {
                    name: _NOTHING if own is None else _waits(own, EXPORTED if name == REPLAYED else name)
                    for name in self._consumers
                }
            except OSError:  # its folder is gone, which is said elsewhere
                self._waiting = {}
            except Exception as exc:
                faults.fault("looking at the journal", exc)
            self._read_at = now
        return self._waiting


def _waits(own: Journal, consumer: str) -> _Waiting:
    size = own.lag(consumer).bytes
    if not size:
        return _NOTHING
    waiting = islice(own.entries(own.mark(consumer).low), _LOOKED_AT)
    moments = (wire.moment(tag, payload) for _, tag, payload in waiting)
    oldest = next((moment for moment in moments if moment is not None), None)  # scopes have none
    return _Waiting(size, 0.0 if oldest is None else max(0.0, time.time() - oldest / 1e9))


def observe_processors(provider: MeterProvider, own: Own, progress: Progress, consumers: Iterable[str]) -> None:
    """Makes ``otel.sdk.processor.*`` for spans and log records, as the SDK's batch processors do.

    Args:
        provider: Where the instruments are made.
        own: The journal, ``None`` before the first append.
        progress: Counts what stands in it.
        consumers: Who reads it.
    """
    progress.enabled = True
    meter = provider.get_meter(SDK_SCOPE)
    for signal, item in _ITEMS.items():
        if signal not in consumers:
            continue
        kind = f"posemon_journal_{item}_processor"
        queue = _Queue(signal, {COMPONENT_TYPE: kind, COMPONENT_NAME: f"{kind}/0"}, own, progress)
        unit = f"{{{item}}}"
        meter.create_observable_up_down_counter(
            QUEUE_SIZE.format(item=item), [queue.size], unit, f"The number of {item}s that wait in the journal."
        )
        meter.create_observable_counter(
            PROCESSED.format(item=item),
            [queue.processed],
            unit,
            f"The number of {item}s whose processing has finished, well or not.",
        )


class _Queue:
    def __init__(self, signal: str, attributes: dict[str, str], own: Own, progress: Progress) -> None:
        self._signal = signal
        self._attributes = attributes
        self._own = own
        self._progress = progress

    def size(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self._waiting(), self._attributes)]

    def processed(self, _options: CallbackOptions) -> Iterable[Observation]:
        lost = drops.counts().get((self._signal, "journal_full"), 0)
        done = self._total() - self._waiting() - lost
        observed = [Observation(max(0, done), self._attributes)]
        if lost:
            observed.append(Observation(lost, {**self._attributes, ERROR_TYPE: QUEUE_FULL}))
        return observed

    def _total(self) -> int:
        place = self._progress.last
        return place.spans if self._signal == "traces" else place.logs

    def _waiting(self) -> int:
        own = self._own()
        if own is None:
            return 0
        place = self._progress.before(own.mark(self._signal).low)
        return self._total() - (place.spans if self._signal == "traces" else place.logs)
