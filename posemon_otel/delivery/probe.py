"""One trace on the way that a worker's take: through a journal and the real exporters, followed to the answers."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.sdk.resources import Resource

from posemon_otel import redaction, settings
from posemon_otel.delivery import answers, exporters, receipts
from posemon_otel.delivery.answers import Answer, Verdict
from posemon_otel.delivery.pipeline import Pipeline
from posemon_otel.entries import DEFAULT_SCOPE, Log
from posemon_otel.journal import Journal, journals
from posemon_otel.semconv import SCHEMA_URL, SCOPE
from posemon_otel.settings import Settings
from posemon_otel.version import __version__

SPAN = "posemon doctor"
"""Name of the span, and the body of its log record."""

_INFO = 9
_LOOK_EVERY = 0.2
_END_SECONDS = 0.5


class Probed(NamedTuple):
    """What became of it at one signal's exporter.

    Attributes:
        signal: ``traces`` or ``logs``.
        trace_id: As hex.
        sampled: Whether the sampler lets it be sent.
        taken: Whether the other side has acknowledged it.
        endpoint: Who answered last: a URL without credentials, or the exporter's name; empty where nobody did.
        status: The answer.
        seconds: From its end to the acknowledgement, or how long was waited.
    """

    signal: str
    trace_id: str
    sampled: bool
    taken: bool
    endpoint: str
    status: str
    seconds: float


def probe(arguments: Mapping[str, Any], signals: Sequence[str], timeout: float) -> list[Probed]:
    """Sends a trace of one span, with one log record. Nothing is left on disk.

    Args:
        arguments: Settings by name that go before the environment's.
        signals: Those of ``traces`` and ``logs`` that are sent.
        timeout: Seconds to wait for the answers.
    """
    with tempfile.TemporaryDirectory(prefix="posemon-") as folder:
        chosen = Settings(
            {**arguments, "journal": "on", "journal_dir": folder, "database_url": "", "ship_interval": 0.05}
        )
        heard = {signal: _Heard(exporters.makers(signal, chosen)) for signal in signals}
        makers: dict[str, list[Callable[[], Any]]] = {name: [lambda one=one: one] for name, one in heard.items()}  # type: ignore[misc]
        pipeline = Pipeline(chosen, _resource(chosen), direct=False, makers=makers)
        try:
            begun = time.monotonic()
            trace_id, sampled = _send(pipeline)
            while not pipeline.shipper.flush(_LOOK_EVERY):
                if time.monotonic() - begun > timeout or all(one.settled for one in heard.values()):
                    break
            waited = time.monotonic() - begun
            found = [journal for root in Path(folder).iterdir() for journal in journals(root)]
            return [_followed(signal, trace_id, sampled, found, heard[signal], waited) for signal in signals]
        finally:
            pipeline.shutdown(_END_SECONDS)


def _resource(chosen: Settings) -> Resource:
    name = chosen[settings.SERVICE_NAME]
    resource = Resource.create({"service.name": name} if name else {})
    return Resource(redaction.clean_attributes(resource.attributes), resource.schema_url)


def _send(pipeline: Pipeline) -> tuple[str, bool]:
    assert pipeline.tracer_provider is not None
    span = pipeline.tracer_provider.get_tracer(SCOPE, __version__, SCHEMA_URL).start_span(SPAN)
    own = span.get_span_context()
    trace_id = own.trace_id.to_bytes(16, "big")
    flags = int(own.trace_flags)
    pipeline.sink.log(Log(time.time_ns(), trace_id, own.span_id, flags, DEFAULT_SCOPE, _INFO, "INFO", SPAN, {}))
    span.end()
    return trace_id.hex(), own.trace_flags.sampled


def _followed(
    signal: str, trace_id: str, sampled: bool, found: Sequence[Journal], heard: "_Heard", waited: float
) -> Probed:
    known = [receipt for journal in found for receipt in receipts.receipts(journal.folder, signal)]
    if known:
        taken = not known[-1].status.startswith(receipts.REJECTED)
        return Probed(signal, trace_id, sampled, taken, known[-1].endpoint, known[-1].status, waited)
    last = heard.last  # the receipt comes a moment after the acknowledgement
    taken = last.verdict is Verdict.ACCEPTED
    return Probed(signal, trace_id, sampled, taken=taken, endpoint=last.endpoint, status=last.status, seconds=waited)


class _Heard:
    """An exporter whose last answer is kept, which the journal knows of acknowledged batches alone."""

    def __init__(self, made_by: Sequence[Callable[[], Any]]) -> None:
        self._inner = exporters.Lazy(made_by)
        self.last = Answer(Verdict.UNKNOWN, "", "")

    @property
    def settled(self) -> bool:
        """Whether asking again is no use: it was taken, or refused in a way that will not change by itself."""
        return bool(self.last.status) and self.last.verdict is not Verdict.OUTAGE

    @property
    def name(self) -> str:
        return self._inner.name

    def export(self, batch: Sequence[Any]) -> Any:
        heard: list[Answer] = []
        try:
            with answers.listening() as heard:
                return self._inner.export(batch)
        finally:
            self.last = heard[-1] if heard else self.last
            for answer in heard:
                answers.note(answer)  # for who listens further out

    def shutdown(self) -> None:
        self._inner.shutdown()
