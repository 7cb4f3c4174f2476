"""``python -m tests.faults [--write] [KEY ...]``: measures the faults on the stock SDK and on posemon_otel."""

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.faults.child import POSEMON, STOCK
from tests.faults.scenario import Scenario, measure
from tests.faults.table import BY_KEY, render

DOCS = Path(__file__).parents[2] / "docs"


def measured_row(scenario: Scenario, modes: tuple[str, ...]) -> dict[str, Any]:
    """Measures a scenario and tells of it; ``problems`` are promises of ours that were not kept."""
    row: dict[str, Any] = {
        "key": scenario.key,
        "fault": scenario.fault,
        "tests": [scenario.own_test, *scenario.tests],
        "problems": [],
    }
    for mode in modes:
        try:
            measured = measure(scenario, mode)
        except subprocess.TimeoutExpired as exc:
            row[mode] = f"does not end within {exc.timeout:.0f} s"
            row["problems"] += [row[mode]] if mode == POSEMON else []
        else:
            row[mode] = scenario.cell(measured)
            if mode == POSEMON and (problems := scenario.survived(measured)):
                row["problems"] += problems
                print(measured["stderr"], file=sys.stderr)
        print(f"{scenario.key:<22} {mode:<8} {row[mode]}", flush=True)
    return row


def write(rows: list[dict[str, Any]]) -> None:
    """Writes ``docs/faults.json``, in which these rows replace their like, and ``docs/faults.md``."""
    kept = json.loads((DOCS / "faults.json").read_text())["rows"] if (DOCS / "faults.json").exists() else []
    by_key = {row["key"]: row for row in [*kept, *rows]}
    found = {
        "machine": {
            "python": platform.python_version(),
            "sdk": version("opentelemetry-sdk"),
            "own": version("posemon-otel"),
            "cores": os.cpu_count(),
        },
        "rows": [by_key[key] for key in BY_KEY if key in by_key],
    }
    (DOCS / "faults.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    (DOCS / "faults.md").write_text(render(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="writes docs/faults.json and docs/faults.md")
    parser.add_argument("--mode", choices=(STOCK, POSEMON), help="measures this one alone, and writes nothing")
    parser.add_argument("--brief", action="store_true", help="cuts the long ones short, and writes nothing")
    parser.add_argument("keys", nargs="*", help=", ".join(BY_KEY))
    options = parser.parse_args()
    if options.write and (options.mode or options.brief):
        parser.error("--write goes with neither --mode nor --brief")
    modes = (options.mode,) if options.mode else (STOCK, POSEMON)
    rows = [measured_row(BY_KEY[key](brief=options.brief), modes) for key in options.keys or BY_KEY]
    if options.write:
        write(rows)
    broken = [f"NOT KEPT  {row['key']}: {problem}" for row in rows for problem in row["problems"]]
    print("\n".join(broken))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
