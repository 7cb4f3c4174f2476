"""How far a consumer has come in one writer's journal.

Each consumer has a file of its own beside the segments, replaced atomically: a living process moves `metrics` while
`posemon ship` moves `otlp`, and neither may write back what it read of the other's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from posemon_otel.journal.files import replace


class Position(NamedTuple):
    """A place between two entries. Positions of one journal compare in the order of its entries."""

    segment: int
    """The segment's number."""
    offset: int
    """Bytes from the segment's start."""
    entry: int
    """Entries before it in the segment, its head not counted."""


START = Position(0, 0, 0)
"""Before the first entry, whatever segment that stands in."""


class Mark:
    """What one consumer has acknowledged: everything before the low-water mark, and ranges beyond it."""

    __slots__ = ("low", "ranges")

    def __init__(self, low: Position = START, ranges: list[tuple[Position, Position]] | None = None) -> None:
        self.low = low
        self.ranges = ranges or []

    def acknowledge(self, first: Position, end: Position) -> None:
        """Add what stands from `first` to `end`; a mark never goes back."""
        merged: list[tuple[Position, Position]] = []
        for begin, until in sorted([*self.ranges, (first, end)]):
            if begin <= self.low:
                self.low = max(self.low, until)
            elif merged and begin <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], until))
            elif begin < until:
                merged.append((begin, until))
        self.ranges = merged

    def skip(self, at: Position) -> Position:
        """The first place at or after `at` that is not acknowledged as part of a range."""
        for begin, until in self.ranges:
            if begin <= at < until:
                at = until
        return at

    def next_range(self, at: Position) -> Position | None:
        """Where the next acknowledged range after `at` begins."""
        return next((begin for begin, _ in self.ranges if begin > at), None)

    def passed(self, segment: int, size: int) -> bool:
        """Whether the whole of a segment of `size` bytes lies before the low-water mark."""
        return self.low.segment > segment or (self.low.segment == segment and self.low.offset >= size)


def load(folder: Path, consumer: str) -> Mark:
    """The mark of `consumer`; the start where it has none or none that can be read, which only means duplicates."""
    import json

    try:
        fields = json.loads(_path(folder, consumer).read_bytes())
        return Mark(_position(fields["low"]), [(_position(a), _position(b)) for a, b in fields["ranges"]])
    except (OSError, ValueError, KeyError, TypeError):
        return Mark()


def store(folder: Path, consumer: str, mark: Mark) -> None:
    """Save the mark of `consumer`.

    Raises:
        OSError: It could not be written; the one before stands.
    """
    import json

    replace(_path(folder, consumer), json.dumps({"low": mark.low, "ranges": mark.ranges}).encode())


def take_over(folder: Path, consumer: str, other: str) -> bool:
    """Has `consumer` stand where the mark of `other` does, which is gone then; False where there is none.

    Raises:
        OSError: It could not be done; both marks stand.
    """
    try:
        _path(folder, other).replace(_path(folder, consumer))
    except FileNotFoundError:
        return False
    return True


def _path(folder: Path, consumer: str) -> Path:
    return folder / f"position-{consumer}.json"


def _position(fields: Any) -> Position:
    segment, offset, entry = fields
    return Position(int(segment), int(offset), int(entry))
