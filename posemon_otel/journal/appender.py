"""One writer's append: one `write` an entry, done before the call returns; one segment after another.

Finalisers and signal handlers append too, on the thread that is in the middle of an append: they re-enter the lock
and find the outer frame in flight. What they may rely on is written down where they look: `_busy` is the outer frame,
and `ends_with` asks the file, not the outer call, what became of it. Between two calls into C CPython runs no handler,
which is why a test and the call that hangs on it stand together.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from posemon_otel.journal.files import Descriptor, JournalError
from posemon_otel.journal.places import Own, Places
from posemon_otel.journal.retention import Known
from posemon_otel.journal.segment import FIRST, TAG_AT, Head, encode_head, ends_with, frame, write_whole

# `write` says one of these instead of writing anything; after any other failure the segment's end is in doubt
_NOTHING_WRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_ROOM = -1

_write = os.write

Prelude = Callable[[], Iterable[tuple[int, Any]]]
"""Makes the entries (tag, record) that a segment begins with."""


class Appender:
    """The segment that is being written, and the next one.

    Attributes:
        places: Where the segments stand, and what became of the places that failed.
        closed: Nothing can be appended any more: closed, abandoned, or the descriptors were closed by somebody else.
            Make a new writer.
        head: What every segment says about its writer.
    """

    def __init__(self, head: Head, prelude: Prelude, places: Places, *, fsync_sealed: bool) -> None:
        """No segment is begun yet."""
        from msgspec import msgpack

        self._encode = msgpack.Encoder().encode
        self.head, self.places = head, places
        self._prelude, self._fsync = prelude, fsync_sealed
        self._lock = threading.RLock()
        self._busy: bytes | None = None
        self._descriptor: Descriptor | None = None
        self._retired: list[Descriptor] = []
        self._numbers = itertools.count(FIRST)
        self._fd = self._number = self._room = _NO_ROOM
        self._count = 0
        self._tags: defaultdict[int, int] = defaultdict(int)
        self._bare = self._sealed = self.closed = False

    def _lose(self) -> None:
        self._forget()
        self.places.close()

    def _forget(self) -> None:
        self.closed = True
        held = [*self._retired, self._descriptor]
        self._fd = self._room = _NO_ROOM
        self._descriptor = None
        self._retired = []
        for descriptor in held:
            if descriptor is not None:
                descriptor.close()

    def _put(self, data: bytes, *, entries: bool = True, again: bool = True) -> None:
        length = len(data)
        with self._lock:
            outer = self._busy
            if self._room < length or outer is not None:
                self._make_ready(length, outer)
            self._busy = data
            try:
                number = self._number
                written = _write(self._fd, data)
                if written != length:
                    self._cut_back(number, written, length)
            except OSError as error:
                self._failed(error)
                if not (again and self._room == _NO_ROOM and error.errno in _NOTHING_WRITTEN):
                    raise
            except BaseException:  # a signal handler's, at a moment that nobody knows
                self._seal()
                raise
            else:
                self._room -= length
                if entries:
                    self._count += 1
                    self._tags[data[TAG_AT]] += 1
                return
            finally:
                self._busy = outer
            self._put(data, entries=entries, again=False)

    def _make_ready(self, length: int, outer: bytes | None) -> None:
        """Have a segment that an entry of `length` bytes may be written to."""
        if self.closed:
            raise JournalError(errno.EBADF, f"{self.places.path}: closed; make a new writer")
        if length > self.places.now.largest:
            raise JournalError(errno.ENOSPC, f"{self.places.path}: there is no room for an entry of {length} bytes")
        if outer is None:
            self._close_retired()
        elif not ends_with(self._fd, outer):
            self._seal()  # half of it may stand there: nothing may be written behind it
        try:
            if self._sealed or (self._room < length and self._count > 0 and not self._bare):
                self._rotate()
            elif self._bare:
                self._write_prelude()
        except OSError as error:  # a full disk, say: what is small may still fit into the old one
            elsewhere = error.errno not in _NOTHING_WRITTEN and self.places.after(self.places.now)
            if self._sealed or self.closed or elsewhere:
                raise

    def _cut_back(self, number: int, written: int, length: int) -> NoReturn:
        """Take away the part of an entry that was written, so that the next one can be read."""
        try:
            end = os.fstat(self._fd).st_size - written
            if self._number == number:
                os.ftruncate(self._fd, end)
            else:  # a re-entrant append has begun another segment
                self._seal()
        except OSError:
            self._seal()
        raise JournalError(errno.ENOSPC, f"{self.places.path}: {written} of {length} bytes could be written")

    def _failed(self, error: OSError) -> None:
        """Decide by what `write` said whether the segment can be written to again."""
        if error.errno == errno.EBADF:  # somebody closed our descriptors, the lock's among them
            self._lose()
        elif error.errno not in _NOTHING_WRITTEN:
            self._seal()
        elif self._count > 0:  # the next segment may have room: the limit may be the file's own
            self._room = _NO_ROOM

    def _seal(self) -> None:
        """Have the next append begin a segment before anything is written."""
        self._sealed, self._room = True, _NO_ROOM

    def _rotate(self) -> None:
        if self.closed:
            raise JournalError(errno.EBADF, f"{self.places.path}: closed; make a new writer")
        place = self.places.now
        if not place.held:
            self._lose()
            raise JournalError(errno.EBADF, f"{self.places.path}: the lock was closed; make a new writer")
        if not place.stands and self._descriptor is not None:
            self._put_back(self._descriptor, place)
            self.places.count_removed()
        self._begin_segment(place)
        if self._busy is None:
            self._close_retired()
        if self._bare:  # unless a re-entrant append has done it
            self._write_prelude()
        self.places.trim(self._number)

    def _begin_segment(self, place: Own) -> None:
        """Make the next segment and swap it in; a reader takes the older one for sealed as soon as it sees it.

        A re-entrant append may do all this while we are at it: then the newer segment stays.
        """
        number = next(self._numbers)
        try:
            descriptor = place.begin(number, encode_head(self.head))
        except BaseException:
            if number in place.numbers():  # a signal handler raised, in the one moment that is too late
                self._seal()
            raise
        old = self._descriptor
        if self._number < number:
            self._descriptor, self._fd, self._room = descriptor, descriptor.number, _NO_ROOM
            past, self._number = self._number, number
            before, tags = self.places.now, self._tags
            self._count, self._tags = 0, defaultdict(int)
            self._sealed, self._bare = False, True
            self.places.use(place)
            self._retire(old, before, past, tags)
        else:
            descriptor.close()

    def _retire(self, descriptor: Descriptor | None, place: Own, number: int, tags: Mapping[int, int]) -> None:
        if descriptor is not None:
            # not closed here: an outer frame of this thread may be about to write to it
            self._retired.append(descriptor)
            if descriptor.ours:
                place.sealed.known[number] = Known(os.fstat(descriptor.number).st_size, tags)
                if self._fsync:
                    os.fsync(descriptor.number)

    def _close_retired(self) -> None:
        while self._retired:
            self._retired.pop().close()

    def _write_prelude(self) -> None:
        self._bare = False  # first: what the prelude calls may append, and shall not come here again
        try:
            frames = [frame(tag, self._encode(record)) for tag, record in self._prelude()]
        except OSError as error:  # not to be taken for a full disk
            raise RuntimeError("the journal's prelude failed") from error
        data = b"".join(frames)
        self._room = max(self.places.now.segment_bytes, len(data))
        try:
            if data:
                self._put(data, entries=False)
        except BaseException:
            self._bare, self._room = True, _NO_ROOM
            raise
        if not self._sealed:  # it does not count: a long one must not leave a segment without room
            self._room = self.places.now.segment_bytes

    def _put_back(self, old: Descriptor, place: Own) -> None:
        place.make()
        content = os.pread(old.number, os.fstat(old.number).st_size, 0)
        new = place.begin(self._number, content)
        self._descriptor, self._fd = new, new.number
        self._retired.append(old)
        if late := os.pread(old.number, os.fstat(old.number).st_size, len(content)):  # by a finaliser, just now
            write_whole(new.number, late)
        self.places.use(place)
