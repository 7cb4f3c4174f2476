"""A job put into the queue by Node's BullMQ with bullmq-otel, worked on by the Python worker: one trace throughout."""

import json
import shutil
import subprocess
import sys

import pytest

from posemon_otel.demo.flux import FluxServer
from posemon_otel.demo.valkey import Valkey
from tests.demo.programs import ROOT, attributes, environment, exported_spans, into_files, until

PACKAGES = (
    "bullmq",
    "bullmq-otel",
    "ioredis",
    "@opentelemetry/api",
    "@opentelemetry/sdk-trace-node",
    "@opentelemetry/context-async-hooks",
    "@opentelemetry/core",
)
JOB = {
    "generationId": "node-1",
    "userId": "user-1",
    "prompt": "a dancer in arabesque",
    "poses": [
        {"poseId": "arabesque", "name": "Arabesque", "variation": "v1", "seed": 1},
        {"poseId": "waving", "name": "Waving", "variation": "v2", "seed": 2},
    ],
}


@pytest.fixture(scope="module")
def producer(tmp_path_factory):
    """The example's folder, with what it needs installed."""
    for needed in ("node", "npm"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed: get Node.js 20 or later")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"private": true}')
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
    )
    if done.returncode:
        pytest.skip(f"npm cannot install {' '.join(PACKAGES)}: {done.stderr.strip().splitlines()[-1]}")
    shutil.copy(ROOT / "examples" / "producer.mjs", folder)
    return folder


def test_one_trace_from_a_node_producer_to_flux_and_storage(producer, tmp_path):
    telemetry = tmp_path / "telemetry"
    with Valkey(tmp_path / "valkey") as valkey, FluxServer() as flux:
        sent = subprocess.run(
            ["node", "producer.mjs", json.dumps(JOB)],
            cwd=producer,
            env=environment(tmp_path, REDIS_URL=valkey.url),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert sent.returncode == 0, sent.stderr
        trace = sent.stdout.strip()
        worker = subprocess.Popen(
            [sys.executable, "-m", "posemon_otel.demo.worker", "--exit-with-stdin"],
            stdin=subprocess.PIPE,
            env=environment(
                tmp_path,
                REDIS_URL=valkey.url,
                FLUX_URL=flux.url,
                IMAGES=str(tmp_path / "images"),
                POSEMON_SHIP_INTERVAL="0.1",
                **into_files(telemetry),
            ),
        )
        try:
            ended = until(
                lambda: (
                    (telemetry / "traces.jsonl").exists()
                    and any(span["name"].startswith("process") for span in exported_spans(telemetry))
                ),
                30,
            )
            worker.stdin.close()
            assert worker.wait(20) == 0
        finally:
            worker.kill()
            worker.wait()
    assert ended
    spans = exported_spans(telemetry)
    assert {span["traceId"] for span in spans} == {trace}
    by_id = {span["spanId"]: span for span in spans}
    job, generation = (next(span for span in spans if span["name"] == name) for name in NAMES)
    assert job["parentSpanId"] not in by_id  # Node's span
    assert generation["parentSpanId"] == job["spanId"]
    assert attributes(generation)["pose.generation.id"] == "node-1"
    assert attributes(generation)["pose.generation.status"] == "completed"
    assert sum(span["name"] == "pose.render" for span in spans) == 2


NAMES = ("process pose-generation", "pose.generation")
