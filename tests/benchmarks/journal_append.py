"""What an append costs, in microseconds: the least of several rounds, so that a busy machine disturbs it less.

Run it with `python -m tests.benchmarks.journal_append`; compare figures of one run only.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from posemon_otel.journal import Journal, Writer
from posemon_otel.journal.segment import frame

ROUNDS, CALLS = 7, 20_000
ATTRIBUTES = {
    "gen_ai.request.model": "black-forest-labs/FLUX.1-dev",
    "gen_ai.provider.name": "hf-inference",
    "pose.image.width": 1024,
    "pose.image.height": 1024,
    "pose.image.steps": 28,
    "pose.image.guidance_scale": 3.5,
    "pose.generation.id": "gen_0123456789",
    "pose.id": "pose_0123456789",
}
TIMES = (1_700_000_000_000_000_000, 1_700_000_001_000_000_000)
RECORD = ("0" * 32, "1" * 16, None, "generate_content flux", "flux", *TIMES, ATTRIBUTES, "ok", None, True, 1)


def least(call: Callable[[], object], calls: int = CALLS) -> float:
    """Microseconds of one call in the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(calls):
            call()
        best = min(best, time.perf_counter() - begun)
    return best / calls * 1e6


def drain(journal: Journal) -> int:
    """Read everything once more; how many entries there were."""
    count, start = 0, None
    while (batch := journal.read("otlp", start=start)).entries:
        count, start = count + len(batch.entries), batch.position
    return count


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(Path(folder) / "worker", head={}, consumers=["otlp"])
        payload = writer._encode(RECORD)
        data = frame(2, payload)
        descriptor = os.open(Path(folder) / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        print(f"one record of {len(payload)} bytes, us a call")
        print(f"  encode             {least(lambda: writer._encode(RECORD)):8.2f}")
        print(f"  frame with CRC     {least(lambda: frame(2, payload)):8.2f}")
        print(f"  write alone        {least(lambda: os.write(descriptor, data)):8.2f}")
        print(f"  append, encoded    {least(lambda: writer.append_encoded(2, payload)):8.2f}")
        print(f"  append             {least(lambda: writer.append(2, RECORD)):8.2f}")
        os.close(descriptor)
        writer.close()

        writer = Writer(Path(folder) / "read", head={}, consumers=["otlp"])
        for _ in range(CALLS):
            writer.append(2, RECORD)
        journal = Journal.open(writer.folder)
        print(f"  read               {least(lambda: drain(journal), 1) / CALLS:8.2f}")
        worst = 0.0
        for _ in range(CALLS):
            begun = time.perf_counter()
            writer.append(2, RECORD)
            worst = max(worst, time.perf_counter() - begun)
        print(f"  worst of {CALLS:,} appends: {worst * 1e3:.2f} ms")
        writer.close()


if __name__ == "__main__":
    main()
