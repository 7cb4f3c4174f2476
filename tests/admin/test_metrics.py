"""The numbers, over rows that are known."""

import re
from datetime import datetime

import pytest
from starlette.testclient import TestClient

from tests.admin.conftest import ADMIN, PREFIX, USER, bearer

TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")
NO_QUEUE = "the queue is not known: POSEMON_REDIS_URL is not set"


def get(client: TestClient, path: str, user: str = ADMIN) -> dict:
    response = client.get(f"{PREFIX}{path}", headers=bearer(user))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    return response.json()


def test_metrics_of_the_last_hour(client):
    found = get(client, "/metrics?period=1h")
    assert TIME.fullmatch(found.pop("startTime"))
    assert TIME.fullmatch(found.pop("endTime"))
    assert found == {
        "totalGenerations": 5,
        "activeGenerations": 1,
        "completedGenerations": 2,
        "failedGenerations": 1,
        "partialGenerations": 1,
        "pendingGenerations": 0,
        "avgGenerationTime": 10.0,
        "avgPosesPerGeneration": 1.0,
        "successRate": 40.0,
        "settledSuccessRate": 50.0,
        "queueDepth": None,
        "queueWaiting": None,
        "queueActive": None,
        "queueDelayed": None,
        "queueFailed": None,
        "totalPosesGenerated": 5,
        "totalCreditsSpent": 300,
        "totalCreditsRefunded": 90,
        "refundRate": 30.0,
        "warnings": [NO_QUEUE],
    }


@pytest.mark.parametrize(
    ("period", "seconds", "total"),
    [
        ("1h", 3600, 5), ("24h", 86400, 5), ("day", 86400, 5), ("7d", 604800, 6), ("week", 604800, 6),
        ("30d", 2592000, 6), ("month", 2592000, 6), ("year", 31536000, 6),
    ],
)  # fmt: skip
def test_every_period(client, period, seconds, total):
    found = get(client, f"/metrics?period={period}")
    length = datetime.fromisoformat(found["endTime"]) - datetime.fromisoformat(found["startTime"])
    assert (length.total_seconds(), found["totalGenerations"]) == (seconds, total)


def test_all_history_has_no_beginning(client):
    found = get(client, "/metrics?period=all")
    assert (found["startTime"], found["totalGenerations"]) == (None, 6)


def test_the_default_period_is_a_day(client):
    found = get(client, "/metrics")
    length = datetime.fromisoformat(found["endTime"]) - datetime.fromisoformat(found["startTime"])
    assert length.total_seconds() == 86400


def test_dates_in_place_of_a_period(client):
    found = get(client, "/metrics?startDate=2020-01-01&endDate=2020-01-31")
    assert found["startTime"] == "2020-01-01T00:00:00.000Z"
    assert found["endTime"] == "2020-02-01T00:00:00.000Z"
    assert found["totalGenerations"] == 0
    assert found["settledSuccessRate"] is None
    assert get(client, "/metrics?startDate=2020-01-01T12:00:00%2B02:00")["startTime"] == "2020-01-01T10:00:00.000Z"


def test_top_users(client):
    assert get(client, "/metrics/top-users") == {
        "users": [
            {"userId": USER, "generationCount": 5, "totalPoses": 3, "successRate": 20.0},
            {"userId": ADMIN, "generationCount": 1, "totalPoses": 2, "successRate": 100.0},
        ]
    }
    assert [user["userId"] for user in get(client, "/metrics/top-users?limit=1")["users"]] == [USER]
    assert get(client, "/metrics/top-users?period=1h")["users"][0]["generationCount"] == 4


def test_names_of_users_need_a_setting(make_client):
    users = get(make_client(show_user_names=True), "/metrics/top-users")["users"]
    assert [(user["name"], user["email"]) for user in users] == [
        ("Uma", "user@example.com"),
        ("Ada", "admin@example.com"),
    ]


def test_popular_poses(client):
    poses = get(client, "/metrics/popular-poses", USER)["poses"]
    assert poses == [
        {"poseId": "standing-wave", "name": "wave", "usageCount": 2, "category": "standing"},
        {"poseId": "action-jump", "name": "jump", "usageCount": 1, "category": "action"},
        {"poseId": "dance-spin", "name": "spin", "usageCount": 1, "category": "dance"},
    ]
    assert get(client, "/metrics/popular-poses?limit=1")["poses"] == poses[:1]


def test_errors(client):
    errors = get(client, "/metrics/errors")["errors"]
    assert all(TIME.fullmatch(error.pop("lastOccurred")) for error in errors)
    assert errors == [
        {"errorType": "FLUX_API_ERROR", "count": 1, "share": 33.33, "retryable": True},
        {"errorType": "STORAGE_ERROR", "count": 1, "share": 33.33, "retryable": True},
        {"errorType": "TIMEOUT_ERROR", "count": 1, "share": 33.33, "retryable": True},
    ]
    assert len(get(client, "/metrics/errors?period=24h")["errors"]) == 2


def test_indicators(client):
    found = get(client, "/metrics/indicators?period=1h")
    assert found["status"] == "critical"
    assert {item["key"]: (item["value"], item["status"]) for item in found["indicators"]} == {
        "successRate": (50.0, "critical"),
        "avgGenerationTime": (10.0, "good"),
        "queueDepth": (None, "unknown"),
        "refundRate": (30.0, "critical"),
    }
    assert found["indicators"][0]["thresholds"] == {"direction": "higher_is_better", "good": 95.0, "critical": 90.0}
    assert found["warnings"] == [NO_QUEUE]


def test_indicators_of_nothing_are_unknown(client):
    found = get(client, "/metrics/indicators?startDate=2020-01-01&endDate=2020-01-02")
    assert {item["status"] for item in found["indicators"]} == {"unknown"}
    assert found["status"] == "unknown"


def test_timeseries(client):
    series = get(client, "/metrics/timeseries?period=24h&interval=1h")
    assert series["intervalSeconds"] == 3600
    assert len(series["buckets"]) in (24, 25)
    assert all(TIME.fullmatch(bucket["start"]) for bucket in series["buckets"])
    assert sum(bucket["total"] for bucket in series["buckets"]) == 5
    assert sum(bucket["byStatus"]["failed"] for bucket in series["buckets"]) == 1
    assert [bucket["errors"] for bucket in series["buckets"] if bucket["errors"]][-1].keys() <= {
        "FLUX_API_ERROR",
        "STORAGE_ERROR",
    }


@pytest.mark.parametrize("period", ["1h", "24h", "7d", "30d", "year", "all"])
def test_timeseries_chooses_an_interval(client, period):
    assert 1 <= len(get(client, f"/metrics/timeseries?period={period}")["buckets"]) <= 400


def test_latest_generations(client):
    generations = get(client, "/generations?limit=2")["generations"]
    assert [item["id"] for item in generations] == ["g-5", "g-4"]
    assert generations[1]["status"] == "partial"
    assert generations[1]["errorType"] == "STORAGE_ERROR"
    assert generations[1]["traceId"] == f"{4:032x}"
    assert generations[1]["sample"] is False
    assert TIME.fullmatch(generations[1]["completedAt"])
    assert generations[0]["completedAt"] is None


def test_the_same_numbers_are_not_sent_twice(client):
    url = f"{PREFIX}/metrics?period=24h"
    first = client.get(url, headers=bearer())
    again = client.get(url, headers=bearer() | {"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = client.get(f"{PREFIX}/metrics?period=7d", headers=bearer() | {"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200


def test_head_answers_without_a_body(client):
    response = client.head(f"{PREFIX}/metrics", headers=bearer())
    assert (response.status_code, response.content) == (200, b"")
