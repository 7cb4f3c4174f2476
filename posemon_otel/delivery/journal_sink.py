"""The sink that appends to the journal: what it takes survives the process."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from opentelemetry import trace
from opentelemetry.context import Context

from posemon_otel import entries, faults
from posemon_otel.delivery import drops, wire
from posemon_otel.delivery.provider import TracerProvider
from posemon_otel.delivery.readable import finish_of
from posemon_otel.delivery.span import Span
from posemon_otel.entries import Event, Finish, Log, SpanLink, Start
from posemon_otel.journal import Writer
from posemon_otel.operation import Operation, describe
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o

LATE_START_NS = 250_000_000
"""How long an operation runs before its start is journalled: short ones never pay for one."""

OpenWriter = Callable[[Callable[[], Iterable[tuple[int, Any]]]], Writer]
"""Opens the process's journal; takes what a new segment begins with."""

_SPAN_KINDS = tuple(trace.SpanKind)
_FEW = 64
_IDENTITY = frozenset(
    (a.GENERATION_ID, a.USER_ID, a.POSE_ID, a.POSE_NAME, a.POSE_VARIATION, a.GENERATION_STATUS, a.OUTCOME)
)


class JournalSink:
    """Appends starts, finishes, logs and events. Its methods never raise and never wait for a backend."""

    def __init__(self, provider: TracerProvider | None, open_writer: OpenWriter) -> None:
        """Makes a sink.

        Args:
            provider: Makes the operations' spans; its ended spans come here. ``None`` behind the direct sink.
            open_writer: Called at the first append, and where the journal is closed.
        """
        self._provider = provider
        self._open_writer = open_writer
        self._writer: Writer | None = None
        self._scopes_written = 0
        self._tracers: list[trace.Tracer] = []
        self._open: dict[int, Operation] = {}
        self._started: set[int] = set()
        if provider is not None:
            provider.on_end_sink = self.ended

    # What operations call ------------------------------------------------------------------------------------------

    def start(self, operation: Operation, context: Context) -> trace.Span:
        """Makes the operation's span through the provider, so that samplers and processors see it."""
        span = self._tracer(operation.scope).start_span(
            operation.name,
            context,
            _SPAN_KINDS[operation.kind.span_kind],
            operation.attributes,
            operation.links,
            operation.start,
        )
        if isinstance(span, Span):
            span.operation = operation
        self.began(operation, span)
        return span

    def finish(self, operation: Operation) -> None:
        """Ends the operation's span, which brings it here by ``ended``; one that does not record is described."""
        span = operation.span
        if span.is_recording():
            keep_identity(operation)
            if operation.outcome in o.FAILED_OUTCOMES and operation.error is not None:
                span.set_status(trace.Status(trace.StatusCode.ERROR, operation.error.message))
            span.end(operation.end)
        else:
            self.finished(describe(operation, _links(operation)))

    def log(self, log: Log) -> None:
        """Appends a log record."""
        self._append(wire.LOG, log, log.scope)

    def event(self, event: Event) -> None:
        """Appends an event."""
        self._append(wire.EVENT, event, event.scope)

    # What the provider calls ---------------------------------------------------------------------------------------

    def ended(self, span: Span) -> None:
        """Appends an ended span, an operation's or another library's.

        An operation that began before a shutdown goes where it began, whoever the provider's sink is now.
        """
        begun_with = None if span.operation is None else span.operation.sink
        (begun_with if isinstance(begun_with, JournalSink) else self).finished(finish_of(span))

    def late(self, span: Span) -> None:
        """Stands in for ``ended`` after a shutdown: takes what operations still end, and nothing else."""
        if span.operation is not None:
            self.ended(span)

    # What the direct sink calls -------------------------------------------------------------------------------------

    def began(self, operation: Operation, span: trace.Span) -> None:
        """Notes an operation whose start may have to be journalled."""
        if operation.kind.started:
            self._open[span.get_span_context().span_id] = operation

    def finished(self, finish: Finish) -> None:
        """Appends a finish."""
        self._append(wire.FINISH, finish, finish.scope)
        if self._open.pop(finish.span_id, None) is not None:
            self._started.discard(finish.span_id)

    # What delivery calls -------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing is running whose end is still to be taken."""
        return not self._open

    def open_operations(self, kind: str) -> int:
        """How many operations of a kind are running."""
        return sum(operation.kind.key == kind for operation in list(self._open.values()))

    def write_starts(self) -> None:
        """Journals the starts of operations that have been running for a while; the housekeeping thread calls it."""
        for span_id, operation in list(self._open.items()):
            if operation.seconds * 1e9 >= LATE_START_NS and span_id not in self._started:
                self._started.add(span_id)
                self._append(wire.START, _start_of(operation), operation.scope)
                if span_id not in self._open:  # it ended meanwhile, its finish stands before its start: readers cope
                    self._started.discard(span_id)

    def prelude(self) -> Iterator[tuple[int, Any]]:
        """What a new segment begins with: the scopes, and the operations that are still open."""
        self._scopes_written = 0
        for number, scope in enumerate(tuple(entries.scopes)):
            yield wire.SCOPE, wire.ScopeEntry(number, *scope)
            self._scopes_written = number + 1
        for span_id, operation in list(self._open.items()):
            if span_id in self._started:
                yield wire.START, _start_of(operation)

    def forget_parent(self) -> None:
        """In a forked child: the parent's journal and its running operations are not ours."""
        writer, self._writer = self._writer, None
        self._open, self._started = {}, set()
        if writer is not None:
            writer.abandon()

    # -----------------------------------------------------------------------------------------------------------------

    def _tracer(self, scope: int) -> trace.Tracer:
        assert self._provider is not None
        while len(self._tracers) <= scope:
            made = entries.scopes[len(self._tracers)]
            self._tracers.append(self._provider.get_tracer(made.name, made.version, made.schema_url, made.attributes))
        return self._tracers[scope]

    def _append(self, tag: int, record: Any, scope: int) -> None:
        try:
            self._write(tag, record, scope)
        except OSError as exc:
            self._refused(tag, record, scope, exc)
        except Exception as exc:
            self._not_encodable(tag, exc)

    def _write(self, tag: int, record: Any, scope: int) -> None:
        writer = self._writer
        if writer is None or writer.closed:
            writer = self._writer = self._open_writer(self.prelude)
        if scope >= self._scopes_written:
            for number in range(self._scopes_written, len(entries.scopes)):
                writer.append(wire.SCOPE, wire.ScopeEntry(number, *entries.scopes[number]))
                self._scopes_written = max(self._scopes_written, number + 1)
        writer.append(tag, record)

    def _refused(self, tag: int, record: Any, scope: int, exc: OSError) -> None:
        """Tries once more where the journal was closed meanwhile: its descriptors may have been, by somebody else."""
        try:
            if self._writer is not None and self._writer.closed:
                self._write(tag, record, scope)
                return
        except OSError as again:
            exc = again
        except Exception as again:
            self._not_encodable(tag, again)
            return
        drops.count(_SIGNALS[tag], "journal_unwritable")
        drops.say_once(f"the journal cannot be written ({exc.strerror or exc}); telemetry is dropped until it can")

    @staticmethod
    def _not_encodable(tag: int, exc: Exception) -> None:
        drops.count(_SIGNALS[tag], "not_encodable")
        faults.fault("appending to the journal", exc)


_SIGNALS = {wire.START: "traces", wire.FINISH: "traces", wire.LOG: "logs", wire.EVENT: "events", wire.SCOPE: "traces"}


def keep_identity(operation: Operation) -> None:
    """Sets again what tells which operation it was: of a span's many attributes the oldest go first.

    Args:
        operation: One whose span is about to end.
    """
    if len(operation.attributes) > _FEW:
        operation.span.set_attributes(
            {key: operation.attributes[key] for key in _IDENTITY & operation.attributes.keys()}
        )


def _start_of(operation: Operation) -> Start:
    own, parent = operation.span.get_span_context(), operation.parent_context
    return Start(
        own.trace_id.to_bytes(16, "big"),
        own.span_id,
        parent.span_id,
        parent.is_remote,
        int(own.trace_flags),
        own.trace_state.to_header(),
        operation.scope,
        operation.kind.key,
        operation.kind.span_kind,
        operation.name,
        operation.start,
        dict(operation.attributes),
        _links(operation),
        dict(operation.facts),
        operation.attempt,
        operation.last_attempt,
    )


def _links(operation: Operation) -> list[SpanLink]:
    return [
        SpanLink(
            link.context.trace_id.to_bytes(16, "big"),
            link.context.span_id,
            int(link.context.trace_flags),
            link.context.trace_state.to_header(),
            cast("dict[str, Any]", dict(link.attributes or {})),
        )
        for link in operation.links
    ]
