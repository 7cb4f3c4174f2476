"""How many jobs wait: BullMQ's own keys in Redis, read without its scripts, which would write."""

import asyncio
import base64
import logging
from typing import NamedTuple

from opentelemetry.instrumentation.utils import suppress_instrumentation
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

_log = logging.getLogger(__name__)

READ_SECONDS = 0.8
"""How long the queue may take to answer: what needs it is then served without it."""

PREFIX = "bull"
"""BullMQ's default prefix of its keys."""

NO_REDIS = "the queue is not known: POSEMON_REDIS_URL is not set"
SILENT_REDIS = "the queue is not known: Redis does not answer"


class QueueCounts(NamedTuple):
    """Jobs by state.

    Attributes:
        waiting: Waiting, prioritized and paused: all that a worker could take, were it free and the queue not paused.
        active: In work.
        delayed: Waiting for their time.
        failed: Kept as failed.
        connections: Connections of the queue's workers, of which each may have two; ``None`` where Redis does not tell.
    """

    waiting: int
    active: int
    delayed: int
    failed: int
    connections: int | None

    @property
    def depth(self) -> int:
        """Waiting and active."""
        return self.waiting + self.active


class QueueReader:
    """Reads the counts of one queue.

    A connection is opened for each reading: the app may be mounted where no lifespan runs that would close a kept one.
    """

    def __init__(self, url: str | None, queue: str, *, prefix: str = PREFIX) -> None:
        self.url = url or None
        self._keys = {state: f"{prefix}:{queue}:{state}" for state in _STATES}
        # Node's workers encode the queue's name in that of their connection, Python's do not.
        self._worker_names = tuple(f"{prefix}:{name}" for name in (base64.b64encode(queue.encode()).decode(), queue))

    async def read(self) -> tuple[QueueCounts | None, str | None]:
        """The counts, or ``None`` and a line that says why not. Never raises, takes at most ``READ_SECONDS``."""
        if self.url is None:
            return None, NO_REDIS
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._counts(self.url), None
        except Exception:  # what speaks something else than Redis can make the client raise anything
            _log.debug("reading the queue failed", exc_info=True)
            return None, SILENT_REDIS

    async def _counts(self, url: str) -> QueueCounts:
        client: Redis = Redis.from_url(
            url,
            socket_connect_timeout=READ_SECONDS,
            socket_timeout=READ_SECONDS,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        with suppress_instrumentation():  # looking must not show up in what is looked at
            try:
                async with client.pipeline(transaction=True) as pipe:  # one moment for all of them
                    for state in ("wait", "paused"):
                        pipe.llen(self._keys[state])
                        pipe.lindex(self._keys[state], -1)
                    pipe.zcard(self._keys["prioritized"])
                    pipe.llen(self._keys["active"])
                    pipe.zcard(self._keys["delayed"])
                    pipe.zcard(self._keys["failed"])
                    wait, wait_last, paused, paused_last, prioritized, active, delayed, failed = await pipe.execute()
                connections = await self._workers(client)
            finally:
                await client.aclose()
        waiting = _without_marker(wait, wait_last) + _without_marker(paused, paused_last) + prioritized
        return QueueCounts(waiting, active, delayed, failed, connections)

    async def _workers(self, client: Redis) -> int | None:
        """Workers name their connections after the queue (BullMQ's ``getWorkers``); some providers forbid to ask."""
        try:
            clients = await client.client_list()
        except RedisError:
            return None
        names = (entry.get("name", "") for entry in clients)
        return sum(any(name == own or name.startswith(f"{own}:w:") for own in self._worker_names) for name in names)


_STATES = ("wait", "paused", "prioritized", "active", "delayed", "failed")


def _without_marker(length: int, last: str | None) -> int:
    """Jobs in a list; BullMQ before version 5 kept a marker at its end."""
    return length - 1 if last is not None and last.startswith("0:") else length
