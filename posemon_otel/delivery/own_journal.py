"""This process's journal: where it lies, how it is opened, what becomes of it when the folder cannot be written."""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource

from posemon_otel import settings
from posemon_otel.delivery import drops
from posemon_otel.journal import Journal, Writer, afterwards, tidy
from posemon_otel.settings import Settings
from posemon_otel.state import journal_root

_TIDY_EVERY = 60.0


class OwnJournal:
    """Opens the journal at the first append, and again after a fork or where its folder was taken away."""

    def __init__(
        self,
        chosen: Settings,
        resource: Callable[[], Resource],
        *,
        consumers: Callable[[], Sequence[str]],
        opened: Callable[[], None],
    ) -> None:
        """Makes it; nothing is opened yet.

        Args:
            chosen: The settings.
            resource: The Resource of this process; a forked child has its own.
            consumers: Those that the entries are owed to.
            opened: Called when the journal was opened.
        """
        self._settings = chosen
        self._resource = resource
        self._consumers = consumers
        self._opened = opened
        self._lock = threading.Lock()
        self._root: Path | None = None
        self._temporary: Path | None = None
        self._writer: Writer | None = None
        self._journal: Journal | None = None
        self._lost: dict[str, int] = {}
        self._tidied = 0.0

    def journal(self) -> Journal | None:
        """The journal for reading; ``None`` before the first append."""
        return self._journal

    def root(self) -> Path:
        """The folder in which the processes of this service keep their journals."""
        if self._root is None:
            if self._settings[settings.JOURNAL] == "off":
                self._temporary = Path(tempfile.mkdtemp(prefix="posemon-"))
                self._root = self._temporary / "journal"
            else:
                self._root = journal_root(self._settings, str(self._resource().attributes.get("service.name", "")))
        return self._root

    def open(self, prelude: Callable[[], Iterable[tuple[int, Any]]]) -> Writer:
        """The writer, opened where there is none.

        Raises:
            OSError: Neither the folder nor the one that stands in for it can be written.
        """
        with self._lock:
            if self._writer is not None and not self._writer.closed:
                return self._writer
            first = self.root()
            try:
                writer = self._open_in(first, prelude)
            except OSError as exc:
                spare = _spare_root(first)
                writer = self._open_in(spare, prelude)
                self._root = spare
                drops.say_once(
                    f"the journal's folder {first} cannot be used ({exc.strerror or exc}); {spare} is used, which does"
                    " not outlive the machine. Set POSEMON_JOURNAL_DIR to a folder that this process may write"
                )
            self._writer = writer
            self._journal = Journal.open(writer.folder, keep_bytes=self._settings[settings.JOURNAL_KEEP])
            self._journal.try_ship()
        self._opened()
        return writer

    def _open_in(self, root: Path, prelude: Callable[[], Iterable[tuple[int, Any]]]) -> Writer:
        resource = self._resource()
        return Writer(
            root,
            head={"resource": _plain(resource.attributes), "schema_url": resource.schema_url},
            consumers=self._consumers(),
            prelude=prelude,
            segment_bytes=self._settings[settings.SEGMENT_BYTES],
            cap_bytes=self._settings[settings.JOURNAL_CAP],
            keep_bytes=self._settings[settings.JOURNAL_KEEP],
        )

    def keep_house(self) -> None:
        """Counts what the cap has cost, and removes what dead processes left and nobody needs."""
        if self._writer is not None:
            self._count(self._writer.dropped)
        if time.monotonic() - self._tidied >= _TIDY_EVERY:
            self._tidied = time.monotonic()
            lost = tidy(
                self.root(),
                keep_bytes=self._settings[settings.JOURNAL_KEEP],
                cap_bytes=self._settings[settings.JOURNAL_CAP],
                settled=afterwards.is_completed,
            )
            for consumer, entries in lost.items():
                drops.count(consumer, "journal_full", entries)

    def _count(self, dropped: Mapping[str, int]) -> None:
        for consumer, entries in dropped.items():
            new = entries - self._lost.get(consumer, 0)
            if new > 0:
                self._lost[consumer] = entries
                drops.count(consumer, "journal_full", new)

    def close(self, *, seal: bool) -> None:
        """Gives up the right to ship it: what is left goes out at the next start.

        Args:
            seal: Whether nothing more is to come. Else it stays open, and nobody takes its operations for dead.
        """
        with self._lock:
            if self._writer is not None and seal:
                self._writer.close()
            if self._journal is not None:
                self._journal.release_ship()
            if self._temporary is not None:
                shutil.rmtree(self._temporary, ignore_errors=True)

    def forget_parent(self) -> None:
        """In a forked child: the parent's journal is not ours."""
        self._lock = threading.Lock()
        self._writer = self._journal = self._temporary = None
        if self._settings[settings.JOURNAL] == "off":
            self._root = None
        self._lost = {}


def _spare_root(refused: Path) -> Path:
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, which journals check for its owner
    base = memory if memory.is_dir() else Path(tempfile.gettempdir())
    return base / f"posemon-{os.getuid()}" / refused.name


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in attributes.items()}
