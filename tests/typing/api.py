"""What the public surface looks like to a type checker: checked, never run. ``test_typing.py`` has mypy read it."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, assert_type

from opentelemetry import trace
from opentelemetry.context import Context

import posemon_otel as posemon
from posemon_otel import entries, operation
from posemon_otel._durations import Summary
from posemon_otel._generation import Generation
from posemon_otel._measuring import Measurement, Token
from posemon_otel._pose import Pose
from posemon_otel.bootstrap import Handle
from posemon_otel.events import Happening
from posemon_otel.instrumentation._library import Library, PatchPoint
from posemon_otel.loggers import ComponentLogger
from posemon_otel.operation import Operation
from posemon_otel.semconv import operations as o

handle = posemon.configure("pose-worker", journal="off")
assert_type(handle, Handle)
assert_type(handle.force_flush(5.0), bool)
assert_type(posemon.force_flush(), bool)
assert_type(posemon.shutdown(2.5), bool)
posemon.instrument("pillow", "huggingface_hub")
posemon.uninstrument()

# Loggers
assert_type(posemon.worker_logger, ComponentLogger)
assert_type(posemon.get_logger("Export"), ComponentLogger)
posemon.worker_logger.info("Processing generation", generation_id="g1", pose_count=4)
posemon.flux_logger.error("Failed", error=ValueError("bad"))
posemon.storage_logger.exception("Failed", exc_info=True)

# Tracker
tracker = posemon.performance_tracker
assert_type(tracker.measure("x", width=1), Measurement)
assert_type(tracker.start("x"), Token)
assert_type(tracker.end("x"), float)
assert_type(tracker.end(tracker.start("x"), error=ValueError()), float)
assert_type(tracker.summary(), dict[str, Summary])
assert_type(tracker.summary()["x"].p95, float)
assert_type(tracker.measure("x", lambda: 7), int)


async def fetch(name: str) -> bytes:
    return name.encode()


async def nothing() -> int:
    return 1


awaited = assert_type(tracker.measure("x", nothing), Coroutine[Any, Any, int])


@tracker.measure("resize")
def resize(width: int, *, height: int = 1) -> float:
    return width / height


@tracker.measure("fetch")
async def fetched(name: str) -> bytes:
    return await fetch(name)


@tracker.measure("steps")
def steps(count: int) -> Iterator[int]:
    yield count


@tracker.measure("stream")
async def stream() -> AsyncIterator[str]:
    yield ""


assert_type(resize(1, height=2), float)
fetching = assert_type(fetched("x"), Coroutine[Any, Any, bytes])
assert_type(steps(1), Iterator[int])
assert_type(stream(), AsyncIterator[str])

# Generations
with posemon.generation("g1", user_id="u1", expected_poses=4, credits_charged=120, model="FLUX.1-dev") as gen:
    assert_type(gen, Generation)
    assert_type(gen.status, str)
    with gen.pose("p1", name="Warrior", variation="front", seed=7) as pose:
        assert_type(pose, Pose)
        pose.set(width=512, output_image="out/1.png")
    gen.refund(30, reason="pose failed")
    gen.set(colour="red")


async def generate() -> None:
    async with posemon.generation("g1") as running:
        assert_type(running, Generation)
        async with running.pose() as one:
            assert_type(one, Pose)
    async with tracker.measure("x") as measured:
        assert_type(measured, Operation)
        assert_type(measured.seconds, float)


# Events and calls
posemon.record_event("generation_started", "g1", "u1", format="zip")


def heard(happening: Happening) -> None:
    assert_type(happening.type, str)
    assert_type(happening.seconds, float | None)
    assert_type(happening.attributes, dict[str, Any])


assert_type(posemon.on_event(heard), Callable[[], None])
with posemon.flux_call("flux-dev", provider="bfl", width=512) as call:
    assert_type(call, Operation)
    call.set(image_count=1)
with posemon.storage_write("file", "out/1.png", bytes=2048) as write:
    assert_type(write, Operation)

# Errors
assert_type(posemon.classify_error(ValueError(), "flux"), posemon.ErrorType)
assert_type(posemon.ErrorType.FLUX_API_ERROR.retryable, bool)
assert_type(posemon.ErrorType.FLUX_API_ERROR.refundable, bool)


# What all later work stands on: an entry, a sink, a library.
def finish(given: entries.Finish) -> None:
    assert_type(given.trace_id, bytes)
    assert_type(given.span_id, int)
    assert_type(given.parent_id, int)
    assert_type(given.start, int)
    assert_type(given.end, int)
    assert_type(given.seconds, float)
    assert_type(given.kind, str)
    assert_type(given.attributes, dict[str, Any])
    assert_type(given.outcome, str)
    assert_type(given.error, entries.Error | None)
    assert_type(given.events, list[entries.SpanEvent])
    assert_type(given.links, list[entries.SpanLink])
    assert_type(given.dropped, tuple[int, int, int])
    assert_type(given.facts, dict[str, Any])
    assert_type(given.attempt, int)
    assert_type(given.terminal, bool)


class Own:
    """A sink of one's own."""

    def start(self, operation: Operation, context: Context) -> trace.Span:
        return trace.get_current_span(context)

    def finish(self, operation: Operation) -> None: ...

    def log(self, log: entries.Log) -> None: ...

    def event(self, event: entries.Event) -> None: ...


operation.use(Own())
assert_type(operation.sink(), operation.Sink | None)
assert_type(operation.current(), Operation | None)


def request(instance: Any, arguments: Mapping[str, Any]) -> Mapping[str, object]:
    return {"model": arguments.get("model")}


library = Library(
    name="example",
    distribution="example-client",
    tested=">=1,<2",
    points=(PatchPoint("example.client:Client.render", o.GENERATE_IMAGE, request),),
)
assert_type(library.points, tuple[PatchPoint, ...])
assert_type(library.name, str)
