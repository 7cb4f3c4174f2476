"""All three signals, over HTTP and over gRPC, read back from an OTLP receiver that nobody here wrote."""

import base64
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AGENT = ROOT / ".venv-receiver" / "bin" / "ddapm-test-agent"
WORK = """
import sys
import posemon_otel as posemon
handle = posemon.configure("pose-worker", journal_dir=sys.argv[1], disabled_instrumentations=("*",), log_format="none")
try:
    with posemon.generation("g1", user_id="u1", expected_poses=2, credits_charged=60, model="flux-dev") as generation:
        with generation.pose("p1", variation="a"):
            with posemon.flux_call("flux-dev", provider="bfl", width=512, height=512, steps=28, seed=7) as call:
                call.set(image_count=1, cost_usd=0.025)
        generation.refund(30, reason="the second pose failed")
        with generation.pose("p2", variation="b"), posemon.storage_write("file", "out/2.png", bytes=3):
            raise TimeoutError("no answer")
except TimeoutError:
    pass
posemon.worker_logger.warning("One of two", pose_count=2)
posemon.record_event("export_generated", "g1", format="zip")
sys.exit(0 if handle.force_flush(15) else 3)
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def agent():
    if not AGENT.exists():
        pytest.skip(f"{AGENT.relative_to(ROOT)} is missing: .ci/run installs it from tests/real/receiver.lock")
    http, grpc, own = free_port(), free_port(), free_port()
    command = [AGENT, "--host", "127.0.0.1", "--port", own, "--otlp-http-port", http, "--otlp-grpc-port", grpc]
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as agent:
        try:
            for port in (http, grpc):
                deadline = time.monotonic() + 60
                while not listens(port):
                    assert time.monotonic() < deadline, "the receiver did not start within a minute"
                    time.sleep(0.1)
            yield {"http/protobuf": http, "grpc": grpc}
        finally:
            agent.terminate()
            agent.wait(20)


def read(port: int, signal: str) -> list:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/test/session/{signal}", timeout=10) as answer:
        return json.load(answer)


def plain(pairs: list) -> dict:
    return {pair["key"]: next(iter(pair["value"].values())) for pair in pairs}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_traces_metrics_and_logs_are_read_back(agent, tmp_path, protocol):
    before = {signal: len(read(agent["http/protobuf"], signal)) for signal in ("traces", "metrics", "logs")}
    env = {
        "PATH": str(Path(shutil.which("env") or "/usr/bin/env").parent),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{agent[protocol]}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WORK, str(tmp_path)], env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    new = {signal: read(agent["http/protobuf"], signal)[before[signal] :] for signal in before}

    spans = [
        (scope["scope"]["name"], span)
        for message in new["traces"]
        for resource in message["resource_spans"]
        for scope in resource["scope_spans"]
        for span in scope["spans"]
    ]
    by_name = {}
    for _, span in spans:
        by_name.setdefault(span["name"], []).append(span)
    assert {name: len(found) for name, found in by_name.items()} == {
        "pose.generation": 1,
        "pose.render": 2,
        "generate_content flux-dev": 1,
        "put file": 1,
    }
    assert {scope for scope, _ in spans} == {"posemon_otel"}
    assert len({span["trace_id"] for _, span in spans}) == 1
    assert len(base64.b64decode(spans[0][1]["trace_id"])) == 16
    (flux,), (generation,), (put,) = (by_name[n] for n in ("generate_content flux-dev", "pose.generation", "put file"))
    assert flux["parent_span_id"] in {span["span_id"] for span in by_name["pose.render"]}
    assert {span["parent_span_id"] for span in by_name["pose.render"]} == {generation["span_id"]}
    assert plain(flux["attributes"]) == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.output.type": "image",
        "gen_ai.provider.name": "bfl",
        "gen_ai.request.model": "flux-dev",
        "gen_ai.request.seed": "7",
        "pose.cost.usd": 0.025,
        "pose.generation.id": "g1",
        "pose.image.count": "1",
        "pose.image.height": "512",
        "pose.image.operation": "text_to_image",
        "pose.image.steps": "28",
        "pose.image.width": "512",
        "pose.outcome": "ok",
    }
    assert put["status"]["code"] == "STATUS_CODE_ERROR"
    assert [event["name"] for event in put["events"]] == ["exception"]
    assert plain(put["attributes"])["error.type"] == plain(generation["attributes"])["error.type"] == "TIMEOUT_ERROR"

    metrics = {
        metric["name"]: metric
        for message in new["metrics"]
        for resource in message["resource_metrics"]
        for scope in resource["scope_metrics"]
        for metric in scope["metrics"]
    }
    points = {
        (plain(p["attributes"])["pose.generation.status"], plain(p["attributes"]).get("error.type")): int(p["as_int"])
        for p in metrics["pose.generations"]["sum"]["data_points"]
    }
    assert {key: value for key, value in points.items() if value} == {("failed", "TIMEOUT_ERROR"): 1}
    durations = metrics["gen_ai.client.inference.duration"]["histogram"]["data_points"]
    assert [point["count"] for point in durations] == ["1"]
    assert base64.b64decode(durations[0]["exemplars"][0]["trace_id"]) == base64.b64decode(flux["trace_id"])

    logs = [
        record
        for message in new["logs"]
        for resource in message["resource_logs"]
        for scope in resource["scope_logs"]
        for record in scope["log_records"]
    ]
    assert {record.get("event_name", "") for record in logs} == {"", "exception", "pose.export.generated"}
    assert "One of two" in {record["body"]["string_value"] for record in logs}
