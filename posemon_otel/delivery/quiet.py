"""An outage is two lines on the log, one when the backend goes and one when it is back, and not one a request."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from posemon_otel.faults import logger

_NAMES = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.common.http",
    "urllib3.connectionpool",
)
_GATHER = 1.0
_ROWS = "records"
_ours = threading.local()


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the thread decides, not the record
        return not getattr(_ours, "quiet", False)


def here() -> None:
    """From now on exporters are quiet in this thread."""
    for name in _NAMES:
        logger_ = logging.getLogger(name)
        if not any(isinstance(existing, _NotOurs) for existing in logger_.filters):
            logger_.addFilter(_NotOurs())
    _ours.quiet = True


@contextmanager
def within() -> Iterator[None]:
    """Exporters are quiet in this thread within the block."""
    before = getattr(_ours, "quiet", False)
    here()
    try:
        yield
    finally:
        _ours.quiet = before


class _Outage:
    """What is down of one other side, and what was said about it."""

    def __init__(self) -> None:
        self.down: dict[str, str] = {}
        self.since = 0.0
        self.said: list[str] = []


_lock = threading.Lock()
_outages = {"backend": _Outage(), "database": _Outage()}


def _of(name: str) -> _Outage:
    return _outages["database" if name == _ROWS else "backend"]


def gone(name: str, why: str = "") -> None:
    """What ``name`` (``traces``, ``logs``, ``metrics``, ``records``) sends was not taken.

    Args:
        name: Who says so; repeating it says nothing new.
        why: The answer and who gave it, as a few words.
    """
    with _lock:
        outage = _of(name)
        if not outage.down:
            outage.since = time.monotonic()
        outage.down.setdefault(name, why)


def back(name: str) -> None:
    """What ``name`` sends is taken."""
    with _lock:
        _of(name).down.pop(name, None)


def say(*, now: bool = False) -> None:
    """Logs what is to be said; called now and then.

    Args:
        now: Without waiting a second for other signals to find out that the same backend is away.
    """
    lines = []
    with _lock:
        for outage in _outages.values():
            if outage.down and not outage.said and (now or time.monotonic() - outage.since >= _GATHER):
                outage.said = sorted(outage.down)
                why = "; ".join(sorted({why for why in outage.down.values() if why}))
                lines.append(
                    f"{_listed(outage.said)} cannot be delivered{f' ({why})' if why else ''}; they stay in the journal"
                    " and are sent again"
                )
            elif outage.said and not outage.down:
                lines.append(f"{_listed(outage.said)} are delivered again")
                outage.said = []
    for line in lines:
        logger.warning("%s", line)


def reset() -> None:
    """Forgets everything: a forked child finds out for itself, and so does a pipeline made anew."""
    global _lock
    _lock = threading.Lock()
    for outage in _outages.values():
        outage.__init__()  # type: ignore[misc]


os.register_at_fork(after_in_child=reset)


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
