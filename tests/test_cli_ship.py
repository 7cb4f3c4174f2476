"""`posemon ship`: delivery as a process of its own, in the workers' place. More of it in `tests/real/test_ship.py`."""

import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from tests.receiver import Receiver
from tests.shipping import SECONDS, arrived, starting

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def start(tmp_path):
    with starting(tmp_path) as run:
        yield run


def test_a_worker_beside_it_never_needs_an_exporter(start, tmp_path):
    with Receiver() as receiver:
        shipper = start("ship", receiver, "--service", "pose-worker")
        assert shipper.says("delivers") == f"delivers traces, logs, metrics from {tmp_path} (Ctrl-C ends it)"
        shipper.says("pose-worker: ships for 0 living and 0 ended processes")
        worker = start("worker", receiver)
        doctor = subprocess.run(
            [sys.executable, "-m", "posemon_otel.cli", "doctor"],
            env={**os.environ, "POSEMON_JOURNAL_DIR": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert re.search(r"^. ship +`posemon ship` delivers for pose-worker$", doctor.stdout, re.MULTILINE)
        for number in range(50):
            worker.ask(f"make g{number}")
        assert worker.ask("flush") == "True"
        assert arrived(receiver) == {f"g{number}" for number in range(50)}
        assert receiver.names().count("pose.generation") == 50  # once
        assert worker.ask("exporters") == ""
        shipper.says("pose-worker: ships for 1 living and 0 ended processes")
        code, err, seconds = shipper.end(signal.SIGTERM)
        assert (code, err) == (0, "")
        assert seconds < 5
        worker.ask("make after")
        assert worker.ask("flush") == "True"
        assert "after" in arrived(receiver)
        assert "trace_exporter" in worker.ask("exporters")


def test_a_worker_takes_over_when_it_is_killed(start):
    with Receiver() as receiver:
        worker = start("worker", receiver)
        worker.ask("make before")
        assert worker.ask("flush") == "True"
        shipper = start("ship", receiver)
        shipper.says("pose-worker: ships for 1 living")
        receiver.answer = lambda _path: 503
        worker.ask("make meanwhile")
        assert shipper.end(signal.SIGKILL)[0] == -9
        receiver.answer = lambda _path: 200
        assert worker.ask("flush") == "True"
        assert arrived(receiver) == {"before", "meanwhile"}
        again = start("ship", receiver)
        again.says("pose-worker: ships for 1 living")
        worker.ask("make again")
        assert worker.ask("flush") == "True"
        assert "again" in arrived(receiver)


def test_it_ends_within_its_budget_while_the_backend_hangs(start):
    asked = threading.Event()
    with Receiver(answer=lambda _path: asked.set()) as receiver:  # None: never answered
        shipper = start("ship", receiver, "--service", "pose-worker", POSEMON_EXIT_BUDGET="1")
        shipper.says("pose-worker: ships for 0 living")
        worker = start("worker", receiver)
        worker.ask("make g1")
        assert asked.wait(SECONDS)
        code, _, seconds = shipper.end(signal.SIGTERM)
        assert code == 0
        assert seconds < 4  # the request itself would take ten
