"""The consumer of events: callbacks of ``on_event`` and the view of finished generations, off the calling thread."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from posemon_otel import events, faults
from posemon_otel.delivery import wire
from posemon_otel.delivery.otlp import decode
from posemon_otel.delivery.shipper import Entry
from posemon_otel.entries import Event, Finish
from posemon_otel.journal import Journal
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o

_TRACES_HELD = 256
_SPANS_HELD = 2000


class Happenings:
    """Dispatches events and finished generations; collects the spans of a trace for the view."""

    name = "events"
    dead_only = False
    batch_entries = 512

    def __init__(self, view: Callable[[list[Finish]], None] | None = None) -> None:
        """Makes the consumer.

        Args:
            view: Called with the spans of each trace in which a generation ended, once its root is there.
        """
        self._view = view
        self._traces: OrderedDict[bytes, list[Finish]] = OrderedDict()

    def deliver(self, journal: Journal, entries: Sequence[Entry]) -> bool:  # noqa: ARG002 - any process's are alike
        for tag, payload in entries:
            if tag == wire.EVENT and events.listening():
                event = decode(tag, payload, self.name)
                if event is not None:
                    events.dispatch(_of_event(event))
            elif tag == wire.FINISH and (self._view is not None or events.listening()):
                finish = decode(tag, payload, self.name)
                if finish is not None:
                    self._finished(finish)
        return True

    def close(self) -> None:
        """Callbacks end by themselves."""

    def _finished(self, finish: Finish) -> None:
        if finish.kind == o.GENERATION.key and finish.terminal:
            events.dispatch(_of_generation(finish))
        if self._view is None:
            return
        spans = self._traces.setdefault(finish.trace_id, [])
        if len(spans) < _SPANS_HELD:
            spans.append(finish)
        if len(self._traces) > _TRACES_HELD:
            self._traces.popitem(last=False)
        # Children end before their parents, so the trace is whole when its outermost span of this process ends.
        if finish.parent_id == 0 or finish.parent_remote:
            spans = self._traces.pop(finish.trace_id)
            if any(span.kind == o.GENERATION.key for span in spans):
                try:
                    self._view(spans)
                except Exception as exc:
                    faults.fault("showing a generation", exc)


def _at(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _of_event(event: Event) -> events.Happening:
    return events.Happening(event.type, event.generation_id, event.user_id, _at(event.time), event.attributes)


def _of_generation(finish: Finish) -> events.Happening:
    own: dict[str, Any] = finish.attributes
    return events.Happening(
        "generation_finished",
        own.get(a.GENERATION_ID),
        own.get(a.USER_ID),
        _at(finish.end),
        own,
        status=own.get(a.GENERATION_STATUS),
        seconds=finish.seconds,
        error_type=finish.error.type if finish.error else None,
    )
