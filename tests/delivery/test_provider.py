"""The provider in the SDK's place: samplers, ids, scopes, processors, forks, decorators, metrics."""

import asyncio
import gc
import inspect
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Link, SpanContext, TraceFlags, TraceState

from posemon_otel import faults
from posemon_otel.delivery.provider import TracerProvider
from posemon_otel.delivery.span import Span
from posemon_otel.entries import scopes
from tests.delivery.side_by_side import FixedIds, Time, of_ours, of_sdk


def make(**given: Any) -> tuple[TracerProvider, InMemorySpanExporter]:
    provider, exporter = TracerProvider(shutdown_on_exit=False, **given), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def names(exporter: InMemorySpanExporter) -> list[str]:
    return [span.name for span in exporter.get_finished_spans()]


# Sampling ------------------------------------------------------------------------------------------------------------


class Recorder(sampling.Sampler):
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self, decision: sampling.Decision) -> None:
        self.decision = decision
        self.asked: list[tuple[Any, ...]] = []

    def should_sample(self, *asked: Any, **more: Any) -> sampling.SamplingResult:
        self.asked.append(asked)
        return sampling.SamplingResult(self.decision, {"sampler.key": 1}, TraceState([("sampler", "state")]))

    def get_description(self) -> str:
        return "recorder"


@pytest.mark.parametrize("decision", sampling.Decision)
def test_a_sampler_is_asked_and_obeyed(decision: sampling.Decision, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    flags: list[tuple[int, TraceState]] = []
    links = [Link(SpanContext(1, 2, is_remote=True))]

    def play(tracer: trace_api.Tracer, clock: Time) -> None:
        context = context_api.set_value("key", "value")
        span = tracer.start_span("asked", context, trace_api.SpanKind.CLIENT, {"a": 1}, links, record_exception=False)
        with trace_api.use_span(span, end_on_exit=True):
            tracer.start_span("child").end()
        sampler = tracer.sampler  # type: ignore[attr-defined]
        asked.append(sampler.asked)
        flags.append((span.get_span_context().trace_flags, span.get_span_context().trace_state))

    sampler: Callable[[], sampling.Sampler] = lambda: Recorder(decision)  # noqa: E731
    assert of_ours(play, sampler=sampler) == of_sdk(monkeypatch, play, sampler=sampler)
    assert asked[0] == asked[1]
    assert asked[0][0][0] == {"key": "value"}
    assert flags[0] == flags[1]


@pytest.mark.parametrize(
    "sampler",
    [
        sampling.ALWAYS_ON,
        sampling.ALWAYS_OFF,
        sampling.DEFAULT_ON,
        sampling.DEFAULT_OFF,
        sampling.TraceIdRatioBased(0.5),
        sampling.ParentBased(sampling.ALWAYS_ON, local_parent_sampled=sampling.ALWAYS_OFF),
    ],
)
def test_samplers_of_the_sdk(sampler: sampling.Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts: list[list[Any]] = []

    def play(tracer: trace_api.Tracer, clock: Time) -> None:
        contexts.append([])
        for flags in (None, 0, 1, 2, 3):
            remote = SpanContext(9, 8, is_remote=True, trace_flags=TraceFlags(flags or 0))
            around = Context() if flags is None else trace_api.set_span_in_context(trace_api.NonRecordingSpan(remote))
            for _ in range(3):
                span = tracer.start_span("sampled?", around, attributes={"a": 1})
                with trace_api.use_span(span, end_on_exit=True), tracer.start_as_current_span("child") as child:
                    pass
                contexts[-1].append((span.get_span_context(), span.is_recording(), child.get_span_context()))

    given = {"sampler": lambda: sampler}
    assert of_ours(play, **given) == of_sdk(monkeypatch, play, **given)
    assert contexts[0] == contexts[1]


@pytest.mark.parametrize("name", ["always_off", "parentbased_traceidratio", "nonsense"])
def test_the_sampler_of_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    kept = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("s").is_recording()
    assert kept is (name == "nonsense")


def test_a_sampler_that_fails_leaves_it_to_the_parent() -> None:
    faults.strict = False

    class Failing(Recorder):
        def should_sample(self, *asked: Any, **more: Any) -> Any:
            if self.asked.append(asked) or len(self.asked) % 2:
                raise RuntimeError
            return None

    provider, exporter = make(sampler=Failing(sampling.Decision.DROP))
    tracer = provider.get_tracer("t")
    for _ in range(2):
        tracer.start_span("root", attributes={"a": 1}).end()
        for flags in (0, 1):
            remote = trace_api.NonRecordingSpan(SpanContext(9, 8, is_remote=True, trace_flags=TraceFlags(flags)))
            tracer.start_span(f"child of {flags}", trace_api.set_span_in_context(remote)).end()
    assert names(exporter) == ["root", "child of 1"] * 2
    assert exporter.get_finished_spans()[0].attributes == {"a": 1}


def test_suppressed_instrumentation_is_left_to_instrumentations(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(tracer: trace_api.Tracer, clock: Time) -> None:
        with suppress_instrumentation():
            tracer.start_span("by hand").end()

    assert len(of_sdk(monkeypatch, play)) == 1
    assert of_ours(play) == of_sdk(monkeypatch, play)


# Ids -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("random", [True, False])
def test_the_users_id_generator(random: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(tracer: trace_api.Tracer, clock: Time) -> None:
        with tracer.start_as_current_span("root"):
            tracer.start_span("child").end()

    given = {"id_generator": lambda: FixedIds(random)}
    spans = of_ours(play, **given)
    assert spans == of_sdk(monkeypatch, play, **given)
    assert [span["context"][2] for span in spans] == [3 if random else 1] * 2


@pytest.mark.parametrize("made", [None, 0, -1, 1 << 128, "7", RuntimeError])
def test_an_id_generator_that_fails_is_replaced(made: Any) -> None:
    faults.strict = False

    class Failing(IdGenerator):
        def generate_span_id(self) -> int:
            if made is RuntimeError:
                raise made
            return made

        generate_trace_id = generate_span_id

    provider, exporter = make(id_generator=Failing())
    with provider.get_tracer("t").start_as_current_span("root"):
        provider.get_tracer("t").start_span("child").end()
    child, root = exporter.get_finished_spans()
    assert root.context.is_valid
    assert child.context.is_valid
    assert child.parent == root.context


# Scopes --------------------------------------------------------------------------------------------------------------


def test_the_same_tracer_for_the_same_scope() -> None:
    provider, _ = make()
    one = provider.get_tracer("name", "1", "https://schema", {"a": 1})
    assert provider.get_tracer("name", "1", "https://schema", {"a": 1}) is one
    others = [
        provider.get_tracer("name", "1", "https://schema", {"a": 2}),
        provider.get_tracer("name", "1", "https://schema"),
        provider.get_tracer("name", "1"),
        provider.get_tracer("name", "2"),
        provider.get_tracer("other"),
    ]
    assert len({id(tracer) for tracer in [one, *others]}) == 6
    assert provider.get_tracer("name", None) is provider.get_tracer("name", "")
    number = one.number  # type: ignore[attr-defined]
    assert scopes[number] == ("name", "1", "https://schema", {"a": 1})


def test_a_missing_name_is_an_error_line(caplog: pytest.LogCaptureFixture) -> None:
    span = make()[0].get_tracer(None).start_span("s")  # type: ignore[arg-type]
    assert span.instrumentation_scope.name == ""  # type: ignore[attr-defined]
    assert "missing module name" in caplog.text


@pytest.mark.parametrize("value", ["true", " TRUE ", "false", ""])
def test_the_sdk_switched_off(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", value)
    recording = [
        kind(shutdown_on_exit=False).get_tracer("t").start_span("s").is_recording()
        for kind in (sdk.TracerProvider, TracerProvider)
    ]
    assert recording == ["true" not in value.lower()] * 2


def test_a_configurator_switches_a_tracer_off() -> None:
    class Off:
        is_enabled = False

    provider = TracerProvider(shutdown_on_exit=False, _tracer_configurator=lambda scope: Off())
    with provider.get_tracer("t").start_as_current_span("s") as span:
        assert not span.is_recording()


def test_a_wrong_limit_is_one_line_and_its_default(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "many")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-3")
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "7")
    limits = TracerProvider(shutdown_on_exit=False).limits
    assert (limits.max_events, limits.max_span_attribute_length, limits.max_links) == (128, None, 7)
    assert [record.getMessage() for record in caplog.records] == [
        "OTEL_SPAN_EVENT_COUNT_LIMIT must be a non-negative integer but got many; using 128",
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT must be a non-negative integer but got -3; using the default",
    ]


# Processors ----------------------------------------------------------------------------------------------------------


class Listed(sdk.SpanProcessor):
    def __init__(self, name: str, calls: list[str], fail: bool = False) -> None:
        self.name, self.calls, self.fail = name, calls, fail

    def _call(self, what: str) -> None:
        self.calls.append(f"{self.name} {what}")
        if self.fail:
            raise RuntimeError(self.name)

    def on_start(self, span: sdk.Span, parent_context: Context | None = None) -> None:
        assert isinstance(span, sdk.Span)
        self._call(f"start {span.name} in {parent_context}")

    def on_end(self, span: sdk.ReadableSpan) -> None:
        self._call(f"end {span.name}")

    def shutdown(self) -> None:
        self._call("shutdown")

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        self._call("flush")
        return True


class Ending(Listed):
    def _on_ending(self, span: sdk.Span) -> None:
        self._call(f"ending {span.name}")


@pytest.mark.parametrize(
    ("multi", "fail"),
    [
        (None, False),
        (None, True),
        (sdk.SynchronousMultiSpanProcessor, False),
        (lambda: sdk.ConcurrentMultiSpanProcessor(1), False),
    ],
)
def test_processors_are_called_as_by_the_sdk(multi: Any, fail: bool) -> None:
    faults.strict = False
    orders = []
    for kind in (sdk.TracerProvider, TracerProvider):
        calls: list[str] = []
        given = multi and multi()
        provider = kind(shutdown_on_exit=False, active_span_processor=given)
        for number, one in enumerate((Listed, Ending, Listed)):
            provider.add_span_processor(one(str(number), calls, fail and kind is TracerProvider and number != 2))
        tracer = provider.get_tracer("t")
        context = Context({"key": "value"})
        tracer.start_span("a", context).end()
        with tracer.start_as_current_span("b"), tracer.start_as_current_span("c"):
            pass
        provider.force_flush()
        provider.shutdown()
        orders.append(calls)
    assert orders[0] == orders[1]
    assert len(orders[0]) == 3 * 3 * 2 + 3 + 6


def test_a_processor_that_fails_is_isolated_and_named(caplog: pytest.LogCaptureFixture) -> None:
    faults.strict = False
    faults.counts.clear()
    calls: list[str] = []
    provider, exporter = make()
    provider.add_span_processor(Listed("bad", calls, fail=True))
    late = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(late))
    for name in "abc":
        provider.get_tracer("t").start_span(name).end()
    assert names(exporter) == names(late) == ["a", "b", "c"]
    assert not provider.force_flush(1000)
    provider.shutdown()
    timing = provider.timings()[1]
    assert timing.name.endswith("test_provider.Listed")
    assert (timing.calls, timing.faults) == (6, 8)
    assert caplog.text.count("failed and was skipped") == 1


def test_a_users_multi_processor_that_fails_is_isolated() -> None:
    faults.strict = False

    class Failing(sdk.SynchronousMultiSpanProcessor):
        def _fail(self, *_arguments: Any, **_more: Any) -> Any:
            raise RuntimeError

        on_start = on_end = shutdown = force_flush = _fail

    provider = TracerProvider(shutdown_on_exit=False, active_span_processor=Failing())
    ended: list[Span] = []
    provider.on_end_sink = ended.append
    provider.get_tracer("t").start_span("s").end()
    assert len(ended) == 1
    assert not provider.force_flush(1000)
    provider.shutdown()


def test_a_slow_processor_is_measured() -> None:
    class Slow(sdk.SpanProcessor):
        def on_end(self, span: sdk.ReadableSpan) -> None:
            time.sleep(0.02)

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Slow())
    for _ in range(3):
        provider.get_tracer("t").start_span("s").end()
    timing = provider.timings()[0]
    assert timing.calls == 6
    assert timing.seconds >= 0.06
    assert 0.02 <= timing.slowest <= timing.seconds


def test_a_flush_ends_in_time() -> None:
    class Slow(Listed):
        def force_flush(self, timeout_millis: int = 30000) -> bool:
            self.calls.append(f"{self.name} {timeout_millis <= 30}")
            time.sleep(0.05)
            return True

    calls: list[str] = []
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Slow("first", calls))
    provider.add_span_processor(Slow("second", calls))
    assert not provider.force_flush(30)
    assert calls == ["first True"]


def test_the_sink_comes_after_the_processors() -> None:
    calls: list[str] = []
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Listed("processor", calls))
    provider.on_end_sink = lambda span: calls.append(f"sink {span.name} {span.end_time is not None}")
    provider.get_tracer("t").start_span("s").end()
    assert calls[1:] == ["processor end s", "sink s True"]


def test_a_provider_can_go() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.get_tracer("t").start_span("s").end()
    reference = weakref.ref(provider)
    del provider
    gc.collect()
    assert reference() is None


# Current spans and decorators ----------------------------------------------------------------------------------------


async def test_decorators() -> None:
    provider, exporter = make()
    tracer = provider.get_tracer("t")

    @tracer.start_as_current_span("plain", attributes={"a": 1})
    def plain(value: int) -> int:
        """Doubles."""
        assert trace_api.get_current_span().is_recording()
        return value * 2

    @tracer.start_as_current_span("awaited")
    async def awaited() -> str:
        await asyncio.sleep(0.02)
        return "done"

    assert names(exporter) == []
    assert [plain(1), plain(2)] == [2, 4]
    assert await awaited() == "done"
    assert names(exporter) == ["plain", "plain", "awaited"]
    span = exporter.get_finished_spans()[2]
    assert span.end_time - span.start_time >= 15_000_000  # type: ignore[operator]
    assert (plain.__name__, plain.__doc__) == ("plain", "Doubles.")
    assert inspect.iscoroutinefunction(awaited)
    await asyncio.gather(*(awaited() for _ in range(5)))
    assert len({span.context.span_id for span in exporter.get_finished_spans()}) == 8


async def test_a_decorated_function_that_raises() -> None:
    provider, exporter = make()
    tracer = provider.get_tracer("t")

    @tracer.start_as_current_span("awaited")
    async def awaited() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError):
        await awaited()
    assert exporter.get_finished_spans()[0].status.description == "KeyError: 'lost'"


def test_a_current_span_left_in_another_context(caplog: pytest.LogCaptureFixture) -> None:
    provider, exporter = make()
    tracer = provider.get_tracer("t")

    def steps() -> Iterator[int]:
        with tracer.start_as_current_span("generator"):
            yield 1

    running = steps()
    __import__("contextvars").copy_context().run(next, running)
    running.close()
    assert names(exporter) == ["generator"]
    assert exporter.get_finished_spans()[0].status.is_unset
    assert caplog.text == ""


def test_a_current_span_in_another_runtime_context(monkeypatch: pytest.MonkeyPatch) -> None:
    token, detached = object(), []
    monkeypatch.setattr(context_api, "attach", lambda context: token)
    monkeypatch.setattr(context_api, "detach", detached.append)
    with make()[0].get_tracer("t").start_as_current_span("s"):
        pass
    assert detached == [token]


def test_a_current_span_around_one_that_does_not_record() -> None:
    provider, _ = make(sampler=sampling.ALWAYS_OFF)
    error = ValueError("passes")
    with pytest.raises(ValueError) as raised, provider.get_tracer("t").start_as_current_span("dropped"):
        assert not trace_api.get_current_span().is_recording()
        raise error
    assert raised.value is error


# Processes -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork is missing on this system")
def test_a_forked_child_has_its_own_resource() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("t")
    before = tracer.start_span("before").resource.attributes["service.instance.id"]  # type: ignore[attr-defined]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ids = (provider.resource, tracer.resource, tracer.start_span("after").resource)  # type: ignore[attr-defined]
            os.write(writer, ",".join(str(one.attributes["service.instance.id"]) for one in ids).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        ids = answer.read().split(",")
    os.waitpid(child, 0)
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert ids[0] != before
    assert tracer.start_span("parent").resource.attributes["service.instance.id"] == before  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", ["", "shutdown_on_exit=False"])
def test_the_exit_of_the_process(given: str) -> None:
    code = f"""
from opentelemetry.sdk.trace import SpanProcessor
from posemon_otel.delivery.provider import TracerProvider
class Saying(SpanProcessor):
    def shutdown(self):
        print("shut down")
provider = TracerProvider({given})
provider.add_span_processor(Saying())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("" if given else "shut down\n", "")


# Metrics -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_the_sdks_own_metrics(enabled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", enabled)
    seen = []
    for kind in (sdk.TracerProvider, TracerProvider):
        reader = InMemoryMetricReader()
        meters = MeterProvider([reader], Resource({}), shutdown_on_exit=False)
        tracer = kind(shutdown_on_exit=False, meter_provider=meters).get_tracer("t")
        with tracer.start_as_current_span("root"):
            tracer.start_span("ended").end()
            tracer.start_span("live")
        data = reader.get_metrics_data()
        seen.append(
            {
                metric.name: sorted((sorted(p.attributes.items()), p.value) for p in metric.data.data_points)
                for group in (data.resource_metrics if data else ())
                for scope in group.scope_metrics
                for metric in scope.metrics
            }
        )
        meters.shutdown()
    assert seen[0] == seen[1]
    assert set(seen[0]) == ({"otel.sdk.span.started", "otel.sdk.span.live"} if enabled == "true" else set())


def test_metrics_that_fail_are_faults_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    faults.strict = False
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    meters = Mock()
    add = meters.get_meter.return_value.create_up_down_counter.return_value.add
    tracer = TracerProvider(shutdown_on_exit=False, meter_provider=meters).get_tracer("t")
    span = tracer.start_span("the end fails")
    add.side_effect = RuntimeError
    span.end()
    tracer.start_span("the start fails").end()
    assert add.call_count == 3
    assert not span.is_recording()
