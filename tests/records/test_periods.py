from datetime import UTC, datetime, timedelta

import pytest

from posemon_otel.records.periods import INTERVALS, MOST_STEPS, parse_interval, parse_period

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


def utc(day, *time):
    return datetime(2026, 11, day, *time, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("1h", timedelta(hours=1)),
        ("24h", timedelta(days=1)),
        ("7d", timedelta(days=7)),
        ("30d", timedelta(days=30)),
        ("day", timedelta(days=1)),
        ("week", timedelta(days=7)),
        ("month", timedelta(days=30)),
        ("year", timedelta(days=365)),
        (None, timedelta(days=1)),
    ],
)
def test_named(name, length):
    assert parse_period(name, now=NOW) == (NOW - length, NOW)


def test_all_and_the_present():
    assert parse_period("all", now=NOW) == (None, NOW)
    before = datetime.now(UTC)
    _, end = parse_period("1h")
    assert before <= end <= datetime.now(UTC)
    assert end.tzinfo is UTC


@pytest.mark.parametrize(
    ("start", "end", "period"),
    [
        ("2026-11-01", "2026-11-02", (utc(1), utc(3))),
        ("2026-11-01", None, (utc(1), NOW)),
        (None, "2026-11-01", (None, utc(2))),
        ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00.5Z", (utc(1, 10), utc(1, 10, 0, 0, 500_000))),
        ("2026-11-01T10:00:00+02:00", "2026-11-01T10:00", (utc(1, 8), utc(1, 10))),
        ("2026-11-01", "2026-11-01", (utc(1), utc(2))),
    ],
)
def test_dates(start, end, period):
    assert parse_period(start_date=start, end_date=end, now=NOW) == period


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"period": "2h"}, "expected one of 1h, 24h, 7d, 30d, day, week, month, year, all, got '2h'"),
        ({"period": ""}, "period: expected one of"),
        ({"period": "7D"}, "period: expected one of"),
        ({"period": "7d", "start_date": "2026-11-01"}, "got both"),
        ({"start_date": "yesterday"}, "startDate: expected a date like"),
        ({"end_date": ""}, "endDate: expected a date like"),
        ({"end_date": "2026-02-30"}, "endDate: expected a date like"),
        ({"start_date": "٢٠٢٦-11-01"}, "startDate: expected a date like"),
        ({"start_date": "1969-12-31"}, "from 1970 on"),
        ({"end_date": "9999-12-31T23:59:59-23:00"}, "endDate: expected"),
        ({"start_date": "2026-11-25"}, "startDate: expected a time before the end"),
        ({"start_date": "2026-11-02", "end_date": "2026-11-01"}, "startDate: expected a time before the end"),
    ],
)
def test_what_is_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        parse_period(**arguments, now=NOW)


@pytest.mark.parametrize(
    ("length", "step"),
    [
        (timedelta(hours=1), timedelta(minutes=1)),
        (timedelta(hours=24), timedelta(minutes=15)),
        (timedelta(days=7), timedelta(hours=6)),
        (timedelta(days=30), timedelta(hours=6)),
        (timedelta(days=365), timedelta(days=7)),
        (timedelta(days=9999), timedelta(days=7)),
    ],
)
def test_a_fitting_interval(length, step):
    assert parse_interval(None, NOW - length, NOW) == step


def test_intervals_by_name():
    assert [parse_interval(name, NOW - timedelta(days=1), NOW) for name in INTERVALS] == list(INTERVALS.values())
    assert parse_interval("1m", None, NOW) == timedelta(minutes=1)
    assert parse_interval("1m", NOW - timedelta(minutes=MOST_STEPS), NOW) == timedelta(minutes=1)
    with pytest.raises(ValueError, match="take a longer one"):
        parse_interval("1m", NOW - timedelta(minutes=MOST_STEPS, seconds=1), NOW)
    with pytest.raises(ValueError, match="expected one of 1m, 5m"):
        parse_interval("2m", None, NOW)
