"""Shipping from outside: journals of a service delivered by a process that is none of its workers.

``posemon ship`` does it for the living and the dead alike: it gives its word beside the journals, the workers' own
threads then leave them to it, and get them back when it ends, however it ends. ``posemon journal flush`` does it once,
for the dead alone. A living process's metrics and callbacks stay in that process.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from posemon_otel import faults, settings
from posemon_otel.delivery import drops, exporters, own_journal
from posemon_otel.delivery.metric_export import Inherited
from posemon_otel.delivery.otlp import Logs, Traces
from posemon_otel.delivery.records import Records
from posemon_otel.delivery.recovery import interrupt_open
from posemon_otel.delivery.shipper import IN_PROCESS, Consumer, Outcome, Shipper
from posemon_otel.journal import Journal, afterwards, journals, tidy
from posemon_otel.journal.outside import Outside
from posemon_otel.settings import Settings

_TIDY_EVERY = 60.0


def consumers(chosen: Settings) -> list[Consumer]:
    """The consumers that the settings name, with their exporters; none of callbacks, which are a worker's own.

    Args:
        chosen: The settings; problems found here are added to its ``problems``.
    """
    batch = chosen[settings.SHIP_BATCH]
    makers = {signal: exporters.makers(signal, chosen) for signal in exporters.SIGNALS}
    made: list[Consumer] = []
    if makers["traces"]:
        made.append(Traces(exporters.Lazy(makers["traces"]), batch))
    if makers["logs"]:
        made.append(Logs(exporters.Lazy(makers["logs"]), batch))
    if chosen[settings.DATABASE_URL]:
        made.append(Records(lambda: _connect(chosen), batch))
    if makers["metrics"]:
        made.append(Inherited(makers["metrics"][0]))
    return made


def _connect(chosen: Settings) -> Any:
    from posemon_otel.records import RecordWriter, connect

    return RecordWriter(connect(chosen[settings.DATABASE_URL]))


class Held(NamedTuple):
    """The journals that are being shipped: of living processes, of dead ones, and those that were left to themselves.

    Attributes:
        living: Living processes that leave theirs to us.
        dead: Dead ones.
        apart: What living processes owe to consumers that we do not have; they ship by themselves.
    """

    living: int
    dead: int
    apart: frozenset[str]


class OutsideShipper(Shipper):
    """Ships the journals of one service's processes, none of which is this one.

    Attributes:
        folder: The service's folder.
        standing: Whether it ships; False while another process ships this service from outside.
        problem: Why it cannot; empty where it can, or where another process does.
        failures: By consumer: what went wrong in its last round.
    """

    def __init__(self, chosen: Settings, root: Path, made: Sequence[Consumer], *, living: bool) -> None:
        """Makes it; ``start`` starts its threads.

        Args:
            chosen: The settings.
            root: The service's folder.
            made: Who reads.
            living: Whether it ships for living processes too.
        """
        super().__init__(
            made,
            roots=lambda: [root],
            own=lambda: None,
            housekeeping=self._tidy,
            recover=self._recover_once,
            interval=chosen[settings.SHIP_INTERVAL],
        )
        self.folder = root
        self._chosen = chosen
        self._names = [consumer.name for consumer in made]
        self._served = IN_PROCESS.union(self._names)
        self._word = Outside(root, self._served) if living else None
        self._ended = False
        self._tidied = 0.0
        self._apart: frozenset[str] = frozenset()
        self._finished: set[Path] = set()
        self.standing = self._word is None
        self.problem = ""
        self.failures: dict[str, str] = {}

    @property
    def held(self) -> Held:
        """What is being shipped."""
        alive = [journal.alive for journal in list(self._adopted.values())]
        return Held(sum(alive), len(alive) - sum(alive), self._apart)

    def settled(self) -> bool:
        """Whether nothing that a dead process left waits for our consumers."""
        return all(journal.alive or self._done(journal) for journal in journals(self.folder))

    def adopt(self) -> int:
        """Takes what may be taken, and lets go of what is done; returns how many are held now."""
        with self._adopting:
            if self._ended or not self._stands():
                return 0
            for folder, journal in list(self._adopted.items()):
                if not journal.alive and folder.exists():
                    self._recover_once(journal)
                if not folder.exists() or self._done(journal):
                    del self._adopted[folder]
                    journal.release_ship()
            self._apart = frozenset(name for journal in self._others() for name in self._take(journal))
            return len(self._adopted)

    def stop(self, timeout: float) -> None:
        """Stops within ``timeout`` seconds; the workers ship by themselves again."""
        with self._adopting:
            self._ended = True
        super().stop(timeout)
        if self._word is not None:
            self._word.release()

    def _stands(self) -> bool:
        """Whether it may ship: it has given the word, or needs none."""
        if self._word is None:
            return True
        try:
            self.standing, self.problem = self._word.take(), ""
        except OSError as error:  # the folder is read-only, or was taken away
            self.standing, self.problem = False, error.strerror or str(error)
        return self.standing

    def _others(self) -> Iterator[Journal]:
        """The journals that are not held. What is done stays so, and is not looked at again."""
        for journal in journals(self.folder):
            if journal.folder in self._adopted or journal.folder in self._finished:
                continue
            if self._done(journal):
                self._finished.add(journal.folder)
            else:
                yield journal

    def _take(self, journal: Journal) -> frozenset[str]:
        """Takes a journal, or returns what its living process owes beyond what we have."""
        if journal.alive:
            lacking = frozenset(journal.consumers) - self._served
            if lacking or self._word is None:
                return lacking
        if journal.try_ship(outside=self._word is not None):
            if not journal.alive:
                self._recover_once(journal)
            self._adopted[journal.folder] = journal
        return frozenset()

    def _done(self, journal: Journal) -> bool:
        return not journal.alive and afterwards.is_completed(journal) and journal.passed(self._names)

    def _recover_once(self, journal: Journal) -> None:
        """Ends what a dead process had open. Whoever ships its journal does it, once."""
        if not afterwards.is_completed(journal):
            try:
                interrupt_open(journal)
            except OSError:
                return  # a full disk, say: the next round tries again
            except Exception as exc:
                faults.fault("recovering a dead process's journal", exc)

    def _round(self, consumer: Consumer, number: int) -> tuple[bool, Outcome | None]:
        progressed, failure = super()._round(consumer, number)
        if failure is None:
            self.failures.pop(consumer.name, None)
        else:
            where = f" from {failure.endpoint}" if failure.endpoint else ""
            self.failures[consumer.name] = f"{failure.status or 'no answer'}{where}"
        return progressed, failure

    def _journals(self, consumer: Consumer) -> list[Journal]:
        return [
            journal
            for journal in list(self._adopted.values())
            if consumer.name in journal.consumers and not (consumer.dead_only and journal.alive)
        ]

    def _tidy(self) -> None:
        """Removes what nobody needs any more; a service of workers that all ended has nobody else to do it."""
        if self._word is None or not self.standing or time.monotonic() - self._tidied < _TIDY_EVERY:
            return
        self._tidied = time.monotonic()
        keep, cap = self._chosen[settings.JOURNAL_KEEP], self._chosen[settings.JOURNAL_CAP]
        lost = tidy(self.folder, keep_bytes=keep, cap_bytes=cap, settled=afterwards.is_completed)
        for signal, entries in own_journal.items(lost).items():
            drops.count(signal, "journal_full", entries)
