"""The SDK's own providers with their own batch processors, for ``POSEMON_JOURNAL=off``."""

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


def set_providers(chosen: Settings, resource: Resource) -> None:
    """Makes providers and sets them globally. The tracer provider is ours, so that redaction holds here too."""
    tracer_provider = TracerProvider(resource=resource)
    for make in exporters.makers("traces", chosen):
        tracer_provider.add_span_processor(BatchSpanProcessor(make()))
    trace.set_tracer_provider(tracer_provider)
    readers = [
        PeriodicExportingMetricReader(make(), chosen[settings.METRIC_INTERVAL])
        for make in exporters.makers("metrics", chosen)
    ]
    metrics.set_meter_provider(MeterProvider(readers, resource))
    logger_provider = LoggerProvider(resource)
    for make in exporters.makers("logs", chosen):
        logger_provider.add_log_record_processor(BatchLogRecordProcessor(make()))
    set_logger_provider(logger_provider)
