"""From finished operations to backends: provider and span, journal, shipper and its consumers."""

from posemon_otel.delivery.provider import TracerProvider

__all__ = ["TracerProvider"]
