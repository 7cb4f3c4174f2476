"""The interpreter ends within the budget in every state of the backend, and what was not delivered stays on disk."""

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from posemon_otel.journal import journals
from tests.backends import BACKENDS, OK, Reply, free_port

BUDGET = 1.0
SLACK = 1.5  # the interpreter's own end; without a budget it would be 30 s and more
TRIES = 4  # a busy machine may be too slow for it, but not each time
SCRIPT = """
import time
import posemon_otel as posemon
from posemon_otel import faults
faults.strict = True
handle = posemon.configure("worker", disabled_instrumentations=("*",), log_format="none")
with posemon.generation("g1"):
    pass
posemon.worker_logger.info("before the end")
handle.force_flush(0.3)  # so that requests are under way when it ends
print(time.monotonic(), flush=True)
"""


def start(folder: Path, url: str, protocol: str) -> "subprocess.Popen[str]":
    env = {
        "PATH": "",
        "POSEMON_JOURNAL_DIR": str(folder),
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "POSEMON_EXIT_BUDGET": str(BUDGET),
        "POSEMON_SHIP_INTERVAL": "0.05",
    }
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def seconds_to_end(child: "subprocess.Popen[str]") -> tuple[float, str]:
    """How long it took from its last line to its end; what it said on standard error."""
    with child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            _, errors = child.communicate(timeout=60)
            ended = time.monotonic()
        finally:
            child.kill()
    assert child.returncode == 0, errors
    return ended - float(line), errors


STATES = {
    "answers": OK,
    "503": Reply(503),
    "asks for an hour": Reply(503, retry_after="3600"),
    "hangs": Reply(hang=True),
    "drips": Reply(drip=True),
}


CASES = [(state, kind) for state in (*STATES, "refuses", "does not accept") for kind in BACKENDS]
CASES.remove(("drips", "grpc"))  # an HTTP reply drips


class Ended(NamedTuple):
    seconds: float
    lines: list[str]
    left: int
    names: list[str]


def run(folder: Path, state: str, kind: str) -> Ended:
    with ExitStack() as stack:
        backend = None
        if state in STATES:
            backend = stack.enter_context(BACKENDS[kind]())
            backend.answer = lambda _signal, _message: STATES[state]
            url = backend.url
        elif state == "refuses":
            url = f"http://127.0.0.1:{free_port()}"
        else:
            silent = stack.enter_context(socket.socket())
            silent.bind(("127.0.0.1", 0))
            silent.listen(1)
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        seconds, errors = seconds_to_end(start(folder, url, BACKENDS[kind].protocol))
        left = [journal for journal in journals(folder / "worker") if not journal.passed(["traces", "logs"])]
        names = [span.name for span in backend.spans()] if backend is not None else []
        return Ended(seconds, [line for line in errors.splitlines() if line], len(left), names)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """All of them, four at a time: most of it is waiting."""
    with ThreadPoolExecutor(4) as pool:
        runs = {case: pool.submit(run, tmp_path_factory.mktemp("exit"), *case) for case in CASES}
        return {case: run.result() for case, run in runs.items()}


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_exit_keeps_its_budget(ended, case, tmp_path):
    how = ended[case]
    for number in range(1, TRIES):
        if how.seconds >= BUDGET + SLACK:
            how = run(tmp_path / str(number), *case)
    assert how.seconds < BUDGET + SLACK
    if case[0] == "answers":
        assert (how.left, how.names, how.lines) == (0, ["pose.generation"], [])
    else:
        assert (how.left, how.names) == (1, [])
        assert len(how.lines) <= 1  # none where no request had failed yet
        assert all("cannot be delivered" in line for line in how.lines)
