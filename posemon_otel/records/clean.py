"""Values that any database takes: one odd value must never refuse the rows beside it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from posemon_otel.records.columns import as_utc

_INT32 = 2**31 - 1
_INT64 = 2**63 - 1


def cleaned_text(value: str | None) -> str | None:
    """Text without what UTF-8 or PostgreSQL refuses: lone surrogates and NUL."""
    if value is None:
        return None
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def required_text(value: str) -> str:
    """The same for what is never missing."""
    return cleaned_text(value) or ""


def count(value: int | None) -> int:
    """A number of things for an ``integer`` column; unknown is 0."""
    return min(max(value or 0, 0), _INT32)


def big(value: int | None) -> int | None:
    """An integer of 64 bits, or nothing: a cut seed would be another seed."""
    return value if value is None or -_INT64 - 1 <= value <= _INT64 else None


def real(value: float | None) -> float | None:
    """A finite number or nothing."""
    return value if value is None or isfinite(value) else None


def moment(value: datetime | None) -> datetime | None:
    """Aware, UTC, milliseconds: as it will be read back."""
    if value is None:
        return None
    utc = as_utc(value)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def now() -> datetime:
    """The present, as it will be read back."""
    present = datetime.now(UTC)
    return present.replace(microsecond=present.microsecond // 1000 * 1000)


def json_value(value: Any) -> Any:
    """A JSON value that every database takes; what is none becomes text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return cleaned_text(value)
    if isinstance(value, int):
        return value if abs(value) <= _INT64 else str(value)
    if isinstance(value, float):
        return real(value)
    if isinstance(value, datetime):
        return as_utc(value).isoformat()
    if isinstance(value, Mapping):
        return {required_text(str(key)): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_value(item) for item in value]
    return required_text(str(value))
