"""Operations: one start, one finish, and what becomes of what was raised."""

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation

from posemon_otel import clock, faults, operation, settings
from posemon_otel.entries import Error, Finish
from posemon_otel.operation import Operation
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o
from posemon_otel.settings import Settings
from tests.support import Recording

SECOND = 1_000_000_000


def measure(name: str = "work") -> Operation:
    return Operation(o.MEASURE, {a.OPERATION_NAME: name})


def test_a_finish_says_everything(recording: Recording) -> None:
    clock.use(lambda: 100 * SECOND, lambda: 7 * SECOND)
    with measure("outer"), measure("inner") as inner:
        inner.set(width=512)
        clock.use(lambda: 500 * SECOND, lambda: 9 * SECOND)  # the wall clock jumps
    assert recording.finishes[0] == Finish(
        trace_id=(1001).to_bytes(16, "big"),
        span_id=2,
        parent_id=1,
        parent_remote=False,
        flags=1,
        trace_state="",
        scope=0,
        kind="measure",
        span_kind=0,
        name="inner",
        start=100 * SECOND,
        end=102 * SECOND,
        attributes={a.OPERATION_NAME: "inner", a.IMAGE_WIDTH: 512, a.OUTCOME: "ok"},
        status=0,
        status_description="",
        outcome="ok",
        error=None,
        events=[],
        links=[],
        dropped=(0, 0, 0),
        facts={},
        attempt=1,
        terminal=True,
    )
    assert recording.finishes[1].parent_id == 0
    assert recording.finishes[0].seconds == 2.0


def test_an_exception_is_recorded_once_by_the_innermost(recording: Recording) -> None:
    with pytest.raises(ValueError, match="bad"), measure("outer"), measure("middle"), measure("inner"):
        raise ValueError("bad")
    inner, middle, outer = recording.finishes
    assert [len(finish.events) for finish in (inner, middle, outer)] == [1, 0, 0]
    assert [finish.error.recorded for finish in (inner, middle, outer) if finish.error] == [False, True, True]
    assert len(recording.exceptions()) == 1
    assert recording.exceptions()[0].span_id == inner.span_id
    for finish in (inner, middle, outer):
        assert finish.status == 2
        assert finish.outcome == "error"
        assert finish.status_description == "bad"
        assert finish.attributes[a.ERROR_TYPE] == "VALIDATION_ERROR"
        assert finish.attributes[a.OUTCOME] == "error"
        assert finish.attributes[a.COMPONENT] == "worker"


def test_an_exception_that_was_handled_within_does_not_hide_another(recording: Recording) -> None:
    with pytest.raises(KeyError), measure("outer"):
        with pytest.raises(ValueError, match="first"), measure("inner"):
            raise ValueError("first")
        raise KeyError("second")
    inner, outer = recording.finishes
    assert [finish.error.recorded for finish in (inner, outer) if finish.error] == [False, False]
    assert [log.attributes[a.EXCEPTION_TYPE] for log in recording.exceptions()] == ["ValueError", "KeyError"]


def test_an_exception_wrapped_in_another_is_another(recording: Recording) -> None:
    with pytest.raises(RuntimeError), measure("outer"):
        try:
            with measure("inner"):
                raise ValueError("cause")
        except ValueError as exc:
            raise RuntimeError("wrapped") from exc
    assert [log.attributes[a.EXCEPTION_TYPE] for log in recording.exceptions()] == ["ValueError", "RuntimeError"]


def test_exceptions_may_be_logs_alone(recording: Recording) -> None:
    settings.use(Settings({"exception_signal": "logs"}))
    with pytest.raises(ValueError, match="bad"), measure():
        raise ValueError("bad")
    assert recording.one("measure").events == []
    assert len(recording.exceptions()) == 1


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_leaving_is_no_failure(recording: Recording, raised: type[BaseException]) -> None:
    with pytest.raises(raised), measure():
        raise raised
    finish = recording.one("measure")
    assert (finish.outcome, finish.status, finish.error, finish.events) == ("cancelled", 0, None, [])
    assert a.ERROR_TYPE not in finish.attributes
    assert recording.logs == []


async def test_wait_for_is_cancelled_within_and_a_timeout_around(recording: Recording) -> None:
    async def work() -> None:
        with measure("inner"):
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError), measure("outer"):
        await asyncio.wait_for(work(), 0.02)
    inner, outer = recording.finishes
    assert (inner.name, inner.outcome, inner.status) == ("inner", "cancelled", 0)
    assert (outer.name, outer.outcome, outer.status) == ("outer", "timeout", 2)
    assert outer.attributes[a.ERROR_TYPE] == "TIMEOUT_ERROR"
    assert 0 < inner.seconds < 5


def test_ending_twice_is_ending_once(recording: Recording) -> None:
    work = measure()
    work.finish()
    work.set(width=1)
    work.finish(ValueError("late"))
    work.judge(ValueError("late"))
    assert recording.one("measure").outcome == "ok"
    assert a.IMAGE_WIDTH not in recording.one("measure").attributes
    assert not work.running


def test_seconds_run_and_stop(recording: Recording) -> None:
    clock.use(lambda: 100 * SECOND, lambda: 1 * SECOND)
    work = measure()
    clock.use(lambda: 100 * SECOND, lambda: 3 * SECOND)
    assert work.seconds == 2.0
    work.finish()
    clock.use(lambda: 100 * SECOND, lambda: 9 * SECOND)
    assert work.seconds == 2.0


def test_a_clock_set_back_makes_no_negative_duration(recording: Recording) -> None:
    clock.use(lambda: 100 * SECOND, lambda: 10 * SECOND)
    work = measure()
    clock.use(lambda: 1, lambda: 5 * SECOND)  # not even a monotonic clock that is none
    work.finish()
    assert recording.one("measure").seconds == 0.0


def test_current_only_while_attached(recording: Recording) -> None:
    work = measure()
    assert operation.current() is None
    work.attach()
    assert operation.current() is work
    assert trace.get_current_span() is work.span
    work.detach()
    assert operation.current() is None
    assert not trace.get_current_span().get_span_context().is_valid
    work.detach()  # without an attach it does nothing


def test_detaching_in_another_thread_is_silent(recording: Recording) -> None:
    work = measure()
    work.attach()
    thread = threading.Thread(target=work.detach)
    thread.start()
    thread.join(5)
    assert operation.current() is work  # here nothing has changed
    otel_context.attach(otel_context.Context())


def test_children_inherit_generation_and_attempt(recording: Recording) -> None:
    with measure("job") as job:
        job.update({a.GENERATION_ID: "g1"})
        job.attempt, job.last_attempt = 2, False
        with measure("child") as child:
            assert (child.attempt, child.last_attempt) == (2, False)
    assert recording.finishes[0].attributes[a.GENERATION_ID] == "g1"
    assert recording.finishes[0].attempt == 2


def test_a_child_takes_the_context_it_is_given(recording: Recording) -> None:
    with measure("parent") as parent:
        pass
    late = Operation(o.MEASURE, {a.OPERATION_NAME: "late"}, context=parent.context)
    assert late.parent is parent
    late.finish()
    assert recording.finishes[1].parent_id == recording.finishes[0].span_id


def test_without_a_sink_nothing_happens() -> None:
    operation.use(None)
    with measure() as work:
        work.set(width=1)
        assert not work.span.is_recording()
        assert trace.get_current_span() is trace.INVALID_SPAN
    assert not work.running
    operation.log(9, "INFO", "nobody listens", {})


def test_suppressed_instrumentation_is_silent(recording: Recording) -> None:
    with suppress_instrumentation(), measure():
        operation.log(9, "INFO", "quiet", {})
    assert (recording.started, recording.finishes, recording.logs) == ([], [], [])


class Broken(Recording):
    """A sink that always fails."""

    def start(self, *_: object) -> trace.Span:
        raise OSError("start")

    def finish(self, *_: object) -> None:
        raise OSError("finish")

    def log(self, *_: object) -> None:
        raise OSError("log")


def test_a_broken_sink_is_a_fault_of_ours_and_nothing_else() -> None:
    operation.use(Broken())
    faults.strict = False
    before = sum(faults.counts.values())
    operation.log(9, "INFO", "lost", {})
    with pytest.raises(ValueError, match="mine"), measure():
        raise ValueError("mine")
    assert sum(faults.counts.values()) > before


def test_under_our_own_tests_a_fault_is_raised() -> None:
    operation.use(Broken())
    with pytest.raises(OSError, match="start"):
        measure()


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_the_exception_that_was_raised_is_the_one_that_arrives(recording: Recording) -> None:
    mine = UnprintableError()
    with pytest.raises(UnprintableError) as caught, measure():
        raise mine
    assert caught.value is mine
    assert recording.one("measure").status == 2


def test_a_failure_may_be_stated(recording: Recording) -> None:
    work = measure()
    work.fail(Error("FLUX_API_ERROR", "rate_limited", "too many", recorded=True))
    work.finish()
    finish = recording.one("measure")
    assert finish.attributes[a.ERROR_REASON] == "rate_limited"
    assert (finish.outcome, finish.status, finish.status_description) == ("error", 2, "too many")


def test_logs_carry_span_and_generation(recording: Recording) -> None:
    operation.log(9, "INFO", "outside", {})
    with measure() as work:
        work.update({a.GENERATION_ID: "g1"})
        operation.log(13, "WARN", "inside", {"a": 1}, event_name="x.y")
    outside, inside = recording.logs
    assert (outside.trace_id, outside.span_id) == (b"", 0)
    assert inside.trace_id == recording.finishes[0].trace_id
    assert inside.span_id == recording.finishes[0].span_id
    assert inside.attributes == {"a": 1, a.GENERATION_ID: "g1"}
    assert (inside.severity, inside.severity_text, inside.body, inside.event_name) == (13, "WARN", "inside", "x.y")


def test_threads_have_operations_of_their_own(recording: Recording) -> None:
    barrier = threading.Barrier(4)

    def work(number: int) -> None:
        with measure(f"outer {number}") as outer:
            barrier.wait(5)
            with measure(f"inner {number}") as inner:
                assert inner.parent is outer

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    by_id = {finish.span_id: finish for finish in recording.finishes}
    inner = [finish for finish in recording.finishes if finish.name.startswith("inner")]
    assert {(by_id[finish.parent_id].name[-1], finish.name[-1]) for finish in inner} == {(n, n) for n in "0123"}


def test_a_signal_handler_may_use_operations_of_its_own(recording: Recording) -> None:
    def handle(*_: object) -> None:
        with measure("handler"):
            pass

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with measure("main"):
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [finish.name for finish in recording.finishes] == ["handler", "main"]
