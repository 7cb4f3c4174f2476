"""Faults of the backend."""

import re
import subprocess
import time
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from tests.faults.backend import ACCEPTS, HANGS, UNAVAILABLE, Answer, Backend, Behaviour, accepts
from tests.faults.child import Run
from tests.faults.scenario import Measured, Scenario, lines, plainly, wait_for

EXIT_BUDGET, SLACK = 5.0, 1.5
_TOO_LARGE = 20 * 1024


class _Outage(Scenario):
    restarts = True
    per_second = 20
    outage = 40.0

    @property
    def seconds(self) -> float:
        return 3.0 if self.brief else self.outage

    def script(self, run: Run) -> None:
        run.set_up()
        began = time.monotonic()
        for number in range(int((self.seconds + 1.0) * self.per_second)):
            time.sleep(max(0.0, began + number / self.per_second - time.monotonic()))
            run.item()

    def cell(self, measured: Measured) -> str:
        return f"{super().cell(measured)}; {lines(measured['lines'])}"

    def survived(self, measured: Measured) -> list[str]:
        said = measured["lines"]
        return super().survived(measured) + ([f"{said} lines on stderr: {measured['stderr']}"] if said > 6 else [])


class Down(_Outage):
    """Backend down for 60 s at 600 spans/s, the volume of 1 h at 10, then back"""

    key = "down"
    listening = False
    per_second = 600
    outage = 60.0
    tests = (
        "tests/delivery/test_pipeline.py::test_flush_is_false_while_the_receiver_is_down_and_nothing_is_lost",
        "tests/real/test_volume.py::test_an_hour_of_outage_loses_nothing",
    )

    def drive(self, backend: Backend, process: "subprocess.Popen[str]") -> None:
        wait_for(process, self.seconds)
        backend.up()


class Unavailable(_Outage):
    """Backend answers 503 for 40 s at 20 spans/s, then 200"""

    key = "unavailable"

    def behaviour(self) -> Behaviour:
        return lambda _path, _body: UNAVAILABLE

    def drive(self, backend: Backend, process: "subprocess.Popen[str]") -> None:
        wait_for(process, self.seconds)
        backend.behave(accepts)


class NeverAnswers(Scenario):
    """Backend accepts connections and never answers: 200 spans, `force_flush` of 1 s, exit, next start"""

    key = "never-answers"
    tests = ("tests/delivery/test_pipeline.py::test_exit_keeps_its_budget_and_the_next_start_sends_the_rest[hangs]",)
    restarts = True

    def behaviour(self) -> Behaviour:
        return lambda _path, _body: HANGS

    def script(self, run: Run) -> None:
        run.set_up()
        run.items(200)
        run.flush_traces(1.0)

    def cell(self, measured: Measured) -> str:
        return (
            f"flush took {plainly(measured['flush'])} and said {measured['said']}; exit took"
            f" {plainly(measured['exit'])}; {super().cell(measured)}"
        )

    def survived(self, measured: Measured) -> list[str]:
        problems = super().survived(measured)
        if measured["flush"] > 1.0 + SLACK or measured["said"]:
            problems.append(f"flush took {measured['flush']} s and said {measured['said']}")
        if measured["exit"] > EXIT_BUDGET + SLACK:
            problems.append(f"exit took {measured['exit']} s")
        return problems


class RefusedAtExit(Scenario):
    """Backend refuses at exit with 3,000 spans waiting; next start"""

    key = "refused-at-exit"
    tests = ("tests/delivery/test_pipeline.py::test_exit_keeps_its_budget_and_the_next_start_sends_the_rest[refuses]",)
    restarts = True
    listening = False

    def script(self, run: Run) -> None:
        run.set_up()
        run.items(3000)

    def cell(self, measured: Measured) -> str:
        return f"exit took {plainly(measured['exit'])}; {super().cell(measured)}"

    def survived(self, measured: Measured) -> list[str]:
        late = measured["exit"] > EXIT_BUDGET + SLACK
        return super().survived(measured) + ([f"exit took {measured['exit']} s"] if late else [])


class Poison(Scenario):
    """Backend answers 400 for every batch that holds one bad span; 200 good neighbours"""

    key = "poison"

    def behaviour(self) -> Behaviour:
        return lambda _path, body: Answer(400, taken=False) if b"poison" in body else ACCEPTS

    def script(self, run: Run) -> None:
        run.set_up()
        run.items(100)
        with run.tracer.start_as_current_span("poison"):
            pass
        run.items(100)
        run.flush_traces(4.0)


class TooLarge(Scenario):
    """Backend answers 413 for batches over 20 KiB; 200 spans of 400 bytes"""

    key = "too-large"

    def behaviour(self) -> Behaviour:
        return lambda _path, body: Answer(413, taken=False) if len(body) > _TOO_LARGE else ACCEPTS

    def script(self, run: Run) -> None:
        run.set_up()
        for _ in range(200):
            run.item(note="x" * 300)
        run.flush_traces(6.0)


class PartialSuccess(Scenario):
    """Backend answers 200 and rejects 7 of 50 spans in `partial_success`"""

    key = "partial-success"

    def behaviour(self) -> Behaviour:
        rejected = ExportTracePartialSuccess(rejected_spans=7, error_message="over quota")
        body = ExportTraceServiceResponse(partial_success=rejected).SerializeToString()
        told: list[str] = []

        def behave(path: str, _body: bytes) -> Answer:
            if path != "/v1/traces" or told:
                return ACCEPTS
            told.append(path)
            return Answer(200, body, {"content-type": "application/x-protobuf"})

        return behave

    def script(self, run: Run) -> None:
        run.set_up()
        run.items(50)
        run.flush_traces(4.0)
        run.flush(4.0)

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        told = re.findall(r".*(?:reject|partial).*", measured["stderr"], re.IGNORECASE)
        return {
            "counted": int(backend.total("posemon.telemetry.dropped", signal="traces", reason="rejected")),
            "told": len(told),
        }

    def cell(self, measured: Measured) -> str:
        return f"{measured['counted']} counted as dropped; {measured['told'] or 'no'} line says so"

    def survived(self, measured: Measured) -> list[str]:
        if measured["counted"] != 7 or measured["told"] != 1:
            return [f"counted {measured['counted']}, told in {measured['told']} lines"]
        return []


class LostReplies(Scenario):
    """Backend takes the first three batches and hangs up without a reply"""

    key = "lost-replies"
    restarts = True

    def behaviour(self) -> Behaviour:
        seen: list[str] = []

        def behave(path: str, _body: bytes) -> Answer:
            seen.append(path)
            return Answer(sent=False) if seen.count(path) <= 3 else ACCEPTS

        return behave

    def script(self, run: Run) -> None:
        run.set_up()
        run.items(200)
        run.flush_traces(8.0)

    def cell(self, measured: Measured) -> str:
        return f"{super().cell(measured)}, each {1 + measured['twice'] // max(1, measured['arrived'])} times"


class RetryAfter(Scenario):
    """Backend answers 503 with `Retry-After: 3`"""

    key = "retry-after"
    restarts = True

    def behaviour(self) -> Behaviour:
        self._asked: list[float] = []

        def behave(path: str, _body: bytes) -> Answer:
            if path != "/v1/traces":
                return ACCEPTS
            self._asked.append(time.monotonic())
            return Answer(503, headers={"retry-after": "3"}, taken=False) if len(self._asked) == 1 else ACCEPTS

        return behave

    def script(self, run: Run) -> None:
        run.set_up()
        run.items(50)
        run.flush_traces(0.2)
        time.sleep(5.5)

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        return {"waited": round(self._asked[1] - self._asked[0], 2) if len(self._asked) > 1 else None}

    def cell(self, measured: Measured) -> str:
        asked = "not asked again" if measured["waited"] is None else f"asked again after {plainly(measured['waited'])}"
        return f"{asked}; {super().cell(measured)}"

    def survived(self, measured: Measured) -> list[str]:
        waited = measured["waited"]
        early = waited is None or waited < 2.5
        return super().survived(measured) + ([f"asked again after {waited} s"] if early else [])


SCENARIOS: tuple[type[Scenario], ...] = (
    Down,
    Unavailable,
    NeverAnswers,
    RefusedAtExit,
    Poison,
    TooLarge,
    PartialSuccess,
    RetryAfter,
    LostReplies,
)
