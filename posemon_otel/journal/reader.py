"""The reading side: one writer's folder, read by each consumer from its own mark.

Nothing is shared with the writer but files, so that the process that writes and any other read alike.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from posemon_otel.journal import retention
from posemon_otel.journal.files import JournalError, abandon_in_children, owned
from posemon_otel.journal.place import Folder, Place
from posemon_otel.journal.positions import START, Mark, Position
from posemon_otel.journal.retention import KEEP_BYTES
from posemon_otel.journal.segment import Head, Segment, frame_size, read_head, segment_numbers, segment_path
from posemon_otel.journal.stretch import look
from posemon_otel.journal.writer import Writer

Entry: TypeAlias = tuple[int, bytes]
"""Tag and MessagePack of an entry."""

BATCH_BYTES = 1024 * 1024
"""A batch has about this many bytes at most; one entry is always whole."""

BATCH_ENTRIES = 512
"""A batch has this many entries at most: as many as OpenTelemetry's own batch processors export at once."""


class Batch(NamedTuple):
    """What a consumer read: acknowledge it from `first` to `position` when it is delivered."""

    entries: list[Entry]
    """Tag and MessagePack of each entry, in the order of the appends."""
    first: Position
    """Where reading began."""
    position: Position
    """Behind the last entry."""
    damaged: int
    """Bytes that had to be left out because they cannot be read (a torn end, a broken disk)."""


class Lag(NamedTuple):
    """What a consumer has still before it."""

    bytes: int
    """Bytes not passed, segments' heads left out where the consumer stands."""
    segments: int
    """Segments that hold them."""
    oldest: Entry | None
    """The first entry that waits (tag, MessagePack): it knows its own time. None when nothing waits."""


class Journal:
    """One writer's segments, living or dead. Several threads may use it, each for consumers of its own.

    Attributes:
        folder: Where the segments stand; its name is the writer's id.
        head: What the writer said about itself.
        consumers: Those that the entries are owed to.
    """

    def __init__(self, place: Place, head: Head) -> None:
        self.folder = place.path
        self.head: dict[str, Any] = head.head
        self.consumers = head.consumers
        self.created = head.created
        self._place = place
        self._dead = False

    @classmethod
    def of(cls, writer: Writer) -> Journal:
        """The journal that `writer` writes, wherever its segments stand, as its own process reads it."""
        return cls(writer.places, writer.head)

    @classmethod
    def open(cls, folder: Path, *, keep_bytes: int = KEEP_BYTES) -> Journal:
        """Open the journal in `folder`.

        Args:
            folder: A writer's folder.
            keep_bytes: How much of what all consumers have passed `acknowledge` leaves for looking things up.

        Raises:
            JournalError: It is another user's, holds no segment that can be read, or one of an unknown format.
        """
        if not owned(folder):
            raise JournalError(errno.EPERM, f"{folder}: belongs to another user or is no folder")
        problem = JournalError(errno.ENOENT, f"{folder}: there is no segment")
        for number in segment_numbers(folder):
            try:
                return cls(Folder(folder, keep_bytes=keep_bytes), read_head(segment_path(folder, number)))
            except FileNotFoundError:
                continue
            except JournalError as error:
                problem = error
        raise problem

    @property
    def id(self) -> str:
        """The writer's id."""
        return self.folder.name

    @property
    def alive(self) -> bool:
        """Whether the writer lives; a writer that died never comes back."""
        if not self._dead:
            self._dead = not self._place.alive
        return not self._dead

    def _lives(self) -> bool:
        return self.alive

    @property
    def dropped(self) -> dict[str, int]:
        """Entries that each consumer lost because of the cap."""
        return self._place.dropped()

    def segments(self) -> list[Segment]:
        """The segments on disk, oldest first."""
        return self._place.segments()

    def try_ship(self, *, outside: bool = False) -> bool:
        """Take the right to ship this journal; False if somebody else has it or the folder is gone.

        Marks are read anew then: who shipped before may have moved them.

        Args:
            outside: The caller has said that it ships for the whole service. Others give the right up to it here.
        """
        abandon_in_children(self)
        return self._place.take_ship(left_to=None if outside else self.consumers)

    @property
    def shipping(self) -> bool:
        """Whether this object holds the right to ship."""
        return self._place.shipping

    @property
    def shipped_by_somebody(self) -> bool:
        """Whether anybody holds the right to ship."""
        return self._place.shipped_by_somebody

    def release_ship(self) -> None:
        """Give the right to ship back."""
        self._place.release_ship()

    def abandon(self) -> None:
        """In a forked child: forget the right to ship, which stays the parent's."""
        self._place.abandon_ship()

    def mark(self, consumer: str) -> Mark:
        """How far `consumer` has come; read anew while somebody else may ship."""
        return self._place.mark(consumer)

    def read(
        self,
        consumer: str,
        *,
        max_bytes: int = BATCH_BYTES,
        max_entries: int = BATCH_ENTRIES,
        start: Position | None = None,
    ) -> Batch:
        """Read what comes next for `consumer`, without moving its mark.

        Args:
            consumer: Whose mark to begin at; what it has acknowledged beyond the mark is left out.
            max_bytes: Stop at about so many bytes; the first entry is read whole whatever its size.
            max_entries: Stop at so many entries.
            start: Begin here instead, at an earlier batch's `position`: to read on while that one is under way.

        Returns:
            A batch without entries where nothing new can be read.

        Raises:
            OSError: A segment cannot be read.
        """
        mark, max_entries = self.mark(consumer), max(max_entries, 1)
        first = at = mark.low if start is None else start
        entries: list[Entry] = []
        room, damaged = max_bytes, 0
        while not entries or (room > 0 and len(entries) < max_entries):
            at = mark.skip(at)
            stop = mark.next_range(at)
            allowed = max(room, 1)  # a head alone may have taken it all
            if stop is not None and stop.segment == at.segment:
                allowed = min(allowed, stop.offset - at.offset)
            left = max_entries - len(entries)
            stretch = look(self._place, at, allowed, left, self._lives, whole=not entries)
            entries += stretch.entries
            damaged += stretch.damaged
            if stretch.end.segment == at.segment:
                room -= stretch.end.offset - at.offset
            at = stretch.end
            if not stretch.more:
                break
        if not entries and start is None and at > first:  # heads and torn ends alone: nobody will acknowledge those
            self.acknowledge(consumer, at)
        return Batch(entries, first, at, damaged)

    def acknowledge(self, consumer: str, position: Position, first: Position | None = None) -> bool:
        """Note that `consumer` is done with what stands before `position`, and delete what nobody needs.

        Args:
            consumer: Whose mark moves.
            position: A batch's `position`.
            first: The batch's `first`, where batches before it are still under way: the range is kept, and the mark
                moves on when it reaches it.

        Returns:
            Whether the mark could be saved. If not it has moved all the same, and after a crash entries are read twice.
        """
        mark = self.mark(consumer)
        before = mark.low.segment
        mark.acknowledge(mark.low if first is None else first, position)
        saved = self._place.store(consumer, mark)
        if mark.low.segment != before or not self.alive:
            self.trim()
            saved = saved or self._place.store(consumer, mark)  # a full disk may have room now
        return saved

    def trim(self, *, cap_bytes: int | None = None) -> retention.Lost:
        """Delete what all consumers have passed and is more than is kept.

        Args:
            cap_bytes: Let no more than this wait for its consumers: the oldest goes. None: all of it may.

        Returns:
            Entries that each consumer lost by it, by (consumer, tag).
        """
        alive = self.alive  # before the sizes: what a writer added and then died of would not be in them
        newest = self.segments()[-1:] if alive else []
        marks = {consumer: self._place.current(consumer) for consumer in self.consumers}
        lost: retention.Lost = {}
        for part in self._place.parts:
            sealed = [segment for segment in part.segments() if not newest or segment.number < newest[0].number]
            keep = part.keep_bytes
            found = retention.trim(part, sealed, marks, keep_bytes=keep, cap_bytes=cap_bytes, known={})
            retention.add(lost, found)
        return lost

    def passed(self, consumers: Collection[str] | None = None) -> bool:
        """Whether nothing waits for `consumers` (all that are owed, unless named); those not owed do not count."""
        asked = self.consumers if consumers is None else set(self.consumers).intersection(consumers)
        found = self.segments()
        if not found:
            return True
        last = found[-1]
        empty = len(found) == 1 and last.size <= self._place.head_size(last.number)
        return empty or all(self._place.current(consumer).passed(*last) for consumer in asked)

    def lag(self, consumer: str) -> Lag:
        """What waits for `consumer`."""
        mark = self._place.current(consumer)
        oldest = next(((tag, payload) for _, tag, payload in self.entries(mark.low)), None)
        waiting = [segment for segment in self.segments() if not mark.passed(*segment)]
        if oldest is None or not waiting:
            return Lag(0, 0, None)
        inside = mark.low.offset if mark.low.segment == waiting[0].number else 0
        begun = inside or self._place.head_size(waiting[0].number)
        return Lag(sum(segment.size for segment in waiting) - begun, len(waiting), oldest)

    def entries(self, start: Position = START) -> Iterator[tuple[Position, int, bytes]]:
        """Everything from `start` on that can be read now: position, tag and MessagePack of each entry.

        Raises:
            OSError: A segment cannot be read.
        """
        at = start
        while True:
            stretch = look(self._place, at, BATCH_BYTES, BATCH_ENTRIES, self._lives, whole=True)
            offset = at.offset or self._place.head_size(at.segment)
            for index, (tag, payload) in enumerate(stretch.entries, at.entry):
                yield Position(at.segment, offset, index), tag, payload
                offset += frame_size(payload)
            if stretch.end == at:
                return
            at = stretch.end
