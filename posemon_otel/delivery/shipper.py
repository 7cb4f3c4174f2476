"""Reads journals and delivers them: one thread a consumer, so that a hanging backend delays nobody else.

A consumer has its own position in each journal. What fails is tried again after a pause that grows; what a dead process
left is adopted. The calling threads of the worker have no part in any of this.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from posemon_otel import faults
from posemon_otel.delivery import quiet
from posemon_otel.journal import Journal, adoptable, afterwards, journals

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_ADOPT_EVERY = 2.0
_BATCH_BYTES = 4 * 1024 * 1024

Entry = tuple[int, Any]
"""Tag and encoded payload."""


class Consumer(Protocol):
    """Takes what journals hold."""

    name: str
    """Name of its position, and of its thread."""

    batch_entries: int
    """Entries that one ``deliver`` gets at most."""

    dead_only: bool
    """Whether it reads the journals of dead processes alone, because this process's own is read elsewhere."""

    def deliver(self, journal: Journal, entries: Sequence[Entry]) -> bool:
        """Delivers entries; True means that the other side has them, False that they are to be given again."""

    def close(self) -> None:
        """Gives up connections; called from another thread to end a ``deliver`` that hangs."""


class Lag(NamedTuple):
    """How far a consumer is behind in this process's own journal."""

    consumer: str
    bytes: int
    failing: bool


class Shipper:
    """The threads of delivery of one process."""

    def __init__(
        self,
        consumers: Sequence[Consumer],
        *,
        root: Callable[[], Path],
        own: Callable[[], Journal | None],
        housekeeping: Callable[[], None],
        recover: Callable[[Journal], None],
        interval: float,
    ) -> None:
        """Makes a shipper; ``start`` starts its threads.

        Args:
            consumers: Who reads.
            root: Folder in which the processes of this service keep their journals.
            own: This process's journal, ``None`` before its first append.
            housekeeping: Called every quarter of a second.
            recover: Called once with the journal of each process that died.
            interval: Seconds between two deliveries.
        """
        self.consumers = tuple(consumers)
        self._root = root
        self._own = own
        self._housekeeping = housekeeping
        self._recover = recover
        self._interval = interval
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._flushing = 0
        self._failing: set[str] = set()
        self._adopted: dict[Path, Journal] = {}
        self._adopting = threading.Lock()

    @property
    def started(self) -> bool:
        """Whether its threads run."""
        return bool(self._threads)

    def start(self) -> None:
        """Starts the threads, once."""
        with self._changed:
            if self._threads or self._stopping.is_set():
                return
            runs: list[tuple[str, Callable[[], None]]] = [("housekeeping", self._keep_house)]
            runs += [(consumer.name, lambda c=consumer: self._consume(c)) for consumer in self.consumers]  # type: ignore[misc]
            self._threads = [threading.Thread(target=run, name=f"posemon-{name}", daemon=True) for name, run in runs]
        for thread in self._threads:
            thread.start()

    def flush(self, timeout: float, consumers: Iterable[str] | None = None) -> bool:
        """Waits until everything appended before the call is acknowledged.

        Args:
            timeout: Seconds.
            consumers: Names of those that are waited for; all where left out.

        Returns:
            Whether the other sides have acknowledged it all.
        """
        deadline = time.monotonic() + timeout
        own = self._own()
        if own is None:
            return True
        names = [c.name for c in self.consumers if not c.dead_only] if consumers is None else list(consumers)
        target = own.segments()[-1]
        self._flushing += 1
        try:
            with self._changed:
                self._changed.notify_all()
                while not all(own.mark(name).passed(target.number, target.size) for name in names):
                    left = deadline - time.monotonic()
                    if left <= 0 or self._stopping.is_set():
                        return False
                    self._changed.wait(min(left, 0.25))
            return True
        finally:
            self._flushing -= 1

    def stop(self, timeout: float) -> None:
        """Stops the threads within ``timeout`` seconds. One that hangs is left behind; its entries stay."""
        deadline = time.monotonic() + timeout
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        for consumer in self.consumers:
            try:
                consumer.close()
            except Exception as exc:
                faults.fault(f"closing the consumer {consumer.name}", exc)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        for journal in list(self._adopted.values()):
            journal.release_ship()

    def lags(self) -> list[Lag]:
        """How far each consumer is behind."""
        own = self._own()
        return [
            Lag(c.name, 0 if own is None else own.lag(c.name).bytes, c.name in self._failing) for c in self.consumers
        ]

    # -----------------------------------------------------------------------------------------------------------------

    def _consume(self, consumer: Consumer) -> None:
        otel_context.attach(otel_context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        quiet.here()
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            progressed = failed = False
            for journal in self._journals(consumer):
                outcome = self._deliver(consumer, journal)
                progressed |= outcome is True
                failed |= outcome is False
            self._say(consumer, failed=failed, progressed=progressed)
            if failed:
                self._wait(pause * random.uniform(0.8, 1.2), wake=False)  # noqa: S311 - jitter
                pause = min(pause * 2, _LONGEST_PAUSE)
            elif progressed:
                pause = _FIRST_PAUSE
            else:
                self._wait(self._interval, wake=True)

    def _deliver(self, consumer: Consumer, journal: Journal) -> bool | None:
        """True: acknowledged; False: to be tried again; None: nothing there."""
        try:
            batch = journal.read(consumer.name, max_bytes=_BATCH_BYTES, max_entries=consumer.batch_entries)
            if not batch.entries:
                return None
            if not consumer.deliver(journal, batch.entries):
                return False
            journal.acknowledge(consumer.name, batch.position)
        except Exception as exc:
            faults.fault(f"delivering {consumer.name}", exc)
            return False
        with self._changed:
            self._changed.notify_all()
        return True

    def _journals(self, consumer: Consumer) -> list[Journal]:
        own = None if consumer.dead_only else self._own()
        adopted = list(self._adopted.values())
        return adopted if own is None else [own, *adopted]

    def _wait(self, seconds: float, *, wake: bool) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self._stopping.is_set() and not (wake and self._flushing):
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)
        if self._flushing:
            time.sleep(0.01)  # a flush reads at once, without spinning

    def _say(self, consumer: Consumer, *, failed: bool, progressed: bool) -> None:
        """One line when the other side goes, one when it is back."""
        if failed and consumer.name not in self._failing:
            self._failing.add(consumer.name)
            faults.logger.warning("%s cannot be delivered; they stay in the journal and are sent again", consumer.name)
        elif progressed and not failed and consumer.name in self._failing:
            self._failing.discard(consumer.name)
            faults.logger.warning("%s are delivered again", consumer.name)

    def _keep_house(self) -> None:
        otel_context.attach(otel_context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        next_adoption = 0.0
        while not self._stopping.wait(0.25):
            try:
                self._housekeeping()
                if time.monotonic() >= next_adoption:
                    self.adopt()
                    next_adoption = time.monotonic() + _ADOPT_EVERY
            except Exception as exc:
                faults.fault("keeping the journal", exc)

    def adopt(self) -> int:
        """Takes over the journals of dead processes of this service; returns how many are held now."""
        names = [consumer.name for consumer in self.consumers]
        root = self._root()
        with self._adopting:
            for folder, journal in list(self._adopted.items()):
                if journal.passed(names):
                    del self._adopted[folder]
                    journal.release_ship()
            for journal in journals(root):
                if not journal.alive and not afterwards.is_completed(journal) and journal.try_ship():
                    try:
                        self._recover(journal)
                    except Exception as exc:
                        faults.fault("recovering a dead process's journal", exc)
                    finally:
                        journal.release_ship()
            for journal in adoptable(root, consumers=names):
                self._adopted[journal.folder] = journal
            return len(self._adopted)
