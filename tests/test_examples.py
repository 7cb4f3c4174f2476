"""The examples run as they stand. (`curl.sh` has its own test beside the admin app's, and runs against the demo.)"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bullmq import Queue
from PIL import Image

from posemon_otel.demo.faults import Failure, Plan
from posemon_otel.demo.flux import FluxServer
from posemon_otel.demo.valkey import Valkey
from tests.demo.programs import ROOT, attributes, environment, exported_spans, into_files

PRODUCER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_the_quickstart_shows_its_generation_as_a_tree(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "quickstart.py"],
        env=environment(tmp_path, POSEMON_VIEW="tree", **into_files(tmp_path / "telemetry")),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")
    tree = done.stderr[done.stderr.index("trace ") :].splitlines()
    assert [line.lstrip("│├└─ ").split("  ")[0] for line in tree[1:]] == [
        "pose.generation",
        "pose.render",
        "generate_content FLUX.1-dev",
        "pose.render",
        "generate_content FLUX.1-dev",
    ]
    names = sorted(span["name"] for span in exported_spans(tmp_path / "telemetry"))
    assert names == ["generate_content FLUX.1-dev"] * 2 + ["pose.generation"] + ["pose.render"] * 2


async def put(url, jobs):
    queue = Queue("pose-generation", {"connection": url})
    for data, options in jobs:
        await queue.add("generate", data, options)
    await queue.close()


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    """The example's worker has done two jobs, watched without a line of ours in it."""
    folder = tmp_path_factory.mktemp("worker")
    plan = Plan()
    plan.fail_next(None, Failure.RATE_LIMITED)
    with Valkey(folder / "valkey") as valkey, FluxServer(plan=plan) as flux:
        jobs = [
            ({"prompts": ["a waving figure"]}, {"tm": json.dumps({"traceparent": PRODUCER})}),
            ({"prompts": ["a running figure"]}, {}),
        ]
        asyncio.run(put(valkey.url, jobs))
        scripts = Path(sys.executable).parent
        done = subprocess.run(
            [scripts / "opentelemetry-instrument", "python", ROOT / "examples" / "worker.py"],
            env=environment(
                folder,
                PATH=f"{scripts}{os.pathsep}{os.environ['PATH']}",
                OTEL_SERVICE_NAME="example",
                REDIS_URL=valkey.url,
                FLUX_URL=flux.url,
                IMAGES=str(folder / "images"),
                MAX_JOBS="2",
                **into_files(folder / "telemetry"),
            ),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_worker_has_no_line_of_ours_in_it():
    code = (ROOT / "examples" / "worker.py").read_text().split('"""', 2)[2]
    assert "posemon" not in code.replace("posemon_otel", "posemon").lower()
    assert "opentelemetry" not in code


def test_the_worker_is_watched_in_the_producers_trace(worked):
    spans = [span for span in exported_spans(worked / "telemetry") if span["name"] != "POST"]
    first = {span["name"]: span for span in spans if span["traceId"] == PRODUCER.split("-")[1]}
    assert set(first) == {"process pose-generation", "generate_content", "put file"}
    job = first.pop("process pose-generation")
    assert job["parentSpanId"] == PRODUCER.split("-")[2]
    assert {span["parentSpanId"] for span in first.values()} == {job["spanId"]}


def test_what_the_worker_meets_has_its_type_and_reason(worked):
    failed = [attributes(span) for span in exported_spans(worked / "telemetry") if span["name"] == "generate_content"]
    met = [(one.get("error.type"), one.get("pose.error.reason")) for one in failed]
    assert met == [(None, None), ("FLUX_API_ERROR", "rate_limited")]


def test_the_workers_polling_makes_no_spans(worked):
    assert {span["name"] for span in exported_spans(worked / "telemetry")} <= {
        "process pose-generation",
        "generate_content",
        "put file",
        "POST",  # by OpenTelemetry's instrumentation of the client's HTTP library, where it is installed
    }


def test_the_picture_is_there(worked):
    (picture,) = (worked / "images").iterdir()
    with Image.open(picture) as opened:
        assert opened.size == (256, 256)
