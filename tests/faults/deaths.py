"""Deaths and births of processes, and the disk."""

import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from posemon_otel.semconv import attributes as a
from tests.faults.backend import Backend
from tests.faults.child import POSEMON, Run
from tests.faults.scenario import Measured, Scenario
from tests.receiver import attributes


class _Death(Scenario):
    restarts = True
    expected = -9

    def script(self, run: Run) -> None:
        run.set_up()
        # A generation that is running: with the SDK alone, a span that its author has named so.
        if run.mode == POSEMON:
            import posemon_otel

            generation: Any = posemon_otel.generation("open", expected_poses=1)
        else:
            generation = run.tracer.start_as_current_span("pose.generation")
        with generation:
            run.items(258, 0.005 if run.brief else 0.025)
            time.sleep(0.6)
            run.tell(left=time.monotonic())
            self.die()

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def complete(self, backend: Backend, ended: int) -> bool:
        return super().complete(backend, ended) and "pose.generation" in backend.names()

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        outcomes = [
            attributes(s.attributes).get(a.OUTCOME) for _, _, s in backend.spans() if s.name == "pose.generation"
        ]
        return {"open": outcomes[0] if outcomes else None}

    def cell(self, measured: Measured) -> str:
        return f"{super().cell(measured)}; the open one: {measured['open'] or 'lost'}"

    def survived(self, measured: Measured) -> list[str]:
        problems = super().survived(measured)
        if measured["open"] != "interrupted":
            problems.append(f"the open generation: {measured['open']}")
        if measured["code"] != self.expected:
            problems.append(f"the process ended with {measured['code']}")
        return problems


class Killed(_Death):
    """SIGKILL after 258 spans at 40 a second"""

    key = "sigkill"
    tests = ("tests/delivery/test_pipeline.py::test_a_killed_process_loses_no_ended_span_and_its_counts",)


class Terminated(_Death):
    """SIGTERM without a handler, likewise"""

    key = "sigterm"
    expected = -15

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)


class Crashed(_Death):
    """Segmentation fault, likewise"""

    key = "segfault"
    expected = -11

    def die(self) -> None:
        ctypes.string_at(0)


class Left(_Death):
    """`os._exit`, likewise"""

    key = "os-exit"
    expected = 3

    def die(self) -> None:
        os._exit(3)


class Multiprocessing(Scenario):
    """Four `multiprocessing` children (fork) with 50 spans each"""

    key = "multiprocessing"
    restarts = True

    def script(self, run: Run) -> None:
        run.set_up()
        children = [multiprocessing.get_context("fork").Process(target=run.items, args=(50,)) for _ in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join(20)


class ForkWhileExporting(Scenario):
    """Forking 20 children while spans are exported; each makes 5 and ends by `os._exit`"""

    key = "fork-while-exporting"
    tests = ("tests/delivery/test_pipeline.py::test_a_forked_child_has_a_journal_threads_and_counts_of_its_own",)
    restarts = True
    environ: ClassVar[dict[str, str]] = {"OTEL_BSP_SCHEDULE_DELAY": "50", "POSEMON_SHIP_INTERVAL": "0.05"}

    def script(self, run: Run) -> None:
        run.set_up()
        done = threading.Event()

        def work() -> None:
            while not done.is_set():
                run.items(20)
                time.sleep(0.005)

        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(20):
            time.sleep(0.05)
            pid = os.fork()
            if pid == 0:
                run.forked()
                run.items(5)
                os._exit(0)
            os.waitpid(pid, 0)
        done.set()
        thread.join(10)


def _mount(folder: Path) -> bool:
    """Mounts a file system of 1 MiB there."""
    command = ["/bin/mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0
    except OSError:
        return False


def _unmount(folder: Path) -> None:
    subprocess.run(["/bin/umount", "-l", str(folder)], check=False, timeout=10)


class DiskFull(Scenario):
    """The disk is full for 100 of 300 spans (stock: the SDK's OTLP JSON file exporter)"""

    key = "disk-full"
    restarts = True

    @classmethod
    def impossible(cls) -> str:
        with tempfile.TemporaryDirectory() as folder:
            if not _mount(Path(folder)):
                return "mounting a small tmpfs needs the rights of root"
            _unmount(Path(folder))
        return ""

    def prepare(self, folder: Path, stack: contextlib.ExitStack) -> dict[str, str]:
        small = folder / "small"
        small.mkdir()
        assert _mount(small)
        stack.callback(_unmount, small)
        return {"POSEMON_JOURNAL_DIR": str(small / "journal"), "FAULTS_TRACES_FILE": str(small / "traces.jsonl")}

    def script(self, run: Run) -> None:
        run.set_up()
        run.attempt("before", lambda: run.items(100))
        run.flush_traces(3.0)
        filler = run.folder / "small" / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 512)
        run.attempt("full", lambda: run.items(100))
        run.flush_traces(3.0)
        filler.unlink()
        run.attempt("again", lambda: run.items(100))
        run.flush_traces(3.0)

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        file = folder / "small" / "traces.jsonl"
        if not file.exists():
            return {}
        names = set()
        for line in file.read_text().splitlines():
            with contextlib.suppress(ValueError):
                for resource in json.loads(line)["resourceSpans"]:
                    names |= {span["name"] for scope in resource["scopeSpans"] for span in scope["spans"]}
        return {"arrived": len(names)}

    def survived(self, measured: Measured) -> list[str]:
        raised = {measured[when] for when in ("before", "full", "again")} - {"nothing"}
        return super().survived(measured) + ([f"raised {raised}"] if raised else [])


SCENARIOS: tuple[type[Scenario], ...] = (
    Killed,
    Terminated,
    Crashed,
    Left,
    Multiprocessing,
    ForkWhileExporting,
    DiskFull,
)
