"""What has arrived, kept as ids and counts: a receiver that takes millions of spans without keeping their bodies."""

import threading
from collections import Counter
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from posemon_otel.semconv import attributes as a
from tests.receiver import Receiver, attributes


class Arrivals:
    """Takes the place of a receiver's list of requests: each is read when it comes, before it is answered.

    Attributes:
        spans: Names of spans, and how often each arrived. Generations stand under ``outcomes`` instead.
        outcomes: Outcomes that arrived of each generation, by its id.
        logs: Bodies of log records.
        events: (event name, generation id) of events.
        bodies: Bytes that came in.
    """

    def __init__(self) -> None:
        self.spans: Counter[str] = Counter()
        self.outcomes: dict[str, set[str]] = {}
        self.logs: Counter[str] = Counter()
        self.events: Counter[tuple[str, str]] = Counter()
        self.bodies = 0
        self._points: dict[tuple[Any, ...], float] = {}
        self._lock = threading.Lock()

    def append(self, request: tuple[str, bytes]) -> None:
        path, body = request
        with self._lock:
            self.bodies += len(body)
            {"/v1/traces": self._traces, "/v1/logs": self._logs, "/v1/metrics": self._metrics}[path](body)

    def counted(self, metric: str, by: str) -> Counter[str]:
        """A counter's value by an attribute of the Resource, over all that has counted since its own start."""
        found: Counter[str] = Counter()
        with self._lock:
            for (name, resource, _, _), value in self._points.items():
                if name == metric:
                    found[dict(resource).get(by, "")] += int(value)
        return found

    def _traces(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    if span.name == "pose.generation":
                        told = attributes(span.attributes)
                        self.outcomes.setdefault(told[a.GENERATION_ID], set()).add(told[a.OUTCOME])
                    else:
                        self.spans[span.name] += 1

    def _logs(self, body: bytes) -> None:
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    if record.event_name:
                        told = attributes(record.attributes)
                        self.events[record.event_name, told.get(a.GENERATION_ID, "")] += 1
                    else:
                        self.logs[record.body.string_value] += 1

    def _metrics(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            described = frozenset((key, str(value)) for key, value in attributes(resource.resource.attributes).items())
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.sum.data_points:
                        labels = frozenset(attributes(point.attributes).items())
                        # Cumulative: each start begins anew, and the newest value of each start counts.
                        key = (metric.name, described, labels, point.start_time_unix_nano)
                        self._points[key] = max(self._points.get(key, 0), point.as_int)


def receiver(**arguments: Any) -> tuple[Receiver, Arrivals]:
    """A receiver that keeps no bodies, and what it keeps instead."""
    made, arrivals = Receiver(**arguments), Arrivals()
    made.requests = arrivals  # type: ignore[assignment]
    made._server.handle_error = lambda *_: None  # type: ignore[method-assign] - those who call die while they do
    return made, arrivals
