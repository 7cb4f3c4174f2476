"""Every rule about parameters, each answered by a 400 that names what is wrong."""

import pytest

from posemon_otel.admin.endpoints import ENDPOINTS
from tests.admin.conftest import PREFIX, bearer

LIMITED = ["/metrics/top-users", "/metrics/popular-poses", "/generations"]
PERIODIC = ["/metrics", "/metrics/top-users", "/metrics/errors", "/metrics/indicators", "/metrics/timeseries"]


def refused(client, path: str) -> str:
    response = client.get(f"{PREFIX}{path}", headers=bearer())
    assert response.status_code == 400, response.text
    assert response.json()["error"] == "Bad Request"
    assert set(response.json()) == {"error", "message"}
    return response.json()["message"]


@pytest.mark.parametrize("path", LIMITED)
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0", "'0'"), ("101", "'101'"), ("-1", "'-1'"), ("%2B1", "'+1'"), ("1.0", "'1.0'"), ("1e1", "'1e1'"),
        ("ten", "'ten'"),
        ("0x10", "'0x10'"), ("", "''"), ("%201", "' 1'"), ("1_0", "'1_0'"), ("%D9%A1", "'\u0661'"), ("%C2%B2", "'²'"),
        ("9999999999999999999999", "'9999999999999999999999'"), ("null", "'null'"), ("1%00", "'1?'"), ("1%0A", "'1?'"),
    ],
)  # fmt: skip
def test_limits_that_are_refused(client, path, value, shown):
    assert refused(client, f"{path}?limit={value}") == f"limit: expected a whole number from 1 to 100, got {shown}."


@pytest.mark.parametrize("path", LIMITED)
@pytest.mark.parametrize("value", ["1", "100", "007"])
def test_limits_that_are_taken(client, path, value):
    assert client.get(f"{PREFIX}{path}?limit={value}", headers=bearer()).status_code == 200


@pytest.mark.parametrize("path", LIMITED)
def test_a_limit_given_twice(client, path):
    assert refused(client, f"{path}?limit=1&limit=1") == "limit: given more than once."


@pytest.mark.parametrize("path", PERIODIC)
@pytest.mark.parametrize("value", ["2h", "24H", "", "ALL", "1h ", "yesterday", "0"])
def test_periods_that_are_refused(client, path, value):
    message = refused(client, f"{path}?period={value}")
    assert message == f"period: expected one of 1h, 24h, 7d, 30d, day, week, month, year, all, got {value!r}."


@pytest.mark.parametrize("path", PERIODIC)
def test_a_period_given_twice(client, path):
    assert refused(client, f"{path}?period=1h&period=24h") == "period: given more than once."


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("startDate=yesterday", "startDate: expected a date like"),
        ("endDate=2026-13-01", "endDate: expected a date like"),
        ("startDate=", "startDate: expected a date like"),
        ("startDate=2026-02-30", "startDate: expected a date like"),
        ("startDate=2026-01-02&endDate=2026-01-01", "startDate: expected a time before the end"),
        ("startDate=9999-12-31T23:59:59Z", "startDate: expected a date from 1970 on"),
        ("startDate=0001-01-01T00:00:00%2B14:00", "startDate: expected a date like"),
        ("period=1h&startDate=2026-01-01", "period: expected either period or startDate and endDate, got both"),
        ("startDate=2026-01-01&startDate=2026-01-01", "startDate: given more than once."),
        ("endDate=1969-01-01", "endDate: expected a date from 1970 on"),
    ],
)
def test_dates_that_are_refused(client, query, start):
    assert refused(client, f"/metrics?{query}").startswith(start)


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.method == "GET"], ids=lambda endpoint: endpoint.path)
def test_unknown_parameters(client, endpoint):
    takes = f"takes {', '.join(endpoint.parameters)}" if endpoint.parameters else "takes none"
    message = refused(client, f"{endpoint.path}?Limit=3")
    assert message == f"Unknown parameter 'Limit'; this endpoint {takes}."


@pytest.mark.parametrize("name", ["limit", "offset", "userId", "limit[]", "<script>"])
def test_metrics_take_a_period_alone(client, name):
    message = refused(client, f"/metrics?{name}=1")
    assert message == f"Unknown parameter {name!r}; this endpoint takes period, startDate, endDate."


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("interval=2h", "interval: expected one of 1m, 5m"),
        ("interval=", "interval: expected one of 1m, 5m"),
        ("period=year&interval=1m", "interval: expected at most"),
        ("period=all&interval=1m&interval=1m", "interval: given more than once."),
    ],
)
def test_intervals_that_are_refused(client, query, start):
    assert refused(client, f"/metrics/timeseries?{query}").startswith(start)


def test_all_history_in_minutes_is_refused(client):
    response = client.get(f"{PREFIX}/metrics/timeseries?period=all&interval=1m", headers=bearer())
    assert response.status_code == 400
    assert response.json()["message"].startswith("interval: expected at most")


def test_a_long_name_is_cut(client):
    assert len(refused(client, f"/metrics?{'x' * 5000}=1")) < 200


def test_who_may_not_learns_nothing_about_parameters(client):
    assert client.get(f"{PREFIX}/metrics?nonsense=1").status_code == 401
