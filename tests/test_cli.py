"""The command line: what it prints where, its exit codes, and that whatever goes wrong is one line."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from posemon_otel import cli, settings
from posemon_otel.cli import groups
from posemon_otel.version import __version__
from tests.receiver import Receiver

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    """No settings but the state folder's, and defaults read anew."""
    for name in list(os.environ):
        if name.startswith(("POSEMON_", "OTEL_")) or name in ("DATABASE_URL", "REDIS_URL", "JWT_SECRET"):
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


def one_line(err):
    assert err.endswith("\n")
    (line,) = err.splitlines()
    return line


def program(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "posemon_otel.cli", *arguments], capture_output=True, text=True, timeout=60, **options
    )


# The commands as a whole ---------------------------------------------------------------------------------------------


def test_help_lists_every_command_and_imports_none():
    code = (
        "import sys\nfrom posemon_otel.cli import main\ntry:\n    main(['--help'])\nfinally:\n    print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    help_, modules = done.stdout.rsplit("\n", 2)[:2]
    for command in ("demo", "serve", "token", "doctor", "db", "where", "journal", "ship"):
        assert re.search(rf"^  {command} ", help_, re.MULTILINE)
    heavy = ("opentelemetry.sdk", "starlette", "sqlalchemy", "rich", "bullmq", "msgspec", "wrapt", "PIL", "redis")
    assert not {name for name in modules.split() if name.startswith(heavy)}


def test_every_listed_command_is_there():
    context = groups.click.Context(groups.posemon)
    for name in groups.posemon.list_commands(context):
        assert groups.posemon.get_command(context, name).name == name


def test_version(posemon):
    assert posemon("--version") == (0, f"posemon, version {__version__}\n", "")


def test_no_command_shows_the_help_as_a_usage_error(posemon):
    code, out, err = posemon()
    assert (code, out) == (2, "")
    assert "Usage: posemon" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bogus"], "posemon: No such command 'bogus'"),
        (["--bogus"], "posemon: No such option '--bogus'"),
        (["db", "bogus"], "posemon db: No such command 'bogus'"),
        (["token"], "posemon token: Missing option '--user'"),
        (
            ["demo", "--generations", "0"],
            "posemon demo: Invalid value for '--generations': 0 is not in the range 1<=x<=10000",
        ),
        (
            ["demo", "--generations", "many"],
            "posemon demo: Invalid value for '--generations': 'many' is not a valid integer range",
        ),
        (
            ["serve", "--port", "65536"],
            "posemon serve: Invalid value for '--port': 65536 is not in the range 0<=x<=65535",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(posemon, arguments, message):
    code, out, err = posemon(*arguments)
    assert (code, out) == (2, "")
    command = message.partition(":")[0]
    assert one_line(err) == f"{message}; see {command} --help"


def test_a_missing_library_names_the_extra(posemon, monkeypatch):
    monkeypatch.setitem(sys.modules, "posemon_otel.cli.demo", None)
    monkeypatch.delitem(sys.modules, "posemon_otel.admin", raising=False)
    monkeypatch.setitem(sys.modules, "starlette", None)
    code, out, err = posemon("serve")
    assert (code, out) == (1, "")
    assert "pip install 'posemon-otel[admin]'" in one_line(err)


@pytest.mark.parametrize(("module", "extra"), [("rich", "demo"), ("PIL.Image", "demo"), ("sqlalchemy", "admin")])
def test_an_import_that_fails_names_the_extra(module, extra):
    error = ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert groups._missing(error) == f"{module.split('.')[0]} is not installed: pip install 'posemon-otel[{extra}]'"


def test_a_fault_of_ours_is_one_line_too(posemon, monkeypatch):
    def fail(*_):
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr("posemon_otel.delivery.backlog.backlogs", fail)
    assert posemon("journal", "status") == (1, "", "posemon: RuntimeError: first second\n")


def test_ctrl_c_is_130(posemon, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("posemon_otel.delivery.backlog.backlogs", interrupt)
    assert posemon("journal", "status") == (130, "", "\n")  # click ends the line on which ^C stands


def test_a_reader_that_goes_away_is_no_traceback():
    command = f"{sys.executable} -m posemon_otel.cli doctor --json | head -c 1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("{", "")


# db, token, serve ----------------------------------------------------------------------------------------------------


def test_a_database_is_checked_made_and_checked_again(posemon, tmp_path):
    code, out, err = posemon("db", "check")
    assert (code, out) == (1, "")
    database = tmp_path / "posemon" / "posemon.db"
    assert one_line(err) == f"posemon: there is no database yet at {database}: run `posemon db upgrade`"
    assert not database.exists()
    code, out, err = posemon("db", "upgrade")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"upgraded from nothing to revision \w+\n", out)
    assert database.exists()
    assert posemon("db", "upgrade")[:2] == (0, out.replace("upgraded from nothing to", "already at"))
    code, out, err = posemon("db", "check")
    assert (code, err) == (0, "")
    assert out.startswith("at revision ")


@pytest.mark.parametrize("command", [["db", "upgrade"], ["db", "check"], ["serve", "--port", "0"]])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("no address", "POSEMON_DATABASE_URL: expected sqlite:"),
        ("postgresql://127.0.0.1:1/x", "expected a reachable database"),
        ("sqlite:////dev/null/x.db", "POSEMON_DATABASE_URL"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line(posemon, monkeypatch, command, url, message):
    monkeypatch.setenv("POSEMON_DATABASE_URL", url)
    monkeypatch.setenv("JWT_SECRET", SECRET)
    code, out, err = posemon(*command)
    assert (code, out) == (1, "")
    assert message in one_line(err)


def test_a_token_stands_alone_on_its_line_and_is_one(posemon, monkeypatch):
    from posemon_otel.admin import verify

    monkeypatch.setenv("JWT_SECRET", SECRET)
    code, out, err = posemon("token", "--user", "u1", "--role", "admin", "--hours", "2")
    assert (code, err) == (0, "")
    claims = verify(out.rstrip("\n"), SECRET)
    assert (claims.user_id, claims.role) == ("u1", "admin")
    assert 7000 < claims.expires_at - time.time() < 7300


@pytest.mark.parametrize("command", [["token", "--user", "u1"], ["serve"]])
@pytest.mark.parametrize(("secret", "got"), [(None, "none"), ("short", "one of 5 bytes")])
def test_without_a_key_nothing_is_signed_or_served(posemon, monkeypatch, tmp_path, command, secret, got):
    if secret:
        monkeypatch.setenv("JWT_SECRET", secret)
    code, out, err = posemon(*command)
    assert (code, out) == (1, "")
    assert one_line(err) == (
        f"posemon: JWT_SECRET: expected a key of at least 32 bytes, got {got}; make one with: openssl rand -hex 32"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_empty_user_gets_no_token(posemon, monkeypatch):
    monkeypatch.setenv("JWT_SECRET", SECRET)
    code, out, err = posemon("token", "--user", "")
    assert (code, out) == (1, "")
    assert one_line(err) == "posemon: user: expected the id of a user, got an empty one"


def test_a_port_in_use_is_one_line(posemon, monkeypatch):
    monkeypatch.setenv("JWT_SECRET", SECRET)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = posemon("serve", "--port", str(port))
    assert (code, out) == (1, "")
    assert one_line(err) == (
        f"posemon: 127.0.0.1:{port}: the port is in use; stop what listens there or choose another with --port"
    )


def test_serve_answers_at_the_address_that_it_prints_until_ctrl_c():
    serving = subprocess.Popen(
        [sys.executable, "-m", "posemon_otel.cli", "serve", "--port", "0"],
        env={**os.environ, "JWT_SECRET": SECRET, "POSEMON_SHIP_INTERVAL": "soon"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        where = serving.stdout.readline()
        page = re.fullmatch(r"dashboard (http://127\.0\.0\.1:\d+/\S+) \(Ctrl-C ends it\)\n", where)[1]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(page.removesuffix("/dashboard") + "/health", timeout=20) as answer:
            assert json.load(answer)["status"] in ("healthy", "degraded")
        with opener.open(page, timeout=20) as answer:
            assert answer.headers["content-type"].startswith("text/html")
        serving.send_signal(2)
        out, err = serving.communicate(timeout=20)
    finally:
        serving.kill()
        serving.communicate()
    assert (serving.returncode, out) == (0, "")
    assert one_line(err) == ("posemon: POSEMON_SHIP_INTERVAL: expected seconds, at least 0.01, got 'soon'; using 1.0")


# doctor, journal -----------------------------------------------------------------------------------------------------


def test_doctor_shows_every_setting_with_its_source(posemon, monkeypatch):
    monkeypatch.setenv("POSEMON_QUEUE", "mine")
    monkeypatch.setenv("REDIS_URL", "redis://:hush@127.0.0.1:1/0")
    _, out, _ = posemon("doctor")
    lines = dict(line.split(None, 1) for line in out.split("\n\n")[0].splitlines())
    assert set(lines) == {setting.variables[0] for setting in settings.ALL}
    assert lines["POSEMON_QUEUE"] == "mine  [POSEMON_QUEUE]"
    assert lines["POSEMON_REDIS_URL"] == "(set)  [REDIS_URL]"
    assert lines["POSEMON_JOURNAL"] == "on  [default]"
    assert "hush" not in out


def test_a_machine_on_which_nothing_is_set_up_is_not_ill(posemon):
    code, out, err = posemon("doctor", "--json")
    told = json.loads(out)
    assert (code, err, told["ok"]) == (0, "", True)
    states = {finding["about"]: finding["state"] for finding in told["findings"]}
    assert states["settings"] == states["journal"] == states["bullmq"] == states["huggingface_hub"] == "good"
    assert states["database"] == states["queue"] == states["admin"] == states["trace"] == states["ship"] == "off"
    assert states["clock"] == "good"


def test_each_thing_that_is_wrong_ends_with_what_mends_it(posemon, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    for name, value in {
        "POSEMON_DATABASE_URL": f"sqlite:///{tmp_path}/none.db",
        "DATABASE_URL": "nothing",
        "POSEMON_REDIS_URL": "redis://127.0.0.1:1/0",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "POSEMON_JOURNAL_DIR": str(tmp_path / "file" / "journal"),
        "POSEMON_SHIP_INTERVAL": "soon",
        "POSEMON_SHIP_INTERVALL": "1",
        "JWT_SECRET": "short",
    }.items():
        monkeypatch.setenv(name, value)
    code, out, _ = posemon("doctor")
    found = [line.split(None, 2) for line in out.split("\n\n")[1].splitlines()]
    wrong = [(about, what) for mark, about, what in found if mark == "✗"]
    assert code == 1
    assert [about for about, _ in wrong] == [
        "settings", "settings", "traces", "metrics", "logs", "journal", "database", "application", "queue", "admin",
    ]  # fmt: skip
    endings = (
        "correct or remove it",
        "correct or remove it",
        "correct OTEL_EXPORTER_OTLP_ENDPOINT",
        "correct OTEL_EXPORTER_OTLP_ENDPOINT",
        "correct OTEL_EXPORTER_OTLP_ENDPOINT",
        "set POSEMON_JOURNAL_DIR to a folder that can",
        "correct the path",
        "correct it",
        "correct POSEMON_REDIS_URL",
        "make one with: openssl rand -hex 32",
    )
    for (_, what), ending in zip(wrong, endings, strict=True):
        assert what.endswith(ending)


def test_doctor_finds_what_is_right(posemon, monkeypatch, tmp_path):
    from posemon_otel.demo.valkey import Valkey

    monkeypatch.setenv("POSEMON_DATABASE_URL", f"sqlite:///{tmp_path}/ours.db")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/ours.db")
    monkeypatch.setenv("JWT_SECRET", SECRET)
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "console")
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "posemon_pillow")
    assert posemon("db", "upgrade")[0] == 0
    with Valkey(tmp_path / "valkey") as valkey, Receiver() as collector:
        endpoint = collector.url
        monkeypatch.setenv("POSEMON_REDIS_URL", valkey.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        code, out, _ = posemon("doctor", "--json")
    found = {finding["about"]: (finding["state"], finding["what"]) for finding in json.loads(out)["findings"]}
    assert code == 0
    assert found["queue"] == ("good", "pose-generation: 0 waiting, 0 active, 0 failed")
    assert found["database"][0] == found["application"][0] == found["admin"][0] == "good"
    assert found["traces"] == ("good", f"http/protobuf to {endpoint.removeprefix('http://')}, which takes connections")
    assert found["metrics"] == ("good", "exported by console")
    assert found["logs"] == ("off", "not exported")
    assert collector.names() == ["posemon doctor"]
    (_, _, span), *_ = collector.spans()
    shown = rf"{span.trace_id.hex()} was taken by {re.escape(endpoint)}/v1/traces in [\d.]+ s \(200\)"
    assert found["trace"][0] == "good"
    assert re.fullmatch(shown, found["trace"][1])
    assert found["clock"][0] == "good"
    assert "log record" not in found
    assert found["pillow"][0] == "off"
    assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" in found["pillow"][1]


@pytest.mark.parametrize(
    ("status", "mend"),
    [
        (401, "put what it asks for into OTEL_EXPORTER_OTLP_HEADERS"),
        (404, "correct the path in OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_EXPORTER_OTLP_PROTOCOL"),
        (503, "look into the log of what listens there"),
        (None, "look into the log of what listens there"),
    ],
    ids=str,
)
def test_doctor_says_why_its_trace_was_not_taken(posemon, monkeypatch, tmp_path, status, mend):
    monkeypatch.setattr("posemon_otel.cli.examine._TRACE_SECONDS", 0.8)
    with Receiver(answer=lambda path: 200 if path == "/v1/logs" else status) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        code, out, err = posemon("doctor", "--json")
    found = {finding["about"]: finding for finding in json.loads(out)["findings"]}
    assert (code, err) == (1, "")
    assert found["log record"]["state"] == "good"
    assert (found["trace"]["state"], found["trace"]["mend"]) == ("bad", mend)
    assert f"({status or 'no answer'})" in found["trace"]["what"]
    assert not (tmp_path / "posemon").exists()


def test_doctor_sends_nothing_that_the_sampler_leaves_out(posemon, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with Receiver() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        code, out, _ = posemon("doctor", "--json")
    found = {finding["about"]: finding for finding in json.loads(out)["findings"]}
    assert (code, found["trace"]["state"]) == (0, "off")
    assert "OTEL_TRACES_SAMPLER" in found["trace"]["what"]
    assert collector.names() == []


def test_doctor_sees_a_clock_that_is_not_the_machines(posemon, monkeypatch):
    now = time.time
    monkeypatch.setattr("posemon_otel.cli.examine.time.time", lambda: now() - 90)
    code, out, _ = posemon("doctor")
    (line,) = (line for line in out.splitlines() if line.startswith("✗"))
    assert code == 1
    assert re.fullmatch(r"✗ clock .* 90 s ahead of this machine's: have both set by NTP, or .* a local disk", line)


def test_doctor_writes_plain_marks_where_the_output_takes_no_others():
    done = program("doctor", env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\+ settings ", done.stdout, re.MULTILINE)


def test_the_journals_of_ended_processes_show_what_waits(posemon, tmp_path):
    assert posemon("journal", "status") == (0, f"no journals in {tmp_path}/posemon\n", "")
    worker = (
        "import posemon_otel as posemon\n"
        "posemon.configure('pose-worker', otlp_endpoint='http://127.0.0.1:1', exit_budget=0.2, log_format='none')\n"
        "with posemon.generation('g1'): pass\n"
    )
    done = subprocess.run([sys.executable, "-c", worker], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    code, out, err = posemon("journal", "status")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"pose-worker  [0-9a-f]{32}  ended  [\d.]+ KiB  waiting: .*traces [\d.]+ .*\n", out)
    (told,) = json.loads(posemon("journal", "status", "--json")[1])
    assert (told["service"], told["alive"]) == ("pose-worker", False)
    waiting = {one["consumer"]: one["bytes"] for one in told["waiting"]}
    assert waiting["traces"] > 0
    assert waiting["logs"] > 0
