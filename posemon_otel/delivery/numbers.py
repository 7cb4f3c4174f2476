"""Numbers that OTLP cannot hold: one such point would cost the whole collection, also that of other instruments."""

import dataclasses
from typing import Any

from opentelemetry.sdk.metrics.export import HistogramDataPoint, MetricsData, NumberDataPoint

LEAST, MOST = -(2**63), 2**63 - 1


def bounded(data: MetricsData) -> MetricsData:
    """The collection with integers beyond 64 bits clamped; the very same where there are none.

    Args:
        data: A collection.
    """
    if not any(_beyond(point) for point in _points(data)):
        return data
    return dataclasses.replace(
        data, resource_metrics=[_replaced(resource, "scope_metrics", _scope) for resource in data.resource_metrics]
    )


def _scope(scope: Any) -> Any:
    return _replaced(scope, "metrics", _metric)


def _metric(metric: Any) -> Any:
    points = [_clamped(point) if _beyond(point) else point for point in metric.data.data_points]
    return dataclasses.replace(metric, data=dataclasses.replace(metric.data, data_points=points))


def _replaced(holder: Any, name: str, change: Any) -> Any:
    return dataclasses.replace(holder, **{name: [change(one) for one in getattr(holder, name)]})


def _points(data: MetricsData) -> Any:
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield from metric.data.data_points


def _numbers(point: Any) -> list[str]:
    if isinstance(point, NumberDataPoint):
        return ["value"]
    return ["sum", "min", "max"] if isinstance(point, HistogramDataPoint) else []


def _beyond(point: Any) -> bool:
    values = [getattr(point, name) for name in _numbers(point)]
    values += [exemplar.value for exemplar in getattr(point, "exemplars", ())]
    return any(isinstance(value, int) and not LEAST <= value <= MOST for value in values)


def _clamped(point: Any) -> Any:
    changed: dict[str, Any] = {name: _nearest(getattr(point, name)) for name in _numbers(point)}
    if hasattr(point, "exemplars"):
        changed["exemplars"] = [
            dataclasses.replace(exemplar, value=_nearest(exemplar.value)) for exemplar in point.exemplars
        ]
    return dataclasses.replace(point, **changed)


def _nearest(value: Any) -> Any:
    return min(max(value, LEAST), MOST) if isinstance(value, int) else value
