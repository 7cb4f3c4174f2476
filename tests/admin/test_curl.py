"""The calls in examples/curl.sh, as a user runs them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from posemon_otel.admin import create_app, start
from posemon_otel.records import add_user
from posemon_otel.settings import Settings
from tests.admin.conftest import PASSWORD, SECRET

SCRIPT = Path(__file__).parents[2] / "examples" / "curl.sh"
CALLS = (
    "/metrics?period=24h",
    "/metrics/top-users?limit=10",
    "/metrics/popular-poses?limit=20",
    "/metrics/errors?period=30d",
    "/health",
)

pytestmark = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash: apt-get install curl bash"
)


def run(
    url: str, email: str = "admin@example.com", password: str = PASSWORD, **extra: str
) -> subprocess.CompletedProcess:
    names = {"POSEMON_URL": url, "POSEMON_EMAIL": email, "POSEMON_PASSWORD": password, **extra}
    environ = {"PATH": os.environ["PATH"]} | {name: value for name, value in names.items() if value}
    return subprocess.run([str(SCRIPT)], env=environ, capture_output=True, text=True, timeout=60)


@pytest.fixture
def address(engine):
    with start(create_app(engine, jwt_secret=SECRET, login=True, settings=Settings(environ={}))) as server:
        yield server.address


def test_signs_in_and_makes_five_calls(address):
    result = run(address)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.findall(r"GET (\S+)", result.stdout) == list(CALLS)
    for part in (
        '"totalGenerations":5',
        '"userId":"user-1"',
        '"poseId":"standing-wave"',
        '"errorType":',
        '"status":"healthy"',
    ):
        assert part in result.stdout
    assert PASSWORD not in result.stdout
    assert "eyJ" not in result.stdout  # no token on the screen


def test_a_slash_at_the_end_of_the_address(address):
    assert run(f"{address}/").returncode == 0


def test_quotes_in_a_password(address, engine):
    import bcrypt

    password = 'a"b\\c $d'
    stored = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    add_user(engine, "quoted", email="q@example.com", password_hash=stored, role="admin")
    assert run(address, "q@example.com", password).returncode == 0


def test_fails_when_a_call_fails(address):
    wrong = run(address, password="wrong")
    assert wrong.returncode != 0
    assert "401" in wrong.stderr
    no_admin = run(address, "user@example.com")
    assert no_admin.returncode != 0
    assert "403" in no_admin.stderr


def test_says_what_is_missing():
    result = run("http://127.0.0.1:1", email="")
    assert result.returncode != 0
    assert "set POSEMON_EMAIL" in result.stderr


def test_fails_when_nothing_listens():
    assert run("http://127.0.0.1:1").returncode != 0
