"""Providers that are not ours: the SDK's own for ``POSEMON_JOURNAL=off``, and those of ``OTEL_CONFIG_FILE``."""

from collections.abc import Sequence
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from posemon_otel import settings
from posemon_otel.delivery import exporters, named
from posemon_otel.delivery.metering import MeterProvider
from posemon_otel.delivery.provider import TracerProvider
from posemon_otel.settings import Settings


def set_providers(
    chosen: Settings, resource: Resource, *, readers: Sequence[MetricReader] = (), views: Sequence[View] = ()
) -> list[Any]:
    """Makes providers and sets them globally. The tracer provider is ours, so that redaction holds here too.

    Args:
        chosen: The settings.
        resource: This process's Resource.
        readers: Metric readers beside those of the exporters.
        views: What metrics look like, for every reader.

    Returns:
        The providers, to be flushed and ended.
    """
    tracer_provider = TracerProvider(
        named.sampler(chosen), resource, shutdown_on_exit=False, id_generator=named.id_generator(chosen)
    )
    for make in exporters.makers("traces", chosen, retrying=True):
        tracer_provider.add_span_processor(BatchSpanProcessor(make()))
    trace.set_tracer_provider(tracer_provider)
    exporting = [
        PeriodicExportingMetricReader(make(), chosen[settings.METRIC_INTERVAL])
        for make in exporters.makers("metrics", chosen, retrying=True)
    ]
    meter_provider = MeterProvider([*exporting, *readers], resource, shutdown_on_exit=False, views=views)
    metrics.set_meter_provider(meter_provider)
    logger_provider = LoggerProvider(resource, shutdown_on_exit=False)
    for make in exporters.makers("logs", chosen, retrying=True):
        logger_provider.add_log_record_processor(BatchLogRecordProcessor(make()))
    set_logger_provider(logger_provider)
    return [tracer_provider, meter_provider, logger_provider]


def set_from_file(chosen: Settings) -> bool:
    """Has the SDK make and set the providers that ``OTEL_CONFIG_FILE`` describes.

    Args:
        chosen: The settings; why it could not be done is added to its ``problems``.

    Returns:
        Whether it was done.
    """
    path = chosen[settings.CONFIG_FILE]
    try:
        from opentelemetry.configuration import configure_sdk, load_config_file

        configure_sdk(load_config_file(path))
    except ImportError:
        chosen.problems.append(
            "OTEL_CONFIG_FILE: needs the package opentelemetry-configuration: pip install opentelemetry-configuration;"
            " it is ignored"
        )
        return False
    except Exception as exc:
        chosen.problems.append(f"OTEL_CONFIG_FILE: {path} could not be used ({exc}); it is ignored")
        return False
    return True
