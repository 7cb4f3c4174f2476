"""Every ``OTEL_*`` variable of the installed OpenTelemetry packages: honoured, mapped to a setting of ours, or ignored.

Names that a library composes, as ``OTEL_PYTHON_<LIBRARY>_EXCLUDED_URLS``, are that library's and stand in no table. A
value that the SDK would raise on, or would print, is told apart by ``wrong``; what it is, is ``otel_values``' matter.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from posemon_otel import otel_values as v

HONOURED: Final = "honoured"
MAPPED: Final = "mapped"
IGNORED: Final = "ignored"

SIGNALS: Final = ("TRACES", "METRICS", "LOGS")
_EXPORTER: Final = "OTEL_EXPORTER_OTLP_"


class Variable(NamedTuple):
    """One variable.

    Attributes:
        name: As it is set.
        treatment: ``honoured``, ``mapped`` or ``ignored``.
        how: By whom it is honoured, what it is mapped to, or why it is ignored.
        check: What of a value is usable; ``None`` where the setting of that variable checks it, or nobody can.
    """

    name: str
    treatment: str
    how: str
    check: v.Check | None = None


def _by_signal(word: str, treatment: str, how: str, check: v.Check | None = None) -> Iterator[Variable]:
    """The variable that holds for every signal, and one for each, which wins over it."""
    yield Variable(_EXPORTER + word, treatment, how, check)
    for signal in SIGNALS:
        yield Variable(f"{_EXPORTER}{signal}_{word}", treatment, f"{how}; for {signal.lower()}", check)


def _credentials(protocol: str) -> Iterator[Variable]:
    how = "by the exporter, whose session or channel is the package's own then"
    for middle in ("", *(f"{signal}_" for signal in SIGNALS)):
        yield Variable(
            f"OTEL_PYTHON_EXPORTER_OTLP_{protocol}_{middle}CREDENTIAL_PROVIDER", HONOURED, how, v.CREDENTIALS
        )


_KEPT = "by the API; that provider is kept, and `configure` uses it"
_UNUSED = "not needed: `OTEL_EXPORTER_OTLP_TIMEOUT` bounds a request"
_RESENT = "without the journal by the gRPC exporter; with it the exporter retries nothing, for the shipper sends again"
_BY_US = "by `configure`"
_LIMIT = "by our provider, and by the SDK's"
_LIBRARY = "by the instrumentation libraries"
_QUEUE = "without the journal (`POSEMON_JOURNAL=off`) by the SDK's batch processor; with it the journal is the queue"
_PRIVATE = "an experiment of the SDK's own configurator; a provider of your own takes it as an argument"
_AGENT = "by `opentelemetry-instrument`, before `configure`"
_NOT_INSTALLED = "of an exporter that is not installed with us; one that is reads it itself"
_SERVER = "by the instrumentation libraries of HTTP servers"
_CLIENT = "by the instrumentation libraries of HTTP clients"
_LOGGING = "by `opentelemetry-instrumentation-logging`; our own bridge is always there and needs it not"

VARIABLES: Final[tuple[Variable, ...]] = (
    Variable("OTEL_SDK_DISABLED", HONOURED, _BY_US + ", which sets up nothing then"),
    Variable("OTEL_CONFIG_FILE", HONOURED, _BY_US + ", with `opentelemetry-configuration`; its providers are used"),
    Variable("OTEL_SERVICE_NAME", HONOURED, _BY_US),
    Variable("OTEL_RESOURCE_ATTRIBUTES", HONOURED, "by the SDK's Resource", v.PAIRS),
    Variable("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", HONOURED, "by the SDK's Resource", v.DETECTORS),
    Variable("OTEL_PROPAGATORS", HONOURED, "by the API, when `opentelemetry.propagate` is imported", v.PROPAGATORS),
    Variable("OTEL_PYTHON_CONTEXT", HONOURED, "by the API, when `opentelemetry.context` is imported"),
    Variable("OTEL_PYTHON_TRACER_PROVIDER", HONOURED, _KEPT, v.TRACER_PROVIDER),
    Variable("OTEL_PYTHON_METER_PROVIDER", HONOURED, _KEPT, v.METER_PROVIDER),
    Variable("OTEL_PYTHON_LOGGER_PROVIDER", HONOURED, _KEPT, v.LOGGER_PROVIDER),
    Variable("OTEL_PYTHON_ID_GENERATOR", HONOURED, _BY_US),
    Variable("OTEL_PYTHON_DISTRO", HONOURED, _AGENT),
    Variable("OTEL_PYTHON_CONFIGURATOR", HONOURED, _AGENT + "; our distro sets it to `posemon` where it is not set"),
    Variable("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", HONOURED, _BY_US + " and by `opentelemetry-instrument`"),
    Variable("OTEL_PYTHON_AUTO_INSTRUMENTATION_EXPERIMENTAL_GEVENT_PATCH", HONOURED, _AGENT),
    Variable("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", HONOURED, _BY_US + ", the SDK and the exporters"),
    Variable("OTEL_PYTHON_TRACER_CONFIGURATOR", IGNORED, _PRIVATE),
    Variable("OTEL_PYTHON_METER_CONFIGURATOR", IGNORED, _PRIVATE),
    Variable("OTEL_PYTHON_LOGGER_CONFIGURATOR", IGNORED, _PRIVATE),
    Variable("OTEL_LOG_LEVEL", IGNORED, "no part of OpenTelemetry for Python reads it; `logging` has the levels"),
    # Traces
    Variable("OTEL_TRACES_EXPORTER", HONOURED, _BY_US),
    Variable("OTEL_TRACES_SAMPLER", HONOURED, _BY_US + ", packages' samplers too"),
    Variable("OTEL_TRACES_SAMPLER_ARG", HONOURED, _BY_US),
    *(
        Variable(f"OTEL_{name}_LIMIT", HONOURED, _LIMIT, v.LIMIT)
        for name in (
            "SPAN_ATTRIBUTE_COUNT", "SPAN_ATTRIBUTE_VALUE_LENGTH", "SPAN_EVENT_COUNT", "SPAN_LINK_COUNT",
            "EVENT_ATTRIBUTE_COUNT", "LINK_ATTRIBUTE_COUNT", "ATTRIBUTE_COUNT",
        )
    ),
    Variable("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", HONOURED, _LIMIT + "; 16 KiB where it is not set", v.LIMIT),
    Variable("OTEL_BSP_SCHEDULE_DELAY", MAPPED, "to `POSEMON_SHIP_INTERVAL`, which wins; milliseconds", v.COUNT),
    Variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", MAPPED, "to `POSEMON_SHIP_BATCH`, which wins", v.COUNT),
    Variable("OTEL_BSP_MAX_QUEUE_SIZE", MAPPED, "to nothing with the journal, which is the queue (`POSEMON_JOURNAL_CAP`"
             " bounds it); " + _QUEUE, v.COUNT),
    Variable("OTEL_BSP_EXPORT_TIMEOUT", IGNORED, _UNUSED, v.COUNT),
    # Logs
    Variable("OTEL_LOGS_EXPORTER", HONOURED, _BY_US),
    Variable("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", HONOURED, "by the SDK's logger provider", v.LIMIT),
    Variable("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", HONOURED, "by the SDK's logger provider", v.LIMIT),
    Variable("OTEL_BLRP_SCHEDULE_DELAY", HONOURED, _QUEUE, v.COUNT),
    Variable("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", HONOURED, _QUEUE, v.COUNT),
    Variable("OTEL_BLRP_MAX_QUEUE_SIZE", HONOURED, _QUEUE, v.COUNT),
    Variable("OTEL_BLRP_EXPORT_TIMEOUT", IGNORED, _UNUSED, v.COUNT),
    # Metrics
    Variable("OTEL_METRICS_EXPORTER", HONOURED, _BY_US),
    Variable("OTEL_METRICS_EXEMPLAR_FILTER", HONOURED, "by the SDK's meter provider", v.EXEMPLARS),
    Variable("OTEL_METRIC_EXPORT_INTERVAL", HONOURED, _BY_US),
    Variable("OTEL_METRIC_EXPORT_TIMEOUT", IGNORED, _UNUSED, v.POSITIVE),
    Variable("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", HONOURED, "by the exporter", v.TEMPORALITY),
    Variable("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", HONOURED, "by the exporter", v.AGGREGATION),
    # OTLP
    *_by_signal("ENDPOINT", HONOURED, _BY_US + "; over gRPC `host:port` will do"),
    *_by_signal("PROTOCOL", HONOURED, _BY_US),
    *_by_signal("HEADERS", HONOURED, "by the exporter", v.HEADERS),
    *_by_signal("TIMEOUT", HONOURED, "by the exporter; seconds", v.POSITIVE),
    *_by_signal("COMPRESSION", HONOURED, "by the exporter; over gRPC `gzip` or none", v.COMPRESSION),
    *_by_signal("INSECURE", HONOURED, "by the gRPC exporter, for an endpoint without a scheme", v.FLAG),
    *_by_signal("CERTIFICATE", HONOURED, "by the exporter", v.FILE),
    *_by_signal("CLIENT_KEY", HONOURED, "by the exporter", v.FILE),
    *_by_signal("CLIENT_CERTIFICATE", HONOURED, "by the exporter", v.FILE),
    *_credentials("HTTP"),
    *_credentials("GRPC"),
    Variable("OTEL_PYTHON_EXPORTER_OTLP_GRPC_RETRYABLE_ERROR_CODES", HONOURED, _RESENT, v.CODES),
    Variable("OTEL_EXPORTER_PROMETHEUS_HOST", IGNORED, _NOT_INSTALLED),
    Variable("OTEL_EXPORTER_PROMETHEUS_PORT", IGNORED, _NOT_INSTALLED),
    Variable("OTEL_EXPORTER_ZIPKIN_ENDPOINT", IGNORED, _NOT_INSTALLED),
    Variable("OTEL_EXPORTER_ZIPKIN_TIMEOUT", IGNORED, _NOT_INSTALLED),
    # Instrumentation
    Variable("OTEL_SEMCONV_STABILITY_OPT_IN", HONOURED, _LIBRARY),
    Variable("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", HONOURED, "by our operations"),
    Variable("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", HONOURED, "by our operations"),
    Variable("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST", HONOURED, _CLIENT + ", then redacted by us"),
    Variable("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE", HONOURED, _CLIENT + ", then redacted by us"),
    Variable("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", HONOURED, _SERVER + ", then redacted by us"),
    Variable("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE", HONOURED, _SERVER + ", then redacted by us"),
    Variable("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS", HONOURED, _LIBRARY),
    Variable("OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS", HONOURED, _LIBRARY),
    Variable("OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED", HONOURED, _LOGGING),
    Variable("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", HONOURED, _LOGGING),
    Variable("OTEL_PYTHON_LOG_CODE_ATTRIBUTES", HONOURED, _LOGGING),
    Variable("OTEL_PYTHON_LOG_CORRELATION", HONOURED, _LOGGING),
    Variable("OTEL_PYTHON_LOG_FORMAT", HONOURED, _LOGGING),
    Variable("OTEL_PYTHON_LOG_HANDLER_LEVEL", HONOURED, _LOGGING),
    Variable("OTEL_PYTHON_LOG_LEVEL", HONOURED, _LOGGING),
)  # fmt: skip

_CHECKS: Final = tuple((variable.name, variable.check) for variable in VARIABLES if variable.check is not None)
_BATCHES: Final = tuple((f"OTEL_{one}_MAX_EXPORT_BATCH_SIZE", f"OTEL_{one}_MAX_QUEUE_SIZE") for one in ("BSP", "BLRP"))
_SDK_QUEUE: Final = 2048
_SDK_BATCH: Final = 512


class Wrong(NamedTuple):
    """A value that OpenTelemetry would stumble over.

    Attributes:
        name: The variable.
        value: Its value; ``None`` where its default does not go with another variable.
        instead: What of its value can be used; empty for nothing.
        line: One line that says what was expected, what came and what is used; no secrets.
    """

    name: str
    value: str | None
    instead: str
    line: str


def wrong(environ: Mapping[str, str], shown: Callable[[Any], str]) -> list[Wrong]:
    """The variables whose values cannot be used as they are.

    Args:
        environ: The environment; it is only read.
        shown: Writes a value for a message.
    """
    found = []
    for name, check in _CHECKS:
        value = environ.get(name, "")
        if value.strip():
            usable = check.usable(value)
            if usable != value:
                got = "a secret" if check.secret else shown(value)
                using = (
                    "what of it can be used"
                    if usable
                    else "it all the same"
                    if check.keep
                    else f"the default{check.default}"
                )
                line = f"{name}: expected {check.expected}, got {got}; using {using}"
                found.append(Wrong(name, value, value if check.keep else usable, line))
    refused = {one.name for one in found}
    for batch, queue in _BATCHES:
        size, most = (
            int(environ[name]) if environ.get(name, "").strip() and name not in refused else default
            for name, default in ((batch, _SDK_BATCH), (queue, _SDK_QUEUE))
        )
        if size > most:
            line = f"{batch}: expected at most {most}, the size of the queue ({queue}), got {size}; using {most}"
            found.append(Wrong(batch, environ.get(batch), str(most), line))
    return found
