"""A worker without a line of monitoring in it: BullMQ, huggingface_hub, Pillow.

Watch it with

    pip install 'posemon-otel' bullmq huggingface-hub pillow
    opentelemetry-instrument python examples/worker.py

Variables: REDIS_URL; FLUX_URL, the address of an inference endpoint (without it, FLUX_MODEL at Hugging Face is called,
with HF_TOKEN); IMAGES, a folder; MAX_JOBS, after which it ends.
"""

import asyncio
import os
import signal
from pathlib import Path

from bullmq import Worker
from huggingface_hub import InferenceClient

QUEUE = os.environ.get("QUEUE", "pose-generation")
IMAGES = Path(os.environ.get("IMAGES", "images"))
MAX_JOBS = int(os.environ.get("MAX_JOBS", "0"))

flux = InferenceClient(model=os.environ.get("FLUX_URL") or os.environ.get("FLUX_MODEL", "black-forest-labs/FLUX.1-dev"))


def render(prompt: str, path: Path) -> None:
    """Renders one picture and stores it."""
    picture = flux.text_to_image(prompt, width=256, height=256, num_inference_steps=28)
    picture.save(path)


async def main() -> None:
    """Takes jobs until it is told to end, or has had its fill."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    done = 0

    async def process(job, _token):
        for index, prompt in enumerate(job.data["prompts"]):
            await asyncio.to_thread(render, prompt, IMAGES / f"{job.id}-{index}.png")
        return {"rendered": len(job.data["prompts"])}

    def count(*_):
        nonlocal done
        done += 1
        if done == MAX_JOBS:
            stopped.set()

    worker = Worker(QUEUE, process, {"connection": os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")})
    worker.on("completed", count)
    worker.on("failed", count)
    await stopped.wait()
    await worker.close()


IMAGES.mkdir(parents=True, exist_ok=True)
asyncio.run(main())
