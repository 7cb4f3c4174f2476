"""Who hears of what a dead process had not told its own callbacks: those of its heir."""

import subprocess
import sys
import textwrap
import time

import posemon_otel as posemon
from posemon_otel import bootstrap
from posemon_otel.delivery import globals as otel_globals

DIES = """
    import os, sys
    import posemon_otel as posemon
    posemon.configure("worker", journal_dir=sys.argv[1], ship_interval=600, log_format="none",
                      disabled_instrumentations=("*",), traces_exporter="none", metrics_exporter="none",
                      logs_exporter="none")
    posemon.record_event("export_generated", "g1")
    with posemon.generation("g1"):
        pass
    os._exit(9)
"""


def test_an_heir_tells_its_own_callbacks(tmp_path):
    dead = subprocess.run([sys.executable, "-c", textwrap.dedent(DIES), str(tmp_path)], timeout=60, check=False)
    assert dead.returncode == 9
    heard = []
    with otel_globals.set_aside():
        posemon.on_event(lambda happening: heard.append((happening.type, happening.generation_id)))
        handle = posemon.configure(
            "worker",
            journal_dir=str(tmp_path),
            ship_interval=0.05,
            log_format="none",
            disabled_instrumentations=("*",),
            **dict.fromkeys(("traces_exporter", "metrics_exporter", "logs_exporter"), "none"),
        )
        try:
            deadline = time.monotonic() + 30
            while len(set(heard)) < 2 and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            if bootstrap.handle() is not None:
                handle.shutdown(2.0)
    assert set(heard) == {("export_generated", "g1"), ("generation_finished", "g1")}
