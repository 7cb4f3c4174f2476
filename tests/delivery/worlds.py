"""Where a provider stands: the SDK's or ours, alone, before the journal, before the direct sink."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from posemon_otel import testing
from posemon_otel.delivery import globals as otel_globals
from posemon_otel.delivery.provider import TracerProvider


class World:
    """A provider in its surroundings.

    Attributes:
        provider: The provider.
        tracer: A tracer of it.
    """

    def __init__(self, provider: sdk.TracerProvider, ended: Callable[[], Any]) -> None:
        self.provider = provider
        self.tracer = provider.get_tracer("tests", "1.0", "https://example.org/schema", {"scope.key": "scope value"})
        self._ended = ended

    def spans(self) -> list[sdk.ReadableSpan]:
        """What arrived behind it, in the order of the ends."""
        return list(self._ended())

    def span(self, name: str = "span") -> sdk.ReadableSpan:
        (found,) = [span for span in self.spans() if span.name == name]
        return found

    def attributes(self, name: str = "span") -> dict[str, Any]:
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in (self.span(name).attributes or {}).items()
        }


@contextmanager
def alone(make: type[sdk.TracerProvider], given: dict[str, Any]) -> Iterator[World]:
    exporter = InMemorySpanExporter()
    provider = make(shutdown_on_exit=False, **given)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with otel_globals.set_aside():
        trace_api.set_tracer_provider(provider)
        yield World(provider, exporter.get_finished_spans)


@contextmanager
def captured(
    make: type[sdk.TracerProvider], sink: testing.Sink, given: dict[str, Any], **settings: Any
) -> Iterator[World]:
    provider = make(shutdown_on_exit=False, **given)
    with testing.capture(
        fixed=False, sink=sink, tracer_provider=provider, disabled_instrumentations=("*",), **settings
    ) as telemetry:
        yield World(provider, lambda: telemetry.spans)


WORLDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "the SDK's provider": lambda given: alone(sdk.TracerProvider, given),
    "ours alone": lambda given: alone(TracerProvider, given),
    "ours, journal sink": lambda given: captured(TracerProvider, "journal", given),
    "ours, direct sink": lambda given: captured(TracerProvider, "direct", given, journal="off"),
    "the SDK's, direct sink": lambda given: captured(sdk.TracerProvider, "direct", given),
}
