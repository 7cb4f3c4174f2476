"""Which segments may go: passed ones beyond what is kept for looking things up, and, beyond the cap, the oldest.

What goes without having been passed is counted for each consumer that lost it; in a folder by `dropped.json` beside
the segments, so that the count outlives the process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from posemon_otel.journal.files import replace
from posemon_otel.journal.positions import Mark
from posemon_otel.journal.segment import Segment

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
    count: Callable[[int], int] = lambda _number: 0,
) -> dict[str, int]:
    """Delete what is too much of a writer's sealed segments.

    Args:
        shelf: Where they stand.
        sealed: The segments that may go, oldest first.
        marks: Up to where each consumer needs none.
        keep_bytes: How much of what all have passed stays.
        cap_bytes: How much may wait; None: all of it.
        count: Entries in the segment of that number.

    Returns:
        How many entries each consumer lost by it; counted there, too.
    """
    found = excess(sealed, tuple(marks.values()), keep_bytes, cap_bytes)
    total: dict[str, int] = {}
    for segment in [*found.waiting, *found.passed]:
        lost = segment in found.waiting
        entries = count(segment.number) if lost else 0
        try:
            shelf.remove(segment.number)
        except OSError:  # a file system that became read-only: it stays, and is not lost
            continue
        if lost:
            add(total, lost_of(segment, entries, marks))
    if total:
        shelf.add_dropped(total)
    return total


def lost_of(segment: Segment, entries: int, marks: Mapping[str, Mark]) -> dict[str, int]:
    """How many of a segment's `entries` each consumer had still before it."""
    counts = {}
    for consumer, mark in marks.items():
        if not mark.passed(segment.number, segment.size):
            done = mark.low.entry if mark.low.segment == segment.number else 0
            counts[consumer] = max(entries - done, 0)
    return counts


def add(total: dict[str, int], counts: Mapping[str, int]) -> None:
    """Add `counts` to `total`."""
    for consumer, count in counts.items():
        total[consumer] = total.get(consumer, 0) + count


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


class SealedSegments:
    """What a writer remembers of its sealed segments in one place: enough to know without a look that all is well.

    Attributes:
        keep_bytes: How much of what all have passed stays.
        cap_bytes: How much may wait.
        known: Bytes and entries of each segment by its number.
    """

    def __init__(self, keep_bytes: int, cap_bytes: int) -> None:
        self.keep_bytes = keep_bytes
        self.cap_bytes = cap_bytes
        self.known: dict[int, tuple[int, int]] = {}

    def trim(
        self, shelf: Shelf, newest: int, holding: Callable[[], Mapping[str, Mark]], keep_bytes: int | None = None
    ) -> dict[str, int]:
        """Delete what is too much of the segments before `newest`; returns what each consumer lost by it.

        Args:
            shelf: Where they stand.
            newest: The writer's newest segment, wherever that is.
            holding: Tells up to where each consumer needs no segment.
            keep_bytes: How much stays of what all have passed, if not as usual.
        """
        keep = self.keep_bytes if keep_bytes is None else keep_bytes
        if sum(size for size, _ in list(self.known.values())) <= min(keep, self.cap_bytes):
            return {}
        sealed = [segment for segment in shelf.segments() if segment.number < newest]
        known = {number: self.known.get(number, (size, 0)) for number, size in sealed}
        lost = trim(
            shelf,
            sealed,
            holding(),
            keep_bytes=keep,
            cap_bytes=self.cap_bytes,
            count=lambda number: known[number][1],
        )
        self.known = known
        return lost
