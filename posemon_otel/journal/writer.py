"""The writing side: one folder a process, one `write` an entry, done before the call returns.

Finalisers and signal handlers append too, on the thread that is in the middle of an append: they re-enter the lock
and find the outer frame in flight. What they may rely on is written down where they look: `_busy` is the outer frame,
and `ends_with` asks the file, not the outer call, what became of it. Between two calls into C CPython runs no handler,
which is why a test and the call that hangs on it stand together.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from posemon_otel.journal.files import Descriptor, JournalError, Lock, abandon_in_children, prepare_root
from posemon_otel.journal.retention import CAP_BYTES, KEEP_BYTES, SEGMENT_BYTES, SealedSegments
from posemon_otel.journal.segment import FIRST, begin, encode_head, ends_with, frame, segment_path

ALIVE = "alive"
SHIP = "ship"

_CONSUMER = re.compile(r"[a-z][a-z0-9_-]*")
# `write` says one of these instead of writing anything; after any other failure the segment's end is in doubt
_NOTHING_WRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_ROOM = -1

_write = os.write


def _no_prelude() -> Iterable[tuple[int, Any]]:
    return ()


class Writer:
    """Appends entries to the segments of a folder of its own, `<root>/<id>`, and holds the lock that says it lives.

    Attributes:
        id: The folder's name; ids sort in the order in which writers began.
        folder: Where the segments stand.
        closed: Nothing can be appended any more: closed, abandoned, or the folder was taken away. Make a new writer.
        cap_bytes: How much may wait for its consumers; may be changed at any time.
        dropped: Entries that each consumer lost because of the cap.
    """

    def __init__(
        self,
        root: Path,
        *,
        head: Mapping[str, Any],
        consumers: Sequence[str],
        prelude: Callable[[], Iterable[tuple[int, Any]]] = _no_prelude,
        segment_bytes: int = SEGMENT_BYTES,
        cap_bytes: int = CAP_BYTES,
        keep_bytes: int = KEEP_BYTES,
        fsync_sealed: bool = False,
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

        Raises:
            JournalError: `root` is not ours alone.
            OSError: The folder or the segment cannot be written.
            ValueError: A consumer's name is no name.
            TypeError: `head` holds what MessagePack cannot.
        """
        for consumer in consumers:
            if not _CONSUMER.fullmatch(consumer):
                raise ValueError(f"consumer {consumer!r}: a name of lower-case letters, digits, - and _ was expected")
        from msgspec import msgpack

        self._encode = msgpack.Encoder().encode
        self._head, self._consumers, self._prelude = dict(head), tuple(consumers), prelude
        self._segment_bytes, self.cap_bytes = segment_bytes, cap_bytes
        self._fsync = fsync_sealed
        self._lock = threading.RLock()
        self._busy: bytes | None = None
        self._descriptor: Descriptor | None = None
        self._retired: list[Descriptor] = []
        self._past = SealedSegments(self._consumers, keep_bytes)
        self._numbers = itertools.count(FIRST)
        self._fd = self._number = self._room = _NO_ROOM
        self._count = self._carried = 0
        self._bare = self._sealed = self.closed = False
        self.dropped = dict.fromkeys(consumers, 0)
        prepare_root(root)
        self.id = f"{time.time_ns():016x}{os.urandom(8).hex()}"
        # hidden until it is whole: a folder whose lock is not yet held looks like a dead process's
        self.folder = root / f".{self.id}"
        self._alive = Lock(self.folder / ALIVE)
        abandon_in_children(self)
        self._begin(root)

    def _begin(self, root: Path) -> None:
        try:
            self.folder.mkdir(mode=0o700)
            if not self._alive.take():
                raise JournalError(errno.EWOULDBLOCK, f"{self.folder}: somebody else holds the lock of a new folder")
            (self.folder / SHIP).touch(mode=0o600)
            self._begin_segment()
            self.folder = self.folder.rename(root / self.id)
            self._write_prelude()
        except BaseException:
            import shutil

            self._lose()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def append(self, tag: int, record: Any) -> None:
        """Write one entry; when this returns, the kernel has it.

        Args:
            tag: 1 to 255; 0 is the head's.
            record: What MessagePack can hold: no lone surrogates, integers of 64 bits.

        Raises:
            OSError: It was not written; the next append tries again.
            TypeError: `record` cannot be encoded; nothing was written. As msgspec says it: also ValueError,
                OverflowError, UnicodeEncodeError.
        """
        self._put(frame(tag, self._encode(record)))

    def append_encoded(self, tag: int, payload: bytes) -> None:
        """Write one entry whose MessagePack the caller has made; otherwise as `append`."""
        self._put(frame(tag, payload))

    def rotate(self) -> None:
        """Seal the segment and begin the next.

        Raises:
            OSError: The next one could not be begun; the old one is still written to.
        """
        with self._lock:
            self._rotate()

    def close(self) -> None:
        """Seal the last segment and let go of the lock: the folder may be adopted. A second call does nothing."""
        with self._lock:
            self._lose()

    def abandon(self) -> None:
        """In a forked child: close the copies of what the parent holds, which goes on holding and writing it."""
        self._lock = threading.RLock()  # a thread that the child does not have may hold the old one
        self._forget()
        self._alive.abandon()

    def _lose(self) -> None:
        self._forget()
        self._alive.release()

    def _forget(self) -> None:
        self.closed = True
        held = [*self._retired, self._descriptor]
        self._fd = self._room = _NO_ROOM
        self._descriptor = None
        self._retired = []
        for descriptor in held:
            if descriptor is not None:
                descriptor.close()

    def _put(self, data: bytes, entries: int = 1, *, again: bool = True) -> None:
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
                self._count += entries
                return
            finally:
                self._busy = outer
            self._put(data, entries, again=False)

    def _make_ready(self, length: int, outer: bytes | None) -> None:
        """Have a segment that an entry of `length` bytes may be written to."""
        if self.closed:
            raise JournalError(errno.EBADF, f"{self.folder}: closed; make a new writer")
        if outer is None:
            self._close_retired()
        elif not ends_with(self._fd, outer):
            self._seal()  # half of it may stand there: nothing may be written behind it
        try:
            if self._sealed or (self._room < length and self._count > 0 and not self._bare):
                self._rotate()
            elif self._bare:
                self._write_prelude()
        except OSError:  # a full disk, say: what is small may still fit into the old one
            if self._sealed or self.closed:
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
        raise JournalError(errno.ENOSPC, f"{self.folder}: {written} of {length} bytes could be written")

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
            raise JournalError(errno.EBADF, f"{self.folder}: closed; make a new writer")
        if not self._alive.held:
            self._lose()
            raise JournalError(errno.EBADF, f"{self.folder}: the lock was closed; make a new writer")
        self._begin_segment()
        if self._busy is None:
            self._close_retired()
        if self._bare:  # unless a re-entrant append has done it
            self._write_prelude()
        self.dropped = self._past.trim(self.folder, self._number, self.cap_bytes)

    def _begin_segment(self) -> None:
        """Make the next segment and swap it in; a reader takes the older one for sealed as soon as it sees it.

        A re-entrant append may do all this while we are at it: then the newer segment stays.
        """
        number = next(self._numbers)
        path = segment_path(self.folder, number)
        try:
            descriptor = begin(path, encode_head(self._head, self._consumers, time.time_ns()))
        except BaseException:
            if not self.folder.exists():  # what is written to a folder that is gone nobody can read
                self._lose()
            elif path.exists():  # a signal handler raised, in the one moment that is too late
                self._seal()
            raise
        old = self._descriptor
        if self._number < number:
            self._descriptor, self._fd, self._room = descriptor, descriptor.number, _NO_ROOM
            past, self._number = self._number, number
            entries = self._carried + self._count
            self._carried = self._count = 0
            self._sealed, self._bare = False, True
            self._retire(old, past, entries)
        else:
            descriptor.close()

    def _retire(self, descriptor: Descriptor | None, number: int, entries: int) -> None:
        if descriptor is not None:
            # not closed here: an outer frame of this thread may be about to write to it
            self._retired.append(descriptor)
            self._past.add(number, os.fstat(descriptor.number).st_size, entries)
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
        self._room = max(self._segment_bytes, len(data))
        try:
            if data:
                self._put(data, 0)
        except BaseException:
            self._bare, self._room = True, _NO_ROOM
            raise
        self._carried += len(frames)
        if not self._sealed:  # it does not count: a long one must not leave a segment without room
            self._room = self._segment_bytes
