"""Code around the telemetry that does what code does."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from posemon_otel.semconv import attributes as a
from tests.faults.backend import Backend
from tests.faults.child import POSEMON, Run
from tests.faults.scenario import Measured, Scenario, lines
from tests.receiver import attributes


def _measured(run: Run, name: str) -> Callable[[Any], Any]:
    """What each offers to measure a function."""
    if run.mode == POSEMON:
        import posemon_otel

        return posemon_otel.performance_tracker.measure(name)
    decorate: Callable[[Any], Any] = run.tracer.start_as_current_span(name)
    return decorate


class Generator(Scenario):
    """A generator function that works for 150 ms, decorated"""

    key = "generator"

    def script(self, run: Run) -> None:
        run.set_up()

        @_measured(run, "item stream")
        def stream() -> Iterator[int]:
            for step in range(3):
                time.sleep(0.05)
                yield step

        leaks = [trace.get_current_span().get_span_context().is_valid for _ in stream()]
        run.ended()
        run.tell(leaks=any(leaks))
        run.flush_traces(5.0)

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        found = [(s.end_time_unix_nano - s.start_time_unix_nano) / 1e6 for _, _, s in backend.spans()]
        return {"duration": round(found[0]) if found else None}

    def cell(self, measured: Measured) -> str:
        leaks = "is" if measured["leaks"] else "is not"
        return f"a span of {measured['duration']} ms; it {leaks} current in the consumer"

    def survived(self, measured: Measured) -> list[str]:
        well = not measured["leaks"] and (measured["duration"] or 0) >= 149
        return super().survived(measured) + ([] if well else [self.cell(measured)])


class Cancelled(Scenario):
    """A task that is cancelled, and a `wait_for` that times out around a span"""

    key = "cancelled"

    def script(self, run: Run) -> None:
        run.set_up()

        async def waits() -> None:
            await asyncio.sleep(10)

        async def cancelled() -> None:
            task = asyncio.create_task(_measured(run, "item cancelled")(waits)())
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait([task])

        async def late() -> None:
            await asyncio.wait_for(waits(), 0.05)

        async def both() -> None:
            await cancelled()
            await _measured(run, "item timeout")(late)()

        run.attempt("raised", lambda: asyncio.run(both()))
        run.ended()
        run.ended()
        run.flush_traces(5.0)

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        return {
            span.name.removeprefix("item "): [
                attributes(span.attributes).get(a.OUTCOME),
                ["unset", "OK", "ERROR"][span.status.code],
            ]
            for _, _, span in backend.spans()
        }

    def cell(self, measured: Measured) -> str:
        told = []
        for what in ("cancelled", "timeout"):
            outcome, status = measured.get(what, (None, "no span"))
            told.append(f"{what}: {f'outcome {outcome}, ' if outcome else ''}status {status}")
        return "; ".join(told)

    def survived(self, measured: Measured) -> list[str]:
        well = measured.get("cancelled") == ["cancelled", "unset"] and measured.get("timeout") == ["timeout", "ERROR"]
        return super().survived(measured) + ([] if well else [self.cell(measured)])


class NestedException(Scenario):
    """One exception passes through three measured functions, one around the other"""

    key = "nested-exception"

    def script(self, run: Run) -> None:
        run.set_up()

        @_measured(run, "item inner")
        def inner() -> None:
            raise ValueError("refused")

        middle = _measured(run, "item middle")(inner)
        outer = _measured(run, "item outer")(middle)
        run.attempt("raised", outer)
        for _ in range(3):
            run.ended()
        run.flush_traces(5.0)

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        return {"recorded": sum(event.name == "exception" for _, _, span in backend.spans() for event in span.events)}

    def cell(self, measured: Measured) -> str:
        times = {1: "once", 2: "twice", 3: "three times"}.get(measured["recorded"], f"{measured['recorded']} times")
        return f"recorded {times}"

    def survived(self, measured: Measured) -> list[str]:
        well = measured["raised"] == "ValueError" and measured["recorded"] == 1
        return super().survived(measured) + ([] if well else [self.cell(measured)])


class _Raising(SpanProcessor):
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        raise RuntimeError("of the processor")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("of the processor")


class RaisingProcessor(Scenario):
    """A user's span processor that raises"""

    key = "raising-processor"

    def script(self, run: Run) -> None:
        run.set_up()
        provider: Any = trace.get_tracer_provider()
        provider.add_span_processor(_Raising())

        def act() -> None:
            with run.tracer.start_as_current_span("item"):
                pass

        for _ in range(10):
            run.attempt("raised", act)
            run.ended()
        run.flush_traces(5.0)

    def cell(self, measured: Measured) -> str:
        return f"raised into user code: {measured['raised']}; {super().cell(measured)}"

    def survived(self, measured: Measured) -> list[str]:
        return super().survived(measured) + ([self.cell(measured)] if measured["raised"] != "nothing" else [])


class ConfiguredTwice(Scenario):
    """Set up twice in one process"""

    key = "twice"
    tests = ("tests/delivery/test_pipeline.py::test_configure_twice_is_safe_and_wrong_settings_cost_one_line_each",)

    def script(self, run: Run) -> None:
        run.set_up()
        run.attempt("raised", run.set_up)
        logging.getLogger("application").warning("log once")
        run.items(50)
        run.flush(5.0)

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        return {"logs": sum(record.body.string_value == "log once" for _, _, record in backend.logs())}

    def cell(self, measured: Measured) -> str:
        return (
            f"{super().cell(measured)}, {measured['twice']} twice; one log record arrived {measured['logs']} times;"
            f" {lines(measured['lines'])}"
        )

    def survived(self, measured: Measured) -> list[str]:
        well = measured["raised"] == "nothing" and not measured["twice"] and measured["logs"] == 1
        return super().survived(measured) + ([] if well else [self.cell(measured)])


class WrongEnvironment(Scenario):
    """`OTEL_BSP_MAX_QUEUE_SIZE=0` and `OTEL_METRIC_EXPORT_INTERVAL=often`"""

    key = "wrong-environment"
    tests = ("tests/test_settings.py",)
    environ: ClassVar[dict[str, str]] = {"OTEL_BSP_MAX_QUEUE_SIZE": "0", "OTEL_METRIC_EXPORT_INTERVAL": "often"}

    def script(self, run: Run) -> None:
        run.attempt("raised", run.set_up)
        run.items(10)
        if run.mode == POSEMON:
            run.flush_traces(5.0)

    def cell(self, measured: Measured) -> str:
        raised = "nothing" if measured["raised"] == "nothing" else f"a {measured['raised']}"
        return f"set-up raises {raised}; {super().cell(measured)}; {lines(measured['lines'])}"

    def survived(self, measured: Measured) -> list[str]:
        well = measured["raised"] == "nothing" and 1 <= measured["lines"] <= 2
        return super().survived(measured) + ([] if well else [self.cell(measured) + measured["stderr"]])


SCENARIOS: tuple[type[Scenario], ...] = (
    Generator,
    Cancelled,
    NestedException,
    RaisingProcessor,
    ConfiguredTwice,
    WrongEnvironment,
)
