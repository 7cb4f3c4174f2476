"""One fault, as a script that is run in a process of its own, on the stock SDK and on posemon_otel, and measured."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from tests.faults.backend import Backend, Behaviour, accepts
from tests.faults.child import BRIEF, NEXT_START, POSEMON, Run

ROOT = Path(__file__).parents[2]
_PATIENCE = {True: 90.0, False: 150.0}
"""Seconds that a process may take altogether: ours, and the stock SDK's."""


class Measured(dict[str, Any]):
    """What was measured.

    ``ended``: spans that had ended; ``arrived``: those of them that the backend has in the end; ``twice``: how many it
    has more than once; ``exit``: seconds from the script's last line to the end of the process; ``code``: its exit
    code; ``lines``: lines on stderr; and what the script and ``look`` tell.
    """


class Scenario:
    """A fault. Subclasses say what happens; their docstring is the fault's name in the table.

    Attributes:
        key: Name in commands and test ids.
        tests: Further tests of ours that provoke the fault, beside the one of this table.
        environ: Environment of both modes.
        restarts: Whether the service is started again afterwards, as a supervisor would, with the backend well.
        listening: Whether the backend listens from the start.
    """

    key: ClassVar[str]
    tests: ClassVar[tuple[str, ...]] = ()
    environ: ClassVar[dict[str, str]] = {}
    restarts: ClassVar[bool] = False
    listening: ClassVar[bool] = True

    def __init__(self, *, brief: bool = False) -> None:
        """Makes it.

        Args:
            brief: Whether long outages are shortened, for tests.
        """
        self.brief = brief

    @property
    def fault(self) -> str:
        """The fault in the words of the table."""
        return " ".join((type(self).__doc__ or "").split()).rstrip(".")

    @property
    def own_test(self) -> str:
        return f"tests/real/test_faults.py::test_is_survived[{self.key}]"

    @classmethod
    def impossible(cls) -> str:
        """Why this machine cannot provoke the fault; empty where it can."""
        return ""

    def behaviour(self) -> Behaviour:
        """How the backend behaves at first."""
        return accepts

    def prepare(self, folder: Path, stack: contextlib.ExitStack) -> dict[str, str]:
        """Prepares the machine; returns more environment."""
        return {}

    def script(self, run: Run) -> None:
        """What the process does."""
        run.set_up()

    def drive(self, backend: Backend, process: "subprocess.Popen[str]") -> None:
        """What happens outside of the process meanwhile."""

    def complete(self, backend: Backend, ended: int) -> bool:
        """Whether everything has arrived that the next start of the service is to send."""
        return len(backend.items()) >= ended

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        """More facts, from what the backend has."""
        return {}

    def survived(self, measured: Measured) -> list[str]:
        """What posemon_otel did not keep of its promise; nothing where all is well."""
        problems = []
        if measured["arrived"] < measured["ended"]:
            problems.append(f"{measured['arrived']} of {measured['ended']} spans arrived")
        return problems

    def cell(self, measured: Measured) -> str:
        """The measurement in the words of the table."""
        return f"{measured['arrived']} of {measured['ended']} spans arrived"


def measure(scenario: Scenario, mode: str) -> Measured:
    """Runs a scenario in one mode.

    Raises:
        subprocess.TimeoutExpired: The process did not end.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="posemon-fault-")))
        backend = stack.enter_context(Backend(scenario.behaviour()))
        environ = {
            "PATH": "",
            "PYTHONPATH": str(ROOT),
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "POSEMON_JOURNAL_DIR": str(folder / "journal"),
            BRIEF: str(int(scenario.brief)),
            **scenario.environ,
        }
        environ |= scenario.prepare(folder, stack)
        if scenario.listening:
            backend.up()
        measured = Measured(ended=0, arrived=0)
        with (folder / "stderr").open("w+") as errors:
            process = _start(scenario.key, mode, folder, environ, errors)
            stack.callback(_end, process)
            scenario.drive(backend, process)
            code = process.wait(_PATIENCE[mode == POSEMON])
            measured["code"] = code
            over = time.monotonic()
        measured["lines"] = len((folder / "stderr").read_text(errors="replace").splitlines())
        measured["stderr"] = (folder / "stderr").read_text(errors="replace")[-3000:]
        facts = folder / "facts"
        for line in facts.read_text().splitlines() if facts.exists() else ():
            measured.update(json.loads(line))
        measured["exit"] = round(over - measured.pop("left", over), 2)
        ended = folder / "ended"
        measured["ended"] = ended.read_text().count(".") if ended.exists() else 0
        if scenario.restarts:
            if not scenario.listening and backend._server is None:
                backend.up()
            backend.behave(accepts)
            _start_again(mode, folder, environ, lambda: scenario.complete(backend, measured["ended"]))
        items = backend.items()
        measured["arrived"], measured["twice"] = len(items), items.total() - len(items)
        measured.update(scenario.look(backend, folder, measured))
        return measured


def _start(name: str, mode: str, folder: Path, environ: dict[str, str], errors: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.child", name, mode, str(folder)],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.PIPE,
        stderr=errors,
        text=True,
    )


def _start_again(mode: str, folder: Path, environ: dict[str, str], complete: Callable[[], bool]) -> None:
    """The next start of the service, which lives until what is missing has come, or a while."""
    process = _start(NEXT_START, mode, folder, environ, subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + (30 if mode == POSEMON else 3)
        while time.monotonic() < deadline and not complete():
            time.sleep(0.1)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)
    finally:
        _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def wait_for(process: "subprocess.Popen[str]", seconds: float) -> None:
    """Lets time pass, for as long as the process lives."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def lines(count: int) -> str:
    """Lines on stderr for people."""
    return f"{count} line{'' if count == 1 else 's'} on stderr"


def plainly(seconds: float) -> str:
    """Seconds for people."""
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"
