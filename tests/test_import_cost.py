"""Importing the package is cheap, because little is imported: what does the work comes at the first use."""

import json
import subprocess
import sys
from pathlib import Path

from tests.benchmarks import import_cost

ROOT = Path(__file__).parents[1]

OURS = {
    "posemon_otel",
    "posemon_otel._evidence",
    "posemon_otel.calls",
    "posemon_otel.errors",
    "posemon_otel.events",
    "posemon_otel.generations",
    "posemon_otel.loggers",
    "posemon_otel.process",
    "posemon_otel.semconv",
    "posemon_otel.semconv.attributes",
    "posemon_otel.semconv.errors",
    "posemon_otel.semconv.operations",
    "posemon_otel.tracker",
    "posemon_otel.version",
}
"""All of ours that `import posemon_otel` may load. Adding to it costs every process that imports the package."""


def loaded_by(code: str) -> set[str]:
    listed = (
        f"import sys, json; before = set(sys.modules); {code}; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", listed],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_the_package_loads_little_of_its_own() -> None:
    assert {name for name in loaded_by("import posemon_otel") if name.startswith("posemon_otel")} <= OURS


def test_beyond_that_it_loads_no_more_than_opentelemetry_does() -> None:
    others = {name for name in loaded_by("import posemon_otel") if not name.startswith("posemon_otel")}
    assert others - loaded_by("import opentelemetry.trace") <= {"errno"}  # built in


def test_it_costs_at_most_1_2_times_the_import_of_opentelemetry_trace(tmp_path: Path) -> None:
    """Measured as 0.4: what makes this test fail is no noise."""
    assert import_cost.compare(15, str(tmp_path)).ratio <= 1.2


def test_a_first_use_works_without_configure() -> None:
    loaded = loaded_by(
        "from posemon_otel import *; worker_logger.info('x'); performance_tracker.end(performance_tracker.start('x'))"
    )
    assert {"posemon_otel.operation", "posemon_otel.redaction"} <= loaded
    assert not {name.split(".")[0] for name in loaded} & {"msgspec", "wrapt", "sqlalchemy", "starlette", "asyncio"}
    assert "opentelemetry.sdk" not in loaded
