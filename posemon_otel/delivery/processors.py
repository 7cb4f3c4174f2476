"""The users' span processors: each isolated, each measured."""

import time
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
)

from posemon_otel import faults
from posemon_otel.delivery import _private


class Timing(NamedTuple):
    """What a span processor has cost the threads that start and end spans.

    Attributes:
        name: Its class.
        calls: How often it was called.
        seconds: All calls together.
        slowest: The slowest call, in seconds.
        faults: How often it raised.
    """

    name: str
    calls: int
    seconds: float
    slowest: float
    faults: int


class _Measured:
    """A processor whose faults stay here. The counts are diagnostics: two threads may lose one."""

    __slots__ = ("calls", "ending", "faults", "name", "processor", "slowest_ns", "total_ns")

    def __init__(self, processor: SpanProcessor) -> None:
        self.processor = processor
        self.ending = _private.on_ending(processor)
        self.name = f"{type(processor).__module__}.{type(processor).__qualname__}"
        self.calls = self.faults = self.total_ns = self.slowest_ns = 0

    def took(self, begun: int) -> None:
        spent = time.perf_counter_ns() - begun
        self.calls += 1
        self.total_ns += spent
        self.slowest_ns = max(self.slowest_ns, spent)

    def failed(self, exc: Exception) -> None:
        self.faults += 1
        faults.fault(f"the span processor {self.name}", exc)


class Processors(SynchronousMultiSpanProcessor):
    """Calls the users' processors in order. One that raises is a fault of its own: the others still run."""

    def __init__(self, given: SynchronousMultiSpanProcessor | ConcurrentMultiSpanProcessor | None = None) -> None:
        """Makes it.

        Args:
            given: The user's own multi-processor, isolated as a whole; the provider adds later ones to it.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.measured: tuple[_Measured, ...] = () if given is None else (_Measured(given),)

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Adds a processor to the end."""
        super().add_span_processor(span_processor)
        self.measured += (_Measured(span_processor),)

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Calls each with the span that has started, ours or the SDK's."""
        for one in self.measured:
            begun = time.perf_counter_ns()
            try:
                one.processor.on_start(span, parent_context=parent_context)
            except Exception as exc:
                one.failed(exc)
            one.took(begun)

    def on_end(self, span: ReadableSpan) -> None:
        """Calls each with the span that has ended."""
        for one in self.measured:
            if one.ending is not None:
                try:
                    one.ending(span)
                except Exception as exc:
                    one.failed(exc)
        for one in self.measured:
            begun = time.perf_counter_ns()
            try:
                one.processor.on_end(span)
            except Exception as exc:
                one.failed(exc)
            one.took(begun)

    def shutdown(self) -> None:
        """Shuts each down."""
        for one in self.measured:
            try:
                one.processor.shutdown()
            except Exception as exc:
                one.failed(exc)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flushes each within the time that is left; False where one failed or the time was up before its turn."""
        deadline = time.monotonic_ns() + timeout_millis * 1_000_000
        flushed = True
        for one in self.measured:
            left = deadline - time.monotonic_ns()
            if left <= 0:
                return False
            try:
                if one.processor.force_flush(left // 1_000_000) is False:
                    flushed = False
            except Exception as exc:
                one.failed(exc)
                flushed = False
        return flushed

    def timings(self) -> list[Timing]:
        """What each has cost so far, for ``posemon doctor``."""
        return [
            Timing(one.name, one.calls, one.total_ns / 1e9, one.slowest_ns / 1e9, one.faults) for one in self.measured
        ]
