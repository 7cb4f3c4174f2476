"""Telemetry that was given up: counted by signal and reason for ``posemon.telemetry.dropped``, and said once."""

from posemon_otel.faults import logger

_counts: dict[tuple[str, str], int] = {}
_said: set[str] = set()


def count(signal: str, reason: str, items: int = 1) -> None:
    """Counts items of a signal (``traces``, ``logs``, ``metrics``, ``records``, ``events``) that will not arrive."""
    _counts[signal, reason] = _counts.get((signal, reason), 0) + items


def counts() -> dict[tuple[str, str], int]:
    """Items given up in this process, by (signal, reason)."""
    return dict(_counts)


def say_once(line: str) -> None:
    """Logs one line, once a process."""
    if line not in _said:
        _said.add(line)
        logger.warning(line)


def reset() -> None:
    """Forgets everything: a forked child does not count its parent's losses."""
    _counts.clear()
    _said.clear()
