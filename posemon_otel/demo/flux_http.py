"""As much HTTP/1.1 as the FLUX stand-in needs, on asyncio's streams.

The standard library's server takes a thread for each connection and cannot drop, drip or hang one on purpose and then
still stop at once; this can.
"""

from __future__ import annotations

import asyncio
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Self

JSON: Final = "application/json"
_MAX_BODY: Final = 64 * 1024 * 1024
_START_LIMIT: Final = 10.0


class Call(NamedTuple):
    """A request, its header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """A whole response but for the headers of its framing."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str]

    @classmethod
    def of_json(cls, status: int, value: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """A response whose body is JSON."""
        return cls(status, JSON, json.dumps(value).encode(), headers or {})

    def head(self, *, closing: bool = False) -> bytes:
        """The status line and headers of the whole body; `closing` says that the connection ends with it."""
        lines = {
            "content-type": self.content_type,
            "content-length": str(len(self.body)),
            **self.headers,
            **({"connection": "close"} if closing else {}),
        }
        phrase = HTTPStatus(self.status).phrase
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {self.status} {phrase}\r\n{text}\r\n".encode("latin-1", "replace")


class UnreadableError(Exception):
    """What arrived is no request that can be read to its end; `answer` says so, and the connection must close."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.answer = Answer.of_json(status, {"error": error})


async def read_call(reader: asyncio.StreamReader) -> Call | None:
    """Read the next request of a connection; None when the client has closed it between two.

    Raises:
        UnreadableError: no HTTP, a body without its length, or one of more than 64 MiB.
        asyncio.IncompleteReadError: the client left in the middle of a request.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as left:
        if left.partial:
            raise
        return None
    except asyncio.LimitOverrunError:
        raise UnreadableError(431, "The request's headers are too long") from None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise UnreadableError(400, "This is not an HTTP/1 request")
    fields = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    if "transfer-encoding" in headers:
        raise UnreadableError(411, "Send the body's length")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise UnreadableError(400, "The content-length is not a number")
    if int(length) > _MAX_BODY:
        raise UnreadableError(413, f"The body is larger than {_MAX_BODY} bytes")
    return Call(words[0], words[1], headers, await reader.readexactly(int(length)))


async def send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Send a whole response.

    Raises:
        OSError: the client is gone.
    """
    writer.write(answer.head() + answer.body)
    await writer.drain()


class ThreadedServer(ABC):
    """A TCP server on an event loop in a thread of its own; a context manager.

    Args:
        host: where to listen.
        port: where to listen; 0 takes a free one, which is kept through stop and start.
        name: the thread's.
    """

    def __init__(self, host: str, port: int, name: str) -> None:
        self.host = host
        self.port = port
        self._name = name
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failed: Exception | None = None

    @property
    def url(self) -> str:
        """The server's root, without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    @abstractmethod
    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""

    def start(self) -> Self:
        """Listen.

        Raises:
            OSError: the port is taken, or the address is none of this machine's.
            OverflowError: there is no such port.
            RuntimeError: it is already running.
        """
        if self._thread is not None:
            raise RuntimeError(f"The {self._name} is already running")
        ready = threading.Event()
        self._failed = None
        self._thread = threading.Thread(target=self._run, args=(ready,), name=self._name, daemon=True)
        self._thread.start()
        if not ready.wait(_START_LIMIT):
            raise RuntimeError(f"The {self._name} did not start within {_START_LIMIT:.0f} s")
        if self._failed is not None:
            self.stop()
            raise self._failed
        return self

    def stop(self) -> None:
        """Close every connection, answered or not, and end the thread. Stopping twice is harmless."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # the loop has ended by itself: it could not listen
                self._loop.call_soon_threadsafe(self._stop.set)
        thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        except Exception as error:
            self._failed = error  # raised where the server was started
        finally:
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        open_calls: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            open_calls.add(task)
            try:
                await self.converse(reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                # The client left, or the server stops. Taken here, for a stream's task that ends cancelled is logged.
                writer.transport.abort()
            finally:
                open_calls.discard(task)
                writer.close()

        server = await asyncio.start_server(connected, self.host, self.port)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        server.close()
        for task in tuple(open_calls):
            task.cancel()
        await asyncio.gather(*open_calls, return_exceptions=True)
        await asyncio.sleep(0)  # the aborted transports close their sockets in the loop's next turn
        await server.wait_closed()
