"""The limits of spans, as the SDK reads them; a wrong variable gives one line and its default, no exception."""

from typing import Final

from opentelemetry.sdk import environment_variables as variables
from opentelemetry.sdk.trace import SpanLimits

from posemon_otel import settings
from posemon_otel.delivery.values import UNLIMITED
from posemon_otel.faults import logger

_ARGUMENTS: Final[dict[str, tuple[str, int]]] = {
    variables.OTEL_SPAN_EVENT_COUNT_LIMIT: ("max_events", 128),
    variables.OTEL_SPAN_LINK_COUNT_LIMIT: ("max_links", 128),
    variables.OTEL_ATTRIBUTE_COUNT_LIMIT: ("max_attributes", 128),
    variables.OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: ("max_span_attributes", 128),
    variables.OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT: ("max_event_attributes", 128),
    variables.OTEL_LINK_ATTRIBUTE_COUNT_LIMIT: ("max_link_attributes", 128),
    variables.OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: ("max_attribute_length", SpanLimits.UNSET),
    variables.OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: ("max_span_attribute_length", SpanLimits.UNSET),
}
"""Variable to the argument that stands for it and OpenTelemetry's default."""


def from_environment() -> SpanLimits:
    """``SpanLimits()``, which raises ``ValueError`` on the first wrong variable, without them."""
    instead: dict[str, int] = {}
    while True:
        try:
            return SpanLimits(**instead)
        except ValueError as exc:
            variable = str(exc).partition(" ")[0]
            if variable not in _ARGUMENTS or _ARGUMENTS[variable][0] in instead:
                raise
            argument, default = _ARGUMENTS[variable]
            instead[argument] = default
            logger.warning("%s; using %s", exc, "the default" if default == SpanLimits.UNSET else default)


def count(limit: int | None) -> int:
    """A limit as a number."""
    return UNLIMITED if limit is None else limit


def length(limit: int | None) -> int:
    """Characters of a value: what the limits say, else what our own setting says."""
    return settings.current()[settings.VALUE_LENGTH_LIMIT] if limit is None else limit
