"""This process's journal: where it lies, how it is opened, what becomes of it when the folder cannot be written.

What cannot be appended to the configured folder goes to a folder in memory, and what that does not take to the memory
of the process. Housekeeping leads back as soon as the configured folder takes it again.
"""

import errno
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.sdk.resources import Resource

from posemon_otel import faults, settings
from posemon_otel.delivery import drops, wire
from posemon_otel.journal import MEMORY_BYTES, SPARE_BYTES, Journal, Writer, afterwards, tidy
from posemon_otel.settings import Settings
from posemon_otel.state import journal_root, spare_root

CONFIGURED, MEMORY_DISK, MEMORY = "configured", "memory-disk", "memory"
"""Where a journal may lie: in the folder that is meant, in a folder in memory, in the process's own memory."""

_COSTS = {MEMORY_DISK: "does not outlive the machine", MEMORY: "does not outlive the process"}
_MEND = "Set POSEMON_JOURNAL_DIR to a folder that this process may write"
_ITEMS = {
    "traces": {wire.FINISH},
    "logs": {wire.LOG, wire.EVENT},
    "metrics": {wire.FINISH, wire.EVENT},
    "records": {wire.FINISH, wire.EVENT},
    "events": {wire.EVENT},
}
_TIDY_EVERY = 60.0
_RETURN_EVERY = 30.0
_ASK_EVERY = 5.0
_ANSWERED = ".answered"


class State(NamedTuple):
    """Where the journal is.

    Attributes:
        root: The folder in use; where it is in memory, the one that is meant.
        kind: ``configured``, ``memory-disk`` or ``memory``.
        why: Why it is not where it is meant to be; empty where it is.
    """

    root: Path
    kind: str
    why: str


class OwnJournal:
    """Opens the journal at the first append, and again after a fork or where its descriptors were closed."""

    def __init__(
        self,
        chosen: Settings,
        resource: Callable[[], Resource],
        *,
        consumers: Callable[[], Sequence[str]],
        opened: Callable[[], None],
        answered: Callable[[], bool] = lambda: True,
    ) -> None:
        """Makes it; nothing is opened yet.

        Args:
            chosen: The settings.
            resource: The Resource of this process; a forked child has its own.
            consumers: Those that the entries are owed to.
            opened: Called when the journal was opened.
            answered: Whether a backend has ever answered this process.
        """
        self._settings = chosen
        self._resource = resource
        self._consumers = consumers
        self._opened = opened
        self._answered = answered
        self._lock = threading.RLock()  # finalisers and signal handlers append too
        self._root: Path | None = None
        self._homeless = ""
        self._temporary: Path | None = None
        self._writer: Writer | None = None
        self._journal: Journal | None = None
        self._kind = CONFIGURED
        self._lost: dict[tuple[str, str], int] = {}
        self._cap = 0
        self._tidied = self._tried = self._asked = 0.0

    def journal(self) -> Journal | None:
        """The journal for reading; ``None`` before the first append."""
        return self._journal

    def root(self) -> Path:
        """The folder in which the processes of this service are meant to keep their journals."""
        if self._root is None:
            self._root = self._find_root()
        return self._root

    def roots(self) -> list[Path]:
        """The folders in which journals of this service may lie: the one that is meant, and the one that stands in."""
        spares = self._spares()
        return [self.root(), *spares]

    def state(self) -> State:
        """Where the journal is, or is meant to be before the first append."""
        writer, root = self._writer, self.root()
        if writer is None:
            return State(root, MEMORY_DISK if self._homeless else CONFIGURED, self._homeless)
        places = writer.places
        trouble = next((t.error for t in places.troubles if t.place is places.home), None)
        why = self._homeless or _why(trouble)
        now = getattr(places.now, "root", None)
        if now is None:
            return State(root, MEMORY, why)
        return State(now, MEMORY_DISK if self._homeless or now != root else CONFIGURED, why)

    @property
    def waiting(self) -> bool:
        """Whether a disk that is held up has not taken yet what was appended."""
        return self._writer is not None and self._writer.waiting

    def open(self, prelude: Callable[[], Iterable[tuple[int, Any]]]) -> Writer:
        """The writer, opened where there is none.

        Raises:
            OSError: Neither the folder nor what stands in for it can be written.
        """
        with self._lock:
            if self._writer is not None and not self._writer.closed:
                return self._writer
            self._count()
            if self._journal is not None:  # what stands in it is a dead process's now
                self._journal.release_ship()
            self._cap = self._cap or self._find_cap()
            resource = self._resource()
            writer = Writer(
                self.root(),
                head={"resource": _plain(resource.attributes), "schema_url": resource.schema_url},
                consumers=self._consumers(),
                prelude=prelude,
                segment_bytes=self._settings[settings.SEGMENT_BYTES],
                cap_bytes=self._cap,
                keep_bytes=self._settings[settings.JOURNAL_KEEP],
                spare_roots=self._spares(),
                spare_bytes=min(SPARE_BYTES, self._cap),
                memory_bytes=MEMORY_BYTES,
            )
            if self._writer is not None and not self._writer.closed:
                # A signal handler or finaliser has opened one on this thread meanwhile: that one is used.
                writer.close()
                return self._writer
            self._lost = {}
            self._writer, self._journal = writer, Journal.of(writer)
            self._journal.try_ship()
            self._say()
        self._opened()
        return writer

    def keep_house(self) -> None:
        """Counts what was lost, looks after the folder, and removes what dead processes left and nobody needs."""
        now = time.monotonic()
        writer = self._writer
        if writer is not None and not writer.closed:
            self._look_after(writer, now)
        if now - self._asked >= _ASK_EVERY:
            self._asked = now
            self._cap = self._find_cap()
            if writer is not None:
                writer.cap_bytes = self._cap
        if now - self._tidied >= _TIDY_EVERY:
            self._tidied = now
            self._tidy(self._settings[settings.JOURNAL_KEEP])

    def _look_after(self, writer: Writer, now: float) -> None:
        try:
            if writer.mend():
                faults.logger.warning("the journal's folder %s was removed; it was made anew", writer.folder)
        except OSError as exc:
            drops.say_once(f"the journal's folder {writer.folder} was removed and cannot be made anew ({exc.strerror})")
        self._count()
        self._say()
        if now - self._tried >= _RETURN_EVERY:
            self._tried = now
            if self.state().kind != CONFIGURED:
                self._tidy(0)  # what is only kept for looking things up may be what it is full of
            writer.go_home()
            self._say()

    def _tidy(self, keep_bytes: int) -> None:
        for root in self.roots():
            keep = keep_bytes if root == self.root() else 0  # memory is not for looking things up
            lost = tidy(root, keep_bytes=keep, cap_bytes=self._cap, settled=afterwards.is_completed)
            for signal, entries in items(lost).items():
                drops.count(signal, "journal_full", entries)

    def _say(self) -> None:
        """One line when the journal lies elsewhere, one when it is back."""
        before, (root, self._kind, why) = self._kind, self.state()
        if self._kind == before:
            return
        if self._kind == CONFIGURED:
            faults.logger.warning("the journal is in its folder %s again", root)
            return
        stead = "memory" if self._kind == MEMORY else root
        said = f"the journal's folder {self.root()} cannot be used ({why})" if root != self.root() or why else ""
        faults.logger.warning("%s; %s is used, which %s. %s", said, stead, _COSTS[self._kind], _MEND)

    def _count(self) -> None:
        writer = self._writer
        if writer is None:
            return
        places = writer.places
        all_lost = {
            "journal_full": places.capped,
            "journal_removed": places.removed,
            "journal_stalled": writer.stalled,
        }
        for reason, lost in all_lost.items():
            for key, entries in items(lost.copy()).items():
                new = entries - self._lost.get((key, reason), 0)
                if new > 0:
                    self._lost[key, reason] = entries
                    drops.count(key, reason, new)

    def close(self, *, seal: bool) -> None:
        """Gives up the right to ship it: what is left goes out at the next start.

        Args:
            seal: Whether nothing more is to come. Else it stays open, and nobody takes its operations for dead.
        """
        with self._lock:
            if self._writer is not None and not self._writer.closed:
                if self.state().kind == MEMORY:
                    self._writer.go_home()
                if self.state().kind == MEMORY and self._journal is not None and not self._journal.passed():
                    faults.logger.warning("what the journal held in memory was not delivered and goes with the process")
                if seal:
                    self._writer.close()
            if self._journal is not None:
                self._journal.release_ship()
            if self._temporary is not None:
                shutil.rmtree(self._temporary, ignore_errors=True)

    def forget_parent(self) -> None:
        """In a forked child: the parent's journal is not ours."""
        self._lock = threading.RLock()  # finalisers and signal handlers append too
        self._writer = self._journal = self._temporary = None
        if self._settings[settings.JOURNAL] == "off":
            self._root = None
        self._lost = {}
        self._kind = CONFIGURED

    # -----------------------------------------------------------------------------------------------------------------

    def _service(self) -> str:
        return str(self._resource().attributes.get("service.name", ""))

    def _find_root(self) -> Path:
        try:
            if self._settings[settings.JOURNAL] == "off":
                self._temporary = Path(tempfile.mkdtemp(prefix="posemon-"))
                return self._temporary / "journal"
            return journal_root(self._settings, self._service())
        except (OSError, RuntimeError) as exc:  # no folder for temporary files, or no home
            self._homeless = str(exc).rstrip(".")
            return spare_root(Path(self._service() or "service"))

    def _spares(self) -> list[Path]:
        if self._settings[settings.JOURNAL] == "off":
            return []
        return [] if self._homeless else [spare_root(self.root())]

    def _find_cap(self) -> int:
        """The cap in force: a low one while an endpoint that nobody has named has never answered."""
        cap = self._settings[settings.JOURNAL_CAP]
        if not self._by_default():
            return cap
        note = self.root() / _ANSWERED
        try:
            if note.exists():
                return cap
            if self._answered():
                note.touch(mode=0o600)
                return cap
        except OSError:
            return cap if self._answered() else min(cap, self._settings[settings.JOURNAL_CAP_UNANSWERED])
        return min(cap, self._settings[settings.JOURNAL_CAP_UNANSWERED])

    def _by_default(self) -> bool:
        """Whether something goes to an endpoint that nobody has named."""
        signals = (settings.TRACES_EXPORTER, settings.METRICS_EXPORTER, settings.LOGS_EXPORTER)
        named = any(self._settings[endpoint] for endpoint in settings.OTLP_ENDPOINTS)
        return not named and any("otlp" in self._settings[signal].split(",") for signal in signals)


def items(lost: Mapping[tuple[str, int], int]) -> dict[str, int]:
    """What a loss of entries means for each signal: the others' entries in the same segments are none of its items.

    Args:
        lost: Entries by (consumer, tag), as journals count them.
    """
    found: dict[str, int] = {}
    for (consumer, tag), entries in lost.items():
        if tag in _ITEMS.get(consumer, ()):
            found[consumer] = found.get(consumer, 0) + entries
    return found


def _why(error: OSError | None) -> str:
    if error is None:
        return ""
    full = error.errno == errno.ENOSPC  # told in more words where a part of an entry could be written
    return os.strerror(errno.ENOSPC) if full else error.strerror or str(error)


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in attributes.items()}
