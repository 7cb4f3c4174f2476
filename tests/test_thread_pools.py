"""What runs in a thread pool belongs to the trace of whoever handed it in, and nothing else of it changes."""

import asyncio
import contextvars
import gc
import inspect
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled, suppress_instrumentation

import posemon_otel as posemon
from posemon_otel import faults, testing, thread_pools

ORIGINAL = ThreadPoolExecutor.submit
OWN: contextvars.ContextVar[str] = contextvars.ContextVar("OWN", default="unset")


@pytest.fixture
def attached() -> Iterator[None]:
    thread_pools.attach()
    yield
    thread_pools.detach()
    assert ThreadPoolExecutor.submit is ORIGINAL


def render(number: int) -> int:
    with posemon.flux_call(f"model {number}", provider="bfl"):
        return number


@pytest.mark.parametrize("sink", ["journal", "direct"])
def test_work_in_a_pool_is_part_of_the_generation(sink: testing.Sink) -> None:
    with testing.capture(sink=sink) as captured, ThreadPoolExecutor(2) as pool:
        with posemon.generation("g1", expected_poses=1) as generation, generation.pose("p1"):
            assert pool.submit(render, 1).result(10) == 1
            assert list(pool.map(render, [2, 3])) == [2, 3]

            async def others() -> None:
                await asyncio.get_running_loop().run_in_executor(None, render, 4)
                await asyncio.get_running_loop().run_in_executor(pool, render, 5)
                await asyncio.to_thread(render, 6)

            asyncio.run(others())
        around = captured.span("pose.render")
        calls = [span for span in captured.spans if span.name.startswith("generate_content")]
    assert [call.name for call in sorted(calls, key=lambda call: call.name)] == [
        f"generate_content model {number}" for number in range(1, 7)
    ]
    for call in calls:
        assert call.parent is not None
        assert call.parent.span_id == around.context.span_id  # type: ignore[union-attr]
        assert call.attributes is not None
        assert call.attributes["pose.generation.id"] == "g1"


def test_a_pool_s_threads_keep_nothing_of_it(attached: None) -> None:
    context = otel_context.set_value("key", "value")
    with ThreadPoolExecutor(1) as pool:
        token = otel_context.attach(context)
        carried = pool.submit(otel_context.get_value, "key")
        otel_context.detach(token)
        assert carried.result(10) == "value"
        assert pool.submit(otel_context.get_value, "key").result(10) is None


def test_the_user_s_context_variables_stay_the_thread_s(attached: None) -> None:
    OWN.set("the caller's")
    token = otel_context.attach(otel_context.set_value("key", "value"))
    try:
        with ThreadPoolExecutor(1, initializer=OWN.set, initargs=("the initializer's",)) as pool:
            assert pool.submit(OWN.get).result(10) == "the initializer's"
            pool.submit(OWN.set, "the task's").result(10)
            assert pool.submit(OWN.get).result(10) == "the task's"
    finally:
        otel_context.detach(token)


def test_suppression_goes_along(attached: None) -> None:
    with ThreadPoolExecutor(1) as pool:
        with suppress_instrumentation():
            inside = pool.submit(is_instrumentation_enabled)
        assert not inside.result(10)
        assert pool.submit(is_instrumentation_enabled).result(10)


def test_results_exceptions_and_the_signature_are_the_original_s(attached: None) -> None:
    assert inspect.signature(ThreadPoolExecutor.submit) == inspect.signature(ORIGINAL)
    token = otel_context.attach(otel_context.set_value("key", "value"))
    mine = KeyError("mine")

    def fail() -> None:
        raise mine

    try:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(dict, function=1, pool=2, fn=3).result(10) == {"function": 1, "pool": 2, "fn": 3}
            with pytest.raises(KeyError) as caught:
                pool.submit(fail).result(10)
            assert caught.value is mine
            with pytest.raises(TypeError, match="not callable"):
                pool.submit(7).result(10)  # type: ignore[arg-type]
        with pytest.raises(RuntimeError, match="cannot schedule new futures"):
            pool.submit(fail)
        with pytest.raises(TypeError):
            ThreadPoolExecutor.submit(pool)  # type: ignore[call-arg]
    finally:
        otel_context.detach(token)


def test_without_a_context_the_function_is_handed_on_as_it_is(attached: None) -> None:
    assert thread_pools.carrying(render) is render
    with trace.use_span(trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)):
        assert thread_pools.carrying(render) is not render


def test_nothing_of_the_caller_lives_on(attached: None) -> None:
    class Held:
        pass

    held = Held()
    weak = weakref.ref(held)
    token = otel_context.attach(otel_context.set_value("held", held))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result(10)
        otel_context.detach(token)
        del held, token
        pool.submit(int).result(10)
        gc.collect()
        assert weak() is None


def test_twice_is_once_and_off_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*thread_pools.NAMES, "*"):
        thread_pools.attach((name, "pillow"))
        assert ThreadPoolExecutor.submit is ORIGINAL
    thread_pools.attach()
    once = ThreadPoolExecutor.submit
    thread_pools.attach()
    assert ThreadPoolExecutor.submit is once

    def wrapping(pool: Any, *args: Any, **kwargs: Any) -> Any:
        return once(pool, *args, **kwargs)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", wrapping)
    thread_pools.detach()
    assert ThreadPoolExecutor.submit is wrapping  # type: ignore[comparison-overlap]
    token = otel_context.attach(otel_context.set_value("key", "value"))
    try:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(otel_context.get_value, "key").result(10) is None, "ours is switched off"
    finally:
        otel_context.detach(token)
    monkeypatch.undo()
    ThreadPoolExecutor.submit = ORIGINAL  # type: ignore[method-assign]
    thread_pools.detach()


def test_a_fault_of_ours_runs_the_function_all_the_same(attached: None, monkeypatch: pytest.MonkeyPatch) -> None:
    faults.strict = False
    monkeypatch.setattr(thread_pools, "carrying", lambda function: 1 / 0)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(int, "7").result(10) == 7
