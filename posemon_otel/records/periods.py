"""Periods and intervals as people type them: ``24h``, ``week``, ``2026-11-01``."""

import re
from datetime import UTC, datetime, timedelta

from posemon_otel.records.columns import as_utc

PERIODS: dict[str, timedelta | None] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
    "year": timedelta(days=365),
    "all": None,
}
"""Name: length back from now; ``None`` is all history."""

DEFAULT_PERIOD = "24h"

INTERVALS: dict[str, timedelta] = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
}
"""Steps of a time series."""

MOST_STEPS = 1500
"""A time series has no more steps than a screen could show."""

_COMFORTABLE_STEPS = 120
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

Period = tuple[datetime | None, datetime]
"""Beginning (inclusive; ``None`` is since ever) and end (exclusive), aware and in UTC."""


def parse_period(
    period: str | None = None,
    *,
    start_date: str | None = None,
    end_date: str | None = None,
    now: datetime | None = None,
) -> Period:
    """Reads a period.

    Args:
        period: One of ``PERIODS``; the last 24 hours where nothing is given.
        start_date: ISO 8601 date or time in place of ``period``; what has no zone is UTC.
        end_date: Likewise; a date alone means through the end of that day. Now where only ``start_date`` is given.
        now: The present.

    Raises:
        ValueError: A value that is none of these, both ways at once, or a beginning that is not before its end.
    """
    present = datetime.now(UTC) if now is None else as_utc(now)
    if start_date is None and end_date is None:
        name = DEFAULT_PERIOD if period is None else period
        if name not in PERIODS:
            raise ValueError(f"period: expected one of {', '.join(PERIODS)}, got {name!r}")
        length = PERIODS[name]
        return (None if length is None else present - length), present
    if period is not None:
        raise ValueError("period: expected either period or startDate and endDate, got both")
    start = None if start_date is None else _moment("startDate", start_date)
    end = present if end_date is None else _moment("endDate", end_date)
    if end_date is not None and _DATE.fullmatch(end_date):
        end += timedelta(days=1)
    if start is not None and start >= end:
        raise ValueError(f"startDate: expected a time before the end {end.isoformat()}, got {start_date!r}")
    return start, end


def _moment(name: str, value: str) -> datetime:
    try:
        if not value.isascii():
            raise ValueError(value)
        moment = as_utc(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        raise ValueError(f"{name}: expected a date like 2026-11-01 or 2026-11-01T12:00:00Z, got {value!r}") from None
    if not datetime(1970, 1, 1, tzinfo=UTC) <= moment < datetime(9999, 1, 1, tzinfo=UTC):
        raise ValueError(f"{name}: expected a date from 1970 on, got {value!r}")
    return moment


def parse_interval(value: str | None, start: datetime | None, end: datetime) -> timedelta:
    """Reads the step of a time series.

    Args:
        value: One of ``INTERVALS``; ``None`` chooses one that makes a readable number of steps.
        start: Beginning of the series; ``None`` where it is not known yet.
        end: Its end.

    Raises:
        ValueError: No such interval, or one that would make more than ``MOST_STEPS`` steps.
    """
    length = None if start is None else end - start
    if value is None:
        fitting = (step for step in INTERVALS.values() if length is not None and length / step <= _COMFORTABLE_STEPS)
        return next(fitting, INTERVALS["7d"] if length is not None else INTERVALS["1d"])
    if value not in INTERVALS:
        raise ValueError(f"interval: expected one of {', '.join(INTERVALS)}, got {value!r}")
    step = INTERVALS[value]
    if length is not None and length / step > MOST_STEPS:
        raise ValueError(
            f"interval: expected at most {MOST_STEPS} steps, got {value!r} over {length}; take a longer one"
        )
    return step
