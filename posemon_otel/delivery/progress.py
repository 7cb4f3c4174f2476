"""How many spans and log records stand before a place in this process's journal."""

from collections.abc import Sequence
from typing import NamedTuple

from posemon_otel.delivery import wire
from posemon_otel.delivery.otlp import decode
from posemon_otel.delivery.shipper import Entry
from posemon_otel.journal import START, Position

_PLACES_KEPT = 4096


class Place(NamedTuple):
    """A place, and what stands before it."""

    position: Position
    spans: int
    logs: int


class Progress:
    """Counts what is read, in order. Places long passed are thinned out: a count is then one of a few entries before.

    ``enabled`` is off until somebody wants to know: spans have to be decoded for it.
    """

    def __init__(self) -> None:
        self.enabled = False
        self.begin_anew()

    def begin_anew(self) -> None:
        """Nothing has been read."""
        self._places = [Place(START, 0, 0)]

    def saw(self, entries: Sequence[Entry], until: Position) -> None:
        """Counts a batch that ends at ``until``."""
        if not self.enabled or not entries:
            return
        spans = logs = 0
        for tag, payload in entries:
            if tag == wire.FINISH:
                finish = decode(tag, payload, "metrics")
                spans += finish is not None and finish.flags & 1
            elif tag in (wire.LOG, wire.EVENT):
                logs += 1
        last = self._places[-1]
        self._places.append(Place(until, last.spans + spans, last.logs + logs))
        if len(self._places) > _PLACES_KEPT:
            self._places = [*self._places[::2], self._places[-1]]

    @property
    def last(self) -> Place:
        """The end of what was read."""
        return self._places[-1]

    def before(self, position: Position) -> Place:
        """The last known place that is not behind ``position``."""
        from bisect import bisect_right

        return self._places[bisect_right(self._places, position, key=lambda place: place.position) - 1]
