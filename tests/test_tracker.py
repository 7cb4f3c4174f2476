"""The performance tracker in all its forms, and any number of operations under one name."""

import asyncio
import functools
import gc
import inspect
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from posemon_otel import _durations, _measuring, _names, operation
from posemon_otel import performance_tracker as tracker
from posemon_otel.entries import Finish
from posemon_otel.operation import Operation
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o
from tests.support import Recording


def measured(recording: Recording) -> Finish:
    return recording.one(o.MEASURE.key)


def current_name() -> str | None:
    running = operation.current()
    return running.name if running else None


# Context manager ------------------------------------------------------------------------------------------------------


def test_a_block(recording: Recording) -> None:
    with tracker.measure("flux-api", width=512) as running:
        assert operation.current() is running
        running.set(steps=28)
        time.sleep(0.02)
    assert operation.current() is None
    finish = measured(recording)
    assert finish.name == "flux-api"
    assert finish.attributes == {
        a.OPERATION_NAME: "flux-api",
        a.IMAGE_WIDTH: 512,
        a.IMAGE_STEPS: 28,
        a.OUTCOME: "ok",
    }
    assert 0.015 < running.seconds == finish.seconds < 5
    assert tracker.summary()["flux-api"].count == 1


async def test_an_async_block(recording: Recording) -> None:
    async with tracker.measure("flux-api") as running:
        await asyncio.sleep(0)
        assert operation.current() is running
    assert measured(recording).outcome == "ok"


def test_a_block_that_raises(recording: Recording) -> None:
    mine = ConnectionRefusedError("refused")
    with pytest.raises(ConnectionRefusedError) as caught, tracker.measure("flux-api"):
        raise mine
    assert caught.value is mine
    assert measured(recording).attributes[a.ERROR_TYPE] == "NETWORK_ERROR"
    assert tracker.summary()["flux-api"].count == 1


def test_a_debug_line(recording: Recording) -> None:
    with tracker.measure("flux-api"):
        pass
    (log,) = recording.said("DEBUG")
    assert log.body.startswith("flux-api took 0.0")
    assert log.attributes[a.OPERATION_NAME] == "flux-api"
    assert log.attributes[a.COMPONENT] == "metrics"


def test_one_measurement_entered_within_itself(recording: Recording) -> None:
    timer = tracker.measure("again")
    with timer as outer, timer as inner:
        assert inner.parent is outer
        assert inner.span is not outer.span
    assert [finish.span_id for finish in recording.finishes] == [2, 1]


def test_one_measurement_in_many_threads(recording: Recording) -> None:
    timer = tracker.measure("shared")
    barrier = threading.Barrier(4)

    def work(number: int) -> float:
        with timer as mine:
            barrier.wait(5)
            time.sleep(0.01 * number)
            assert operation.current() is mine
        return mine.seconds

    with ThreadPoolExecutor(4) as pool:
        seconds = list(pool.map(work, range(4)))
    assert all(took >= 0.01 * number for number, took in enumerate(seconds))
    assert sorted(finish.seconds for finish in recording.finishes) == sorted(seconds)


async def test_one_measurement_in_many_tasks(recording: Recording) -> None:
    timer = tracker.measure("shared")

    async def work(number: int) -> float:
        async with timer as mine:
            await asyncio.sleep(0.02 * (4 - number))
            assert operation.current() is mine
        return mine.seconds

    seconds = await asyncio.gather(*map(work, range(4)))
    assert seconds == sorted(seconds, reverse=True)


async def test_a_cancelled_task(recording: Recording) -> None:
    async def work() -> None:
        with tracker.measure("slow"):
            await asyncio.sleep(10)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert measured(recording).outcome == "cancelled"


# Decorator ------------------------------------------------------------------------------------------------------------


def test_a_function(recording: Recording) -> None:
    @tracker.measure("resize")
    def resize(width: int, *, height: int = 1) -> int:
        """Resizes."""
        assert current_name() == "resize"
        return width * height

    assert resize(3, height=2) == 6
    assert resize(4) == 4
    assert (resize.__name__, resize.__doc__) == ("resize", "Resizes.")
    assert str(inspect.signature(resize)) == "(width: int, *, height: int = 1) -> int"
    assert len(recording.finishes) == 2


def test_a_method(recording: Recording) -> None:
    class Renderer:
        @tracker.measure("render")
        def render(self) -> "Renderer":
            return self

        @staticmethod
        @tracker.measure("static")
        def static() -> int:
            return 1

        @classmethod
        @tracker.measure("class")
        def made(cls) -> "type[Renderer]":
            return cls

    renderer = Renderer()
    assert renderer.render() is renderer
    assert Renderer.static() == 1
    assert Renderer.made() is Renderer
    assert [finish.name for finish in recording.finishes] == ["render", "static", "class"]


async def test_an_async_function(recording: Recording) -> None:
    @tracker.measure("fetch")
    async def fetch() -> str:
        await asyncio.sleep(0.02)
        return current_name() or ""

    assert inspect.iscoroutinefunction(fetch)
    assert await fetch() == "fetch"
    assert measured(recording).seconds > 0.015


def test_a_generator(recording: Recording) -> None:
    @tracker.measure("steps")
    def steps() -> Iterator[str | None]:
        for _ in range(3):
            time.sleep(0.01)
            yield current_name()

    assert inspect.isgeneratorfunction(steps)
    inside, between = [], []
    for name in steps():
        inside.append(name)
        between.append(current_name())
    assert inside == ["steps"] * 3
    assert between == [None] * 3
    assert measured(recording).seconds > 0.025


def test_a_generator_that_is_broken_off(recording: Recording) -> None:
    @tracker.measure("steps")
    def steps() -> Iterator[int]:
        yield from range(10)

    for number in steps():
        if number == 1:
            break
    gc.collect()
    assert measured(recording).status == 0


def test_a_generator_that_raises(recording: Recording) -> None:
    @tracker.measure("steps")
    def steps() -> Iterator[int]:
        yield 1
        raise ValueError("second step")

    with pytest.raises(ValueError, match="second step"):
        list(steps())
    assert measured(recording).outcome == "error"


async def test_an_async_generator(recording: Recording) -> None:
    @tracker.measure("stream")
    async def stream() -> AsyncIterator[str | None]:
        for _ in range(2):
            await asyncio.sleep(0.01)
            yield current_name()

    assert inspect.isasyncgenfunction(stream)
    seen = [(name, current_name()) async for name in stream()]
    assert seen == [("stream", None)] * 2
    assert measured(recording).seconds > 0.015


def test_every_call_is_one(recording: Recording) -> None:
    @tracker.measure("fib")
    def fib(number: int) -> int:
        return number if number < 2 else fib(number - 1) + fib(number - 2)

    assert fib(5) == 5
    assert len(recording.finishes) == 15
    assert tracker.summary()["fib"].count == 15


# Callable -------------------------------------------------------------------------------------------------------------


def test_a_call(recording: Recording) -> None:
    result = object()
    assert tracker.measure("call", lambda: result) is result
    assert tracker.measure("partial", functools.partial(int, "7")) == 7
    assert [finish.name for finish in recording.finishes] == ["call", "partial"]


def test_a_call_that_raises(recording: Recording) -> None:
    with pytest.raises(ZeroDivisionError):
        tracker.measure("call", lambda: 1 / 0)
    assert measured(recording).outcome == "error"


async def test_a_call_of_an_async_function(recording: Recording) -> None:
    async def fetch() -> int:
        await asyncio.sleep(0.02)
        return 7

    async def fails() -> int:
        raise ValueError("bad")

    assert await tracker.measure("fetch", fetch) == 7
    assert await tracker.measure("lambda", lambda: (current_name(), fetch())[1]) == 7
    with pytest.raises(ValueError, match="bad"):
        await tracker.measure("fails", fails)
    assert [(finish.name, finish.outcome) for finish in recording.finishes] == [
        ("fetch", "ok"),
        ("lambda", "ok"),
        ("fails", "error"),
    ]
    assert all(finish.seconds > 0.015 for finish in recording.finishes[:2])


async def test_a_call_that_returns_a_task_returns_that_task(recording: Recording) -> None:
    task = asyncio.ensure_future(asyncio.sleep(0.02, 7))
    assert tracker.measure("task", lambda: task) is task
    assert recording.finishes == []
    assert await task == 7
    await asyncio.sleep(0)
    assert measured(recording).seconds > 0.01


@pytest.mark.parametrize(("end", "outcome"), [("result", "ok"), ("exception", "error"), ("cancel", "cancelled")])
def test_a_call_that_returns_a_future(recording: Recording, end: str, outcome: str) -> None:
    future: Future[int] = Future()
    assert tracker.measure("future", lambda: future) is future
    if end == "cancel":
        future.cancel()
    elif end == "exception":
        future.set_exception(ValueError("bad"))
    else:
        future.set_result(1)
    assert measured(recording).outcome == outcome


def test_a_call_that_returns_a_generator(recording: Recording) -> None:
    numbers = tracker.measure("numbers", lambda: (number for number in range(3)))
    assert recording.finishes == []
    assert list(numbers) == [0, 1, 2]
    assert measured(recording).outcome == "ok"


# Start and end --------------------------------------------------------------------------------------------------------


def test_start_and_end(recording: Recording) -> None:
    token = tracker.start("download", bytes=10)
    assert operation.current() is None
    time.sleep(0.02)
    seconds = tracker.end(token)
    assert isinstance(seconds, float)
    assert 0.015 < seconds < 5
    assert measured(recording).attributes[a.STORAGE_OBJECT_SIZE] == 10
    assert operation.current() is None


def test_started_operations_are_children_of_what_is_current(recording: Recording) -> None:
    with tracker.measure("around"):
        token = tracker.start("within")
    tracker.end(token)
    around, within = recording.finishes
    assert within.parent_id == around.span_id


def test_an_end_with_an_error(recording: Recording) -> None:
    tracker.end(tracker.start("download"), error=TimeoutError())
    assert measured(recording).outcome == "timeout"


def test_one_name_twice_by_token(recording: Recording) -> None:
    first = tracker.start("same")
    time.sleep(0.02)
    second = tracker.start("same")
    assert tracker.end(first) > 0.015 > tracker.end(second)


def test_one_name_twice_by_name_ends_the_latest(recording: Recording) -> None:
    first, second = tracker.start("same"), tracker.start("same")
    tracker.end("same")
    assert (first.running, second.running) == (True, False)
    tracker.end("same")
    assert not first.running
    assert tracker.end("same") == 0.0


def test_one_name_in_many_threads(recording: Recording) -> None:
    barrier = threading.Barrier(4)

    def work(number: int) -> float:
        barrier.wait(5)
        tracker.start("same")
        barrier.wait(5)
        time.sleep(0.03 * number)
        return tracker.end("same")

    with ThreadPoolExecutor(4) as pool:
        seconds = list(pool.map(work, range(4)))
    assert seconds == sorted(seconds)
    assert seconds[3] - seconds[0] > 0.05
    assert len(recording.finishes) == 4


async def test_one_name_in_many_tasks(recording: Recording) -> None:
    async def work(number: int) -> float:
        tracker.start("same")
        await asyncio.sleep(0.03 * (3 - number))
        return tracker.end("same")

    seconds = await asyncio.gather(*map(work, range(4)))
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[0] - seconds[3] > 0.05


def test_what_one_thread_started_another_may_end(recording: Recording) -> None:
    tracker.start("handed over")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(tracker.end, "handed over").result(5) > 0
    assert measured(recording).outcome == "ok"


@pytest.mark.parametrize("unknown", ["never started", "", "token"])
def test_the_end_of_something_unknown(recording: Recording, unknown: str) -> None:
    if unknown == "token":
        token = tracker.start("once")
        tracker.end(token)
        assert tracker.end(token) == 0.0
    else:
        assert tracker.end(unknown) == 0.0
    (log,) = recording.said("WARN")
    assert log.body == "end() of an operation that is not running"


def test_what_is_never_ended_is_bounded(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_measuring, "MOST_OPEN", 3)
    tokens = [tracker.start(f"op {letter}") for letter in "abcde"]
    assert [token.running for token in tokens] == [False, False, True, True, True]
    assert [finish.outcome for finish in recording.finishes] == ["cancelled", "cancelled"]
    assert len(recording.said("WARN")) == 1


# Names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "ids"),
    [
        ("flux-api", "flux-api", ""),
        ("flux-api-6f1d3c6e-8a53-4d0b-9a64-7f5a3a1b2c4d", "flux-api", "6f1d3c6e-8a53-4d0b-9a64-7f5a3a1b2c4d"),
        ("6f1d3c6e-8a53-4d0b-9a64-7f5a3a1b2c4d-upload", "upload", "6f1d3c6e-8a53-4d0b-9a64-7f5a3a1b2c4d"),
        ("flux-6f1d3c6e-8a53-4d0b-9a64-7f5a3a1b2c4d-retry", "flux-retry", "6f1d3c6e-8a53-4d0b-9a64-7f5a3a1b2c4d"),
        ("job_1732453200000", "job", "1732453200000"),
        ("job:12345", "job", "12345"),
        ("upload.clx2k5qrs0000v8l4h3j9d7fw", "upload", "clx2k5qrs0000v8l4h3j9d7fw"),
        ("upload/01ARZ3NDEKTSV4RRFFQ69G5FAV", "upload", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("commit 9fceb02d0ae598e9", "commit", "9fceb02d0ae598e9"),
        ("a-123456-b-654321", "a-b", "123456,654321"),
        ("12345", "operation", "12345"),
        ("", "operation", ""),
        # Names that look a little like ids and are none.
        ("resize-1024x1024", "resize-1024x1024", ""),
        ("resize-1024", "resize-1024", ""),
        ("sha256", "sha256", ""),
        ("stable-diffusion-xl-base-1.0", "stable-diffusion-xl-base-1.0", ""),
        ("FLUX.1-dev", "FLUX.1-dev", ""),
        ("facade-defaced", "facade-defaced", ""),
        ("internationalization", "internationalization", ""),
    ],
)
def test_ids_leave_the_name(name: str, text: str, ids: str) -> None:
    assert _names.split(name) == (text, ids)
    assert _names.split(name) == (text, ids)  # remembered or not


def test_an_id_becomes_an_attribute_with_one_warning_a_name(recording: Recording) -> None:
    ids = [str(uuid.UUID(int=random.Random(number).getrandbits(128), version=4)) for number in range(3)]
    for one in ids:
        with tracker.measure(f"flux-api-{one}"):
            pass
    tracker.end(tracker.start(f"upload-{ids[0]}"))
    assert [finish.name for finish in recording.finishes] == ["flux-api"] * 3 + ["upload"]
    assert [finish.attributes[a.OPERATION_ID] for finish in recording.finishes] == [*ids, ids[0]]
    assert [log.body.split(":")[0] for log in recording.said("WARN")] == [
        "the name of 'flux-api' has an id in it; the id is kept as pose.operation.id instead",
        "the name of 'upload' has an id in it; the id is kept as pose.operation.id instead",
    ]


def test_an_operation_with_an_id_ends_by_name(recording: Recording) -> None:
    name = "flux-api-6f1d3c6e-8a53-4d0b-9a64-7f5a3a1b2c4d"
    tracker.start(name)
    assert tracker.end(name) > 0


def test_names_are_scrubbed_cut_and_anything(recording: Recording) -> None:
    for name in ("mail to anna@example.org", "x" * 5000, 7, None, "half \ud83d"):
        with tracker.measure(name):  # type: ignore[arg-type]
            pass
    names = [finish.name for finish in recording.finishes]
    assert "anna@example.org" not in names[0]
    assert len(names[1]) == 128
    assert names[2:4] == ["7", "None"]
    assert names[4].encode()


def test_remembered_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_names, "_plain", {})
    monkeypatch.setattr(_names, "_REMEMBERED", 10)
    for number in range(50):
        _names.split(f"name {chr(97 + number % 26)}{chr(97 + number // 26)}")
    assert len(_names._plain) == 10


# Summary --------------------------------------------------------------------------------------------------------------


def test_a_summary(recording: Recording) -> None:
    assert tracker.summary() == {}
    with tracker.measure("a"):
        time.sleep(0.01)
    (name,) = tracker.summary()
    summary = tracker.summary()[name]
    assert summary.count == 1
    assert summary.max == measured(recording).seconds
    assert summary.p50 == pytest.approx(summary.max, rel=0.011)
    assert summary.p95 == pytest.approx(summary.max, rel=0.011)


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_right_to_a_percent(seed: int) -> None:
    rng = random.Random(seed)
    values = [rng.lognormvariate(0, 2) for _ in range(rng.randrange(1, 3000))]
    durations = _durations.Durations()
    for value in values:
        durations.add("x", value)
    summary = durations.summary()["x"]
    ordered = sorted(values)
    assert summary.count == len(values)
    assert summary.max == ordered[-1]
    for share, found in ((0.5, summary.p50), (0.95, summary.p95)):
        exact = ordered[-(-int(share * 100) * len(values) // 100) - 1]  # the nearest rank
        assert found == pytest.approx(exact, rel=0.0101)


def test_a_summary_takes_bounded_memory() -> None:
    durations = _durations.Durations()
    for number in range(3000):
        durations.add(f"name {number}", number / 100)
    summary = durations.summary()
    assert len(summary) == _durations.MOST_NAMES + 1
    assert summary[_durations.OTHER].count == 2000
    for exponent in range(-200, 200):
        durations.add("name 1", 2.0**exponent / 1e9 if exponent < 80 else 1e6)
    assert len(durations._buckets["name 1"]) < 1600


def test_no_time_at_all_is_a_duration() -> None:
    durations = _durations.Durations()
    durations.add("x", 0.0)
    assert durations.summary()["x"] == (1, 0.0, 0.0, 0.0)


def test_a_finaliser_may_end_something_within_the_lock() -> None:
    durations = _durations.Durations()
    with durations._lock:
        durations.add("x", 1.0)
    assert durations.summary()["x"].count == 1


FORK = """
import os, threading, time
from posemon_otel import performance_tracker as tracker

token = tracker.start("parent's")
tracker.measure("before", lambda: None)
held, done = threading.Event(), threading.Event()

def hold():
    with tracker._measuring._lock, tracker._measuring.durations._lock:
        held.set()
        done.wait(30)

thread = threading.Thread(target=hold)
thread.start()
held.wait(30)
child = os.fork()
if child == 0:
    tracker.measure("child's", lambda: None)
    fine = tracker.end(token) == 0.0 and list(tracker.summary()) == ["child's"]
    os._exit(0 if fine else 1)
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid:
        break
    time.sleep(0.02)
else:
    os.kill(child, 9)
    os.waitpid(child, 0)
    status = 99 << 8
done.set()
thread.join()
assert tracker.end(token) > 0
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_a_tracker_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "POSEMON_LOG_FORMAT": "none"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "0"


def test_everything_works_before_configure() -> None:
    operation.use(None)
    tracker.reset()
    with tracker.measure("a") as running:
        pass
    assert isinstance(running, Operation)
    assert tracker.end(tracker.start("b")) >= 0
    assert tracker.measure("c", lambda: 7) == 7
    assert set(tracker.summary()) == {"a", "b", "c"}
