"""The application around the pose generator: takes users' orders, writes them down, queues them, sees how they end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine

from posemon_otel.demo.scenario import ATTEMPTS, Order
from posemon_otel.records import writing
from posemon_otel.records.tables import pose_generations
from posemon_otel.semconv import operations as o

SERVICE = "pose-app"
_BACKOFF_MS = 150
_KEPT = 2000


class Ended(NamedTuple):
    """How an order ended, as the queue tells it.

    Attributes:
        id: The order's.
        status: `completed`, `partial` or `failed`.
        attempts: Tries that it took.
        seconds: The last try's.
    """

    id: str
    status: str
    attempts: int
    seconds: float


class Application:
    """Takes orders; to be used within one event loop, and closed.

    Args:
        engine: Database; a row is written for each order, the rest of it is the records' business.
        redis_url: BullMQ's Redis.
        queue: BullMQ's queue.
    """

    def __init__(self, engine: Engine, redis_url: str, queue: str) -> None:
        from bullmq import Queue, QueueEvents

        self.ended: dict[str, Ended] = {}
        """Orders that have ended, by id."""
        self._engine = engine
        self._open: set[str] = set()
        self._changed = asyncio.Event()
        self._looking: set[asyncio.Task[None]] = set()
        self._queue = Queue(queue, {"connection": redis_url})
        # From the stream's beginning: a job may end before the first reading of it.
        self._events = QueueEvents(queue, {"connection": redis_url, "lastEventId": "0"})
        for event in ("completed", "failed"):
            self._events.on(event, self._on_end)

    async def order(self, order: Order) -> None:
        """Take an order: its row is `pending`, its job in the queue."""
        self._open.add(order.id)
        await asyncio.to_thread(self._write_down, order)
        data = {
            "generationId": order.id,
            "userId": order.user_id,
            "prompt": _prompt(order),
            "poses": [
                {"poseId": pose.pose_id, "name": pose.name, "variation": pose.variation, "seed": pose.seed}
                for pose in order.poses
            ],
        }
        await self._queue.add(
            "generate",
            data,
            {
                "jobId": order.id,
                "attempts": ATTEMPTS,
                "backoff": {"type": "exponential", "delay": _BACKOFF_MS},
                "removeOnComplete": {"count": _KEPT},
                "removeOnFail": {"count": _KEPT},
            },
        )

    async def changed(self) -> None:
        """Wait until another order has ended."""
        await self._changed.wait()
        self._changed.clear()

    @property
    def waiting(self) -> int:
        """Orders that have not ended."""
        return len(self._open)

    async def close(self, *, remove_queue: bool) -> None:
        """Leave the queue.

        Args:
            remove_queue: Whether it goes, with all its jobs.
        """
        await self._events.close()
        for task in self._looking:
            task.cancel()
        if remove_queue:
            await self._queue.obliterate(force=True)
        await self._queue.close()

    def _on_end(self, arguments: dict[str, Any], _entry: str) -> None:
        task = asyncio.ensure_future(self._look_at(arguments["jobId"]))
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _look_at(self, job_id: str) -> None:
        job = await self._queue.getJob(job_id)
        if job is None or job_id not in self._open:
            return
        result = job.returnvalue
        rendered = isinstance(result, dict)  # a failed job has returned nothing
        status = (o.PARTIAL if result["failed"] else o.COMPLETED) if rendered else o.FAILED
        self._open.discard(job_id)
        seconds = (job.finishedOn - job.processedOn) / 1000
        self.ended[job_id] = Ended(job_id, status, job.attemptsMade, seconds)
        self._changed.set()

    def _write_down(self, order: Order) -> None:
        row = {
            "id": order.id,
            "projectId": "demo",
            "userId": order.user_id,
            "generationType": "pose_library",
            "textPrompt": _prompt(order),
            "batchSize": len(order.poses),
            "totalExpectedPoses": len(order.poses),
            "status": o.PENDING,
            "queueJobId": order.id,
            "createdAt": datetime.now(UTC),
        }
        with writing(self._engine) as connection:
            connection.execute(pose_generations.insert(), row)


def _prompt(order: Order) -> str:
    return f"studio photograph of a dancer in pose {order.poses[0].name}, soft light, for {order.user_id}@example.com"
