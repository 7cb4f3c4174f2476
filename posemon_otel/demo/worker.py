"""The pose generator's worker, as its authors would write it: BullMQ, `huggingface_hub`, Pillow, posemon's public API.

It ends on SIGTERM or SIGINT when its running jobs are done, and with `--exit-with-stdin` also when its stdin closes, so
that a parent that dies in whatever way leaves no worker behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import posemon_otel as posemon
from posemon_otel import worker_logger

SERVICE = "pose-worker"
QUEUE = "pose-generation"
CREDITS_A_POSE = 30
SIDE = 384
THUMBNAIL = 96
_FINISH_SECONDS = 5.0


class Worker:
    """Renders the poses of each job and stores pictures and thumbnails.

    Args:
        images: folder of the pictures.
        model: FLUX model.
        timeout: seconds to wait for FLUX.
    """

    def __init__(self, images: Path, model: str, timeout: float) -> None:
        from huggingface_hub import InferenceClient

        self._images = images
        self._model = model
        self._flux = InferenceClient(
            provider="hf-inference",
            model=model,
            token="hf_demo",  # noqa: S106 - the stand-in takes any
            timeout=timeout,
        )

    async def process(self, job: Any, _token: str) -> dict[str, int]:
        """One job is one generation; what is raised here makes BullMQ try again, as long as attempts are left."""
        order = job.data
        poses = order["poses"]
        async with posemon.generation(
            order["generationId"],
            user_id=order["userId"],
            expected_poses=len(poses),
            credits_charged=CREDITS_A_POSE * len(poses),
            model=self._model,
        ) as generation:
            failures: list[Exception] = []
            for wanted in poses:
                try:
                    await self._render(generation, order, wanted)
                except Exception as error:
                    failures.append(error)
            no_retry_follows = job.attemptsMade + 1 >= job.opts.get("attempts", 1)
            if len(failures) < len(poses) or no_retry_follows:
                refundable = [error for error in failures if posemon.classify_error(error, "flux").refundable]
                if refundable:
                    generation.refund(CREDITS_A_POSE * len(refundable), reason="pose failed")
            if len(failures) == len(poses):
                raise failures[-1]
        return {"rendered": len(poses) - len(failures), "failed": len(failures)}

    async def _render(self, generation: Any, order: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        """Render one pose."""
        async with generation.pose(
            wanted["poseId"], name=wanted["name"], variation=wanted["variation"], seed=wanted["seed"]
        ) as pose:
            picture = await asyncio.to_thread(self._call_flux, order["prompt"], wanted)
            name = f"{order['generationId']}-{wanted['variation']}"
            await asyncio.to_thread(self._store, picture, name)
            pose.set(output_image=f"/images/{name}.png", thumbnail=f"/images/{name}-thumbnail.webp")

    def _call_flux(self, prompt: str, wanted: Mapping[str, Any]) -> Any:
        picture = self._flux.text_to_image(
            prompt,
            width=SIDE,
            height=SIDE,
            num_inference_steps=28,
            guidance_scale=3.5,
            seed=wanted["seed"],
            extra_body={"pose": wanted["poseId"]},
        )
        picture.load()  # reads the pixels now: half a picture is FLUX's fault, not the storage's
        return picture

    def _store(self, picture: Any, name: str) -> None:
        picture.save(self._images / f"{name}.png")
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        picture.save(self._images / f"{name}-thumbnail.webp")


async def work(worker: Worker, redis_url: str, queue: str, concurrency: int, stopped: asyncio.Event) -> None:
    """Take jobs until `stopped` is set, then finish the running ones."""
    from bullmq import Worker as Consumer

    consumer = Consumer(queue, worker.process, {"connection": redis_url, "concurrency": concurrency, "name": SERVICE})
    consumer.on("error", lambda error, *_: worker_logger.warning("queue", error=error))
    worker_logger.info("Waiting for jobs", queue=queue, concurrency=concurrency)
    await stopped.wait()
    # BullMQ waits without end for jobs whose results it cannot hand over, as when Redis is gone.
    closing = asyncio.ensure_future(consumer.close())
    await asyncio.wait({closing}, timeout=_FINISH_SECONDS)
    if not closing.done():
        await consumer.close(force=True)


async def _main(worker: Worker) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    if "--exit-with-stdin" in sys.argv:
        threading.Thread(target=_wait_for_stdin, args=(loop, stopped), daemon=True).start()
    concurrency = int(os.environ.get("WORKER_CONCURRENCY", "4"))
    await work(worker, os.environ["REDIS_URL"], os.environ.get("QUEUE", QUEUE), concurrency, stopped)


def _wait_for_stdin(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    os.read(sys.stdin.fileno(), 1)
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(stopped.set)


def main() -> int:
    """Work until told to stop.

    Returns:
        0 when all telemetry was delivered, 3 when some of it stays in the journal for the next start.
    """
    posemon.configure(SERVICE)
    from posemon_otel.demo.flux_api import DEFAULT_MODEL
    from posemon_otel.demo.route import huggingface_at

    images = Path(os.environ.get("IMAGES", "images"))
    images.mkdir(parents=True, exist_ok=True)
    with huggingface_at(os.environ["FLUX_URL"]):
        asyncio.run(_main(Worker(images, DEFAULT_MODEL, float(os.environ.get("FLUX_TIMEOUT", "60")))))
    return 0 if posemon.shutdown() else 3


if __name__ == "__main__":
    sys.exit(main())
