"""Workers killed at random moments, a thousand of them: nothing that had ended may be missing.

``python -m tests.torture [--kills N] [--seed N] [--json FILE]`` (``make torture``). Each worker runs generations, spans
of another library, logs and events on several threads; after each call has returned it notes the fact in a file. It
dies by SIGKILL, SIGTERM, abort, ``os._exit`` or a segmentation fault. A living worker of the same service adopts what
is left. At the end everything noted must have arrived, what was open must be reported as interrupted, and the counts
must be there.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from posemon_otel.semconv import metrics as m
from posemon_otel.semconv import operations as o
from tests.faults.arrivals import Arrivals, receiver

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs" / "torture.json"
KILLS = 1000
_SAID = re.compile(r"(?!\s|Traceback)")
"""What is said, without the insides of tracebacks."""


def torture(kills: int, seed: int, *, keep: Path | None = None, say: Any = print) -> dict[str, Any]:
    """Runs it.

    Args:
        kills: How many workers die.
        seed: Decides how and when each dies, and what it does until then.
        keep: Where journals and notes are copied to if something is missing.
        say: Takes a line on how far it has come.

    Returns:
        What was noted and what is missing, by what it is; ``failed`` is true where anything is.
    """
    made, arrivals = receiver()
    with tempfile.TemporaryDirectory(prefix="posemon-torture-") as folder, made:
        notes = Path(folder, "notes")
        notes.mkdir()
        environ = {
            "PATH": "",
            "PYTHONPATH": str(ROOT),
            "POSEMON_JOURNAL_DIR": str(Path(folder, "journal")),
            "OTEL_EXPORTER_OTLP_ENDPOINT": made.url,
            "POSEMON_SHIP_INTERVAL": "0.1",
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
        }
        with contextlib.ExitStack() as stack:
            errors = stack.enter_context(Path(folder, "stderr").open("w+"))
            started: dict[str, Any] = {"cwd": ROOT, "env": environ, "stderr": errors, "text": True}
            living = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.faults.living"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    **started,
                )
            )
            stack.callback(living.kill)
            assert living.stdout is not None
            assert living.stdin is not None
            assert living.stdout.readline() == "ready\n"
            told = json.dumps({"kills": kills, "seed": seed, "notes": str(notes)})
            forks = stack.enter_context(
                subprocess.Popen([sys.executable, "-m", "tests.faults.forks", told], stdout=subprocess.PIPE, **started)
            )
            stack.callback(forks.kill)
            deaths: Counter[str] = Counter()
            assert forks.stdout is not None
            for line in forks.stdout:
                died = json.loads(line)
                deaths[died["how"]] += 1
                if sum(deaths.values()) % 100 == 0:
                    say(f"{sum(deaths.values())} of {kills} killed")
            assert forks.wait(30) == 0, Path(folder, "stderr").read_text()[-4000:]
            noted = _noted(notes)
            deadline = time.monotonic() + 60 + kills / 5
            while (result := judge(noted, arrivals))["failed"] and time.monotonic() < deadline:
                time.sleep(0.5)
            if result["failed"] and keep is not None:
                shutil.copytree(folder, keep)
            living.stdin.close()
            assert living.wait(30) == 0
            said = Counter(filter(_SAID.match, Path(folder, "stderr").read_text().splitlines()))
    return {
        "kills": kills,
        "seed": seed,
        "deaths": dict(sorted(deaths.items())),
        **result,
        "said on stderr": dict(said.most_common(10)),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("posemon-otel", "opentelemetry-sdk", "opentelemetry-exporter-otlp")},
        },
    }


def _noted(notes: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in notes.iterdir():
        for line in path.read_text().splitlines():
            what, _, which = line.partition(" ")
            found.setdefault(what, set()).add(which)
    return found


def judge(noted: dict[str, set[str]], arrivals: Arrivals) -> dict[str, Any]:
    """Compares what was noted with what has arrived."""
    generations, begun = noted.get("generation", set()), noted.get("begun", set())
    outcomes = {which: set(seen) for which, seen in list(arrivals.outcomes.items())}
    ended = {which for which, seen in outcomes.items() if o.OK in seen}
    interrupted = {which for which, seen in outcomes.items() if seen == {o.INTERRUPTED}}
    journalled = noted.get("journalled", set())
    missing = {
        "generations": sorted(generations - ended),
        "spans": sorted(noted.get("span", set()) - set(arrivals.spans)),
        "logs": sorted(noted.get("log", set()) - set(arrivals.logs)),
        "events": sorted(
            noted.get("event", set())
            - {which for name, which in arrivals.events if name == o.EVENT_NAMES["export_generated"]}
        ),
        "interrupted": sorted(journalled - interrupted),
        "generations counted": _uncounted(arrivals, m.GENERATIONS.name, generations),
        "events counted": _uncounted(arrivals, m.EVENTS.name, noted.get("event", set())),
    }
    return {
        "noted as ended": {
            "generations": len(generations),
            "spans": len(noted.get("span", ())),
            "logs": len(noted.get("log", ())),
            "events": len(noted.get("event", ())),
        },
        "open when killed": {
            "begun": len(begun),
            "begun for so long that the journal had it": len(journalled),
            "reported as interrupted": len(interrupted & begun),
        },
        "sent more than once": sum(times > 1 for times in list(arrivals.spans.values())),
        "missing": {what: len(which) for what, which in missing.items()},
        "examples of what is missing": {what: which[:5] for what, which in missing.items() if which},
        "failed": any(missing.values()),
    }


def _uncounted(arrivals: Arrivals, metric: str, noted: set[str]) -> list[str]:
    """Workers whose counter is short of what they have noted."""
    wanted = Counter(which.partition("-")[0] for which in noted)
    counted = arrivals.counted(metric, "torture.worker")
    return [f"{worker}: {counted[worker]} of {times}" for worker, times in wanted.items() if counted[worker] < times]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=int(os.environ.get("POSEMON_TORTURE", KILLS)))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help=f"where the result is written, as {RESULT.relative_to(ROOT)} is")
    parser.add_argument("--keep", type=Path, help="a new folder for journals and notes if something is missing")
    options = parser.parse_args()
    result = torture(options.kills, options.seed, keep=options.keep)
    text = json.dumps(result, indent=2) + "\n"
    if options.json:
        options.json.write_text(text)
    print(text, end="")
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
