"""Where one writer's segments stand, as a reader sees it: a folder, and what all such places have in common."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from posemon_otel.journal import positions, retention
from posemon_otel.journal.files import Lock, is_locked
from posemon_otel.journal.outside import serves
from posemon_otel.journal.positions import Mark
from posemon_otel.journal.retention import KEEP_BYTES
from posemon_otel.journal.segment import Segment, head_size, segment_numbers, segment_path

ALIVE = "alive"
SHIP = "ship"

COMPLETED = "completed"
"""A file of this name says that nobody has to look for what a dead process left open: it was done, or its writer had
gone on elsewhere."""


class Shelf(ABC):
    """Holds segments.

    Attributes:
        keep_bytes: How much of what all consumers have passed stays.
    """

    keep_bytes: int = KEEP_BYTES

    @abstractmethod
    def numbers(self) -> list[int]:
        """The numbers of the segments, oldest first."""

    @abstractmethod
    def size(self, number: int) -> int:
        """Bytes of a segment.

        Raises:
            FileNotFoundError: There is none of that number.
        """

    @abstractmethod
    def open(self, number: int) -> int:
        """A descriptor to read a segment by, which the caller closes.

        Raises:
            OSError: It cannot be opened; FileNotFoundError: there is none.
        """

    @abstractmethod
    def remove(self, number: int) -> None:
        """Delete a segment; nothing happens where there is none.

        Raises:
            OSError: It cannot be deleted.
        """

    @abstractmethod
    def add_dropped(self, counts: Mapping[str, int]) -> None:
        """Count entries that each consumer lost."""

    def segments(self) -> list[Segment]:
        """The segments with their sizes, oldest first."""
        found = []
        for number in self.numbers():
            with contextlib.suppress(FileNotFoundError):
                found.append(Segment(number, self.size(number)))
        return found


class Place(Shelf):
    """The segments of one writer, and how far each consumer has come in them.

    Attributes:
        path: The folder that it is called by, and that holds what readers keep beside the segments.
        marks: How far each consumer has come, as this object knows it.
    """

    path: Path

    def __init__(self) -> None:
        self.marks: dict[str, Mark] = {}

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether the writer lives."""

    @property
    def parts(self) -> Sequence[Shelf]:
        """What it consists of."""
        return (self,)

    def head_size(self, number: int) -> int:
        """Bytes that the head of a segment takes; 0 where it cannot be read."""
        try:
            descriptor = self.open(number)
        except OSError:
            return 0
        try:
            return head_size(descriptor)
        finally:
            os.close(descriptor)

    @abstractmethod
    def load(self, consumer: str) -> Mark:
        """The mark of `consumer` that was saved."""

    @abstractmethod
    def store(self, consumer: str, mark: Mark) -> bool:
        """Save the mark of `consumer`; False where it could not be."""

    def mark(self, consumer: str) -> Mark:
        """How far `consumer` has come; read anew while somebody else may ship."""
        if consumer not in self.marks or not self.shipping:
            self.marks[consumer] = self.current(consumer)
        return self.marks[consumer]

    def current(self, consumer: str) -> Mark:
        """The mark of `consumer`: the saved one where another process moves it, ours where we have moved it further."""
        saved, own = self.load(consumer), self.marks.get(consumer)
        return own if own is not None and own.low > saved.low else saved

    @abstractmethod
    def dropped(self) -> dict[str, int]:
        """Entries that each consumer lost."""

    @abstractmethod
    def take_ship(self, left_to: Collection[str] | None = None) -> bool:
        """Take the right to ship, or keep it; False if somebody else has it or it cannot be had.

        Args:
            left_to: Give it up where a process has said that it ships for a whole service which owes to these.
        """

    @property
    @abstractmethod
    def shipping(self) -> bool:
        """Whether this object has the right to ship."""

    @property
    @abstractmethod
    def shipped_by_somebody(self) -> bool:
        """Whether anybody has the right to ship."""

    @abstractmethod
    def release_ship(self) -> None:
        """Give the right to ship back."""

    @abstractmethod
    def abandon_ship(self) -> None:
        """In a forked child: forget the right to ship, which stays the parent's."""


class Folder(Place):
    """Segments that are the files of a folder."""

    def __init__(self, path: Path, *, keep_bytes: int = KEEP_BYTES) -> None:
        super().__init__()
        self.path = path
        self.keep_bytes = keep_bytes
        self._ship = Lock(path / SHIP)

    @property
    def alive(self) -> bool:
        return is_locked(self.path / ALIVE)

    def numbers(self) -> list[int]:
        return segment_numbers(self.path)

    def size(self, number: int) -> int:
        return segment_path(self.path, number).stat().st_size

    def open(self, number: int) -> int:
        return os.open(segment_path(self.path, number), os.O_RDONLY | os.O_CLOEXEC)

    def remove(self, number: int) -> None:
        segment_path(self.path, number).unlink(missing_ok=True)

    def load(self, consumer: str) -> Mark:
        return positions.load(self.path, consumer)

    def store(self, consumer: str, mark: Mark) -> bool:
        try:
            positions.store(self.path, consumer, mark)
        except OSError:
            return False
        return True

    def dropped(self) -> dict[str, int]:
        return retention.load_dropped(self.path)

    def add_dropped(self, counts: Mapping[str, int]) -> None:
        retention.add_dropped(self.path, counts)

    def take_ship(self, left_to: Collection[str] | None = None) -> bool:
        """Take the right to ship. Marks are read anew then: who shipped before may have moved them."""
        if left_to is not None and serves(self.path.parent, left_to):
            self._ship.release()
        elif not self._ship.held:
            with contextlib.suppress(OSError):  # the folder is gone, or may only be read
                if self._ship.take():
                    self.marks.clear()
        return self._ship.held

    @property
    def shipping(self) -> bool:
        return self._ship.held

    @property
    def shipped_by_somebody(self) -> bool:
        return is_locked(self.path / SHIP)

    def release_ship(self) -> None:
        self._ship.release()

    def abandon_ship(self) -> None:
        self._ship.abandon()
