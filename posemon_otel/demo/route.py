"""Let the real `huggingface_hub` client reach the FLUX stand-in while it calls a model by its name.

A model given as a URL needs nothing of this, but then no span can say which model it was. By name the client goes to
`huggingface.co` (which models are there?) and to `router.huggingface.co`, an address that no variable changes. So the
last step alone is turned: the client's HTTP library connects to the stand-in for these two hosts, and everything
above it, addresses in messages included, is as with the real service.

By URL, too, the client calls home once a day and process: `GET https://huggingface.co/api/agent-harnesses`, for its
user agent, waiting 3 s where there is no network. `HF_HUB_DISABLE_TELEMETRY=1` stops that; here it ends in a 404.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

_HOSTS = ("huggingface.co", "router.huggingface.co")


@contextmanager
def huggingface_at(url: str) -> Iterator[None]:
    """Connect to `url` wherever `huggingface_hub` calls Hugging Face, for the length of a block and in all threads.

    A model by name is then `InferenceClient(provider="hf-inference", model="black-forest-labs/FLUX.1-dev", token=...)`;
    give it any token of your own, or the client sends the one that the user has signed in with.

    Args:
        url: the stand-in's root, as `FluxServer.url`.

    Raises:
        ValueError: not an http URL on this machine's loopback.
        ImportError: there is no huggingface_hub, or one before 1.0, which speaks `requests`.
    """
    target = urlsplit(url)
    if target.scheme != "http" or target.hostname not in {"127.0.0.1", "localhost", "::1"} or target.port is None:
        raise ValueError(f"url: expected http://127.0.0.1:PORT, got {url!r}")
    from huggingface_hub import get_session, set_async_client_factory, set_client_factory
    from huggingface_hub.utils._http import default_async_client_factory, default_client_factory

    http = sys.modules[type(get_session()).__module__.partition(".")[0]]  # httpx2, or httpx before huggingface_hub 2
    transport, async_transport = _transports(http, target.hostname, target.port)
    hooks, async_hooks = get_session().event_hooks, default_async_client_factory().event_hooks

    def client() -> Any:
        return http.Client(event_hooks=hooks, mounts=_mounts(transport), follow_redirects=True, timeout=None)

    def async_client() -> Any:
        return http.AsyncClient(
            event_hooks=async_hooks, mounts=_mounts(async_transport), follow_redirects=True, timeout=None
        )

    set_client_factory(client)
    set_async_client_factory(async_client)
    try:
        yield
    finally:
        set_client_factory(default_client_factory)
        set_async_client_factory(default_async_client_factory)


def _mounts(transport: Any) -> dict[str, Any]:
    """A mount goes before the proxies of the environment, which could not reach this machine's loopback."""
    return {f"all://{host}": transport() for host in _HOSTS}


def _transports(http: ModuleType, host: str, port: int) -> tuple[Any, Any]:
    """Transports that connect to host and port, whatever a request's URL says, and leave the request as it was."""
    here = {"scheme": "http", "host": host, "port": port}

    class Transport(http.HTTPTransport):  # type: ignore[name-defined, misc]
        def handle_request(self, request: Any) -> Any:
            url, request.url = request.url, request.url.copy_with(**here)
            try:
                return super().handle_request(request)
            finally:
                request.url = url

    class AsyncTransport(http.AsyncHTTPTransport):  # type: ignore[name-defined, misc]
        async def handle_async_request(self, request: Any) -> Any:
            url, request.url = request.url, request.url.copy_with(**here)
            try:
                return await super().handle_async_request(request)
            finally:
                request.url = url

    return Transport, AsyncTransport
