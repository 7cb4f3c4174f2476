"""A small OTLP/HTTP receiver on loopback: it keeps what arrives, and misbehaves when told to."""

import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_MESSAGES = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}


class Receiver:
    """Use as a context manager; ``url`` is what ``OTEL_EXPORTER_OTLP_ENDPOINT`` takes.

    ``answer`` decides what a request gets: a status, or ``None`` to leave it without an answer until the end.
    """

    def __init__(self, port: int = 0, answer: Callable[[str], int | None] = lambda _path: 200) -> None:
        self.answer = answer
        self.requests: list[tuple[str, bytes]] = []
        self._released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                status = outer.answer(self.path)
                if status is None:
                    outer._released.wait(60)
                    self.close_connection = True
                    return
                if status == 200:
                    outer.requests.append((self.path, body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _messages(self, path: str) -> Iterator[Any]:
        for where, body in list(self.requests):
            if where == path:
                yield _MESSAGES[path].FromString(body)

    def spans(self) -> list[tuple[dict[str, Any], str, Any]]:
        """(resource attributes, scope name, span) of each span."""
        return [
            (attributes(rs.resource.attributes), ss.scope.name, span)
            for message in self._messages("/v1/traces")
            for rs in message.resource_spans
            for ss in rs.scope_spans
            for span in ss.spans
        ]

    def names(self) -> list[str]:
        return [span.name for _, _, span in self.spans()]

    def logs(self) -> list[tuple[dict[str, Any], str, Any]]:
        return [
            (attributes(rl.resource.attributes), sl.scope.name, record)
            for message in self._messages("/v1/logs")
            for rl in message.resource_logs
            for sl in rl.scope_logs
            for record in sl.log_records
        ]

    def metrics(self) -> dict[str, dict[tuple[str, frozenset[tuple[str, Any]]], Any]]:
        """The newest value of each series: name -> (service.instance.id, attributes) -> number, or (count, sum)."""
        found: dict[str, dict[tuple[str, frozenset[tuple[str, Any]]], Any]] = {}
        for message in self._messages("/v1/metrics"):
            for rm in message.resource_metrics:
                instance = attributes(rm.resource.attributes).get("service.instance.id", "")
                for sm in rm.scope_metrics:
                    for metric in sm.metrics:
                        series = found.setdefault(metric.name, {})
                        for point in metric.sum.data_points or metric.gauge.data_points:
                            value = point.as_int if point.HasField("as_int") else point.as_double
                            series[instance, frozenset(attributes(point.attributes).items())] = value
                        for histogram in metric.histogram.data_points:
                            key = instance, frozenset(attributes(histogram.attributes).items())
                            series[key] = (histogram.count, histogram.sum)
        return found

    def total(self, metric: str, **wanted: Any) -> float:
        """The sum of a counter's series whose attributes hold ``wanted`` (dots as double underscores)."""
        need = {(key.replace("__", "."), value) for key, value in wanted.items()}
        return sum(value for (_, own), value in self.metrics().get(metric, {}).items() if need <= own)


def attributes(pairs: Any) -> dict[str, Any]:
    """OTLP key-values as a dictionary."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    return getattr(value, which) if which else None
