"""Numbers against thresholds: pure, no clock, no database, no network."""

from collections.abc import Mapping
from math import isnan
from typing import NamedTuple

from posemon_otel.semconv.health import ALERTS, INDICATORS, Alert, Direction, Indicator, Status

_WORST_LAST = (Status.UNKNOWN, Status.GOOD, Status.WARNING, Status.CRITICAL)


class Judgement(NamedTuple):
    """An indicator, its number and what it says."""

    indicator: Indicator
    value: float | None
    status: Status


def evaluate(value: float | None, indicator: Indicator) -> Status:
    """What a number says.

    Args:
        value: In the indicator's unit; ``None`` and not-a-number are unknown.
        indicator: Its thresholds. The bounds themselves are warning.
    """
    if value is None or isnan(value):
        return Status.UNKNOWN
    sign = 1 if indicator.direction is Direction.HIGHER_IS_BETTER else -1
    if sign * value > sign * indicator.good:
        return Status.GOOD
    if sign * value < sign * indicator.critical:
        return Status.CRITICAL
    return Status.WARNING


def evaluate_all(
    numbers: Mapping[str, float | None], indicators: tuple[Indicator, ...] = INDICATORS
) -> tuple[Judgement, ...]:
    """Judges each indicator, in their order; a number that is missing is unknown.

    Args:
        numbers: By the indicators' keys.
        indicators: Which; all by default.
    """
    return tuple(
        Judgement(indicator, value := numbers.get(indicator.key), evaluate(value, indicator))
        for indicator in indicators
    )


def worst(judgements: tuple[Judgement, ...]) -> Status:
    """The worst of them; unknown only where nothing is known."""
    return max((judgement.status for judgement in judgements), key=_WORST_LAST.index, default=Status.UNKNOWN)


def firing(numbers: Mapping[str, float | None], alerts: tuple[Alert, ...] = ALERTS) -> tuple[Alert, ...]:
    """The alerts whose number is above its threshold; one without a number is silent.

    Args:
        numbers: By the alerts' ``number``.
        alerts: Which; all by default.
    """
    found = []
    for alert in alerts:
        value = numbers.get(alert.number)
        if value is not None and value > alert.threshold:
            found.append(alert)
    return tuple(found)
