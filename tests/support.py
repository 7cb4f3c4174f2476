"""A sink that keeps what it is given, and what tests of ours share."""

import itertools
from collections.abc import Iterator

from opentelemetry import trace
from opentelemetry.context import Context

from posemon_otel import operation
from posemon_otel.entries import Event, Finish, Log
from posemon_otel.operation import Operation
from posemon_otel.semconv import operations as o


class Recording:
    """A sink in memory: spans with ids 1, 2, 3 ..., each trace id that of its root.

    Attributes:
        started: Operations in the order of their start.
        finishes: What ended, in the order of the end.
        logs: Log records, exceptions that operations recorded included.
        events: Events.
    """

    def __init__(self) -> None:
        self.started: list[Operation] = []
        self.finishes: list[Finish] = []
        self.logs: list[Log] = []
        self.events: list[Event] = []
        self._ids: Iterator[int] = itertools.count(1)

    def start(self, operation: Operation, context: Context) -> trace.Span:
        self.started.append(operation)
        number = next(self._ids)
        parent = trace.get_current_span(context).get_span_context()
        where = trace.SpanContext(
            parent.trace_id or 1000 + number, number, is_remote=False, trace_flags=trace.TraceFlags(1)
        )
        return trace.NonRecordingSpan(where)

    def finish(self, finished: Operation) -> None:
        self.finishes.append(operation.describe(finished, []))

    def log(self, log: Log) -> None:
        self.logs.append(log)

    def event(self, event: Event) -> None:
        self.events.append(event)

    def one(self, kind: str) -> Finish:
        """The only finish of a kind."""
        (found,) = self.of(kind)
        return found

    def of(self, kind: str) -> list[Finish]:
        """Finishes of a kind, in the order of their end."""
        return [finish for finish in self.finishes if finish.kind == kind]

    def said(self, level: str | None = None) -> list[Log]:
        """Records of loggers, without the exceptions that operations recorded."""
        return [log for log in self.logs if not log.event_name and level in (None, log.severity_text)]

    def exceptions(self) -> list[Log]:
        """Exceptions that operations recorded."""
        return [log for log in self.logs if log.event_name == o.EVENT_EXCEPTION]
