"""A process that has imported everything and forks workers, each of which dies at a moment of its own.

``python -m tests.faults.forks PLAN`` reads a plan (JSON), and prints one JSON line for each worker that died. What a
worker has finished it notes in a file after the call has returned: whatever stands there has to arrive.
"""

import ctypes
import json
import logging
import os
import random
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry import trace

import posemon_otel as posemon
from posemon_otel import operation
from posemon_otel.delivery import (  # noqa: F401 - imported before the forks, so that no worker pays for it
    exporters,
    journal_sink,
    metrics,
    otlp,
    pipeline,
    recovery,
    shipper,
)
from posemon_otel.delivery.journal_sink import LATE_START_NS

DEATHS = ("SIGKILL", "SIGTERM", "abort", "os._exit", "segfault")
_SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM}
_ALIVE_AT_ONCE = 4
_LONGEST_LIFE = 1.4
_EARLY_SHARE = 0.1
"""Share of the workers that are told to die so soon that they may still be setting up."""

Note = Callable[[str, str], None]


class Death(NamedTuple):
    """One worker's end: how, and how many seconds after it has begun to work (or, early, after its fork)."""

    number: int
    how: str
    after: float
    early: bool


def plan(kills: int, seed: int) -> list[Death]:
    """The deaths of a run: the same for the same seed."""
    drawn = random.Random(seed)
    deaths = []
    for number in range(kills):
        early = drawn.random() < _EARLY_SHARE
        after = drawn.uniform(0.0, 0.2) if early else drawn.uniform(0.0, _LONGEST_LIFE)
        deaths.append(Death(number, drawn.choice(DEATHS), after, early))
    return deaths


class _Living(NamedTuple):
    death: Death
    ready: int
    begun: float


def run(deaths: list[Death], seed: int, notes: Path, tell: Callable[[Death, int], None]) -> None:
    """Forks a worker for each death, some at once, and sees each die."""
    waiting = list(reversed(deaths))
    living: dict[int, _Living] = {}
    due: dict[int, float] = {}
    while waiting or living:
        while waiting and len(living) < _ALIVE_AT_ONCE:
            death = waiting.pop()
            ready, told = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(ready)
                for other in living.values():
                    os.close(other.ready)
                _live(death, seed, notes / f"{death.number}", told)
            os.close(told)
            living[pid] = _Living(death, ready, time.monotonic())
            if death.how in _SIGNALS and death.early:
                due[pid] = time.monotonic() + death.after
        silent = {one.ready: pid for pid, one in living.items() if pid not in due and one.death.how in _SIGNALS}
        wait = min([0.02, *(moment - time.monotonic() for moment in due.values())])
        if not silent:
            time.sleep(max(0.0, wait))
        for ready in select.select(list(silent), [], [], max(0.0, wait))[0] if silent else ():
            due[silent[ready]] = time.monotonic() + living[silent[ready]].death.after
        for pid, moment in list(due.items()):
            if time.monotonic() >= moment:
                due[pid] = float("inf")
                os.kill(pid, _SIGNALS[living[pid].death.how])
        for pid, one in list(living.items()):
            if time.monotonic() - one.begun > 60:
                os.kill(pid, signal.SIGKILL)
                raise TimeoutError(f"worker {one.death} does not die")
            if os.waitpid(pid, os.WNOHANG)[0]:
                os.close(one.ready)
                due.pop(pid, None)
                del living[pid]
                tell(one.death, len(waiting))


def _live(death: Death, seed: int, path: Path, told: int) -> None:
    """A worker's life, in the forked child. Never returns."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if death.early and death.how not in _SIGNALS:
            threading.Thread(target=lambda: (time.sleep(death.after), _die(death.how)), daemon=True).start()
        noted = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

        def note(what: str, which: str) -> None:
            os.write(noted, f"{what} {which}\n".encode())

        os.environ["OTEL_RESOURCE_ATTRIBUTES"] = f"torture.worker={death.number}"
        posemon.configure("torture", disabled_instrumentations=("*",), log_format="none")
        work(death.number, random.Random(seed * 1_000_003 + death.number), note)
        os.write(told, b".")
        if death.how in _SIGNALS:
            time.sleep(120)
        time.sleep(death.after)
        _die(death.how)
    finally:
        os._exit(99)


def _die(how: str) -> None:
    if how == "abort":
        os.abort()
    elif how == "os._exit":
        os._exit(7)
    else:
        ctypes.string_at(0)


def work(number: int, drawn: random.Random, note: Note) -> None:
    """Starts threads that generate, trace, log and record events, for as long as the process lives."""
    begun = _open_generation(number, note)
    _note_journalled(begun, note)
    tracer = trace.get_tracer("third.party")
    logger = logging.getLogger("application")

    def generations(which: str) -> None:
        with posemon.generation(which, expected_poses=1, credits_charged=3) as generation:
            with generation.pose(which), posemon.flux_call("flux-dev", provider="bfl", steps=4) as call:
                call.set(image_count=1)
        note("generation", which)

    def spans(which: str) -> None:
        with tracer.start_as_current_span(f"span {which}", attributes={"http.request.method": "GET"}):
            pass
        note("span", f"span {which}")

    def logs(which: str) -> None:
        posemon.worker_logger.info(f"log {which}", pose_count=1)
        note("log", f"log {which}")
        logger.warning("standard %s", which)
        note("log", f"standard {which}")
        posemon.record_event("export_generated", which)
        note("event", which)

    for name, act in (("g", generations), ("s", spans), ("l", logs)):
        threading.Thread(target=_repeat, args=(act, f"{number}-{name}", drawn.random()), daemon=True).start()


def _repeat(act: Callable[[str], None], prefix: str, seed: float) -> None:
    drawn, count = random.Random(seed), 0
    while True:
        for _ in range(drawn.randint(2, 10)):
            act(f"{prefix}-{count}")
            count += 1
        time.sleep(drawn.uniform(0.02, 0.15))


def _open_generation(number: int, note: Note) -> dict[str, int]:
    """Begins a generation, and a pose in it, that the process's death interrupts."""
    which = f"{number}-open"
    generation = posemon.generation(which, expected_poses=2).__enter__()
    generation.pose(f"{which}-pose").__enter__()
    note("begun", which)
    return {which: time.time_ns()}


def _note_journalled(begun: dict[str, int], note: Note) -> None:
    """Notes which of the open operations the journal knows: those that were due when it last wrote late starts."""
    sink: Any = operation.sink()
    write = sink.write_starts

    def write_starts() -> None:
        due = time.time_ns() - LATE_START_NS
        write()
        for which, when in list(begun.items()):
            if when <= due:
                del begun[which]
                note("journalled", which)

    sink.write_starts = write_starts


def main() -> None:
    told = json.loads(sys.argv[1])
    logging.getLogger().addHandler(logging.NullHandler())
    run(
        plan(told["kills"], told["seed"]),
        told["seed"],
        Path(told["notes"]),
        lambda death, left: print(json.dumps({**death._asdict(), "left": left}), flush=True),
    )


if __name__ == "__main__":
    main()
