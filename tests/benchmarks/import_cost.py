"""What `import posemon_otel` costs, to `import opentelemetry.trace`: processor time in fresh interpreters, interleaved.

`python -m tests.benchmarks.import_cost` prints the figures.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from typing import NamedTuple

PAIRS = 25


class Cost(NamedTuple):
    """Medians: the ratio of the pairs, and both costs in seconds."""

    ratio: float
    ours: float
    theirs: float


def seconds(module: str, environment: dict[str, str]) -> float:
    """Processor time of one import in an interpreter of its own."""
    code = f"import time; begun = time.process_time(); import {module}; print(time.process_time() - begun)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True, timeout=60
    )
    return float(done.stdout)


def compare(pairs: int, cache: str) -> Cost:
    """Compares the two.

    Args:
        pairs: How often.
        cache: Folder for bytecode; an empty name has everything compiled each time.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if cache:
        environment["PYTHONPYCACHEPREFIX"] = cache
    else:
        environment |= {"PYTHONPYCACHEPREFIX": "/dev/null/none", "PYTHONDONTWRITEBYTECODE": "1"}
    ours, theirs = [], []
    for turn in range(pairs + 1):
        found = seconds("opentelemetry.trace", environment), seconds("posemon_otel", environment)
        if turn:  # the first one fills the cache
            theirs.append(found[0])
            ours.append(found[1])
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    return Cost(ratio, statistics.median(ours), statistics.median(theirs))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for what, cache in (("with bytecode", folder), ("compiled each time", "")):
            ratio, ours, theirs = compare(PAIRS, cache)
            print(f"{what:20} ratio {ratio:.2f}: {ours * 1e3:.1f} ms, opentelemetry.trace {theirs * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
