"""Metrics: finished operations are replayed from the journal into plain SDK instruments, off the calling thread.

An observable instrument's callback drains the journal first, and the SDK runs callbacks before it collects: every
collection of every reader is complete. Housekeeping drains meanwhile, so that a collection finds little to do.

Two marks stand in the journal. ``metrics`` is what was replayed: it alone holds segments back, and only for a moment.
``metrics-exported`` is what every receiver has: who adopts a dead process's journal begins there (``recovery``). It
moves behind an export: a process that is killed between the two has its last interval counted twice.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from posemon_otel import faults
from posemon_otel.delivery import drops
from posemon_otel.delivery.instruments import Instruments, replay_entries
from posemon_otel.delivery.progress import Progress
from posemon_otel.journal import Journal, Position
from posemon_otel.semconv import SCHEMA_URL, SCOPE
from posemon_otel.semconv import metrics as m
from posemon_otel.version import __version__

REPLAYED, EXPORTED = "metrics", "metrics-exported"
"""The two marks."""

_READ_BYTES, _READ_ENTRIES = 4 * 1024 * 1024, 10_000
_DRAIN_SECONDS = 5.0


class Replay:
    """This process's metrics, drained from its own journal before every collection.

    Attributes:
        progress: How many spans and log records have come by, for OpenTelemetry's own metrics.
    """

    def __init__(self, own: Callable[[], Journal | None], active: Callable[[], int]) -> None:
        self.progress = Progress()
        self._own = own
        self._active = active
        self._instruments: Instruments | None = None
        self._receivers = 0
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        self._next: Position | None = None
        self._collected = threading.local()
        self._taken: dict[int, tuple[Journal, Position]] = {}
        self.progress.begin_anew()

    def attach(self, provider: Any) -> None:
        """Makes the instruments with ``provider`` and lets its collections drain the journal."""
        meter = provider.get_meter(SCOPE, __version__, SCHEMA_URL)
        self._instruments = Instruments(meter)
        self._instruments.zeros()
        observe(meter, self._observe_active)

    def forget_parent(self) -> None:
        """In a forked child: the parent's journal, and who takes its collections, are not ours."""
        self._receivers = 0
        self._begin()

    def begin_anew(self) -> None:
        """In a forked child, once its readers are there: the series that begin at zero."""
        if self._instruments is not None:
            self._instruments.begin_anew()

    def receiver(self) -> int:
        """A number for one that takes collections; ``exported`` wants it."""
        self._receivers += 1
        return self._receivers

    def drain(self, seconds: float = _DRAIN_SECONDS) -> bool:
        """Replays what is new in the journal. The caller's thread remembers how far, for ``exported``.

        Args:
            seconds: How long it may take; what is left is replayed by the next one.

        Returns:
            Whether it came to the end.
        """
        deadline = time.monotonic() + seconds
        if not self._lock.acquire(timeout=seconds):
            return False
        try:
            own = self._own()
            if own is None or self._instruments is None:
                return True
            if own is not self._journal:
                self._change(own)
            whole = self._replay(own, self._instruments, deadline)
            self._collected.place = own, self._next
            return whole
        finally:
            self._lock.release()

    def exported(self, receiver: int) -> None:
        """Notes that a receiver has what this thread's collection had drained; the mark follows the slowest one."""
        place = getattr(self._collected, "place", None)
        if place is None:
            return
        self._taken[receiver] = place
        own = place[0]
        if len(self._taken) == self._receivers and all(journal is own for journal, _ in self._taken.values()):
            _acknowledge(own, EXPORTED, min(position for _, position in self._taken.values()))

    def goal(self) -> tuple[Journal, Any] | None:
        """What stands in the journal now, for ``reached``."""
        own = self._own()
        last = None if own is None else next(reversed(own.segments()), None)
        return None if own is None or last is None else (own, last)

    @staticmethod
    def reached(goal: tuple[Journal, Any] | None) -> bool:
        """Whether every receiver has the points of what stood in the journal at ``goal``."""
        return goal is None or goal[0].mark(EXPORTED).passed(*goal[1])

    def _change(self, own: Journal) -> None:
        """Begins with a journal. The one before, whose folder was taken away say, is replayed to its end first."""
        before, self._journal = self._journal, own
        if before is not None and self._instruments is not None:
            with contextlib.suppress(OSError):
                self._replay(before, self._instruments, time.monotonic() + _DRAIN_SECONDS)
                # its counts go on in this process: nobody may adopt them
                _acknowledge(before, EXPORTED, before.mark(REPLAYED).low)
        self._next = own.mark(REPLAYED).low
        self._taken.clear()
        # before anything is replayed: without it an adopter would take what is replayed for what is exported
        _acknowledge(own, EXPORTED, own.mark(EXPORTED).low)

    def _replay(self, own: Journal, instruments: Instruments, deadline: float) -> bool:
        begun = self._next
        while True:
            batch = own.read(REPLAYED, max_bytes=_READ_BYTES, max_entries=_READ_ENTRIES, start=self._next)
            replay_entries(instruments, batch.entries)
            self.progress.saw(batch.entries, batch.position)
            self._next = batch.position
            whole = not batch.entries
            if whole or time.monotonic() >= deadline:
                break
        if self._next != begun:
            _acknowledge(own, REPLAYED, self._next)
        return whole

    def _observe_active(self, options: CallbackOptions) -> Iterable[Observation]:
        try:
            self.drain(min(_DRAIN_SECONDS, options.timeout_millis / 1000))
        except Exception as exc:
            faults.fault("replaying metrics from the journal", exc)
        return [Observation(self._active())]


def _acknowledge(journal: Journal, mark: str, position: Position) -> None:
    # A full disk: the mark has moved in memory, and is stored with the next one.
    with contextlib.suppress(OSError):
        journal.acknowledge(mark, position)


def observe(meter: Meter, active: Callable[[CallbackOptions], Iterable[Observation]]) -> None:
    """Makes the observed instruments. ``active``'s is the first: callbacks run in the order in which they were made."""
    running, dropped = m.GENERATION_ACTIVE, m.DROPPED
    meter.create_observable_up_down_counter(running.name, [active], running.unit, running.meaning)
    meter.create_observable_counter(dropped.name, [_observe_dropped], dropped.unit, dropped.meaning)


def _observe_dropped(_options: CallbackOptions) -> Iterable[Observation]:
    counted = drops.counts()
    return [Observation(items, {"signal": signal, "reason": reason}) for (signal, reason), items in counted.items()]
