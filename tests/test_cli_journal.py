"""`posemon where` and `posemon journal`: what became of a trace, what stands in the journals, and its delivery."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import posemon_otel
from posemon_otel import cli, settings
from posemon_otel.delivery import globals as otel_globals
from posemon_otel.delivery import quarantine, receipts, wire
from posemon_otel.journal import Journal, Position
from posemon_otel.state import spare_root
from tests.receiver import Receiver, attributes

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    """No settings but the state folder's, and defaults read anew."""
    for name in list(os.environ):
        if name.startswith(("POSEMON_", "OTEL_")) or name in ("DATABASE_URL", "REDIS_URL"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    settings.use(None)


@pytest.fixture
def posemon(capsys):
    """Runs a command in this process: exit code, output, errors."""

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            cli.main(list(arguments))
        out, err = capsys.readouterr()
        return exit_.value.code, out, err

    return run


def worker(url=NOWHERE, *, flush=False, generations=1, metrics="otlp"):
    """A worker in this process, to its end: generations with a log record each, and an event."""
    with otel_globals.set_aside():
        handle = posemon_otel.configure(
            "pose-worker",
            otlp_endpoint=url,
            exit_budget=2,
            log_format="none",
            ship_interval=0.05,
            disabled_instrumentations=("*",),
            metrics_exporter=metrics,
        )
        for number in range(generations):
            with posemon_otel.generation(f"g{number}"):
                pass
        posemon_otel.record_event("export_generated", "g0")
        assert not flush or handle.force_flush(20)
        handle.shutdown()


KILLED = f"""
import os, time
import posemon_otel as posemon
posemon.configure("pose-worker", otlp_endpoint={NOWHERE!r}, log_format="none", disabled_instrumentations=("*",))
open_one = posemon.generation("g1").__enter__()
time.sleep(0.8)
os.kill(os.getpid(), 9)
"""


def killed():
    """A worker that is killed within a generation."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", KILLED], capture_output=True, text=True, timeout=60)
    assert done.returncode == -9, done.stderr


def one_line(err):
    assert err.endswith("\n")
    (line,) = err.splitlines()
    return line


def entries(posemon, *arguments):
    code, out, err = posemon("journal", "inspect", "--json", *arguments)
    assert (code, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def trace_of(posemon):
    """The trace id of the first generation."""
    return entries(posemon, "--kind", "finish")[0]["trace_id"]


# where ---------------------------------------------------------------------------------------------------------------


def test_where_tells_what_was_taken_by_whom_and_when(posemon):
    with Receiver() as receiver:
        worker(receiver.url, flush=True)
    trace = trace_of(posemon)
    code, out, err = posemon("where", trace[:8].upper())
    assert (code, err) == (0, "")
    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(
        rf"trace {trace}\n"
        r"pose-worker  [0-9a-f]{32}  ended\n"
        rf"  recorded  1 span, 1 log record, {moment} to {moment}\n"
        rf"  traces    1 acknowledged by {receiver.url}/v1/traces: 200, {moment}\n"
        rf"  logs      1 acknowledged by {receiver.url}/v1/logs: 200, {moment}\n"
        r"  metrics   1 acknowledged\n",
        out,
    )
    told = json.loads(posemon("where", trace, "--json")[1])
    (process,) = told["processes"]
    (traces, _, _) = process["fates"]
    assert told["trace_id"] == trace
    assert (process["service"], process["alive"], process["spans"]) == ("pose-worker", False, 1)
    assert (traces["recorded"], traces["shipped"], traces["acknowledged"], traces["waiting"]) == (1, 1, 1, 0)
    assert abs(traces["time_ns"] / 1e9 - time.time()) < 60


def test_where_tells_what_waits_and_what_is_still_open(posemon):
    worker()
    killed()
    start, *_ = entries(posemon, "--kind", "start")
    code, out, err = posemon("where", start["trace_id"])
    assert (code, err) == (0, "")
    assert "  recorded  1 operation not ended, " in out
    _, out, _ = posemon("where", trace_of(posemon))
    assert "  traces    1 waiting\n" in out
    assert "  metrics   1 waiting\n" in out


def test_where_tells_what_was_rejected(posemon):
    worker()
    (finish,) = entries(posemon, "--kind", "finish")
    folder = Path(finish["folder"])
    first, end = Position(*finish["position"]), Position(finish["position"][0] + 1, 0, 0)
    (folder / "position-traces.json").write_text(json.dumps({"low": end, "ranges": []}))
    receipts.add(folder, "traces", [receipts.Receipt(first, end, 10**18, "http://b/v1/traces", "rejected 400")])
    _, out, _ = posemon("where", finish["trace_id"])
    assert "  traces    1 rejected by http://b/v1/traces: rejected 400, 2001-09-09T01:46:40.000Z\n" in out


def test_where_knows_no_such_trace(posemon, tmp_path):
    worker()
    code, out, err = posemon("where", "0123456789abcdef")
    assert (code, out) == (1, "")
    assert one_line(err) == (
        f"posemon: trace 0123456789abcdef: in no journal in {tmp_path}/posemon: never recorded here, or gone with its"
        " segments (POSEMON_JOURNAL_KEEP)"
    )


def test_where_wants_as_many_digits_as_tell_traces_apart(posemon):
    worker(generations=17)  # two of them begin alike
    traces = {finish["trace_id"] for finish in entries(posemon, "--kind", "finish")}
    shared = next(digit for digit in "0123456789abcdef" if sum(one.startswith(digit) for one in traces) > 1)
    code, out, err = posemon("where", shared)
    assert (code, out) == (1, "")
    assert re.fullmatch(rf"posemon: trace {shared}: several begin so \(.*\): give more digits", one_line(err))


@pytest.mark.parametrize("wrong", ["xyz", "", "0" * 33])
def test_what_is_no_trace_id_is_wrong_usage(posemon, wrong):
    code, out, err = posemon("where", wrong)
    assert (code, out) == (2, "")
    assert "expected the hexadecimal digits of a trace id, 32 of them or the first few, got" in one_line(err)


# journal inspect -----------------------------------------------------------------------------------------------------


def test_inspect_shows_what_stands_there(posemon):
    worker()
    found = entries(posemon)
    assert {one["kind"] for one in found} == {"scope", "finish", "log", "event"}
    (finish,) = (one for one in found if one["kind"] == "finish")
    assert finish["fields"]["name"] == "pose.generation"
    assert finish["fields"]["attributes"]["pose.generation.id"] == "g0"
    assert re.fullmatch(r"[0-9a-f]{16}", finish["fields"]["span_id"])
    assert finish["fields"]["trace_id"] == finish["trace_id"]
    (event,) = (one for one in found if one["kind"] == "event")
    assert event["fields"]["type"] == "export_generated"
    of_trace = entries(posemon, "--trace", finish["trace_id"][:10])
    assert [one["kind"] for one in of_trace] == ["finish", "log"]
    assert entries(posemon, "--trace", finish["trace_id"], "--kind", "log") == of_trace[1:]
    code, out, err = posemon("journal", "inspect", "--kind", "finish")
    assert (code, err) == (0, "")
    line = (
        rf"pose-worker  [0-9a-f]{{8}}  1:\d+ +[\d:.TZ-]{{24}}  finish       {finish['trace_id']}  pose.generation ok\n"
    )
    assert re.fullmatch(line, out)


def test_inspect_shows_what_was_refused(posemon):
    worker()
    (log, *_) = entries(posemon, "--kind", "log")
    (finish,) = entries(posemon, "--kind", "finish")
    folder = Path(finish["folder"])
    payload = next(data for _, tag, data in Journal.open(folder).entries() if tag == wire.FINISH)
    common = {"time_ns": 10**18, "endpoint": "http://b/v1/traces", "status": "400", "trace_id": finish["trace_id"]}
    quarantine.add(
        folder,
        "traces",
        quarantine.Quarantined(
            name="pose.generation", span_id="1" * 16, tag=wire.FINISH, size=len(payload), payload=payload, **common
        ),
    )
    quarantine.add(
        folder,
        "logs",
        quarantine.Quarantined(name="", span_id="", tag=wire.LOG, size=1 << 21, payload=b"x", **common),
    )
    refused = entries(posemon, "--kind", "quarantined")
    assert [(one["fields"]["consumer"], one["fields"]["status"]) for one in refused] == [
        ("traces", "400"),
        ("logs", "400"),
    ]
    assert refused[0]["fields"]["payload"] == finish["fields"]
    assert refused[1]["fields"]["payload"] is None
    assert len(entries(posemon, "--trace", finish["trace_id"])) == 4
    assert log["trace_id"] == finish["trace_id"]
    assert entries(posemon, "--trace", "f" * 32) == []


# journal flush -------------------------------------------------------------------------------------------------------


def test_flush_delivers_what_ended_processes_left(posemon, monkeypatch):
    killed()
    worker()
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        code, out, err = posemon("journal", "flush")
        assert (code, out, err) == (0, "everything that ended processes left is delivered\n", "")
        spans = {attributes(span.attributes)["pose.generation.id"]: span for _, _, span in receiver.spans()}
        assert set(spans) == {"g0", "g1"}
        assert attributes(spans["g1"].attributes)["pose.outcome"] == "interrupted"
        assert {record.event_name for _, _, record in receiver.logs()} >= {"pose.export.generated"}
        assert receiver.total("pose.generations", pose__generation__status="completed") == 1
        assert receiver.total("pose.generations", pose__generation__status="failed") == 1
        requests = len(receiver.requests)
        assert posemon("journal", "flush")[0] == 0
        assert len(receiver.requests) == requests


def test_what_lies_in_the_folder_that_stands_in_is_found_too(posemon, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("POSEMON_JOURNAL_DIR", str(tmp_path / "file"))
    spare = spare_root(tmp_path / "file" / "pose-worker")
    try:
        killed()
        assert re.match(r"pose-worker  [0-9a-f]{32}  ended  ", posemon("journal", "status")[1])
        with Receiver() as receiver:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
            assert posemon("journal", "flush")[0] == 0
        assert receiver.names() == ["pose.generation"]
        monkeypatch.setenv("POSEMON_JOURNAL_DIR", str(tmp_path / "another"))
        assert posemon("journal", "status")[1] == f"no journals in {tmp_path}/another\n"
    finally:
        shutil.rmtree(spare)


def test_flush_with_nothing_to_do(posemon):
    assert posemon("journal", "flush") == (0, "everything that ended processes left is delivered\n", "")


def test_flush_tells_the_truth_in_time_and_in_one_line(posemon, monkeypatch):
    worker()
    with Receiver(answer=lambda path: 200 if path == "/v1/logs" else 503) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        begun = time.monotonic()
        code, out, err = posemon("journal", "flush", "--timeout", "1")
        assert time.monotonic() - begun < 3
    assert (code, out) == (1, "")
    line = one_line(err)
    assert re.search(rf"of pose-worker's traces \(503 from {receiver.url}/v1/traces\)", line)
    assert "pose-worker's logs" not in line
    assert line.endswith("`posemon doctor` tells where they should go")


def test_flush_says_that_what_was_open_could_not_be_ended(posemon, monkeypatch):
    killed()
    folder = Path(entries(posemon)[0]["folder"])
    (folder / "00000002.new").mkdir()  # where the next segment would be made
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        code, _, err = posemon("journal", "flush", "--timeout", "1")
        assert code == 1
        assert "pose-worker's open operations (its folder cannot be written" in one_line(err)
        (folder / "00000002.new").rmdir()
        assert posemon("journal", "flush")[0] == 0
        assert receiver.names() == ["pose.generation"]


def test_flush_says_what_is_not_set_up_here(posemon, monkeypatch):
    worker(metrics="none")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("POSEMON_SHIP_INTERVAL", "0.05")
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        code, _, err = posemon("journal", "flush", "--timeout", "20")
        assert code == 1
        assert "of pose-worker's traces (not set up here)" in one_line(err)
        assert len(receiver.logs()) == 2


@pytest.mark.parametrize("command", [["journal", "flush"], ["journal", "replay"], ["ship"]], ids=" ".join)
@pytest.mark.parametrize(("variable", "value"), [("POSEMON_JOURNAL", "off"), ("OTEL_SDK_DISABLED", "true")])
def test_without_a_journal_there_is_nothing_to_ship(posemon, monkeypatch, command, variable, value):
    monkeypatch.setenv(variable, value)
    code, out, err = posemon(*command)
    assert (code, out) == (1, "")
    assert variable in one_line(err)


# journal replay ------------------------------------------------------------------------------------------------------


def test_replay_sends_again_what_was_acknowledged(posemon, monkeypatch):
    with Receiver() as receiver:
        worker(receiver.url, flush=True, generations=3)
        worker()  # what waits is not sent again
        first = {span.span_id for _, _, span in receiver.spans()}
        with Receiver() as other:
            code, out, err = posemon("journal", "replay", "--to", other.url)
            assert (code, out, err) == (0, "traces: 3 sent again\nlogs: 4 sent again\n", "")
            assert {span.span_id for _, _, span in other.spans()} == first
            assert {resource["service.name"] for resource, _, _ in other.spans()} == {"pose-worker"}
            assert len(other.logs()) == 4
            assert other.metrics() == {}
        requests = len(receiver.requests)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        assert posemon("journal", "replay", "--since", "1h")[1] == "traces: 3 sent again\nlogs: 4 sent again\n"
        assert len(receiver.requests) == requests + 2
        assert posemon("journal", "replay", "--since", "2100-01-01T00:00")[1] == (
            "traces: 0 sent again\nlogs: 0 sent again\n"
        )


def test_replay_that_fails_says_so(posemon):
    with Receiver() as receiver:
        worker(receiver.url, flush=True)
        receiver.answer = lambda _path: 503
        code, out, err = posemon("journal", "replay", "--to", receiver.url)
    assert (code, out) == (1, "traces: 0 sent again\nlogs: 0 sent again\n")
    assert f"traces: 503 from {receiver.url}/v1/traces" in one_line(err)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["replay", "--since", "yesterday"], 2, "expected a time like 2026-11-24T17:00 (UTC), or how long ago"),
        (["replay", "--to", "127.0.0.1:4318"], 1, "posemon: --to: expected an address with a scheme"),
        (["flush", "--timeout", "-1"], 2, "Invalid value for '--timeout'"),
        (["inspect", "--kind", "spans"], 2, "Invalid value for '--kind'"),
        (["inspect", "--trace", "xyz"], 2, "expected the hexadecimal digits of a trace id"),
    ],
)
def test_what_is_wrong_is_one_line(posemon, arguments, code, message):
    got, out, err = posemon("journal", *arguments)
    assert (got, out) == (code, "")
    assert message in one_line(err)


def test_replay_without_an_exporter(posemon, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    code, out, err = posemon("journal", "replay")
    assert (code, out) == (1, "")
    assert "set OTEL_TRACES_EXPORTER, or name one with --to" in one_line(err)


# ship ----------------------------------------------------------------------------------------------------------------


def test_ship_with_nobody_to_deliver_to(posemon, monkeypatch):
    for name in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{name}_EXPORTER", "none")
    assert posemon("ship") == (
        1,
        "",
        "posemon: there is nobody to deliver to: set OTEL_TRACES_EXPORTER or POSEMON_DATABASE_URL\n",
    )
