"""Serving the app: in the foreground for the command line, on a thread for the demo and for tests."""

import asyncio
import errno
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp

from posemon_otel.settings import ADMIN_HOST, ADMIN_PORT, TRUSTED_PROXIES, current

_START_SECONDS = 10.0
_STOP_SECONDS = 5.0
_NOT_STARTED = "the app did not start; the log tells why"
_REASONS = {
    errno.EADDRINUSE: "the port is in use; stop what listens there or choose another with --port",
    errno.EACCES: "this port is not allowed to this user; choose one from 1024 on with --port",
    errno.EADDRNOTAVAIL: "this machine has no such address; choose another with --host",
}


class ServeError(OSError):
    """The app cannot be served; the message is one line that says what to do."""


class Server:
    """A server on a thread of its own, as a context manager stopped at the end.

    Attributes:
        address: Where it listens, as ``http://host:port``.
        port: The port, also where 0 was asked for.
    """

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._socket = _bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.address = f"http://{_in_url(host)}:{self.port}"
        self._server = uvicorn.Server(_config(app))
        self._thread = threading.Thread(target=self._run, name="posemon-admin", daemon=True)
        self._ended = threading.Event()

    def start(self) -> None:
        """Returns when requests are answered.

        Raises:
            ServeError: The app did not start.
        """
        self._thread.start()
        for _ in range(int(_START_SECONDS / 0.01)):
            if self._server.started or self._ended.wait(0.01):
                break
        if not self._server.started:
            self.stop()
            raise ServeError(f"{self.address}: {_NOT_STARTED}")

    def stop(self) -> None:
        """Ends it: what is being answered gets a moment to finish. Calling it twice is safe."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._socket]))
        except SystemExit:  # uvicorn's way to say that the app did not start, after it has said why
            pass
        finally:
            self._ended.set()


def start(app: ASGIApp, host: str = ADMIN_HOST.default, port: int = 0) -> Server:
    """Serves ``app`` on a thread until ``.stop()``.

    Args:
        app: The app.
        host: Address to listen on.
        port: Port; 0 takes a free one.

    Raises:
        ServeError: The port cannot be had.
    """
    server = Server(app, host, port)
    server.start()
    return server


def run(
    app: ASGIApp,
    host: str = ADMIN_HOST.default,
    port: int = ADMIN_PORT.default,
    *,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serves ``app`` until SIGINT or SIGTERM.

    Args:
        app: The app.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        ready: Called with ``http://host:port`` once connections are taken.

    Raises:
        ServeError: The port cannot be had, or the app did not start.
    """
    with _bind(host, port) as listening:
        if ready is not None:
            ready(f"http://{_in_url(host)}:{listening.getsockname()[1]}")
        server = uvicorn.Server(_config(app))
        try:
            server.run(sockets=[listening])
        except SystemExit:
            raise ServeError(f"{host}:{port}: {_NOT_STARTED}") from None


def _config(app: ASGIApp) -> uvicorn.Config:
    proxies = current()[TRUSTED_PROXIES]
    options: dict[str, Any] = {"forwarded_allow_ips": list(proxies)} if proxies else {}
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),  # else anybody could choose the address that rate limits count
        timeout_graceful_shutdown=2,
        lifespan="auto",
        ws="none",
        **options,
    )


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, OverflowError, UnicodeError):
        raise ServeError(f"{host}:{port}: expected an address of this machine; choose another with --host") from None
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        why = _REASONS.get(error.errno or 0, str(error.strerror))
        raise ServeError(error.errno, f"{host}:{port}: {why}") from None
    return listening


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
