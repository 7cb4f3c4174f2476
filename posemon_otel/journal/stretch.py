"""One look into one segment: what can be read at a place, and where to look next."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from posemon_otel.journal.place import Place
from posemon_otel.journal.positions import Position
from posemon_otel.journal.segment import scan


class Stretch(NamedTuple):
    """What a look gave."""

    entries: list[tuple[int, bytes]]
    """Tag and MessagePack of each entry."""
    end: Position
    """Where to look next."""
    damaged: int
    """Bytes that were left out because they cannot be read."""
    more: bool
    """Whether looking on at once is worth it."""


def look(place: Place, at: Position, room: int, limit: int, alive: Callable[[], bool], *, whole: bool) -> Stretch:
    """Read at most `room` bytes and `limit` entries of the segment that `at` lies in.

    A bad entry means "not yet" in the newest segment of a living writer, and elsewhere the end of the segment. Which
    of the two it is, is asked before the bytes are read: what the writer does in between is then merely not seen yet.

    Args:
        place: Where the segments stand.
        at: Where to begin.
        room: Bytes to read.
        limit: Entries to read.
        alive: Whether the writer lives; asked only about its newest segment.
        whole: Read the first entry even if it is larger than `room`.

    Raises:
        OSError: The segment cannot be read.
    """
    later = next((number for number in place.numbers() if number > at.segment), None)
    sealed = later is not None or not alive()
    following = Position(later, 0, 0) if later is not None else None
    try:
        descriptor = place.open(at.segment)
    except FileNotFoundError:  # the start, or a segment that went because of the cap
        return Stretch([], following or at, 0, following is not None)
    try:
        data = os.pread(descriptor, room, at.offset)
        found = scan(data, limit)
        tries = 2  # the length of the entry may be cut off too
        while whole and not found.entries and found.missing > 0 and tries:
            data = os.pread(descriptor, len(data) + found.missing, at.offset)
            found = scan(data, limit)
            tries -= 1
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    end = Position(at.segment, at.offset + found.end, at.entry + len(found.entries))
    out_of_room = found.missing > 0 and at.offset + len(data) < size
    exhausted = end.offset >= size or (found.missing != 0 and not out_of_room)
    if sealed and exhausted:
        last = Position(at.segment, max(size, at.offset), end.entry)
        return Stretch(found.entries, following or last, max(size - end.offset, 0), following is not None)
    return Stretch(found.entries, end, 0, end.offset < size and found.missing == 0)
