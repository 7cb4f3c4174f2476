"""Cost of one span, start, eight attributes, end, on our provider to that on the SDK's.

Run as ``python -m tests.benchmarks.span_cost``. CPU of the calling thread, interleaved rounds, median of the ratios;
ours hands its span to an empty sink, the SDK's to an empty processor. Figures are printed, nothing passes or fails.
"""

import statistics
import time
from collections.abc import Callable

from opentelemetry.sdk import trace as sdk

from posemon_otel.delivery.provider import TracerProvider
from posemon_otel.delivery.readable import finish_of

ROUNDS, SPANS = 40, 2000

ATTRIBUTES = {
    "gen_ai.operation.name": "generate_content",
    "gen_ai.provider.name": "huggingface",
    "gen_ai.request.model": "black-forest-labs/FLUX.1-dev",
    "pose.image.width": 768,
    "pose.image.height": 1024,
    "pose.image.steps": 28,
    "pose.image.guidance_scale": 3.5,
    "pose.generation.id": "3f1c9a52-6d0e-4a7b-9d55-0f3f6a9c1e77",
}
FOREIGN = {
    "http.request.method": "POST",
    "http.response.status_code": 200,
    "network.protocol.version": "1.1",
    "server.address": "127.0.0.1",
    "server.port": 8080,
    "peer.service": "renderer",
    "app.tenant": "north",
    "app.plan": "pro",
}


def nothing(_span: object) -> None:
    """An empty sink."""


def ours(sink: Callable[..., object] = nothing) -> TracerProvider:
    """A provider with a sink and no processors."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.on_end_sink = sink  # type: ignore[assignment]
    return provider


def theirs() -> sdk.TracerProvider:
    """The SDK's with an empty processor."""
    provider = sdk.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(sdk.SpanProcessor())
    return provider


def cost(provider: sdk.TracerProvider, attributes: dict[str, object]) -> float:
    """Microseconds of CPU for one span."""
    tracer = provider.get_tracer("benchmark")
    begun = time.thread_time_ns()
    for _ in range(SPANS):
        span = tracer.start_span("generate_content")
        span.set_attributes(attributes)
        span.end()
    return (time.thread_time_ns() - begun) / SPANS / 1000


def compare(name: str, mine: sdk.TracerProvider, attributes: dict[str, object]) -> None:
    """Prints the ratio."""
    other = theirs()
    pairs = [(cost(mine, attributes), cost(other, attributes)) for _ in range(ROUNDS)]
    ratio = statistics.median(one / two for one, two in pairs)
    us, them = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:<45} {ratio:.2f}   ({us:.1f} us to {them:.1f} us)")


if __name__ == "__main__":
    compare("span, 8 registered attributes", ours(), ATTRIBUTES)
    compare("span, 8 attributes of other libraries", ours(), FOREIGN)
    compare("span, no attributes", ours(), {})
    compare("span, 8 registered attributes, its Finish made", ours(finish_of), ATTRIBUTES)
