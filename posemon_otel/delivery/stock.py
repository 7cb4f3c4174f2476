"""The SDK's own providers with their own batch processors, for ``POSEMON_JOURNAL=off``."""

from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from posemon_otel import settings
from posemon_otel.delivery import exporters
from posemon_otel.delivery.provider import TracerProvider
from posemon_otel.settings import Settings


def set_providers(chosen: Settings, resource: Resource) -> list[Any]:
    """Makes providers and sets them globally. The tracer provider is ours, so that redaction holds here too.

    Returns:
        The providers, to be flushed and ended.
    """
    tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for make in exporters.makers("traces", chosen):
        tracer_provider.add_span_processor(BatchSpanProcessor(make()))
    trace.set_tracer_provider(tracer_provider)
    readers = [
        PeriodicExportingMetricReader(make(), chosen[settings.METRIC_INTERVAL])
        for make in exporters.makers("metrics", chosen)
    ]
    meter_provider = MeterProvider(readers, resource, shutdown_on_exit=False)
    metrics.set_meter_provider(meter_provider)
    logger_provider = LoggerProvider(resource, shutdown_on_exit=False)
    for make in exporters.makers("logs", chosen):
        logger_provider.add_log_record_processor(BatchLogRecordProcessor(make()))
    set_logger_provider(logger_provider)
    return [tracer_provider, meter_provider, logger_provider]
