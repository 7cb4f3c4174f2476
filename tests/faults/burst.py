"""A worker that makes many short spans: ``python -m tests.faults.burst SPANS [RATE]``.

It warms up with a few, flushes, waits for a line on standard input, makes the rest (at most ``RATE`` a second), and
waits for another line before it flushes. Each step is told as a JSON line: seconds it took, what the flush said, and
the high-water mark of its memory in bytes.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from opentelemetry import trace

import posemon_otel as posemon

WARM_UP = 50_000
PATIENCE = 200.0
_STEP = 1000


def high_water() -> int:
    """The most memory that this process has had at any time, in bytes."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def tell(began: float, **facts: Any) -> None:
    print(json.dumps({"seconds": round(time.monotonic() - began, 2), "high_water": high_water(), **facts}), flush=True)


def main() -> None:
    count, rate = int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else None
    handle = posemon.configure("burst", disabled_instrumentations=("*",), log_format="none")
    tracer = trace.get_tracer("application")
    began = time.monotonic()
    for _ in range(WARM_UP):
        tracer.start_span("item").end()
    tell(began, said=handle.force_flush(PATIENCE))
    sys.stdin.readline()
    began = time.monotonic()
    for done in range(0, count, _STEP):
        for _ in range(min(_STEP, count - done)):
            tracer.start_span("item").end()
        if rate is not None:
            time.sleep(max(0.0, began + (done + _STEP) / rate - time.monotonic()))
    tell(began, made=count)
    sys.stdin.readline()
    began = time.monotonic()
    tell(began, said=handle.force_flush(PATIENCE))


if __name__ == "__main__":
    main()
