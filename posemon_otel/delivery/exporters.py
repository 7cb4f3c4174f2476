"""Exporters by name, as ``OTEL_TRACES_EXPORTER`` and its siblings give them."""

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from posemon_otel import settings
from posemon_otel.delivery import forks
from posemon_otel.settings import Settings

_OTLP = {
    # protocol, signal: module and class of the official exporter
    ("http/protobuf", "traces"): "opentelemetry.exporter.otlp.proto.http.trace_exporter:OTLPSpanExporter",
    ("http/protobuf", "metrics"): "opentelemetry.exporter.otlp.proto.http.metric_exporter:OTLPMetricExporter",
    ("http/protobuf", "logs"): "opentelemetry.exporter.otlp.proto.http._log_exporter:OTLPLogExporter",
    ("grpc", "traces"): "opentelemetry.exporter.otlp.proto.grpc.trace_exporter:OTLPSpanExporter",
    ("grpc", "metrics"): "opentelemetry.exporter.otlp.proto.grpc.metric_exporter:OTLPMetricExporter",
    ("grpc", "logs"): "opentelemetry.exporter.otlp.proto.grpc._log_exporter:OTLPLogExporter",
}
# Packages of this group bring a session of their own, which has the credentials: then the exporter keeps that one.
_CREDENTIALS = "opentelemetry_otlp_credential_provider"
_PROTOCOL_OF = {"otlp_proto_http": "http/protobuf", "otlp_proto_grpc": "grpc"}
_GROUP = {
    "traces": "opentelemetry_traces_exporter",
    "metrics": "opentelemetry_metrics_exporter",
    "logs": "opentelemetry_logs_exporter",
}
_EXPORTERS = {"traces": settings.TRACES_EXPORTER, "metrics": settings.METRICS_EXPORTER, "logs": settings.LOGS_EXPORTER}
_PROTOCOLS = {
    "traces": settings.OTLP_TRACES_PROTOCOL,
    "metrics": settings.OTLP_METRICS_PROTOCOL,
    "logs": settings.OTLP_LOGS_PROTOCOL,
}
_ENDPOINTS = {
    "traces": settings.OTLP_TRACES_ENDPOINT,
    "metrics": settings.OTLP_METRICS_ENDPOINT,
    "logs": settings.OTLP_LOGS_ENDPOINT,
}
SIGNALS = tuple(_GROUP)
OURS = "posemon_journal"
"""By this name other SDKs find the exporter that appends to our journal."""


def makers(signal: str, chosen: Settings, *, retrying: bool = False) -> list[Callable[[], Any]]:
    """What makes the exporters of a signal; empty where it is switched off.

    An unknown name becomes a line in ``chosen.problems``, and the others are made.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        chosen: The settings.
        retrying: Whether the exporters are to try again by themselves, because nobody behind a journal does.
    """
    made: list[Callable[[], Any]] = []
    named = chosen[_EXPORTERS[signal]]
    if OURS in named:  # what is delivered here has come from our journal
        named = named.replace(OURS, chosen[settings.JOURNAL_EXPORTER])
    for name in named.split(","):
        name = name.strip()  # noqa: PLW2901 - the trimmed name
        if name in ("", "none"):
            continue
        if name == "otlp" or name in _PROTOCOL_OF:
            protocol = _PROTOCOL_OF.get(name) or chosen[_PROTOCOLS[signal]] or chosen[settings.OTLP_PROTOCOL]
            made.append(lambda protocol=protocol: _otlp(protocol, signal, chosen, retrying=retrying))  # type: ignore[misc]
        elif name == "otlp_json_file" and chosen[settings.OTLP_FILE_DIR]:
            made.append(lambda: _file(signal, Path(chosen[settings.OTLP_FILE_DIR])))
        else:
            found = next(iter(entry_points(group=_GROUP[signal], name=name)), None)
            if found is None:
                variable = _EXPORTERS[signal].variables[0]
                chosen.problems.append(
                    f"{variable}: expected otlp, console, none or an installed exporter, got {name!r}; it is left out"
                )
            else:
                made.append(lambda found=found: found.load()())  # type: ignore[misc]
    return made


def _otlp(protocol: str, signal: str, chosen: Settings, *, retrying: bool) -> Any:
    module, _, name = _OTLP[protocol, signal].partition(":")
    exporter_class = getattr(import_module(module), name)
    where = _where(protocol, signal, chosen)
    if protocol == "grpc":
        from posemon_otel.delivery import grpc_exporters

        if retrying:
            return grpc_exporters.made(exporter_class, **where)
        told = grpc_exporters.telling(exporter_class, signal, where["endpoint"])
        return grpc_exporters.made(told, retryable_error_codes=grpc_exporters.NOTHING, **where)
    if not retrying and not entry_points(group=_CREDENTIALS):
        from posemon_otel.delivery.http_session import Session

        where["session"] = Session(signal, _answer(signal))
    return exporter_class(**where)


def _answer(signal: str) -> Any:
    """The protobuf class of what a backend answers."""
    service = "trace" if signal == "traces" else signal
    module = import_module(f"opentelemetry.proto.collector.{service}.v1.{service}_service_pb2")
    return getattr(module, f"Export{service.capitalize()}ServiceResponse")


def _where(protocol: str, signal: str, chosen: Settings) -> dict[str, Any]:
    """The endpoint argument. Given here and not left to the exporter, which would stumble over a wrong variable."""
    own, shared = chosen[_ENDPOINTS[signal]], chosen[settings.OTLP_ENDPOINT]
    if protocol == "grpc":
        endpoint = own or shared or "http://localhost:4317"
        return {"endpoint": endpoint} | ({"insecure": True} if endpoint.startswith("http://") else {})
    return {"endpoint": own or f"{(shared or 'http://localhost:4318').rstrip('/')}/v1/{signal}"}


def _file(signal: str, folder: Path) -> Any:
    package = "opentelemetry.exporter.otlp.json.file"
    module, name = {
        "traces": ("trace_exporter", "FileSpanExporter"),
        "metrics": ("metric_exporter", "FileMetricExporter"),
        "logs": ("_log_exporter", "FileLogExporter"),
    }[signal]
    folder.mkdir(parents=True, exist_ok=True)
    return getattr(import_module(f"{package}.{module}"), name)(folder / f"{signal}.jsonl")


_REMEMBERED = 20_000
"""Records that a healthy exporter has taken while another refuses them, at most; beyond it they are given again."""


class Tee:
    """Several exporters of spans or logs as one: a batch that one has refused is given again, to that one alone."""

    def __init__(self, exporters: Sequence[Any]) -> None:
        self._exporters = exporters
        self._taken: list[set[object]] = [set() for _ in exporters]

    @property
    def name(self) -> str:
        """What they are, for people."""
        return ", ".join(type(exporter).__name__ for exporter in self._exporters)

    def export(self, batch: Sequence[Any]) -> Any:
        refused: Any = None
        for exporter, taken in zip(self._exporters, self._taken, strict=True):
            new = [item for item in batch if _identity(item) not in taken]
            answer = exporter.export(new) if new else None
            if answer is not None and answer.name != "SUCCESS":
                refused = answer
            elif len(taken) < _REMEMBERED:
                taken.update(map(_identity, new))
        if refused is None:
            for taken in self._taken:
                taken.clear()
        return refused

    def shutdown(self) -> None:
        for exporter in self._exporters:
            exporter.shutdown()


def _identity(item: Any) -> object:
    """What is the same of a span or log record when it is read from the journal again."""
    context = getattr(item, "context", None)
    if context is not None:
        return context.span_id
    record = item.log_record
    return record.timestamp, record.span_id, record.body


class Lazy:
    """An exporter that is made at its first batch, on the thread of delivery: a worker's start does not pay for it."""

    def __init__(self, made_by: Sequence[Callable[[], Any]]) -> None:
        self._made_by = made_by
        self._inner: Any = None
        self._shut = False

    @property
    def name(self) -> str:
        """What it is, for people."""
        return str(getattr(self._inner, "name", type(self._inner).__name__))

    def export(self, batch: Sequence[Any]) -> Any:
        if self._inner is None:
            with forks.held_off():
                made = [make() for make in self._made_by]
            self._inner = made[0] if len(made) == 1 else Tee(made)
        return self._inner.export(batch)

    def shutdown(self) -> None:
        if self._inner is not None and not self._shut:
            self._shut = True
            self._inner.shutdown()
