"""``posemon doctor`` is what people paste into tickets: no credential may stand in it."""

import json
import os

import pytest

from posemon_otel import cli, settings

ENDPOINTS = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:hunter2@127.0.0.1:1/x?key=hunter2",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://me:hunter2@127.0.0.1",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://me:hunter/2@127.0.0.1:1",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://me:hunter?2@127.0.0.1:1",
    "POSEMON_JWKS_URL": "https://me:hunter2@id.example.com/jwks.json?key=hunter2",
    "POSEMON_DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/db",
    "POSEMON_REDIS_URL": "redis://:hunter2@127.0.0.1:1/0",
}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(("POSEMON_", "OTEL_")) or name in ("DATABASE_URL", "REDIS_URL", "JWT_SECRET"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    settings.use(None)


def doctor(capsys, *arguments):
    with pytest.raises(SystemExit):
        cli.main(["doctor", *arguments])
    out, err = capsys.readouterr()
    return out + err


@pytest.mark.parametrize("arguments", [(), ("--json",)], ids=["text", "json"])
def test_no_credential_is_shown(monkeypatch, capsys, arguments):
    for name, value in ENDPOINTS.items():
        monkeypatch.setenv(name, value)
    said = doctor(capsys, *arguments)
    assert "hunter" not in said
    assert "http://127.0.0.1:1/x" in said  # host and path tell where it goes
    assert "https://id.example.com/jwks.json" in said
    assert "http/protobuf to 127.0.0.1: nothing listens there" in said


def test_nor_in_what_is_said_of_wrong_values(monkeypatch, capsys):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http//me:hunter2@127.0.0.1:1/x?key=hunter2")
    said = doctor(capsys, "--json")
    assert "hunter" not in said
    (problem,) = [finding["what"] for finding in json.loads(said)["findings"] if finding["state"] == "bad"]
    assert "127.0.0.1:1/x" in problem


def test_keys_of_an_identity_provider_need_an_audience(monkeypatch, capsys):
    def admin():
        return [found for found in json.loads(doctor(capsys, "--json"))["findings"] if found["about"] == "admin"]

    monkeypatch.setenv("POSEMON_JWKS_URL", "https://id.example.com/jwks.json")
    (found,) = admin()
    assert (found["state"], found["what"].partition(":")[0]) == ("bad", "POSEMON_JWKS_AUDIENCE")
    monkeypatch.setenv("POSEMON_JWKS_AUDIENCE", "pose-admin")
    (found,) = admin()
    assert (found["state"], found["what"]) == ("good", "tokens of an identity provider, for pose-admin")


def test_serve_refuses_keys_without_an_audience_before_anything_is_made(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("POSEMON_JWKS_URL", "https://id.example.com/jwks.json")
    with pytest.raises(SystemExit) as exit_:
        cli.main(["serve"])
    assert exit_.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "POSEMON_JWKS_AUDIENCE" in line
    assert list(tmp_path.iterdir()) == []
