"""The HTTP session that our OTLP exporters are given: it tells what was answered, and holds the exporter to its time.

The exporters retry and sleep within ``export``, take a redirect for success, and wait for a reply that drips for as
long as it drips. Here an answer ends the export, and a request ends at its deadline.
"""

import contextlib
import netrc  # noqa: F401 - else requests imports it in a request, see `forks`
import os
import socket
import time
import weakref
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from posemon_otel.delivery import answers
from posemon_otel.delivery.answers import Answer, Verdict

_BODY_BYTES = 64 * 1024
_TIMEOUT = 10.0


class Unanswered(Exception):  # noqa: N818 - it tells what became of the request
    """Ends an export at once: for the exporter no error of the connection, so that it does not retry and sleep."""


class Session(requests.Session):
    """A session of one exporter, for one thread."""

    def __init__(self, signal: str, message: Any) -> None:
        """Makes a session.

        Args:
            signal: ``traces``, ``logs`` or ``metrics``.
            message: The protobuf class of the answers.
        """
        super().__init__()
        self._signal = signal
        self._message = message
        self._deadline: float | None = None
        self._kept = self._aborted = False
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        adapter = _Adapter(self._sockets)
        self.mount("http://", adapter)
        self.mount("https://", adapter)
        _sessions.add(self)

    def request(self, method: Any, url: Any, **more: Any) -> Any:  # type: ignore[override]  # passed on as they are
        timeout = more.pop("timeout", None) or _TIMEOUT
        endpoint = answers.place(str(url))
        self._deadline = deadline = time.monotonic() + timeout
        self._aborted = False
        if isinstance(self.verify, str):  # else REQUESTS_CA_BUNDLE would win over OTEL_EXPORTER_OTLP_CERTIFICATE
            more.setdefault("verify", self.verify)
        try:
            try:
                response, body = self._ask(method, url, timeout, more)
            except requests.ConnectionError as exc:
                # The other side may close an idle connection just when it is used again: that is no outage.
                if not self._kept or isinstance(exc, requests.Timeout):
                    raise
                self._kept = False
                left = max(deadline - time.monotonic(), 0.001)
                response, body = self._ask(method, url, left, more)
            if self._aborted:  # headers that end so look whole to the parser
                raise requests.Timeout("ended before the answer was complete")
        except Exception as exc:
            self._kept = False
            answers.note(Answer(Verdict.OUTAGE, type(exc).__name__, endpoint))
            raise Unanswered(type(exc).__name__) from exc
        finally:
            self._deadline = None
        self._kept = True
        answer = answers.of_http(response.status_code, response.headers.get("retry-after"), endpoint)
        answers.note(answer)
        if answer.verdict is Verdict.ACCEPTED:
            answers.partial_success(self._signal, body, response.headers, self._message, endpoint)
        elif answer.verdict is Verdict.OUTAGE or answer.status.startswith("3"):
            raise Unanswered(answer.status)
        return response

    def _ask(self, method: Any, url: Any, timeout: float, more: dict[str, Any]) -> tuple[requests.Response, bytes]:
        response = super().request(method, url, timeout=timeout, stream=True, **more)
        body = b""
        for chunk in response.iter_content(_BODY_BYTES):
            body += chunk
            if len(body) > _BODY_BYTES:
                response.close()
                break
        return response, body

    @property
    def overdue(self) -> bool:
        """Whether a request has not ended by its deadline."""
        deadline = self._deadline
        return deadline is not None and time.monotonic() > deadline

    def abort(self) -> None:
        """Ends a request that is under way on another thread."""
        self._aborted = True
        for connected in list(self._sockets):
            with contextlib.suppress(OSError):
                # not its own method: that of a TLS socket would have the reading thread go on without TLS
                socket.socket.shutdown(connected, socket.SHUT_RDWR)

    def close(self) -> None:
        self.abort()
        super().close()


_sessions: "weakref.WeakSet[Session]" = weakref.WeakSet()
# A child's copy of a socket is the parent's connection.
os.register_at_fork(after_in_child=_sessions.clear)


def abort_overdue() -> None:
    """Ends the requests that have not ended by their deadline. To be called now and then, from another thread."""
    for session in list(_sessions):
        if session.overdue:
            session.abort()


class _Adapter(HTTPAdapter):
    """Lets the sockets of its connections be known."""

    def __init__(self, sockets: "weakref.WeakSet[socket.socket]") -> None:
        self._classes = _pool_classes(sockets)
        super().__init__()

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = self._classes

    def proxy_manager_for(self, *args: Any, **more: Any) -> Any:
        manager = super().proxy_manager_for(*args, **more)
        manager.pool_classes_by_scheme = self._classes
        return manager


def _pool_classes(sockets: "weakref.WeakSet[socket.socket]") -> dict[str, Any]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
