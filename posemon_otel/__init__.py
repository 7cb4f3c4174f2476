"""OpenTelemetry instrumentation for image-generation workers.

import posemon_otel as posemon

posemon.configure("pose-worker")
with posemon.generation("g1", user_id="u1", expected_poses=1) as gen, gen.pose("p1"):
    ...
"""

from posemon_otel.calls import flux_call, storage_write
from posemon_otel.errors import ErrorType, classify_error
from posemon_otel.events import on_event, record_event
from posemon_otel.generations import generation
from posemon_otel.loggers import (
    controlnet_logger,
    flux_logger,
    get_logger,
    metrics_logger,
    storage_logger,
    worker_logger,
)
from posemon_otel.process import configure, force_flush, instrument, shutdown, uninstrument
from posemon_otel.tracker import performance_tracker
from posemon_otel.version import __version__

__all__ = [
    "ErrorType",
    "__version__",
    "classify_error",
    "configure",
    "controlnet_logger",
    "flux_call",
    "flux_logger",
    "force_flush",
    "generation",
    "get_logger",
    "instrument",
    "metrics_logger",
    "on_event",
    "performance_tracker",
    "record_event",
    "shutdown",
    "storage_logger",
    "storage_write",
    "uninstrument",
    "worker_logger",
]
