"""A processor, sampler, id generator or callback of the user's that raises or sleeps: nobody else notices."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

import posemon_otel as posemon
from posemon_otel import faults, testing, timings
from posemon_otel.delivery.provider import TracerProvider
from posemon_otel.events import Happening


class Bad:
    """Raises or sleeps wherever it is called."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.calls = 0

    def misbehave(self) -> None:
        self.calls += 1
        if not self.seconds:
            raise RuntimeError("of the user's own code")
        time.sleep(self.seconds)


class BadProcessor(Bad, sdk.SpanProcessor):
    def on_start(self, span: sdk.Span, parent_context: Context | None = None) -> None:
        self.misbehave()

    def on_end(self, span: sdk.ReadableSpan) -> None:
        self.misbehave()


class BadSampler(Bad, sampling.Sampler):
    def should_sample(self, *arguments: Any, **more: Any) -> sampling.SamplingResult:
        self.misbehave()
        return sampling.SamplingResult(sampling.Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        return "bad"


class BadIds(Bad, RandomIdGenerator):
    def generate_span_id(self) -> int:
        self.misbehave()
        return super().generate_span_id()


def with_processor(make: type[sdk.TracerProvider], bad: Bad) -> sdk.TracerProvider:
    provider = make(shutdown_on_exit=False)
    provider.add_span_processor(bad)  # type: ignore[arg-type]
    return provider


KINDS: dict[str, tuple[type[Bad], Callable[[Any, Any], sdk.TracerProvider]]] = {
    "span processor": (BadProcessor, with_processor),
    "sampler": (BadSampler, lambda make, bad: make(shutdown_on_exit=False, sampler=bad)),
    "id generator": (BadIds, lambda make, bad: make(shutdown_on_exit=False, id_generator=bad)),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def _as_users_have_it() -> Iterator[None]:
    faults.strict = False
    faults.counts.clear()
    yield
    faults.counts.clear()


def work() -> None:
    with posemon.generation("g1", user_id="u1", expected_poses=1) as generation, generation.pose("p1"):
        with posemon.flux_call("flux-dev", provider="bfl"):
            pass
    posemon.record_event("export_generated", "g1")


def counted(captured: testing.Captured) -> dict[str, int]:
    """Generations by status, zeros left out."""
    points = captured.metrics()["pose.generations"]
    return {dict(key)["pose.generation.status"]: int(value) for key, value in points.items() if value}


def heard_of(captured: testing.Captured, happened: list[Happening]) -> list[str]:
    assert captured.pipeline.shipper.flush(10.0)
    return sorted(one.type for one in happened)


@every_kind
@pytest.mark.parametrize(("sink", "make"), [("journal", TracerProvider), ("direct", sdk.TracerProvider)])
def test_one_that_raises_costs_only_what_it_was_asked_for(
    kind: str, sink: testing.Sink, make: type[sdk.TracerProvider]
) -> None:
    cls, provide = KINDS[kind]
    bad = cls()
    happened: list[Happening] = []
    with testing.capture(
        fixed=False, sink=sink, tracer_provider=provide(make, bad), disabled_instrumentations=("*",)
    ) as captured:
        posemon.on_event(happened.append)
        work()
        assert bad.calls >= 3
        assert counted(captured) == {"completed": 1}
        assert heard_of(captured, happened) == ["export_generated", "generation_finished"]
        if sink == "journal":  # the SDK's own provider loses the span that its processor raised for
            spans = {span.name: span for span in captured.spans}
            assert set(spans) == {"pose.generation", "pose.render", "generate_content flux-dev"}
            assert len({span.context.trace_id for span in spans.values() if span.context}) == 1
    assert sum(faults.counts.values()) == bad.calls
    assert all(kind in name if sink == "journal" else "the application's span" in name for name in faults.counts)


@every_kind
def test_a_slow_one_is_measured_and_named_once(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    cls, provide = KINDS[kind]
    bad = cls(seconds=timings.SLOW)
    provider = provide(TracerProvider, bad)
    with (
        testing.capture(
            fixed=False, sink="journal", tracer_provider=provider, disabled_instrumentations=("*",)
        ) as captured,
        caplog.at_level(logging.WARNING, "posemon_otel"),
    ):
        work()
        assert len(captured.spans) == 3
        (found,) = [one for one in timings.slow() if one.name.endswith(cls.__qualname__)]
    assert found.name == f"the {kind} {cls.__module__}.{cls.__qualname__}"
    assert found.calls == bad.calls >= 3
    assert timings.SLOW <= found.slowest <= found.seconds
    assert found in provider.timings()  # type: ignore[attr-defined]
    said = [record.getMessage() for record in caplog.records if "is slow" in record.getMessage()]
    assert [line.partition(" is slow")[0] for line in said] == [found.name]


def test_an_application_s_slow_provider_is_measured_too() -> None:
    bad = BadProcessor(seconds=timings.SLOW)
    with testing.capture(
        fixed=False,
        sink="direct",
        tracer_provider=with_processor(sdk.TracerProvider, bad),
        disabled_instrumentations=("*",),
    ):
        with posemon.flux_call("flux-dev", provider="bfl"):
            pass
        (found,) = [one for one in timings.slow() if one.name.startswith("the application's")]
        assert found.name.endswith("TracerProvider")


@pytest.mark.parametrize("sink", ["journal", "direct"])
def test_a_callback_that_raises_or_sleeps_holds_up_nobody(sink: testing.Sink) -> None:
    happened: list[Happening] = []
    slow, raising = Bad(seconds=0.5), Bad()

    def sleeping(happening: Happening) -> None:
        slow.misbehave()

    def failing(happening: Happening) -> None:
        raising.misbehave()

    with testing.capture(fixed=False, sink=sink, disabled_instrumentations=("*",)) as captured:
        posemon.on_event(sleeping)
        posemon.on_event(failing)
        posemon.on_event(happened.append)
        work()
        assert len(captured.spans) == 3
        assert counted(captured) == {"completed": 1}
        assert slow.calls < 2, "neither the calling thread nor the delivery waits for a callback"
        assert captured.pipeline.shipper.flush(0.1, ("events",)) is False, "and a flush tells the truth"
        assert heard_of(captured, happened) == ["export_generated", "generation_finished"]
        named = {one.name.rpartition(".")[2]: one for one in timings.everything() if "on_event" in one.name}
    assert slow.calls == raising.calls == named["failing"].faults == 2
    assert named["sleeping"].slowest >= 0.5
