"""All the places that one writer's segments may stand in: its own process reads them as one journal.

The segments are numbered through, whatever place they stand in, so that neither a consumer's mark nor what it has
under way changes when the writer moves to another place or back.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from posemon_otel.journal.own import Memory, OwnFolder
from posemon_otel.journal.place import Place
from posemon_otel.journal.positions import Mark
from posemon_otel.journal.retention import Known, Lost, add, lost_of, totals
from posemon_otel.journal.segment import Segment

Own: TypeAlias = OwnFolder | Memory


class Trouble(NamedTuple):
    """A place that could not be written to, and why."""

    place: Own
    error: OSError


class Places(Place):
    """The places of one writer, the preferred one first.

    Attributes:
        home: Where the writer is meant to append.
        now: Where it does.
        capped: Entries that each consumer lost because of the cap.
        removed: Entries that each consumer lost because somebody has removed them.
        troubles: The places that were given up, newest last; empty when the writer is where it is meant to be.
    """

    def __init__(self, home: OwnFolder, others: Sequence[Own], consumers: Iterable[str]) -> None:
        super().__init__()
        self.home = home
        self._own: tuple[Own, ...] = (home, *others)
        self._consumers = tuple(consumers)
        self.capped: Lost = {}
        self.removed: Lost = {}
        self._refused = False
        self._moves = 0
        self.now: Own = home
        self.path = home.path
        self.ended = False
        self.troubles: list[Trouble] = []

    # What the reader asks ----------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return not self.ended

    @property
    def parts(self) -> Sequence[Own]:
        return [place for place in self._own if place.used]

    @property
    def _folders(self) -> list[OwnFolder]:
        return [place for place in self.parts if isinstance(place, OwnFolder)]

    def numbers(self) -> list[int]:
        while True:  # what moved while one place after the other was looked at may be in none of the lists
            moves = self._moves
            found = sorted({number for place in self.parts for number in place.numbers()})
            if moves == self._moves:
                return found

    def size(self, number: int) -> int:
        return self._first(number, lambda place: place.size(number))

    def open(self, number: int) -> int:
        return self._first(number, lambda place: place.open(number))

    def _first(self, number: int, ask: Callable[[Own], int]) -> int:
        while True:
            moves = self._moves
            for place in self.parts:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    return ask(place)
            if moves == self._moves:
                raise FileNotFoundError(errno.ENOENT, f"{self.path}: there is no segment {number}")

    def remove(self, number: int) -> None:
        for place in self.parts:
            place.remove(number)

    def load(self, consumer: str) -> Mark:
        """Where reading goes on: where it stands in the place that it has least of; in those that are done, nowhere."""
        folders = self._folders
        marks = [folder.load(consumer) for folder in folders]
        waiting = [
            mark
            for mark, folder in zip(marks, folders, strict=True)
            if any(not mark.passed(*segment) for segment in folder.segments())
        ]
        if waiting:
            return min(waiting, key=lambda mark: mark.low)
        return max(marks, key=lambda mark: mark.low, default=Mark())

    def store(self, consumer: str, mark: Mark) -> bool:
        saved = [folder.store(consumer, mark) for folder in self._folders]
        return all(saved)

    def dropped(self) -> dict[str, int]:
        total = dict.fromkeys(self._consumers, 0)
        add(total, totals(self.capped))
        return total

    def add_dropped(self, counts: Mapping[str, int]) -> None:
        """Its parts do."""

    def take_ship(self, left_to: Collection[str] | None = None) -> bool:
        """Take the right to ship everything.

        Who ships from outside knows the home folder alone. While something stands elsewhere we ship in any case: what
        stands at home is then shipped twice, and nothing waits for somebody who does not see it.
        """
        if self.parts != [self.home]:
            left_to = None
        taken = [folder.take_ship(left_to) or not folder.path.is_dir() for folder in self._folders]
        if all(taken) and self._refused:  # who shipped before has moved the marks
            for consumer in list(self.marks):
                self.marks[consumer] = self.current(consumer)
        self._refused = not all(taken)
        return self.shipping

    @property
    def shipping(self) -> bool:
        if self.parts != [self.home]:
            return True
        return self.home.shipping or not self.home.path.is_dir()

    @property
    def shipped_by_somebody(self) -> bool:
        return any(folder.shipped_by_somebody for folder in self._folders)

    def release_ship(self) -> None:
        for folder in self._folders:
            folder.release_ship()

    def abandon_ship(self) -> None:
        for folder in self._folders:
            folder.abandon_ship()

    # What the writer asks ----------------------------------------------------------------------------------------

    def after(self, place: Own) -> Sequence[Own]:
        """Those to try where `place` fails."""
        return self._own[self._own.index(place) + 1 :]

    def all(self) -> Sequence[Own]:
        """All of them, in the order of preference."""
        return self._own

    def moving(self) -> None:
        """A segment is about to appear in another place than the one before it, or to vanish from its old place."""
        self._moves += 1

    def use(self, place: Own) -> None:
        """The writer appends to `place` from now on."""
        if place is not self.now:
            self.now.left()
            self.now = place
            self._store_all()
        if place is self.home:
            self.troubles.clear()

    def trouble(self, place: Own, error: OSError) -> None:
        """`place` could not be written to."""
        self.troubles = [known for known in self.troubles if known.place is not place] + [Trouble(place, error)]

    def _holding(self) -> dict[str, Mark]:
        return {consumer: self.current(consumer) for consumer in self._consumers}

    def trim(self, newest: int) -> None:
        """Delete what is too much of the segments before `newest` in the place in use, and count what is lost by it."""
        add(self.capped, self.now.sealed.trim(self.now, newest, self._holding))

    def make_room(self, place: Own, newest: int) -> bool:
        """Delete what is only kept for looking things up in `place`, whose disk is full; whether there was anything."""
        before = len(place.numbers())
        add(self.capped, place.sealed.trim(place, newest, self._holding, keep_bytes=0))
        return len(place.numbers()) < before

    def count_removed(self) -> None:
        """Count the sealed segments of the place in use that somebody has taken away."""
        place, marks, there = self.now, self._holding(), set(self.now.numbers())
        for number, known in list(place.sealed.known.items()):
            if number not in there:
                del place.sealed.known[number]
                lost = lost_of(place, Segment(number, known.size), known, marks)
                place.add_dropped(totals(lost))
                add(self.removed, lost)
        self._store_all()

    def _store_all(self) -> None:
        for consumer, mark in list(self.marks.items()):
            self.store(consumer, mark)

    def bring_home(self, newest: int) -> None:
        """Bring home what stands in memory before the segment `newest`.

        Raises:
            OSError: There is no room at home; the rest stays where it is.
        """
        for place in self.parts:
            if isinstance(place, Memory):
                for number in place.numbers():
                    if number < newest:
                        self._bring_home(place, number)

    def dispose_empty(self) -> None:
        """Remove the places that stand in and have nothing left."""
        for place in self.parts:
            if place not in (self.now, self.home) and not place.numbers():
                place.dispose()

    def _bring_home(self, place: Memory, number: int) -> None:
        with contextlib.suppress(FileNotFoundError):  # passed meanwhile
            descriptor = place.open(number)
            try:
                content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            finally:
                os.close(descriptor)
            self.home.begin(number, content).close()
            self.home.sealed.known[number] = place.sealed.known.pop(number, Known(len(content), {}))
            self.moving()
            place.remove(number)

    def close(self) -> None:
        """The writer ends: its folders may be adopted."""
        self.ended = True
        for place in self.parts:
            place.close()

    def abandon(self) -> None:
        """In a forked child: close the copies of what the parent holds."""
        self.ended = True
        for place in self.parts:
            place.abandon()
