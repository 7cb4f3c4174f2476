"""The underscore names of OpenTelemetry that this package uses: the whole list, each with its reason.

A test walks the syntax tree of the package and refuses any other. Where a name can be asked for softly it is, by the
functions here, so that a release of the SDK that drops it costs a feature and not a crash.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from opentelemetry.sdk.trace import SpanProcessor, Tracer

from posemon_otel import faults

NAMES: Final[dict[str, str]] = {
    "opentelemetry._logs": "the API of logs has no public module yet",
    "opentelemetry.sdk._logs": "nor has the SDK's part for logs",
    "opentelemetry.sdk._logs.export": "nor have the exporters of logs",
    "opentelemetry.context._SUPPRESS_INSTRUMENTATION_KEY": "suppressed instrumentation; contrib has functions",
    "opentelemetry._logs._internal": "where the global logger provider stands, for tests, which take one back",
    "opentelemetry.metrics._internal": "where the global meter provider stands",
    "opentelemetry.util._once": "what lets a global provider be set once; a fresh one goes with the provider",
    "_tracer_metrics": "`otel.sdk.span.started` and `.live`, which the SDK's tracer counts and alone may switch on",
    "_is_enabled": "whether a tracer configurator has switched a tracer off",
    "_on_ending": "a hook of span processors that may yet become public",
    "_preferred_temporality": "a metric exporter tells its reader so; one that wraps another must pass it on",
    "_preferred_aggregation": "as for the temporality",
    "_initialize_channel_and_stub": "where a gRPC exporter makes its stub, for which it has no public hook",
    "_client": "that stub, whose answers are the only place where a partial success is told",
    "_measurement_consumer": "where a meter provider keeps points, and a `_lock`, that a forked child must not inherit",
}


def start_metrics(tracer: Tracer) -> Callable[[Any, Any], Callable[[], None]] | None:
    """Counts a started span, given its parent's context and the decision; what it returns counts the end."""
    metrics = getattr(tracer, "_tracer_metrics", None)
    if metrics is None or type(metrics).__name__.startswith("NoOp"):
        return None

    def counted(parent: Any, decision: Any) -> Callable[[], None]:
        try:
            end: Callable[[], None] = metrics.start_span(parent, decision)
            return end
        except Exception as exc:
            faults.fault("counting a started span", exc)
            return _nothing

    return counted


def enabled(tracer: Tracer) -> Callable[[], bool]:
    """Whether a tracer makes spans, to be asked at each."""
    asked: Callable[[], bool] = getattr(tracer, "_is_enabled", _always)
    return asked


def on_ending(processor: SpanProcessor) -> Callable[[Any], None] | None:
    """The processor's hook where it has one of its own."""
    hook: Callable[[Any], None] | None = getattr(processor, "_on_ending", None)
    inherited = getattr(SpanProcessor, "_on_ending", None)
    return None if getattr(hook, "__func__", None) is inherited else hook


def empty(provider: Any, staying: Iterable[Any], leaving: Iterable[Any]) -> None:
    """In a forked child: the points of a meter provider are gone, and its locks, which a lost thread may hold, are new.

    Args:
        provider: A meter provider of the SDK.
        staying: Its readers that go on, each from nothing.
        leaving: Those that are the parent's alone; they are neither asked nor shut down.
    """
    kept = getattr(provider, "_measurement_consumer", None)
    if kept is not None:
        kept._lock = threading.Lock()  # noqa: SLF001 - see `NAMES`
        for reader in (*staying, *leaving):
            kept.remove_metric_reader(reader)
        for reader in staying:
            kept.add_metric_reader(reader)


def _nothing() -> None:
    """There is no end to be counted."""


def _always() -> bool:
    return True
