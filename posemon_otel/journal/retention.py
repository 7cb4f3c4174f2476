"""Which segments may go: passed ones beyond what is kept for looking things up, and, beyond the cap, the oldest.

What goes without having been passed is counted for each consumer that lost it, in `dropped.json` beside the segments,
so that the count outlives the process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from posemon_otel.journal.files import replace
from posemon_otel.journal.positions import Mark, load
from posemon_otel.journal.segment import segment_numbers, segment_path

SEGMENT_BYTES = 8 * 1024 * 1024
"""A segment that has reached this many bytes is sealed and the next one begun."""

CAP_BYTES = 1024 * 1024 * 1024
"""Segments that some consumer has not passed may take this many bytes."""

KEEP_BYTES = 64 * 1024 * 1024
"""Segments that all have passed stay until there are this many bytes of them."""

_DROPPED = "dropped.json"


class Segment(NamedTuple):
    """A segment on disk."""

    number: int
    size: int


class Excess(NamedTuple):
    """What may go."""

    passed: list[Segment]
    """Everybody has passed it and enough is kept: deleting it loses nothing."""
    waiting: list[Segment]
    """Somebody has not passed it: deleting it is a loss, to be counted."""


def segments(folder: Path) -> list[Segment]:
    """The segments of a writer's folder with their sizes, oldest first."""
    found = []
    for number in segment_numbers(folder):
        with contextlib.suppress(FileNotFoundError):
            found.append(Segment(number, segment_path(folder, number).stat().st_size))
    return found


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
    folder: Path,
    sealed: Sequence[Segment],
    marks: Mapping[str, Mark],
    *,
    keep_bytes: int,
    cap_bytes: int | None = None,
    count: Callable[[int], int] = lambda _number: 0,
) -> dict[str, int]:
    """Delete what is too much of a writer's sealed segments.

    Args:
        folder: The writer's folder.
        sealed: The segments that may go, oldest first.
        marks: The marks of all owed consumers.
        keep_bytes: How much of what all have passed stays.
        cap_bytes: How much may wait; None: all of it.
        count: Entries in the segment of that number.

    Returns:
        How many entries each consumer lost by it; saved in the folder, too.
    """
    found = excess(sealed, tuple(marks.values()), keep_bytes, cap_bytes)
    total: dict[str, int] = {}
    for segment in found.waiting:
        for consumer, entries in _lost(segment, count(segment.number), marks).items():
            total[consumer] = total.get(consumer, 0) + entries
    for segment in [*found.waiting, *found.passed]:
        segment_path(folder, segment.number).unlink(missing_ok=True)
    if total:
        _add_dropped(folder, total)
    return total


def _lost(segment: Segment, entries: int, marks: Mapping[str, Mark]) -> dict[str, int]:
    """How many of a segment's `entries` each consumer had still before it."""
    counts = {}
    for consumer, mark in marks.items():
        if not mark.passed(segment.number, segment.size):
            done = mark.low.entry if mark.low.segment == segment.number else 0
            counts[consumer] = max(entries - done, 0)
    return counts


def load_dropped(folder: Path) -> dict[str, int]:
    """Entries that each consumer lost from a writer's folder so far."""
    import json

    try:
        fields = json.loads((folder / _DROPPED).read_bytes())
        return {str(consumer): int(count) for consumer, count in fields.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _add_dropped(folder: Path, counts: Mapping[str, int]) -> None:
    import json

    total = load_dropped(folder)
    for consumer, count in counts.items():
        total[consumer] = total.get(consumer, 0) + count
    with contextlib.suppress(OSError):  # a full disk: the caller has the numbers
        replace(folder / _DROPPED, json.dumps(total).encode())


class SealedSegments:
    """What a writer remembers of its sealed segments: enough to know without a look at the disk that all is well.

    Attributes:
        dropped: Entries that each consumer lost because of the cap.
    """

    def __init__(self, consumers: Sequence[str], keep_bytes: int) -> None:
        self.dropped = dict.fromkeys(consumers, 0)
        self._keep_bytes = keep_bytes
        self._known: dict[int, tuple[int, int]] = {}

    def add(self, number: int, size: int, entries: int) -> None:
        """A segment was sealed."""
        self._known[number] = (size, entries)

    def trim(self, folder: Path, newest: int, cap_bytes: int) -> dict[str, int]:
        """Delete what is too much of the segments before `newest`; returns `dropped`."""
        if sum(size for size, _ in self._known.values()) > min(self._keep_bytes, cap_bytes):
            sealed = [segment for segment in segments(folder) if segment.number < newest]
            known = {number: self._known.get(number, (size, 0)) for number, size in sealed}
            marks = {consumer: load(folder, consumer) for consumer in self.dropped}
            limits = {"keep_bytes": self._keep_bytes, "cap_bytes": cap_bytes}
            lost = trim(folder, sealed, marks, **limits, count=lambda number: known[number][1])
            self.dropped = {consumer: count + lost.get(consumer, 0) for consumer, count in self.dropped.items()}
            self._known = known
        return self.dropped
