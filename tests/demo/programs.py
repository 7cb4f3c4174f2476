"""Running `posemon demo` as a program, with nothing of the tester's own environment in it."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
POSEMON = [sys.executable, "-m", "posemon_otel.cli"]


def environment(home: Path, **more: str) -> dict[str, str]:
    """The tester's environment without settings, at home in a folder of its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("POSEMON_", "OTEL_")) and name not in ("DATABASE_URL", "REDIS_URL", "JWT_SECRET")
    }
    return {**kept, "XDG_STATE_HOME": str(home), "HOME": str(home), **more}


def demo(home: Path, *arguments: str, timeout: float = 90, **more: str) -> subprocess.CompletedProcess[str]:
    """Play the demo to its end."""
    return subprocess.run(
        [*POSEMON, "demo", *arguments],
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def said(output: str, title: str) -> list[str]:
    """What the lines of the summary with this title say."""
    return re.findall(rf"^{title} +(.+?)\r?$", output, re.MULTILINE)


def children(pid: int) -> dict[int, str]:
    """The living children of a process and their command lines."""
    lines = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [line.split(None, 3) for line in lines]
    return {int(row[0]): row[3] for row in rows if int(row[1]) == pid and not row[2].startswith("Z")}


def alive(pids: list[int]) -> list[int]:
    """Those of the processes that live."""
    lines = subprocess.run(
        ["ps", "-o", "pid=,stat=", "-p", ",".join(map(str, pids))], capture_output=True, text=True
    ).stdout.splitlines()
    return [int(line.split()[0]) for line in lines if not line.split()[1].startswith("Z")]


def until(condition, seconds: float = 20.0):
    """Wait for something to be true, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def exported_spans(folder: Path) -> list[dict[str, Any]]:
    """The spans in a folder of OTLP-JSON files."""
    return [
        span
        for line in (folder / "traces.jsonl").read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def attributes(record: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a span, a point or a log record in OTLP-JSON."""
    return {item["key"]: next(iter(item["value"].values())) for item in record.get("attributes", [])}


def into_files(folder: Path) -> dict[str, str]:
    """Variables that send all telemetry into OTLP-JSON files in a folder."""
    return {
        "OTEL_TRACES_EXPORTER": "otlp_json_file",
        "OTEL_METRICS_EXPORTER": "otlp_json_file",
        "OTEL_LOGS_EXPORTER": "otlp_json_file",
        "POSEMON_OTLP_FILE_DIR": str(folder),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
