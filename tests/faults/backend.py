"""A backend that misbehaves as a scenario says: it refuses, hangs, hangs up, complains of what it does not like."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.receiver import Receiver


class Answer(NamedTuple):
    """What a request gets.

    Attributes:
        status: HTTP status.
        body: Body of the answer.
        headers: More headers.
        taken: Whether the request counts as arrived.
        sent: Whether it is answered at all; otherwise the connection is closed.
        held: Whether the caller is left waiting, until the behaviour changes.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}
    taken: bool = True
    sent: bool = True
    held: bool = False


ACCEPTS = Answer()
HANGS = Answer(taken=False, held=True)
UNAVAILABLE = Answer(503, taken=False)
Behaviour = Callable[[str, bytes], Answer]


def accepts(_path: str, _body: bytes) -> Answer:
    """Takes everything."""
    return ACCEPTS


class Backend(Receiver):
    """An OTLP/HTTP receiver on loopback. Its port is known from the start; it listens from ``up`` on."""

    def __init__(self, behaviour: Behaviour = accepts) -> None:
        self.behaviour = behaviour
        self.requests: list[tuple[str, bytes]] = []
        self._released = threading.Event()
        self._server: Any = None
        self._items: Counter[bytes] = Counter()
        self._read = 0
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def items(self) -> Counter[bytes]:
        """Ids of the spans whose name begins with ``item``, and how often each has arrived. Reads each request once."""
        for path, body in self.requests[self._read :]:
            self._read += 1
            if path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        self._items.update(span.span_id for span in scope.spans if span.name.startswith("item"))
        return self._items

    def behave(self, behaviour: Behaviour) -> None:
        """Changes what requests get; those that were left waiting are hung up on."""
        self.behaviour = behaviour
        released, self._released = self._released, threading.Event()
        released.set()

    def up(self) -> None:
        """Begins to listen."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                released = outer._released
                answer = outer.behaviour(self.path, body)
                if answer.held:
                    released.wait(120)
                if answer.taken:
                    outer.requests.append((self.path, body))
                if answer.held or not answer.sent:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in {"content-length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Those who call are killed while they do: nothing to say."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Backend":
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(5)
