"""Delivery end to end: real exporters over a real socket, real journals on disk."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import posemon_otel as posemon
from posemon_otel import bootstrap
from posemon_otel.delivery import globals as otel_globals
from tests.receiver import Receiver, attributes

ENDS_SOON = {"ship_interval": 0.05, "log_format": "none", "disabled_instrumentations": ("*",)}


@pytest.fixture
def fresh():
    with otel_globals.set_aside():
        yield
        handle = bootstrap.handle()
        if handle is not None:
            handle.shutdown(2.0)


def work() -> None:
    with posemon.generation("g1", user_id="u1", expected_poses=1, credits_charged=30) as gen:
        with gen.pose("p1", name="Warrior"), posemon.flux_call("flux-dev", provider="bfl", steps=4) as call:
            call.set(image_count=1)


def child(folder: Path, url: str, body: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    code = textwrap.dedent(
        """
        import os, signal, sys, time
        import posemon_otel as posemon
        from posemon_otel import faults
        faults.strict = True
        handle = posemon.configure("worker", disabled_instrumentations=("*",), log_format="none")
        """
    ) + textwrap.dedent(body)
    env = {
        "PATH": "",
        "POSEMON_JOURNAL_DIR": str(folder),
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "POSEMON_SHIP_INTERVAL": "0.05",
        **environ,
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_all_signals_arrive_and_flush_says_so(tmp_path, fresh):
    with Receiver() as receiver:
        handle = posemon.configure("pose-worker", otlp_endpoint=receiver.url, journal_dir=str(tmp_path), **ENDS_SOON)
        work()
        posemon.worker_logger.info("Done", pose_count=1)
        posemon.record_event("export_generated", "g1")
        assert handle.force_flush(10.0) is True
        assert sorted(receiver.names()) == ["generate_content flux-dev", "pose.generation", "pose.render"]
        assert len({span.trace_id for _, _, span in receiver.spans()}) == 1
        resource = receiver.spans()[0][0]
        assert resource["service.name"] == "pose-worker"
        assert resource["telemetry.distro.name"] == "posemon_otel"
        assert {record.event_name for _, _, record in receiver.logs()} == {"", "pose.export.generated"}
        assert {scope for _, scope, _ in receiver.logs()} == {"posemon_otel", "posemon_otel.worker"}
        assert receiver.total("pose.generations", pose__generation__status="completed") == 1
        assert receiver.total("pose.generations", pose__generation__status="failed") == 0
        assert receiver.total("pose.images") == 1
        assert receiver.total("pose.credits.charged") == 30
        assert receiver.total("pose.events", pose__event__type="export_generated") == 1


def test_flush_is_false_while_the_receiver_is_down_and_nothing_is_lost(tmp_path, fresh):
    with Receiver() as gone:
        port = gone.port
    handle = posemon.configure(
        "worker",
        otlp_endpoint=f"http://127.0.0.1:{port}",
        journal_dir=str(tmp_path),
        metrics_exporter="none",
        **ENDS_SOON,
    )
    work()
    began = time.monotonic()
    assert handle.force_flush(1.0) is False
    assert time.monotonic() - began < 1.3
    with Receiver(port) as receiver:
        assert handle.force_flush(20.0) is True
        assert sorted(receiver.names()) == ["generate_content flux-dev", "pose.generation", "pose.render"]


@pytest.mark.parametrize("status", [503, None], ids=["refuses", "hangs"])
def test_exit_keeps_its_budget_and_the_next_start_sends_the_rest(tmp_path, status):
    body = """
        with posemon.generation("g1"):
            pass
        began = time.monotonic()
        import atexit
        atexit._run_exitfuncs()
        print(time.monotonic() - began)
    """
    with Receiver(answer=lambda _path: status) as receiver:
        done = child(tmp_path, receiver.url, body, POSEMON_EXIT_BUDGET="2")
        assert done.returncode == 0, done.stderr
        assert float(done.stdout) < 2.5
        assert receiver.names() == []
        receiver.answer = lambda _path: 200
        done = child(tmp_path, receiver.url, "print(handle.force_flush(20) and posemon.generation)\ntime.sleep(3)")
        assert done.returncode == 0, done.stderr
    assert receiver.names() == ["pose.generation"]


def test_a_killed_process_loses_no_ended_span_and_its_counts(tmp_path):
    body = """
        from opentelemetry import trace
        with posemon.generation("ended", credits_charged=30):
            pass
        with trace.get_tracer("app").start_as_current_span("of another library"):
            pass
        posemon.worker_logger.info("last words")
        open_one = posemon.generation("open").__enter__()
        time.sleep(0.8)
        print(handle.pipeline.tracer_provider.resource.attributes["service.instance.id"], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    with Receiver(answer=lambda _path: 503) as receiver:
        killed = child(tmp_path, receiver.url, body)
        instance = killed.stdout.strip()
        assert killed.returncode == -9, killed.stderr
        receiver.answer = lambda _path: 200
        living = child(
            tmp_path,
            receiver.url,
            """
            with posemon.generation("of the living"):
                pass
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and any(handle.pipeline.shipper.adopt() for _ in range(1)):
                time.sleep(0.2)
            """,
        )
        assert living.returncode == 0, living.stderr
        spans = {(attributes(s.attributes).get("pose.generation.id", s.name)): (r, s) for r, _, s in receiver.spans()}
        assert set(spans) == {"ended", "of another library", "open", "of the living"}
        assert {key for key, (resource, _) in spans.items() if resource["service.instance.id"] == instance} == {
            "ended",
            "of another library",
            "open",
        }
        interrupted = attributes(spans["open"][1].attributes)
        assert interrupted["pose.outcome"] == "interrupted"
        assert interrupted["pose.generation.status"] == "failed"
        assert spans["open"][1].status.code == 2
        assert "last words" in [record.body.string_value for _, _, record in receiver.logs()]
        counts = receiver.metrics()["pose.generations"]
        of_the_dead = {dict(own)["pose.generation.status"]: n for (i, own), n in counts.items() if i == instance and n}
        assert of_the_dead == {"completed": 1, "failed": 1}


def test_a_forked_child_has_a_journal_threads_and_counts_of_its_own(tmp_path):
    body = """
        with posemon.generation("parent"):
            pass
        assert handle.force_flush(10)
        pid = os.fork()
        if pid == 0:
            with posemon.generation("child"):
                pass
            time.sleep(0.7)  # several intervals of the metrics: what is the parent's must not come out here
            ok = handle.force_flush(10)
            os._exit(0 if ok else 3)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        with posemon.generation("parent again"):
            pass
    """
    with Receiver() as receiver:
        done = child(tmp_path, receiver.url, body, OTEL_METRIC_EXPORT_INTERVAL="200")
        assert done.returncode == 0, done.stderr
    found = {attributes(s.attributes)["pose.generation.id"]: r["service.instance.id"] for r, _, s in receiver.spans()}
    assert set(found) == {"parent", "child", "parent again"}
    assert found["parent"] == found["parent again"] != found["child"]
    counts = receiver.metrics()["pose.generations"]
    completed = {i: n for (i, own), n in counts.items() if ("pose.generation.status", "completed") in own}
    assert completed == {found["parent"]: 2, found["child"]: 1}


def test_a_folder_that_cannot_be_written_is_replaced_with_one_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with Receiver() as receiver:
        done = child(tmp_path / "file", receiver.url, "with posemon.generation('g1'):\n    pass")
    assert done.returncode == 0
    assert receiver.names() == ["pose.generation"]
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1
    assert "POSEMON_JOURNAL_DIR" in lines[0]


def test_rows_arrive_and_a_database_that_is_away_delays_them(tmp_path, fresh):
    from sqlalchemy import text

    from posemon_otel.records import connect, upgrade

    path = tmp_path / "rows.db"
    handle = posemon.configure(
        "worker",
        database_url=f"sqlite:///{path}",
        journal_dir=str(tmp_path / "journal"),
        traces_exporter="none",
        metrics_exporter="none",
        logs_exporter="none",
        **ENDS_SOON,
    )
    work()
    assert handle.force_flush(0.5) is False
    engine = connect(f"sqlite:///{path}")
    upgrade(engine)
    assert handle.force_flush(20.0) is True
    with engine.connect() as connection:
        rows = connection.execute(text('select id, status, "posesCompleted", "creditCharged" from pose_generations'))
        assert [tuple(row) for row in rows] == [("g1", "completed", 1, 30)]
        poses = connection.execute(text("select status from generated_poses"))
        assert [tuple(row) for row in poses] == [("completed",)]
    engine.dispose()


def test_configure_twice_is_safe_and_wrong_settings_cost_one_line_each(tmp_path, fresh, caplog):
    with Receiver() as receiver:
        handle = posemon.configure(
            "worker", otlp_endpoint=receiver.url, journal_dir=str(tmp_path), log_level="loud", **ENDS_SOON
        )
        assert posemon.configure("other") is handle
        problems = [record.message for record in caplog.records if "log_level" in record.message]
        assert problems == ["log_level: expected one of debug, info, warning, error, got 'loud'; using 'info'"]
        work()
        assert handle.shutdown(10.0) is True
        assert handle.shutdown(10.0) is True
        again = posemon.configure("worker", otlp_endpoint=receiver.url, journal_dir=str(tmp_path), **ENDS_SOON)
        assert again is not handle
        assert again.mode == "journal"
        work()
        assert again.force_flush(10.0)
        assert receiver.names().count("pose.generation") == 2
