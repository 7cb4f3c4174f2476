"""Whole numbers as the wire has them: 64 bits. One beyond them would keep every metric of the process from going out."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.metrics.export import MetricsData, NumberDataPoint

LEAST, MOST = -(2**63), 2**63 - 1


def within_64_bits(data: MetricsData) -> MetricsData:
    """A collection whose whole numbers are the nearest ones that fit; the very same one where all do."""
    if not any(_beyond(point.value) or _beyond_examples(point) for point in _points(data)):
        return data
    return replace(
        data,
        resource_metrics=[
            replace(
                resource,
                scope_metrics=[
                    replace(scope, metrics=[_fitting(metric) for metric in scope.metrics])
                    for scope in resource.scope_metrics
                ],
            )
            for resource in data.resource_metrics
        ],
    )


def _points(data: MetricsData) -> Iterator[NumberDataPoint]:
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    if isinstance(point, NumberDataPoint):
                        yield point


def _beyond(value: object) -> bool:
    return isinstance(value, int) and not LEAST <= value <= MOST


def _beyond_examples(point: NumberDataPoint) -> bool:
    return any(_beyond(exemplar.value) for exemplar in point.exemplars)


def _fitting(metric: Any) -> Any:
    points = [_fitting_point(point) for point in metric.data.data_points]
    return replace(metric, data=replace(metric.data, data_points=points))


def _fitting_point(point: Any) -> Any:
    if not isinstance(point, NumberDataPoint):
        return point
    exemplars = [replace(exemplar, value=_nearest(exemplar.value)) for exemplar in point.exemplars]
    return replace(point, value=_nearest(point.value), exemplars=exemplars)


def _nearest(value: Any) -> Any:
    return min(max(value, LEAST), MOST) if isinstance(value, int) else value
