"""Reads journals and delivers them: one thread a consumer, so that a hanging backend delays nobody else.

A consumer has its own position in each journal. What fails is tried again after a pause that grows, or at once where
somebody waits in a flush; what a dead process left is adopted. The calling threads of the worker have no part in it.
"""

import contextlib
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from posemon_otel import faults
from posemon_otel.delivery import quiet, receipts
from posemon_otel.delivery.pace import Pace
from posemon_otel.journal import Journal, Mark, adoptable, afterwards, journals
from posemon_otel.journal.positions import load

IN_PROCESS = frozenset(("metrics", "events"))
"""Consumers that take a living process's journal in that process alone, whoever holds the right to ship it."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_ADOPT_EVERY = 2.0
_MOST_ADOPTED = 32
"""Journals of dead processes that one process holds at a time: each is a descriptor. The others wait."""

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

    def deliver(self, journal: Journal, entries: Sequence[Entry]) -> "bool | Outcome":
        """Delivers entries; True means that the other side has them, False that they are to be given again."""

    def close(self) -> None:
        """Gives up connections; called from another thread to end a ``deliver`` that hangs."""


class Outcome(NamedTuple):
    """What a consumer has to say of a delivery beyond whether it succeeded.

    Attributes:
        delivered: Whether the other side has the entries, or has refused them for good.
        endpoint: Who answered; empty where nothing was sent.
        status: The answer.
        retry_after: Seconds that the other side asked to be left alone.
        rejected: Entries that were refused, by their place in the batch, each with the answer.
        stuck: Whether it fails for what is in the batch, so that other journals are worth a try.
    """

    delivered: bool
    endpoint: str = ""
    status: str = ""
    retry_after: float = 0.0
    rejected: tuple[tuple[int, str], ...] = ()
    stuck: bool = False


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
        roots: Callable[[], Sequence[Path]],
        own: Callable[[], Journal | None],
        housekeeping: Callable[[], None],
        recover: Callable[[Journal], object],
        interval: float,
    ) -> None:
        """Makes a shipper; ``start`` starts its threads.

        Args:
            consumers: Who reads.
            roots: Folders in which the processes of this service keep their journals.
            own: This process's journal, ``None`` before its first append.
            housekeeping: Called every quarter of a second.
            recover: Called once with the journal of each process that died.
            interval: Seconds between two deliveries.
        """
        self.consumers = tuple(consumers)
        self._roots = roots
        self._own = own
        self._housekeeping = housekeeping
        self._recover = recover
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._pace = Pace(interval)
        self._failing: set[str] = set()
        self._failed: dict[str, int] = {}
        self._adopted: dict[Path, Journal] = {}
        self._adopting = threading.Lock()

    @property
    def started(self) -> bool:
        """Whether its threads run."""
        return bool(self._threads)

    def start(self) -> None:
        """Starts the threads, once."""
        with self._starting:
            if self._threads or self._pace.stopped:
                return
            runs: list[tuple[str, Callable[[], None]]] = [("housekeeping", self._keep_house)]
            runs += [(consumer.name, lambda c=consumer: self._consume(c)) for consumer in self.consumers]  # type: ignore[misc]
            self._threads = [threading.Thread(target=run, name=f"posemon-{name}", daemon=True) for name, run in runs]
            for thread in list(self._threads):
                try:
                    thread.start()
                except RuntimeError as exc:  # the system starts no more; what is not delivered stays in the journal
                    self._threads.remove(thread)
                    faults.fault("starting a thread of the delivery", exc)

    def flush(self, timeout: float, consumers: Iterable[str] | None = None, *, last: bool = False) -> bool:
        """Waits until everything appended before the call is acknowledged.

        Args:
            timeout: Seconds.
            consumers: Names of those that are waited for; all where left out.
            last: Whether the process ends: once everybody who is behind has tried and failed, nobody is waited for.

        Returns:
            Whether the other sides have acknowledged it all.
        """
        own = self._own()
        if own is None:
            return True
        names = [c.name for c in self.consumers if not c.dead_only] if consumers is None else list(consumers)
        target = next(reversed(own.segments()), None)
        if target is None:  # somebody has removed it
            return False

        def behind() -> list[str]:
            return [name for name in names if not _mark(own, name).passed(target.number, target.size)]

        def hopeless(number: int) -> bool:
            left = behind()  # nobody may be by now, which is no failure
            return bool(left) and all(self._failed.get(name, 0) >= number for name in left)

        return self._pace.flush(lambda: not behind(), timeout, hopeless if last else None)

    def stop(self, timeout: float) -> None:
        """Stops the threads within ``timeout`` seconds. One that hangs is left behind; its entries stay."""
        deadline = time.monotonic() + timeout
        self._pace.stop()
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
        quiet.say(now=True)

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
        pause, rounds = _FIRST_PAUSE, 0
        while not self._pace.stopped:
            flushes = self._pace.flushes
            try:
                progressed, failure = self._round(consumer, rounds)
            except Exception as exc:
                faults.fault(f"a round of delivering {consumer.name}", exc)
                progressed, failure = False, Outcome(delivered=False)
            if failure is not None:
                self._failed[consumer.name] = flushes
                pause = _FIRST_PAUSE if progressed else pause
                jittered = pause * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
                rested = self._pace.rest(flushes, jittered, failure.retry_after)
                pause = min(pause * 2, _LONGEST_PAUSE) if rested else _FIRST_PAUSE
                rounds += 1
            elif progressed:
                pause = _FIRST_PAUSE
            else:
                self._pace.idle(flushes)

    def _round(self, consumer: Consumer, number: int) -> tuple[bool, Outcome | None]:
        """One batch of each journal: whether one went through, and the failure that ended the round."""
        progressed, failure = False, None
        found = self._journals(consumer)
        first = number % len(found) if found else 0  # one that cannot be delivered is not always the first
        for journal in found[first:] + found[:first]:
            outcome = self._deliver(consumer, journal)
            if outcome is None:
                continue
            if outcome.delivered:
                progressed = True
                continue
            failure = outcome
            if not outcome.stuck:
                break
        if failure is not None:
            self._failing.add(consumer.name)
            where = f" from {failure.endpoint}" if failure.endpoint else ""
            quiet.gone(consumer.name, f"{failure.status}{where}" if failure.status else "")
        elif progressed:
            self._failing.discard(consumer.name)
            quiet.back(consumer.name)
        return progressed, failure

    def _deliver(self, consumer: Consumer, journal: Journal) -> Outcome | None:
        """What became of the next batch; ``None`` where there is none."""
        try:
            batch = journal.read(consumer.name, max_bytes=_BATCH_BYTES, max_entries=consumer.batch_entries)
            if not batch.entries:
                return None
            result = consumer.deliver(journal, batch.entries)
            outcome = result if isinstance(result, Outcome) else Outcome(result)
            if not outcome.delivered:
                return outcome
            with contextlib.suppress(OSError):  # a full disk: what is known of the delivery is less
                receipts.note(journal, consumer.name, batch, outcome)
            journal.acknowledge(consumer.name, batch.position)
        except Exception as exc:
            faults.fault(f"delivering {consumer.name}", exc)
            return Outcome(delivered=False, status=type(exc).__name__, stuck=True)
        self._pace.progress()
        return outcome

    def _journals(self, consumer: Consumer) -> list[Journal]:
        own = None if consumer.dead_only else self._own()
        if own is not None and consumer.name not in IN_PROCESS:
            try:
                if not own.try_ship():  # `posemon ship` is at it
                    own = None
            except OSError:
                own = None
        held = list(self._adopted.values())  # the housekeeping thread takes and gives back meanwhile
        adopted = [journal for journal in held if consumer.name in journal.consumers]
        return adopted if own is None else [own, *adopted]

    def _keep_house(self) -> None:
        otel_context.attach(otel_context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        next_adoption = 0.0
        while not self._pace.wait_for_stop(0.25):
            try:
                quiet.say()
                self._watch()
                self._housekeeping()
                if time.monotonic() >= next_adoption:
                    self.adopt()
                    next_adoption = time.monotonic() + _ADOPT_EVERY
            except Exception as exc:
                faults.fault("keeping the journal", exc)

    def _watch(self) -> None:
        """Ends requests that are beyond their time, once there can be any: the module imports a client library."""
        session = sys.modules.get("posemon_otel.delivery.http_session")
        abort = getattr(session, "abort_overdue", None)  # another thread may be importing it just now
        if abort is not None:
            abort()

    def adopt(self) -> int:
        """Takes over the journals of dead processes of this service; returns how many are held now."""
        names = [consumer.name for consumer in self.consumers]
        with self._adopting:
            for folder, journal in list(self._adopted.items()):
                if journal.passed(names):
                    del self._adopted[folder]
                    journal.release_ship()
            for root in self._roots():
                self._adopt_below(root, names)
            return len(self._adopted)

    def _adopt_below(self, root: Path, names: Sequence[str]) -> None:
        for journal in journals(root):
            if not journal.alive and not afterwards.is_completed(journal) and journal.try_ship():
                try:
                    if not afterwards.is_completed(journal):  # somebody may have been at it before we had the right
                        self._recover(journal)
                except OSError:
                    continue  # a full disk, say: the next round tries again
                except Exception as exc:
                    faults.fault("recovering a dead process's journal", exc)
                finally:
                    journal.release_ship()
        if len(self._adopted) < _MOST_ADOPTED:
            for journal in adoptable(root, consumers=names):
                self._adopted[journal.folder] = journal
                if len(self._adopted) >= _MOST_ADOPTED:
                    break


def _mark(journal: Journal, consumer: str) -> Mark:
    """How far a consumer is, whoever ships the journal now."""
    if journal.shipping or consumer in IN_PROCESS:
        return journal.mark(consumer)
    return load(journal.folder, consumer)
