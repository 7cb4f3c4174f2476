"""What `third_party` wrote behind one provider and behind another, compared."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

Difference = tuple[tuple[Any, ...], Any, Any]
"""Where, behind the SDK's, behind ours."""


def written(python: Path | str, sink: str, libraries: Sequence[str]) -> dict[str, Any]:
    """Runs the program; both generations of the HTTP and database conventions are on."""
    ran = subprocess.run(
        [str(python), "-W", "error", "-m", "tests.delivery.third_party", sink, *libraries],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OTEL_SEMCONV_STABILITY_OPT_IN": "http/dup,database/dup"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def differences(one: Any, other: Any, *where: Any) -> Iterator[Difference]:
    """Every place where they differ, keys and order of lists included."""
    if isinstance(one, dict) and isinstance(other, dict):
        if list(one) != list(other):
            yield (*where, "keys"), list(one), list(other)
        for key in one.keys() & other.keys():
            yield from differences(one[key], other[key], *where, key)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (mine, yours) in enumerate(zip(one, other, strict=True)):
            yield from differences(mine, yours, *where, number)
    elif one != other:
        yield where, one, other


def changes(one: Any, other: Any) -> dict[tuple[Any, ...], tuple[Any, Any]]:
    """The same as a mapping from the place."""
    return {where: (mine, yours) for where, mine, yours in differences(one, other)}
