"""Which segments may go: passed ones beyond what is kept for looking things up, and, beyond the cap, the oldest.

What goes without having been passed is counted for each consumer that lost it; in a folder by `dropped.json` beside
the segments, so that the count outlives the process.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from posemon_otel.journal.files import replace
from posemon_otel.journal.positions import Mark
from posemon_otel.journal.segment import Segment, scan

if TYPE_CHECKING:
    from posemon_otel.journal.place import Shelf

SEGMENT_BYTES = 8 * 1024 * 1024
"""A segment that has reached this many bytes is sealed and the next one begun."""

CAP_BYTES = 1024 * 1024 * 1024
"""Segments that some consumer has not passed may take this many bytes."""

KEEP_BYTES = 64 * 1024 * 1024
"""Segments that all have passed stay until there are this many bytes of them."""

SPARE_BYTES = 64 * 1024 * 1024
"""What a folder in memory that stands in for the one on disk may take."""

MEMORY_BYTES = 16 * 1024 * 1024
"""What segments in the process's own memory may take, which stand in where no folder can be written."""

Lost: TypeAlias = dict[tuple[str, int], int]
"""How many entries of a tag a consumer lost, by (consumer, tag)."""

Key = TypeVar("Key")
_DROPPED = "dropped.json"


class Excess(NamedTuple):
    """What may go."""

    passed: list[Segment]
    """Everybody has passed it and enough is kept: deleting it loses nothing."""
    waiting: list[Segment]
    """Somebody has not passed it: deleting it is a loss, to be counted."""


def passed(marks: Sequence[Mark], segment: Segment) -> bool:
    """Whether every one of `marks` lies behind `segment`."""
    return all(mark.passed(segment.number, segment.size) for mark in marks)


def excess(sealed: Sequence[Segment], marks: Sequence[Mark], keep_bytes: int, cap_bytes: int | None) -> Excess:
    """Split off what is too much of `sealed` (oldest first): never the newest that still fit."""
    found = Excess([], [])
    kept = waiting = 0
    for segment in reversed(sealed):
        if passed(marks, segment):
            kept += segment.size
            if kept > keep_bytes:
                found.passed.append(segment)
        else:
            waiting += segment.size
            if cap_bytes is not None and waiting > cap_bytes:
                found.waiting.append(segment)
    return found


def trim(
    shelf: Shelf,
    sealed: Sequence[Segment],
    marks: Mapping[str, Mark],
    *,
    keep_bytes: int,
    cap_bytes: int | None = None,
    known: Mapping[int, Known],
) -> Lost:
    """Delete what is too much of a writer's sealed segments.

    Args:
        shelf: Where they stand.
        sealed: The segments that may go, oldest first.
        marks: Up to where each consumer needs none.
        keep_bytes: How much of what all have passed stays.
        cap_bytes: How much may wait; None: all of it.
        known: What is known of the segments by their numbers; the others are read where they are lost.

    Returns:
        How many entries each consumer lost by it, by their tags; counted there, too.
    """
    found = excess(sealed, tuple(marks.values()), keep_bytes, cap_bytes)
    total: Lost = {}
    for segment in [*found.waiting, *found.passed]:
        lost = lost_of(shelf, segment, known.get(segment.number), marks) if segment in found.waiting else {}
        try:
            shelf.remove(segment.number)
        except OSError:  # a file system that became read-only: it stays, and is not lost
            continue
        add(total, lost)
    if total:
        shelf.add_dropped(totals(total))
    return total


def lost_of(shelf: Shelf, segment: Segment, known: Known | None, marks: Mapping[str, Mark]) -> Lost:
    """How many of a segment's entries each consumer had still before it."""
    lost: Lost = {}
    for consumer, mark in marks.items():
        if mark.passed(segment.number, segment.size):
            continue
        inside = mark.low.offset if mark.low.segment == segment.number else 0
        tags = known.tags if known is not None and not inside else _count(shelf, segment.number, inside)
        for tag, entries in tags.items():
            lost[consumer, tag] = entries
    return lost


def _count(shelf: Shelf, number: int, offset: int) -> Mapping[int, int]:
    """The entries of a segment from `offset` on, by tag; none where it cannot be read any more."""
    try:
        descriptor = shelf.open(number)
    except OSError:
        return {}
    try:
        data = os.pread(descriptor, os.fstat(descriptor).st_size, offset)
    finally:
        os.close(descriptor)
    return Counter(tag for tag, _ in scan(data, len(data)).entries)


def totals(lost: Lost) -> dict[str, int]:
    """What each consumer lost, whatever the tags."""
    total: dict[str, int] = {}
    for (consumer, _), entries in lost.items():
        total[consumer] = total.get(consumer, 0) + entries
    return total


def add(total: dict[Key, int], counts: Mapping[Key, int]) -> None:
    """Add `counts` to `total`."""
    for key, count in counts.items():
        total[key] = total.get(key, 0) + count


def load_dropped(folder: Path) -> dict[str, int]:
    """Entries that each consumer lost from a writer's folder so far."""
    import json

    try:
        fields = json.loads((folder / _DROPPED).read_bytes())
        return {str(consumer): int(count) for consumer, count in fields.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def add_dropped(folder: Path, counts: Mapping[str, int]) -> None:
    """Save that each consumer lost entries from a writer's folder."""
    import json

    total = load_dropped(folder)
    add(total, counts)
    with contextlib.suppress(OSError):  # a full disk: the caller has the numbers
        replace(folder / _DROPPED, json.dumps(total).encode())


class Known(NamedTuple):
    """What a writer remembers of a sealed segment."""

    size: int
    """Its bytes."""
    tags: Mapping[int, int]
    """Its entries by tag, without those that it began with."""


class SealedSegments:
    """What a writer remembers of its sealed segments in one place: enough to know without a look that all is well.

    Attributes:
        keep_bytes: How much of what all have passed stays.
        cap_bytes: How much may wait.
        known: The segments by their numbers.
    """

    def __init__(self, keep_bytes: int, cap_bytes: int) -> None:
        self.keep_bytes = keep_bytes
        self.cap_bytes = cap_bytes
        self.known: dict[int, Known] = {}

    def trim(
        self, shelf: Shelf, newest: int, holding: Callable[[], Mapping[str, Mark]], keep_bytes: int | None = None
    ) -> Lost:
        """Delete what is too much of the segments before `newest`; returns what each consumer lost by it.

        Args:
            shelf: Where they stand.
            newest: The writer's newest segment, wherever that is.
            holding: Tells up to where each consumer needs no segment.
            keep_bytes: How much stays of what all have passed, if not as usual.
        """
        keep = self.keep_bytes if keep_bytes is None else keep_bytes
        if sum(one.size for one in list(self.known.values())) <= min(keep, self.cap_bytes):
            return {}
        sealed = [segment for segment in shelf.segments() if segment.number < newest]
        lost = trim(
            shelf,
            sealed,
            holding(),
            keep_bytes=keep,
            cap_bytes=self.cap_bytes,
            known=self.known,
        )
        there = {segment.number for segment in shelf.segments()}
        self.known = {number: known for number, known in self.known.items() if number in there}
        return lost
