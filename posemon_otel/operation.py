"""An operation: anything with a beginning and an end. Making one starts it, ``finish`` makes one frozen ``Finish``.

Everything that is known of what happened is read from that ``Finish``: the span, the metrics, the row. A ``Sink``
takes it; there are two, the journal's and the direct one, and this module knows neither.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context

from posemon_otel import clock, errors, redaction, settings
from posemon_otel.entries import DEFAULT_SCOPE, Attributes, Error, Event, Finish, Log, SpanEvent, SpanLink
from posemon_otel.faults import fault
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o
from posemon_otel.semconv.operations import Kind


class Sink(Protocol):
    """Where operations, logs and events go. A sink never raises and never waits for a backend."""

    def start(self, operation: "Operation", context: Context) -> trace.Span:
        """Makes the operation's span, as a child of what is current in ``context``."""

    def finish(self, operation: "Operation") -> None:
        """Takes the finished operation; ``describe`` turns it into its ``Finish``."""

    def log(self, log: Log) -> None:
        """Takes a log record."""

    def event(self, event: Event) -> None:
        """Takes an event."""


_sink: Sink | None = None
_IMAGE_CALLS = (o.GENERATE_IMAGE, o.GENERATE_IMAGE_LOCAL)
_RENDERED = (o.RENDER, o.GENERATION)
_RENDERED_BY = frozenset((a.GEN_AI_REQUEST_MODEL, a.GEN_AI_PROVIDER_NAME))
_OPERATION = otel_context.create_key("posemon-operation")


def use(sink: Sink | None) -> None:
    """Makes ``sink`` the process's; with ``None`` operations go nowhere."""
    global _sink
    _sink = sink


def sink() -> Sink | None:
    """The process's sink; ``None`` before ``configure``."""
    return _sink


def current() -> "Operation | None":
    """The innermost running operation of this context."""
    operation = otel_context.get_value(_OPERATION)
    return operation if isinstance(operation, Operation) else None


redaction.prompts.ask(lambda: None if (around := current()) is None else around.prompts)


def suppressed() -> bool:
    """Whether instrumentation is suppressed here (``opentelemetry.instrumentation.utils.suppress_instrumentation``)."""
    return bool(otel_context.get_value(_SUPPRESS_INSTRUMENTATION_KEY))


class Operation:
    """A running operation.

    Attributes:
        kind: What it is.
        span: Its span, the current one while it is attached.
        attributes: What it has set so far, cleaned.
        facts: What only the database row needs.
        parent: The operation around it.
        prompts: Its prompts, in memory only, which what is said within and around it leaves without.
        outcome: ``ok`` until it fails.
        error: Why it failed.
        attempt: 1 for the first try; taken from the operation around it.
        last_attempt: Whether no retry follows; taken from the operation around it.
        terminal: Whether its end is final. A generation that fails while a retry follows is not.
    """

    __slots__ = (
        "_context",
        "_monotonic",
        "_noticed",
        "_seen",
        "_sink",
        "_token",
        "attempt",
        "attributes",
        "end",
        "error",
        "events",
        "facts",
        "kind",
        "last_attempt",
        "links",
        "name",
        "outcome",
        "parent",
        "parent_context",
        "prompts",
        "scope",
        "span",
        "start",
        "terminal",
    )

    def __init__(
        self,
        kind: Kind,
        attributes: Attributes,
        *,
        name: str | None = None,
        scope: int = DEFAULT_SCOPE,
        links: Sequence[trace.Link] = (),
        facts: dict[str, Any] | None = None,
        context: Context | None = None,
        prompts: Sequence[str] = (),
    ) -> None:
        """Starts the operation. It is not current until it is entered or attached.

        Args:
            kind: What it is.
            attributes: Cleaned attributes, by key.
            name: Name of the span where the kind's template is not to be used.
            scope: Number of the instrumentation scope.
            links: Links of the span.
            facts: What only the database row needs.
            context: Context whose span is the parent; the current one where it is left out.
            prompts: Prompts among what it was given.
        """
        around = otel_context.get_current() if context is None else context
        parent = around.get(_OPERATION)
        self.parent: Operation | None = parent if isinstance(parent, Operation) else None
        self.prompts: redaction.prompts.Held = redaction.prompts.Held(
            self.parent.prompts if self.parent is not None else None, prompts
        )
        self.kind = kind
        self.attributes = attributes
        self.attempt = 1
        self.last_attempt = True
        if self.parent is not None:
            self.attempt, self.last_attempt = self.parent.attempt, self.parent.last_attempt
            inherited = self.parent.attributes.get(a.GENERATION_ID)
            if inherited is not None:
                attributes.setdefault(a.GENERATION_ID, inherited)
        self.name = name or o.span_name(kind, attributes)
        self.scope = scope
        self.links = links
        self.facts: dict[str, Any] = {} if facts is None else facts
        self.events: list[SpanEvent] = []
        self.outcome = o.OK
        self.error: Error | None = None
        self.terminal = True
        self.end = 0
        self._noticed: object = None
        self._seen: tuple[object, Error] | None = None
        self._token: Any = None
        self.parent_context = trace.get_current_span(around).get_span_context()
        self.start = clock.wall_ns()
        self._monotonic = clock.monotonic_ns()
        self.span: trace.Span = trace.INVALID_SPAN
        self._sink = None if around.get(_SUPPRESS_INSTRUMENTATION_KEY) else _sink
        if self._sink is not None:
            try:
                self.span = self._sink.start(self, around)
            except Exception as exc:
                fault("starting an operation", exc)
                self._sink = None
        made = otel_context.set_value(_OPERATION, self, around)
        self._context = trace.set_span_in_context(self.span, made) if self._sink is not None else made

    @property
    def sink(self) -> Sink | None:
        """Where it goes: the process's sink when it began."""
        return self._sink

    @property
    def running(self) -> bool:
        """Whether it has not finished yet."""
        return self.end == 0

    @property
    def context(self) -> Context:
        """The context in which it is the current operation, for children that start where it is not current."""
        return self._context

    @property
    def seconds(self) -> float:
        """How long it took, or how long it has been running, by the monotonic clock."""
        return ((self.end - self.start) if self.end else clock.monotonic_ns() - self._monotonic) / 1e9

    @property
    def now(self) -> int:
        """Where its own clock stands: within the operation, whatever the wall clock has been set to."""
        return self.start + clock.monotonic_ns() - self._monotonic

    def set(self, **words: Any) -> None:
        """Adds attributes by the words of the vocabulary: ``call.set(image_count=1)``. Never raises."""
        self.update(redaction.translate(words, self.prompts))

    def update(self, attributes: Attributes) -> None:
        """Adds cleaned attributes by key. After the end nothing changes."""
        if self.end:
            return
        self.attributes.update(attributes)
        if self._sink is not None and attributes:
            self.span.set_attributes(attributes)

    def attach(self) -> None:
        """Makes its span the current one in this thread or task. Each call needs its ``detach``."""
        self._token = otel_context.attach(self._context)

    def detach(self) -> None:
        """Makes current again what was current before ``attach``; from another task or thread it does nothing."""
        token, self._token = self._token, None
        if token is not None:
            try:
                # The API's own detach logs an error with a traceback where the token is another context's.
                token.var.reset(token)
            except (ValueError, RuntimeError):
                pass

    def __enter__(self) -> Self:
        self.attach()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace_: TracebackType | None
    ) -> None:
        self.detach()
        self.finish(exc)

    def finish(self, exc: BaseException | None = None, attributes: Attributes | None = None) -> None:
        """Ends it, once; later calls do nothing. Never raises.

        Args:
            exc: What the operation raised. It is classified, and recorded unless an operation further in did.
            attributes: Cleaned attributes of the result.
        """
        if self.end:
            return
        end = self.now
        try:
            closing: Attributes = {} if attributes is None else dict(attributes)
            if exc is not None:
                self.judge(exc, end)
            if self.error is not None and self.outcome in o.FAILED_OUTCOMES:
                closing[a.ERROR_TYPE] = self.error.type
                closing[a.ERROR_REASON] = self.error.reason
                closing.setdefault(a.COMPONENT, self.attributes.get(a.COMPONENT, self.kind.component))
            closing[a.OUTCOME] = self.outcome
            self.update(closing)
            if self.kind in _IMAGE_CALLS:
                self._tell_around()
        except Exception as fault_of_ours:
            fault("describing a finished operation", fault_of_ours)
        self.end = max(end, self.start)
        if self._sink is not None:
            try:
                redaction.prompts.saying(self.prompts, self._sink.finish, self)
            except Exception as fault_of_ours:
                fault("finishing an operation", fault_of_ours)

    def _tell_around(self) -> None:
        """Pose and generation are of the model that rendered them, where the application does not name one."""
        around = self.parent
        while around is not None:
            if around.kind in _RENDERED:
                learned = _RENDERED_BY & self.attributes.keys() - around.attributes.keys()
                around.update({key: self.attributes[key] for key in learned})
            around = around.parent

    def noticed(self, exc: BaseException) -> None:
        """A span within the operation, or its own, holds ``exc`` as an event: the operation will not repeat the event.

        The log record and the count of the error are still the operation's.
        """
        self._noticed = _mark(exc)

    def fail(self, error: Error, outcome: str = o.ERROR) -> None:
        """States a failure that was not raised through it: a generation none of whose poses came out."""
        self.error, self.outcome = error, outcome

    def judge(self, exc: BaseException, at: int | None = None) -> None:
        """Classifies and records what was raised through it; ``finish`` does so with what it is given.

        Separate for callers that say more about a failure once ``error`` is known, before the end.

        Args:
            exc: What was raised.
            at: When, in nanoseconds since 1970; now where it is left out.
        """
        if self.end:
            return
        mark = _mark(exc)
        if self._seen is not None and self._seen[0] == mark:
            error = self._seen[1]
            self.outcome = o.TIMEOUT if error.type == errors.ErrorType.TIMEOUT_ERROR else o.ERROR
        else:
            verdict = errors.classify(exc, self.attributes.get(a.COMPONENT, self.kind.component))
            self.outcome = verdict.outcome
            if verdict.outcome == o.CANCELLED:
                return
            error = self._record(exc, verdict, self.now if at is None else at, event=self._noticed != mark)
        self.error = error
        redaction.prompts.failed(self.prompts)
        if self.parent is not None:
            self.parent._seen = (mark, error._replace(recorded=True))  # noqa: SLF001 - of its own class

    def _record(self, exc: BaseException, verdict: errors.Classified, now: int, *, event: bool) -> Error:
        text = redaction.prompts.saying(self.prompts, redaction.exception_text, exc)
        described = {
            a.EXCEPTION_TYPE: text.type,
            a.EXCEPTION_MESSAGE: text.message,
            a.EXCEPTION_STACKTRACE: text.stacktrace,
        }
        if event and settings.current()[settings.EXCEPTION_SIGNAL] != "logs":
            self.events.append(SpanEvent(o.EVENT_EXCEPTION, now, described))
        if self._sink is not None:
            where = self.span.get_span_context()
            attributes = described | {
                a.ERROR_TYPE: verdict.type.value,
                a.ERROR_REASON: verdict.reason,
                a.COMPONENT: self.attributes.get(a.COMPONENT, self.kind.component),
            }
            if a.GENERATION_ID in self.attributes:
                attributes[a.GENERATION_ID] = self.attributes[a.GENERATION_ID]
            self._sink.log(
                Log(
                    now,
                    where.trace_id.to_bytes(16, "big"),
                    where.span_id,
                    int(where.trace_flags),
                    self.scope,
                    17,
                    "ERROR",
                    f"{text.type}: {text.message}" if text.message else text.type,
                    attributes,
                    o.EVENT_EXCEPTION,
                )
            )
        return Error(verdict.type.value, verdict.reason, text.message or text.type, recorded=False)


def _mark(exc: BaseException) -> object:
    """Tells an exception again on its way outwards, without holding or touching it.

    An id alone may be given anew once the exception is gone; the place that raised it must be the same too.
    """
    innermost = exc.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None:
        return (id(exc),)
    return (id(exc), innermost.tb_frame.f_code, innermost.tb_lasti)


def describe(operation: Operation, links: list[SpanLink], context: trace.SpanContext | None = None) -> Finish:
    """The ``Finish`` of an operation whose span says nothing itself: it is not sampled, or belongs to another SDK.

    Args:
        operation: A finished operation.
        links: Its links, as they go on the wire.
        context: Context of its span, where it is not the operation's own.
    """
    own = operation.span.get_span_context() if context is None else context
    parent = operation.parent_context
    failed = operation.outcome in o.FAILED_OUTCOMES
    return Finish(
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
        operation.end,
        operation.attributes,
        2 if failed else 0,
        operation.error.message if failed and operation.error else "",
        operation.outcome,
        operation.error,
        operation.events,
        links,
        (0, 0, 0),
        operation.facts,
        operation.attempt,
        operation.terminal,
    )


def log(
    severity: int,
    severity_text: str,
    body: str,
    attributes: Attributes,
    *,
    scope: int = DEFAULT_SCOPE,
    event_name: str = "",
) -> None:
    """Appends a log record in the active span's context. Never raises."""
    if _sink is None or suppressed():
        return
    try:
        where = trace.get_current_span().get_span_context()
        around = current()
        if around is not None and a.GENERATION_ID in around.attributes:
            attributes.setdefault(a.GENERATION_ID, around.attributes[a.GENERATION_ID])
        trace_id = where.trace_id.to_bytes(16, "big") if where.is_valid else b""
        _sink.log(
            Log(
                clock.wall_ns(),
                trace_id,
                where.span_id,
                int(where.trace_flags),
                scope,
                severity,
                severity_text,
                body,
                attributes,
                event_name,
            )
        )
    except Exception as exc:
        fault("writing a log record", exc)
