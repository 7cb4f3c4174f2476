"""OTLP backends on loopback that misbehave when told to, over HTTP and over gRPC, behind one interface."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any, NamedTuple

SIGNALS = {"traces": "trace", "logs": "logs", "metrics": "metrics"}


class Reply(NamedTuple):
    """What a request gets. ``status`` is HTTP's, and for gRPC the code that means the same."""

    status: int = 200
    retry_after: str = ""
    rejected: int = 0
    message: str = ""
    body: bytes = b""
    hang: bool = False
    """Never answered, as long as the backend lives."""
    drip: bool = False
    """A header byte now and then; HTTP alone."""
    lost: bool = False
    """Kept by the backend, and the connection closed without an answer; HTTP alone, for gRPC aborted."""
    location: str = ""


OK = Reply()


class Backend:
    """What both have in common: ``answer(signal, message)`` decides, ``kept`` holds what was taken."""

    protocol: str
    url: str

    def __init__(self) -> None:
        self.answer: Callable[[str, Any], Reply] = lambda _signal, _message: OK
        self.kept: list[tuple[str, Any]] = []
        self.asked: list[tuple[float, str, Any]] = []
        self.released = threading.Event()

    def decide(self, signal: str, message: Any) -> Reply:
        self.asked.append((time.monotonic(), signal, message))
        reply = self.answer(signal, message)
        if reply.lost or (reply.status == 200 and not (reply.hang or reply.drip)):
            self.kept.append((signal, message))
        return reply

    def spans(self) -> list[Any]:
        return [span for signal, message in self.kept if signal == "traces" for span in spans_of(message)]

    def logs(self) -> list[Any]:
        return [
            record
            for signal, message in self.kept
            if signal == "logs"
            for resource in message.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]


def spans_of(message: Any) -> list[Any]:
    """The spans of a request; none for another signal's."""
    return [
        span
        for resource in getattr(message, "resource_spans", ())
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def request_of(signal: str) -> Any:
    return _message(signal, "Request")


def _message(signal: str, which: str) -> Any:
    name = SIGNALS[signal]
    module = import_module(f"opentelemetry.proto.collector.{name}.v1.{name}_service_pb2")
    return getattr(module, f"Export{name.capitalize()}Service{which}")


def response_of(signal: str, reply: Reply) -> Any:
    response = _message(signal, "Response")()
    if reply.rejected or reply.message:
        field = {"traces": "rejected_spans", "logs": "rejected_log_records", "metrics": "rejected_data_points"}[signal]
        setattr(response.partial_success, field, reply.rejected)
        response.partial_success.error_message = reply.message
    return response


class HttpBackend(Backend):
    """OTLP/HTTP."""

    protocol = "http/protobuf"

    def __init__(self, port: int = 0, tls: Any = None) -> None:
        super().__init__()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                signal = self.path.rpartition("/")[2]
                body = self.rfile.read(int(self.headers["content-length"]))
                reply = outer.decide(signal, request_of(signal).FromString(body))
                if reply.hang or reply.lost:
                    if reply.hang:
                        outer.released.wait(60)
                    self.close_connection = True
                    return
                if reply.drip:
                    self._drip()
                    return
                answer = reply.body or response_of(signal, reply).SerializeToString()
                self.send_response(reply.status)
                if reply.retry_after:
                    self.send_header("Retry-After", reply.retry_after)
                if reply.location:
                    self.send_header("Location", reply.location)
                self.send_header("Content-Type", "text/html" if reply.body else "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def _drip(self) -> None:
                self.close_connection = True
                try:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not outer.released.wait(0.1):
                        self.wfile.write(b"x")
                except OSError:
                    pass

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that has gone is none of the test's errors."""

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> "HttpBackend":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class GrpcBackend(Backend):
    """OTLP/gRPC."""

    protocol = "grpc"

    def __init__(self, port: int = 0, credentials: Any = None) -> None:
        super().__init__()
        import grpc

        self._codes = {
            400: grpc.StatusCode.INVALID_ARGUMENT,
            401: grpc.StatusCode.UNAUTHENTICATED,
            413: grpc.StatusCode.RESOURCE_EXHAUSTED,
            429: grpc.StatusCode.RESOURCE_EXHAUSTED,
            500: grpc.StatusCode.INTERNAL,
            503: grpc.StatusCode.UNAVAILABLE,
        }
        options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
        self._server = grpc.server(ThreadPoolExecutor(8, "grpc-backend"), options=options)
        for signal, name in SIGNALS.items():
            capital = name.capitalize()
            method = grpc.unary_unary_rpc_method_handler(
                lambda message, context, signal=signal: self._export(signal, message, context),
                request_deserializer=request_of(signal).FromString,
                response_serializer=lambda response: response.SerializeToString(),
            )
            service = f"opentelemetry.proto.collector.{name}.v1.{capital}Service"
            self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": method})])
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self.url = f"{'http' if credentials is None else 'https'}://127.0.0.1:{self.port}"

    def _export(self, signal: str, message: Any, context: Any) -> Any:
        reply = self.decide(signal, message)
        if reply.hang:
            self.released.wait(60)
            context.abort(self._codes[503], "ended")
        if reply.lost:
            context.abort(self._codes[503], "reply lost")
        if reply.status != 200:
            if reply.retry_after:
                from google.protobuf.duration_pb2 import Duration
                from google.rpc.error_details_pb2 import RetryInfo

                delay = Duration(seconds=int(reply.retry_after))
                info = RetryInfo(retry_delay=delay).SerializeToString()
                context.set_trailing_metadata((("google.rpc.retryinfo-bin", info),))
            context.abort(self._codes[reply.status], "larger than max" if reply.status == 413 else reply.message)
        return response_of(signal, reply)

    def __enter__(self) -> "GrpcBackend":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.stop(0).wait(5)


BACKENDS = {"http": HttpBackend, "grpc": GrpcBackend}


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
