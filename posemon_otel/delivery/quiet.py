"""Keeps exporters' own lines about our failed requests off the log: an outage is two lines, not one a request."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.common.http",
    "urllib3.connectionpool",
)
_ours = threading.local()


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the thread decides, not the record
        return not getattr(_ours, "quiet", False)


def here() -> None:
    """From now on exporters are quiet in this thread."""
    for name in _NAMES:
        logger = logging.getLogger(name)
        if not any(isinstance(existing, _NotOurs) for existing in logger.filters):
            logger.addFilter(_NotOurs())
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
