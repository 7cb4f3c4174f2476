"""The faults, in the order of the table, and how the table is written."""

from typing import Any

from tests.faults import code, deaths, outages, values
from tests.faults.child import POSEMON, STOCK
from tests.faults.scenario import Scenario

ALL: tuple[type[Scenario], ...] = (*outages.SCENARIOS, *deaths.SCENARIOS, *values.SCENARIOS, *code.SCENARIOS)
BY_KEY: dict[str, type[Scenario]] = {one.key: one for one in ALL}

_TEXT = """# Faults, measured

What becomes of telemetry when things go wrong: OpenTelemetry's SDK, set up by hand as its documentation shows it
(batch processors, OTLP over HTTP), beside one call of `posemon_otel.configure`. Each row is one script that is run
in a process of its own, once with each, on the same machine, against a backend on loopback that misbehaves as the row
says. Long outages are shortened; what is said of them in the first column is what was done.

This file is written by `python -m tests.faults --write`; a test compares it with `faults.json`. What is promised in
each row is asserted by the row's tests.

Python {python}, opentelemetry-sdk {sdk}, posemon_otel {own}, {cores} cores.

| fault | stock SDK, measured | posemon_otel, measured | tests |
|---|---|---|---|
"""


def render(found: dict[str, Any]) -> str:
    """The page for what was measured."""
    lines = [
        f"| {row['fault']} | {row[STOCK]} | {row[POSEMON]} | {'<br>'.join(f'`{test}`' for test in row['tests'])} |"
        for row in found["rows"]
    ]
    return _TEXT.format(**found["machine"]) + "\n".join(lines) + "\n"
