"""OpenTelemetry's global providers, set aside for the length of a block: tests need fresh ones, the API gives none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import _internal as logs
from opentelemetry.metrics import _internal as metrics
from opentelemetry.util._once import Once

_PLACES: tuple[tuple[Any, str, str], ...] = (
    (trace, "_TRACER_PROVIDER", "_TRACER_PROVIDER_SET_ONCE"),
    (metrics, "_METER_PROVIDER", "_METER_PROVIDER_SET_ONCE"),
    (logs, "_LOGGER_PROVIDER", "_LOGGER_PROVIDER_SET_ONCE"),
)


@contextmanager
def set_aside() -> Iterator[None]:
    """Within the block no global provider is set; afterwards those of before are back."""
    before = [(place, name, getattr(place, name)) for place, *names in _PLACES for name in names]
    for place, provider, once in _PLACES:
        setattr(place, provider, None)
        setattr(place, once, Once())
    try:
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)
