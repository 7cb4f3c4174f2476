"""The users' span processors: each isolated, each measured."""

import time
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
)

from posemon_otel.delivery import _private
from posemon_otel.timings import Measured, Timing, now_ns


class _Processor(Measured):
    """A processor whose faults stay here."""

    __slots__ = ("ending", "processor")

    def __init__(self, processor: SpanProcessor) -> None:
        super().__init__("the span processor", processor)
        self.processor = processor
        self.ending = _private.on_ending(processor)


class Processors(SynchronousMultiSpanProcessor):
    """Calls the users' processors in order. One that raises is a fault of its own: the others still run."""

    def __init__(self, given: SynchronousMultiSpanProcessor | ConcurrentMultiSpanProcessor | None = None) -> None:
        """Makes it.

        Args:
            given: The user's own multi-processor, isolated as a whole; the provider adds later ones to it.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.measured: tuple[_Processor, ...] = () if given is None else (_Processor(given),)

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Adds a processor to the end."""
        super().add_span_processor(span_processor)
        self.measured += (_Processor(span_processor),)

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Calls each with the span that has started, ours or the SDK's."""
        for one in self.measured:
            begun = now_ns()
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
            begun = now_ns()
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
        """What each has cost so far."""
        return [one.timing() for one in self.measured]
