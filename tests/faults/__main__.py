"""``python -m tests.faults [--write] [KEY ...]``: measures the faults on the stock SDK and on posemon_otel."""

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tests.faults.child import POSEMON, STOCK
from tests.faults.scenario import measure
from tests.faults.table import BY_KEY, render

DOCS = Path(__file__).parents[2] / "docs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="writes docs/faults.json and docs/faults.md")
    parser.add_argument("--mode", choices=(STOCK, POSEMON), help="measures this one alone, and writes nothing")
    parser.add_argument("--brief", action="store_true", help="cuts the long ones short, and writes nothing")
    parser.add_argument("keys", nargs="*", help=", ".join(BY_KEY))
    options = parser.parse_args()
    rows, broken = [], []
    for key in options.keys or BY_KEY:
        scenario = BY_KEY[key](brief=options.brief)
        row = {"key": key, "fault": scenario.fault, "tests": [scenario.own_test, *scenario.tests]}
        for mode in (options.mode,) if options.mode else (STOCK, POSEMON):
            try:
                measured = measure(scenario, mode)
            except subprocess.TimeoutExpired as exc:
                row[mode] = f"does not end within {exc.timeout:.0f} s"
                broken += [f"{key}: {row[mode]}"] if mode == POSEMON else []
            else:
                row[mode] = scenario.cell(measured)
                if mode == POSEMON and (problems := scenario.survived(measured)):
                    broken += [f"{key}: {problem}" for problem in problems]
                    print(measured["stderr"], file=sys.stderr)
            print(f"{key:<22} {mode:<8} {row[mode]}", flush=True)
        rows.append(row)
    for problem in broken:
        print(f"NOT KEPT  {problem}")
    if options.write and not options.keys and not options.mode and not options.brief:
        machine = {
            "python": platform.python_version(),
            "sdk": version("opentelemetry-sdk"),
            "own": version("posemon-otel"),
            "cores": os.cpu_count(),
        }
        found = {"machine": machine, "rows": rows}
        (DOCS / "faults.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        (DOCS / "faults.md").write_text(render(found))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
