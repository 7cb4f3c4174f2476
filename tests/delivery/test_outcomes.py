"""Generators, cancelled tasks, timeouts and exits through both sinks: outcome and duration are right, nothing leaks."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import posemon_otel as posemon
from posemon_otel import testing


@pytest.fixture(params=["journal", "direct"])
def captured(request: pytest.FixtureRequest) -> Iterator[testing.Captured]:
    with testing.capture(sink=request.param, disabled_instrumentations=("*",)) as captured:
        yield captured


def outcome(captured: testing.Captured, name: str) -> tuple[str, float, StatusCode]:
    """Outcome, seconds and status of a span."""
    span = captured.span(name)
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.attributes is not None
    return str(span.attributes["pose.outcome"]), (span.end_time - span.start_time) / 1e9, span.status.status_code


def tick(captured: testing.Captured, seconds: float) -> None:
    assert captured.clock is not None
    captured.clock.tick(seconds)


def nothing_current() -> bool:
    return trace.get_current_span() is trace.INVALID_SPAN


@pytest.mark.parametrize("end", ["exhausted", "closed", "collected", "broken off"])
def test_a_generator_lasts_as_long_as_it_is_consumed(captured: testing.Captured, end: str) -> None:
    @posemon.performance_tracker.measure("stream")
    def stream() -> Iterator[int]:
        for number in range(3):
            tick(captured, 0.05)
            with posemon.flux_call(f"part {number}", provider="bfl"):
                pass
            yield number

    running = stream()
    got = []
    for number in running:
        assert nothing_current(), "the consumer is not in the generator's context"
        got.append(number)
        if end != "exhausted" and number == 1:
            break
    if end == "closed":
        running.close()  # type: ignore[attr-defined]
    elif end == "broken off":
        with pytest.raises(ValueError, match="the consumer's"):
            running.throw(ValueError("the consumer's"))  # type: ignore[attr-defined]
    del running
    gc.collect()
    assert nothing_current()
    found, seconds, status = outcome(captured, "stream")
    assert found == ("error" if end == "broken off" else "ok")
    assert seconds == pytest.approx(0.05 * len(got))
    assert (status is StatusCode.ERROR) is (end == "broken off")
    parent = captured.span("generate_content part 1").parent
    assert parent is not None
    assert parent.span_id == captured.span("stream").context.span_id  # type: ignore[union-attr]


async def test_an_async_generator_too(captured: testing.Captured) -> None:
    @posemon.performance_tracker.measure("stream")
    async def stream() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0)
            tick(captured, 0.05)
            yield number

    async for _ in stream():
        assert nothing_current()
    assert nothing_current()
    assert outcome(captured, "stream") == ("ok", pytest.approx(0.15), StatusCode.UNSET)


async def test_a_cancelled_task(captured: testing.Captured) -> None:
    entered = asyncio.Event()

    async def work() -> None:
        with posemon.generation("g1", expected_poses=1) as generation, generation.pose("p1"):
            with posemon.flux_call("flux-dev", provider="bfl"):
                tick(captured, 0.25)
                entered.set()
                await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for name in ("generate_content flux-dev", "pose.render", "pose.generation"):
        assert outcome(captured, name) == ("cancelled", pytest.approx(0.25), StatusCode.UNSET), name
    assert nothing_current()


async def test_a_timeout_around_a_call(captured: testing.Captured) -> None:
    async def call() -> None:
        with posemon.flux_call("flux-dev", provider="bfl"):
            tick(captured, 0.25)
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError), posemon.performance_tracker.measure("around"):
        await asyncio.wait_for(call(), 0.02)
    assert outcome(captured, "generate_content flux-dev") == ("cancelled", pytest.approx(0.25), StatusCode.UNSET)
    assert outcome(captured, "around") == ("timeout", pytest.approx(0.25), StatusCode.ERROR)


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_an_exit_is_no_failure(captured: testing.Captured, raised: type[BaseException]) -> None:
    with pytest.raises(raised), posemon.generation("g1", expected_poses=1) as generation:
        with generation.pose("p1"), posemon.flux_call("flux-dev", provider="bfl"):
            tick(captured, 0.5)
            raise raised
    for name in ("generate_content flux-dev", "pose.render", "pose.generation"):
        assert outcome(captured, name) == ("cancelled", pytest.approx(0.5), StatusCode.UNSET), name
        assert not captured.span(name).events
    errors = captured.metrics()["pose.errors"]
    assert set(errors.values()) == {0}


def test_one_exception_through_three_is_recorded_once(captured: testing.Captured) -> None:
    with pytest.raises(ConnectionError), posemon.generation("g1", expected_poses=1) as generation:
        with generation.pose("p1"), posemon.flux_call("flux-dev", provider="bfl"):
            raise ConnectionError("refused")
    assert [len(span.events) for span in captured.spans] == [1, 0, 0]
    assert sum(captured.metrics()["pose.errors"].values()) == 1
    assert len([log for log in captured.logs if log.log_record.event_name == "exception"]) == 1
