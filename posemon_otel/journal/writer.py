"""The writing side: one folder a process, one `write` an entry, done before the call returns.

A place that does not take an entry is left for the next one: a spare folder, then memory. `go_home` leads back.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from posemon_otel.journal.appender import Appender, Prelude
from posemon_otel.journal.aside import PATIENCE, Aside
from posemon_otel.journal.files import Descriptor, abandon_in_children
from posemon_otel.journal.own import Memory, OwnFolder
from posemon_otel.journal.places import Own, Places
from posemon_otel.journal.retention import CAP_BYTES, KEEP_BYTES, MEMORY_BYTES, SEGMENT_BYTES, SPARE_BYTES
from posemon_otel.journal.segment import Head, frame

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_CONSUMER = re.compile(r"[a-z][a-z0-9_-]*")


def _no_prelude() -> Iterable[tuple[int, Any]]:
    return ()


class Writer(Appender):
    """Appends entries to the segments of a folder of its own, `<root>/<id>`, and holds the lock that says it lives.

    Attributes:
        id: The folder's name; ids sort in the order in which writers began.
    """

    def __init__(
        self,
        root: Path,
        *,
        head: Mapping[str, Any],
        consumers: Sequence[str],
        prelude: Prelude = _no_prelude,
        segment_bytes: int = SEGMENT_BYTES,
        cap_bytes: int = CAP_BYTES,
        keep_bytes: int = KEEP_BYTES,
        fsync_sealed: bool = False,
        spare_roots: Sequence[Path] = (),
        spare_bytes: int = SPARE_BYTES,
        memory_bytes: int = 0,
    ) -> None:
        """Make the folder and its first segment.

        Args:
            root: The service's folder; made if it is missing.
            head: Written at the start of every segment: what is needed to ship it as written (the Resource).
            consumers: Names (`[a-z][a-z0-9_-]*`) of those that the entries are owed to.
            prelude: Called when a segment begins, under the lock: entries (tag, record) that it starts with, so that
                older ones may go (scopes, what is still open).
            segment_bytes: Size at which the next segment is begun.
            cap_bytes: What may wait for its consumers; beyond it the oldest segment goes, counted in `dropped`.
            keep_bytes: How much of what all have passed is kept for looking things up.
            fsync_sealed: Force a full segment to the disk, in the call that fills it (milliseconds).
            spare_roots: Folders that stand in for `root`, in this order, while it cannot be written to.
            spare_bytes: What may wait in each of them.
            memory_bytes: What may wait in this process's memory, where none of them can be written to either; 0 for
                none of it.

        Raises:
            JournalError: `root` is not ours alone, and nothing stands in.
            OSError: The folder or the segment cannot be written, and nothing stands in.
            ValueError: A consumer's name is no name.
            TypeError: `head` holds what MessagePack cannot.
        """
        for consumer in consumers:
            if not _CONSUMER.fullmatch(consumer):
                raise ValueError(f"consumer {consumer!r}: a name of lower-case letters, digits, - and _ was expected")
        created = time.time_ns()
        self.id = f"{created:016x}{os.urandom(8).hex()}"
        limits = {"segment_bytes": segment_bytes, "cap_bytes": cap_bytes, "keep_bytes": keep_bytes}
        home = OwnFolder(root, self.id, **limits)
        limits = {"segment_bytes": min(segment_bytes, spare_bytes // 8), "cap_bytes": spare_bytes, "keep_bytes": 0}
        others: list[Own] = [OwnFolder(spare, self.id, **limits) for spare in spare_roots]
        others += [Memory(memory_bytes)] if memory_bytes else []
        described = Head(dict(head), tuple(consumers), created)
        self._aside_bytes = memory_bytes or MEMORY_BYTES
        self._aside = Aside(self._aside_bytes)
        self._stalled = False
        super().__init__(described, prelude, Places(home, others, consumers), fsync_sealed=fsync_sealed)
        abandon_in_children(self)
        self._begin()

    def _begin(self) -> None:
        refused: OSError | None = None
        for place in self.places.all():
            try:
                self._move(place)
            except OSError as error:
                self.places.trouble(place, error)
                refused = refused or error
                place.dispose()
            except BaseException:
                self._lose()
                place.dispose()
                raise
            else:
                return
        self._lose()
        assert refused is not None
        raise refused

    @property
    def folder(self) -> Path:
        """The folder that stands for the writer: where its segments are meant to be."""
        return self.places.path

    @property
    def cap_bytes(self) -> int:
        """How much may wait for its consumers in `root`; may be changed at any time."""
        return self.places.home.sealed.cap_bytes

    @cap_bytes.setter
    def cap_bytes(self, size: int) -> None:
        self.places.home.sealed.cap_bytes = size

    @property
    def dropped(self) -> dict[str, int]:
        """Entries that each consumer lost because of the cap; `places` knows them by tag, and what was removed."""
        return self.places.dropped()

    def append(self, tag: int, record: Any) -> None:
        """Write one entry; when this returns, the kernel has it.

        A disk that stalls holds this call for as long as `write` does. Calls of other threads wait no more than a
        second for it, and while it lasts no longer at all: their entries are set aside in memory, `waiting`, and
        written as soon as the disk moves.

        Args:
            tag: 1 to 255; 0 is the head's.
            record: What MessagePack can hold: no lone surrogates, integers of 64 bits.

        Raises:
            OSError: It was not written; the next append tries again.
            TypeError: `record` cannot be encoded; nothing was written. As msgspec says it: also ValueError,
                OverflowError, UnicodeEncodeError.
        """
        self._append(frame(tag, self._encode(record)))

    def append_encoded(self, tag: int, payload: bytes) -> None:
        """Write one entry whose MessagePack the caller has made; otherwise as `append`."""
        self._append(frame(tag, payload))

    def _append(self, data: bytes) -> None:
        if not self._lock.acquire(True, 0.0 if self._stalled else PATIENCE):
            self._stalled = True
            self._aside.add(data)
            return
        try:
            if self._stalled:
                self._catch_up()
            try:
                self._put(data)
            except OSError:
                self._put_elsewhere(data)
            if self._stalled:  # it was this one that held the others up
                self._catch_up()
        finally:
            self._lock.release()

    def _catch_up(self) -> None:
        """Write what others have set aside, as far as there is room for it."""
        self._stalled = False
        while (data := self._aside.take()) is not None:
            try:
                try:
                    self._put(data)
                except OSError:
                    self._put_elsewhere(data)
            except BaseException as error:
                self._aside.give_back(data)
                self._stalled = True
                if isinstance(error, OSError):
                    return
                raise

    @property
    def waiting(self) -> bool:
        """Whether entries wait in memory until the disk takes another thread's."""
        return len(self._aside) > 0

    @property
    def stalled(self) -> dict[tuple[str, int], int]:
        """Entries that each consumer lost because they waited for the disk and were too many, by (consumer, tag)."""
        dropped = self._aside.dropped.copy()
        return {(consumer, tag): count for consumer in self.head.consumers for tag, count in dropped.items()}

    def rotate(self) -> None:
        """Seal the segment and begin the next.

        Raises:
            OSError: The next one could not be begun; the old one is still written to.
        """
        with self._lock:
            self._rotate()

    def mend(self) -> bool:
        """Put the segment back where somebody has removed it; whether it was so.

        What was appended to it is in it again; what stood in older ones that were removed too is counted in `dropped`.

        Raises:
            OSError: It could not be put back anywhere.
        """
        if not self._lock.acquire(True, PATIENCE):
            return False  # whoever has it is held up by the disk
        try:
            if self._stalled:
                self._catch_up()
            old, place = self._descriptor, self.places.now
            if old is None or place.holds(self._number, old) or not old.ours:
                return False
            return self._mend(old, place)
        finally:
            self._lock.release()

    def _mend(self, old: Descriptor, place: Own) -> bool:
        for other in (place, *self.places.after(place)):
            try:
                self._put_back(old, other)
            except OSError as error:
                refused = error
                self.places.trouble(other, error)
            else:
                self.places.count_removed()
                return True
        raise refused

    def go_home(self) -> bool:
        """Go back to `root` if it can be written to again, and take along what stands in memory.

        Returns:
            Whether the writer is there; `places.troubles` tells why not.
        """
        places, home = self.places, self.places.home
        try:
            if places.now is not home:
                places.make_room(home, self._number)
                home.probe()
            with self._lock:
                if self.closed:
                    return False
                if places.now is not home:
                    self._move(home)
                newest = self._number
            places.bring_home(newest)
            with self._lock:
                places.dispose_empty()
        except OSError as error:
            places.trouble(home, error)
        return places.now is home

    def close(self) -> None:
        """Seal the last segment and let go of the lock: the folder may be adopted. A second call does nothing.

        Where the disk holds up another thread's append, all stays as it is until the process ends.
        """
        if self._lock.acquire(True, PATIENCE):
            try:
                if self._stalled and not self.closed:
                    self._catch_up()
                self._lose()
            finally:
                self._lock.release()

    def abandon(self) -> None:
        """In a forked child: close the copies of what the parent holds, which goes on holding and writing it."""
        self._lock = threading.RLock()  # a thread that the child does not have may hold the old one
        self._aside, self._stalled = Aside(self._aside_bytes), False
        self._forget()
        self.places.abandon()

    def _put_elsewhere(self, data: bytes) -> None:
        """Write an entry that was refused: where it was, if another thread has found room, or in the next place."""
        with self._lock:
            while True:
                try:
                    return self._put(data)
                except OSError as error:
                    if self.closed or not self._leave(error):
                        raise

    def _leave(self, error: OSError) -> bool:
        """Find room in this place or go on in the next; False if there is none, and all is as it was."""
        places, before = self.places, self.places.now
        if error.errno in _FULL and places.make_room(before, self._number):
            return True
        for place in places.after(before):
            try:
                self._move(place)
            except OSError as refused:
                places.trouble(place, refused)
            else:
                places.trouble(before, error)
                return True
        return False

    def _move(self, place: Own) -> None:
        """Begin the next segment in `place`."""
        place.make()
        self.places.moving()
        self._begin_segment(place)
        if self._bare:
            self._write_prelude()
