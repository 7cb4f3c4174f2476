"""The meter provider: the SDK's, but a user's callback that hangs stops no collection, and a forked child starts at 0.

The SDK runs all callbacks one after another under one lock, and gives a collection up when one has taken too long: a
single callback that sleeps would end every metric of the process.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics.export import MetricReader

from posemon_otel import faults
from posemon_otel.delivery import _private, drops
from posemon_otel.semconv import SCOPE

CALLBACK_SECONDS = 1.0
"""How long a collection waits for one callback of the user's."""

Callback = Callable[[CallbackOptions], Iterable[Observation]]


class Patient:
    """Calls a user's callback on a thread of its own and waits for it only so long. One that still runs is left out."""

    def __init__(self, name: str, callback: Callback) -> None:
        self._name = name
        self._callback = callback
        self._running: threading.Thread | None = None

    def __call__(self, options: CallbackOptions) -> Iterable[Observation]:
        if self._running is not None and self._running.is_alive():
            self._left_out()
            return ()
        found: list[Iterable[Observation]] = []
        raised: list[Exception] = []

        def call() -> None:
            try:
                found.append(tuple(self._callback(options)))
            except Exception as exc:  # given to the SDK, which says so
                raised.append(exc)

        self._running = threading.Thread(target=call, name=f"posemon-observing-{self._name}", daemon=True)
        try:
            self._running.start()
        except RuntimeError:  # the interpreter ends and starts no thread any more; what waits for us is bounded
            self._running = None
            return tuple(self._callback(options))
        self._running.join(CALLBACK_SECONDS)
        if raised:
            raise raised[0]
        if not found:
            self._left_out()
        return found[0] if found else ()

    def _left_out(self) -> None:
        drops.count("metrics", "callback_slow")
        drops.say_once(
            f"a callback of the metric {self._name} takes longer than {CALLBACK_SECONDS:g} s;"
            " the metric is left out while it does"
        )


def _patient(name: str, callbacks: Sequence[Any] | None) -> list[Callback]:
    return [Patient(name, _called(callback)) for callback in callbacks or ()]


def _called(callback: Any) -> Callback:
    """A callback that is a generator is sent the options, as the SDK does."""
    if not isinstance(callback, Generator):
        made: Callback = callback
        return made
    next(callback)

    def send(options: CallbackOptions) -> Iterable[Observation]:
        try:
            observed: Iterable[Observation] = callback.send(options)
        except StopIteration:
            return ()
        return observed

    return send


class Meter(sdk.Meter):
    """The SDK's meter, whose callbacks are waited for only so long."""

    def create_observable_counter(self, name: str, callbacks: Any = None, unit: str = "", description: str = "") -> Any:
        return super().create_observable_counter(name, _patient(name, callbacks), unit, description)

    def create_observable_up_down_counter(
        self, name: str, callbacks: Any = None, unit: str = "", description: str = ""
    ) -> Any:
        return super().create_observable_up_down_counter(name, _patient(name, callbacks), unit, description)

    def create_observable_gauge(self, name: str, callbacks: Any = None, unit: str = "", description: str = "") -> Any:
        return super().create_observable_gauge(name, _patient(name, callbacks), unit, description)


def of_kind(kind: Any, given: Iterable[Any], argument: str, problems: list[str]) -> tuple[Any, ...]:
    """What is of a kind of the SDK's; anything else would raise in the middle of its set-up.

    Args:
        kind: The class.
        given: What the user gave.
        argument: Its name, for the lines.
        problems: A line for each that is left out is added.
    """
    right = tuple(one for one in given if isinstance(one, kind))
    problems += [
        f"{argument}: expected objects of {kind.__name__}, got one of {type(one).__name__}; it is left out"
        for one in given
        if not isinstance(one, kind)
    ]
    return right


def pushes(reader: MetricReader) -> bool:
    """Whether a reader has a flush of its own. Prometheus' is asked by others: flushed, it tells them all twice."""
    return type(reader).force_flush is not MetricReader.force_flush


class MeterProvider(sdk.MeterProvider):
    """The SDK's provider with such meters; those of posemon itself are the SDK's."""

    def __init__(self, metric_readers: Sequence[MetricReader] = (), *arguments: Any, **more: Any) -> None:
        """As the SDK's."""
        self._reading = list(metric_readers)
        super().__init__(metric_readers, *arguments, **more)

    def add_metric_reader(self, metric_reader: MetricReader) -> None:
        """As the SDK's."""
        super().add_metric_reader(metric_reader)
        if metric_reader not in self._reading:
            self._reading.append(metric_reader)

    def remove_metric_reader(self, metric_reader: MetricReader) -> None:
        """As the SDK's."""
        super().remove_metric_reader(metric_reader)
        self._reading = [reader for reader in self._reading if reader is not metric_reader]

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Has the readers flush that push; True where all did."""
        deadline = time.monotonic() + timeout_millis / 1000
        flushed = True
        for reader in filter(pushes, self._reading):
            try:
                flushed &= bool(reader.force_flush(max(1.0, (deadline - time.monotonic()) * 1000)))
            except Exception as exc:
                faults.fault("flushing a metric reader", exc)
                flushed = False
        return flushed

    def get_meter(
        self, name: str, version: str | None = None, schema_url: str | None = None, attributes: Any = None
    ) -> Any:
        """The meter of a scope, the same for the same scope."""
        meter = super().get_meter(name, version, schema_url, attributes)
        if type(meter) is sdk.Meter and name != SCOPE:
            meter.__class__ = Meter  # the provider makes and keeps it: there is no other way to give it methods
        return meter

    def forget_parent(self, staying: Sequence[MetricReader], leaving: Sequence[MetricReader]) -> None:
        """In a forked child: every reader starts at nothing, and instruments go on being what they are.

        Args:
            staying: Readers that go on here.
            leaving: Those that are the parent's alone.
        """
        self._reading = list(staying)
        _private.empty(self, staying, leaving)
