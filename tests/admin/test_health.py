"""Health: degraded serves, unhealthy does not, and nobody unknown learns details."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import text

from posemon_otel.admin import Part
from posemon_otel.admin.queue import SILENT_REDIS
from posemon_otel.records import RecordWriter, writing
from tests.admin.conftest import PREFIX, USER, bearer, generation

PARTS = ["database", "redis", "queue", "workers", "flux", "storage", "controlNet", "journal"]
CLOSED = "redis://127.0.0.1:1"


def health(client, path="/health", **headers):
    return client.get(f"{PREFIX}{path}", headers=headers)


def test_healthy(client):
    response = health(client)
    assert response.status_code == 200
    answer = response.json()
    assert list(answer) == ["status", "timestamp", "app", "checks"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer["timestamp"])
    assert (answer["status"], answer["app"]) == ("healthy", "pose-generator")
    assert answer["checks"] == dict.fromkeys(PARTS, "unknown") | {"database": "available"}


def test_redis_down_is_degraded_and_served(make_client):
    response = health(make_client(redis_url=CLOSED))
    assert response.status_code == 200
    assert response.json()["status"] == "degraded"
    assert response.json()["checks"]["redis"] == response.json()["checks"]["queue"] == "failing"
    assert "127.0.0.1" not in response.text


def test_details_are_for_admins(make_client):
    client = make_client(redis_url=CLOSED)
    assert "details" not in health(client, **bearer(USER)).json()
    details = health(client, **bearer()).json()["details"]
    assert details == {"redis": SILENT_REDIS, "queue": SILENT_REDIS}


@pytest.mark.parametrize("token", ["Bearer nonsense", "Basic YTpi"])
def test_a_wrong_token_is_nobody(client, token):
    assert health(client, Authorization=token).status_code == 200


def test_unhealthy_is_503(client, engine):
    with writing(engine) as connection:
        connection.execute(text("DROP TABLE pose_generations"))
    for headers in ({}, bearer()):
        response = health(client, **headers)
        assert response.status_code == 503
        assert response.json()["status"] == "unhealthy"
        assert response.json()["checks"]["database"] == "failing"
    ready = health(client, "/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "unhealthy")
    live = health(client, "/health/live")
    assert (live.status_code, live.json()["status"]) == (200, "healthy")


def test_ready(client):
    response = health(client, "/health/ready")
    assert (response.status_code, sorted(response.json())) == (200, ["app", "status", "timestamp"])


def lately(engine, statuses: list[tuple[str, str | None]]) -> None:
    rows = [
        generation(100 + number, status, timedelta(minutes=2, seconds=number), error_type=error)
        for number, (status, error) in enumerate(statuses)
    ]
    RecordWriter(engine).write(rows, [], [])


@pytest.mark.parametrize(
    ("statuses", "expected", "overall"),
    [
        ([("completed", None)], ("available", "available", "available"), "healthy"),
        ([("partial", None)], ("available", "available", "available"), "healthy"),
        ([("failed", "FLUX_API_ERROR")], ("failing", "unknown", "unknown"), "degraded"),
        ([("failed", "NETWORK_ERROR")], ("failing", "unknown", "unknown"), "degraded"),
        ([("failed", "TIMEOUT_ERROR")] * 2 + [("completed", None)] * 3, ("available",) * 3, "healthy"),
        ([("failed", "STORAGE_ERROR")] * 2 + [("completed", None)], ("available", "failing", "available"), "degraded"),
        ([("failed", "CONTROLNET_ERROR")], ("unknown", "unknown", "failing"), "degraded"),
        ([("failed", "VALIDATION_ERROR")], ("unknown", "unknown", "unknown"), "healthy"),
    ],
)
def test_parts_as_the_last_minutes_show_them(client, engine, statuses, expected, overall):
    lately(engine, statuses)
    answer = health(client, **bearer()).json()
    assert tuple(answer["checks"][name] for name in ("flux", "storage", "controlNet")) == expected
    assert answer["status"] == overall
    if ("completed", None) in statuses:
        assert answer["checks"]["workers"] == "available"


def test_the_journal_speaks_for_itself(make_client):
    client = make_client(journal=lambda: Part("failing", "the folder is full"))
    answer = health(client, **bearer()).json()
    assert (answer["checks"]["journal"], answer["status"]) == ("failing", "degraded")
    assert answer["details"]["journal"] == "the folder is full"
