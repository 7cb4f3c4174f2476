"""What stands in the journal: start, finish, log, event, scope, as frozen tuples that MessagePack takes as they are."""

from typing import Any, NamedTuple

from posemon_otel import redaction
from posemon_otel.semconv import SCHEMA_URL, SCOPE
from posemon_otel.version import __version__

Attributes = dict[str, Any]
"""Attribute key to a string, number, flag, or list of those: cleaned, as ``redaction`` returns them."""


class Scope(NamedTuple):
    """An instrumentation scope; entries refer to it by its number in ``scopes``."""

    name: str
    version: str = __version__
    schema_url: str = SCHEMA_URL
    attributes: Attributes | None = None


class SpanEvent(NamedTuple):
    """Something at one moment within a span; ``time`` is nanoseconds since 1970."""

    name: str
    time: int
    attributes: Attributes
    dropped: int = 0


class SpanLink(NamedTuple):
    """A link to another span; ids as in ``Finish``."""

    trace_id: bytes
    span_id: int
    flags: int
    trace_state: str
    attributes: Attributes
    dropped: int = 0


class Error(NamedTuple):
    """Why an operation failed.

    Attributes:
        type: Value of ``error.type``.
        reason: Value of ``pose.error.reason``.
        message: Scrubbed text.
        recorded: Whether an operation further in has recorded and counted it already.
    """

    type: str
    reason: str
    message: str
    recorded: bool


class Start(NamedTuple):
    """A begun operation, journalled for kinds that say so. Fields as in ``Finish``."""

    trace_id: bytes
    span_id: int
    parent_id: int
    parent_remote: bool
    flags: int
    trace_state: str
    scope: int
    kind: str
    span_kind: int
    name: str
    start: int
    attributes: Attributes
    links: list[SpanLink]
    facts: dict[str, Any]
    attempt: int
    last_attempt: bool = True


class Finish(NamedTuple):
    """The frozen description of a finished operation, or of another library's span.

    Attributes:
        trace_id: 16 bytes, big endian.
        span_id: 64 bits.
        parent_id: 0 for a root.
        parent_remote: Whether the parent stands in another process.
        flags: W3C trace flags of the span; bit 0 tells whether it is exported.
        trace_state: W3C trace state, as its header.
        scope: Number of the instrumentation scope.
        kind: Key of the kind of operation (``semconv.operations``).
        span_kind: OpenTelemetry's number.
        name: Name of the span.
        start: Nanoseconds since 1970.
        end: ``start`` plus the monotonic duration.
        attributes: As they are exported.
        status: 0 unset, 1 ok, 2 error.
        status_description: Scrubbed text.
        outcome: One of ``semconv.operations.OUTCOMES``; empty for other libraries' spans.
        error: Why it failed.
        events: Span events.
        links: Links.
        dropped: Attributes, events and links beyond the limits.
        facts: What only the database row needs.
        attempt: 1 for the first try.
        terminal: False where a retry follows, so that nothing is counted yet.
    """

    trace_id: bytes
    span_id: int
    parent_id: int
    parent_remote: bool
    flags: int
    trace_state: str
    scope: int
    kind: str
    span_kind: int
    name: str
    start: int
    end: int
    attributes: Attributes
    status: int
    status_description: str
    outcome: str
    error: Error | None
    events: list[SpanEvent]
    links: list[SpanLink]
    dropped: tuple[int, int, int]
    facts: dict[str, Any]
    attempt: int
    terminal: bool

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end - self.start) / 1e9


class Log(NamedTuple):
    """A log record. ``severity`` is OpenTelemetry's number; ``trace_id`` is empty outside a span."""

    time: int
    trace_id: bytes
    span_id: int
    flags: int
    scope: int
    severity: int
    severity_text: str
    body: str
    attributes: Attributes
    event_name: str = ""


class Event(NamedTuple):
    """What ``record_event`` makes. ``id`` tells duplicates, ``type`` is the user's, ``name`` the EventName."""

    id: str
    time: int
    trace_id: bytes
    span_id: int
    flags: int
    scope: int
    type: str
    name: str
    generation_id: str | None
    user_id: str | None
    attributes: Attributes


scopes: list[Scope] = []
_scope_numbers: dict[tuple[str, str, str, str], int] = {}


_MOST_SCOPES = 1000


def scope_number(scope: Scope) -> int:
    """The number of an instrumentation scope, the same for equal scopes as long as the process lives.

    Names come from other code, a logger's name for one: they are cleaned, and beyond a thousand they share one scope.
    """
    attributes = redaction.clean_attributes(scope.attributes) if scope.attributes else None
    key = (scope.name, scope.version, scope.schema_url, repr(attributes) if attributes else "")
    number = _scope_numbers.get(key)
    if number is None:
        if len(scopes) >= _MOST_SCOPES:
            return _OVERFLOW_SCOPE
        name, version, schema_url = (str(redaction.clean_value(part, free_text=True)) for part in scope[:3])
        scopes.append(Scope(name, version, schema_url, attributes))
        # Two threads may both append: the dictionary decides, an unused duplicate in the list is harmless.
        number = _scope_numbers.setdefault(key, len(scopes) - 1)
    return number


DEFAULT_SCOPE = scope_number(Scope(SCOPE))
_OVERFLOW_SCOPE = scope_number(Scope(f"{SCOPE}.overflow"))
