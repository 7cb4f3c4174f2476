import contextlib
import re
import socket
import subprocess
import sys

import pytest

import posemon_otel as posemon
from posemon_otel import settings
from posemon_otel.demo import folder as folders
from posemon_otel.demo import parts
from posemon_otel.demo.folder import FolderError, RunFolder
from posemon_otel.demo.parts import DemoError, WorkerProcess
from posemon_otel.demo.report import QUICKSTART, _percentile, _size
from posemon_otel.demo.screen import PlainScreen
from posemon_otel.demo.valkey import Valkey
from posemon_otel.settings import Settings
from tests.demo.programs import ROOT, alive, until


def test_a_run_without_a_name_gets_the_next_folder_of_the_day(tmp_path):
    chosen = Settings({"state_home": str(tmp_path)})
    first, second = folders.make(None, chosen).path, folders.make(None, chosen).path
    assert first.parent == tmp_path / "posemon" / "demo-runs"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-1", first.name)
    assert second.name == first.name[:-1] + "2"
    assert second.stat().st_mode & 0o777 == 0o700


def test_of_the_runs_in_the_state_folder_the_newest_stay(tmp_path):
    chosen = Settings({"state_home": str(tmp_path)})
    runs = tmp_path / "posemon" / "demo-runs"
    for name in ("2026-01-02-9", "2026-01-02-10", "2026-01-02-11", "mine"):
        (runs / name / "images").mkdir(parents=True)
    made = [folders.make(None, chosen).path for _ in range(folders.KEPT_RUNS - 1)]
    assert set(runs.iterdir()) == {*made, runs / "2026-01-02-11", runs / "mine"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match=r"cannot make .*file.*--dir"):
        folders.make(tmp_path / "file" / "run", Settings({}))


def test_telemetry_goes_into_files_unless_an_endpoint_is_set(tmp_path):
    run = RunFolder(tmp_path)
    told = folders.telemetry_settings(run, "pose-worker", Settings({}, {}))
    assert told[settings.TRACES_EXPORTER] == "otlp_json_file"
    assert told[settings.OTLP_FILE_DIR] == str(tmp_path / "telemetry" / "pose-worker")
    sent = folders.telemetry_settings(
        run, "pose-worker", Settings({"otlp_logs_endpoint": "http://127.0.0.1:1/v1/logs"})
    )
    assert settings.TRACES_EXPORTER not in sent
    assert settings.OTLP_FILE_DIR not in sent
    assert sent[settings.JOURNAL_DIR] == str(tmp_path / "journal")


def test_a_child_is_told_by_variables(monkeypatch):
    monkeypatch.setenv("KEPT", "1")
    made = folders.environment({settings.REDIS_URL: "redis://127.0.0.1:1"}, MORE="2")
    assert (made["KEPT"], made["POSEMON_REDIS_URL"], made["MORE"]) == ("1", "redis://127.0.0.1:1", "2")


def test_a_database_with_generations_of_others_is_refused(tmp_path):
    from posemon_otel.records import GenerationRow, RecordWriter

    url = f"sqlite:///{tmp_path}/production.db"
    chosen = Settings({"database_url": url})
    with contextlib.ExitStack() as stack:
        engine = parts.open_database(stack, RunFolder(tmp_path), chosen)
        RecordWriter(engine).write([GenerationRow("g1", "completed", terminal=True)])
        expected = (
            "POSEMON_DATABASE_URL: expected an empty database for the demo, this one holds 1 generations; unset it"
        )
        with pytest.raises(DemoError, match=f"^{re.escape(expected)}$"):
            parts.open_database(stack, RunFolder(tmp_path), chosen)


def test_a_database_that_cannot_be_used_is_named(tmp_path):
    chosen = Settings({"database_url": "nothing"})
    with contextlib.ExitStack() as stack, pytest.raises(DemoError, match=r"^POSEMON_DATABASE_URL: expected sqlite"):
        parts.open_database(stack, RunFolder(tmp_path), chosen)


def test_a_redis_that_does_not_answer_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        redis = parts.Redis(f"redis://127.0.0.1:{taken.getsockname()[1]}", "q")
        with pytest.raises(DemoError, match=r"the queue's server at redis://127\.0\.0\.1:\d+ does not answer any more"):
            redis.check()


def worker(tmp_path, program):
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=output, stderr=output)
    return process, WorkerProcess(process, log)


def test_a_worker_that_ends_by_itself_is_told_of_with_its_last_line(tmp_path):
    process, watched = worker(tmp_path, "print('first'); raise SystemExit('no such model')")
    process.wait(20)
    with pytest.raises(DemoError, match=r"exit code 1 \(no such model\).*worker\.log"):
        watched.check()
    assert watched.stop() is False


def test_a_worker_that_lives_is_no_error_and_ends_with_its_stdin(tmp_path):
    _, watched = worker(tmp_path, "import sys; sys.stdin.read()")
    watched.check()
    assert watched.stop() is True


def test_a_worker_that_does_not_end_is_killed(tmp_path):
    process, watched = worker(tmp_path, "import time; time.sleep(60)")
    assert watched.stop(patient=False) is False
    assert process.returncode == -9


def test_valkey_answers_then_goes_with_its_guard(tmp_path):
    from redis import Redis

    valkey = Valkey(tmp_path / "valkey")
    with valkey:
        with Redis.from_url(valkey.url) as redis:
            assert redis.ping()
            pid = int(redis.info("server")["process_id"])
        assert valkey.url.startswith("redis://127.0.0.1:")
        guard = valkey._guard.pid
        assert len(alive([pid, guard])) == 2
    assert alive([pid, guard]) == []
    valkey.stop()


def test_valkeys_guard_kills_it_when_its_owner_is_gone(tmp_path):
    from redis import Redis

    valkey = Valkey(tmp_path / "valkey").start()
    with Redis.from_url(valkey.url) as redis:
        pid = int(redis.info("server")["process_id"])
    guard, valkey._guard = valkey._guard, None
    guard.stdin.close()  # what the kernel does when the owner dies
    assert guard.wait(10) == 0
    assert until(lambda: not alive([pid]), 10)
    valkey.stop()


def test_plain_progress_says_each_act_once_and_every_fifth(capsys):
    with PlainScreen() as screen:
        screen.working("starting")
        screen.working("starting")
        screen.begin(10)
        for done in range(11):
            screen.progress(done, "calm" if done < 10 else "over")
        screen.say("end")
    assert capsys.readouterr().out.splitlines() == [
        "  starting",
        "  0/10 generations  calm",
        "  2/10 generations  calm",
        "  4/10 generations  calm",
        "  6/10 generations  calm",
        "  8/10 generations  calm",
        "  10/10 generations  over",
        "end",
    ]


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, 0.0),
        ([3.0], 0.95, 3.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        (list(range(1, 101)), 0.95, 95),
    ],
)
def test_percentiles_are_values_that_occurred(values, share, expected):
    assert _percentile(values, share) == expected


def test_sizes(tmp_path):
    file = tmp_path / "file"
    for size, shown in ((0, "0 bytes"), (1023, "1023 bytes"), (1536, "2 kB")):
        file.write_bytes(bytes(size))
        assert _size(file) == shown


def test_the_three_lines_are_those_of_the_example():
    example = (ROOT / "examples" / "quickstart.py").read_text()
    assert all(line in example for line in QUICKSTART[:2])
    assert "with posemon.generation(" in example
    compile("\n".join(QUICKSTART), "quickstart", "exec")


def test_the_worker_uses_the_public_api_alone():
    source = (ROOT / "posemon_otel" / "demo" / "worker.py").read_text()
    imported = set(re.findall(r"(?:from|import) (posemon_otel[\w.]*)", source))
    assert imported == {"posemon_otel", "posemon_otel.demo.flux_api", "posemon_otel.demo.route"}
    names = set(re.findall(r"\bposemon\.(\w+)", source)) | set(re.findall(r"from posemon_otel import (\w+)", source))
    assert names <= set(posemon.__all__)
    assert {"configure", "generation", "classify_error", "shutdown"} <= names
