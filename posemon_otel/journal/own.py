"""Where a writer puts its segments: a folder of its own, or memory where no folder can be written."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from posemon_otel.journal.files import Descriptor, JournalError, Lock, prepare_root
from posemon_otel.journal.place import ALIVE, COMPLETED, SHIP, Folder, Shelf
from posemon_otel.journal.retention import SealedSegments
from posemon_otel.journal.segment import MAX_ENTRY, begin, segment_path, write_whole

_PROBE = ".room"
_PROBE_BYTES = 64 * 1024
_PARTS = 8  # the oldest of so many segments goes when memory is full


class OwnFolder(Folder):
    """A writer's own folder: it holds the lock that says that the writer lives.

    Attributes:
        root: The folder that it stands in.
        sealed: What the writer remembers of the segments in it.
        segment_bytes: Size at which the next segment is begun.
        largest: The most bytes that an entry may have.
        used: Whether it has been made.
    """

    largest = MAX_ENTRY * 2

    def __init__(self, root: Path, name: str, *, segment_bytes: int, cap_bytes: int, keep_bytes: int) -> None:
        super().__init__(root / name, keep_bytes=keep_bytes)
        self.root = root
        self.sealed = SealedSegments(keep_bytes, cap_bytes)
        self.segment_bytes = segment_bytes
        self.used = False
        self._alive: Lock | None = None

    def make(self) -> None:
        """Make the folder where it is missing, and take its lock.

        Raises:
            JournalError: `root` is not ours alone, or somebody else holds the lock.
            OSError: It cannot be made.
        """
        if self.used and self.stands:
            with contextlib.suppress(OSError):  # its open operations are again to be looked for in it
                (self.path / COMPLETED).unlink(missing_ok=True)
            return
        prepare_root(self.root)
        before, shipping = self._alive, self.shipping
        self._alive = self._take_in_place() if self.path.is_dir() else self._make_anew()
        if before is not None:
            before.release()
        self._ship.abandon()
        self._ship = Lock(self.path / SHIP)
        self.used = True
        if shipping:
            self._ship.take()

    def _take_in_place(self) -> Lock:
        """The lock in a folder whose files were removed, but not the folder."""
        lock = Lock(self.path / ALIVE)
        if not lock.take():
            raise JournalError(errno.EWOULDBLOCK, f"{self.path}: somebody else holds the lock of a new folder")
        return lock

    def _make_anew(self) -> Lock:
        # hidden until it is whole: a folder whose lock is not yet held looks like a dead process's
        draft = self.path.with_name(f".{self.path.name}")
        lock = Lock(draft / ALIVE)
        try:
            draft.mkdir(mode=0o700)
            if not lock.take():
                raise JournalError(errno.EWOULDBLOCK, f"{draft}: somebody else holds the lock of a new folder")
            (draft / SHIP).touch(mode=0o600)
            draft.rename(self.path)
        except BaseException:
            import shutil

            lock.release()
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return lock

    @property
    def held(self) -> bool:
        """Whether we hold the lock that says that the writer lives."""
        return self._alive is not None and self._alive.held

    @property
    def stands(self) -> bool:
        """Whether the folder is there, with the lock that we hold."""
        return self._alive is not None and self._alive.stands_at(self.path / ALIVE)

    def probe(self) -> None:
        """Find out whether there is room.

        Raises:
            OSError: There is none, or nothing can be written.
        """
        prepare_root(self.root)
        path = self.root / f"{_PROBE}-{self.path.name}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            write_whole(descriptor, bytes(_PROBE_BYTES))
        finally:
            os.close(descriptor)
            path.unlink()

    def begin(self, number: int, content: bytes) -> Descriptor:
        """Make segment `number`, open for appending.

        Raises:
            OSError: It could not be made; nothing is left of it.
        """
        return begin(segment_path(self.path, number), content)

    def holds(self, number: int, descriptor: Descriptor) -> bool:
        """Whether segment `number` is the file that `descriptor` stands for."""
        return descriptor.stands_at(segment_path(self.path, number))

    def left(self) -> None:
        """The writer goes on elsewhere, and carries with it what is open."""
        with contextlib.suppress(OSError):
            (self.path / COMPLETED).touch(mode=0o600)

    def dispose(self) -> None:
        """Remove it."""
        import shutil

        self.used = False
        self.close()
        self._ship.release()
        shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Give the lock back: the folder may be adopted."""
        if self._alive is not None:
            self._alive.release()

    def abandon(self) -> None:
        """In a forked child: close the copy of the lock, which stays the parent's."""
        if self._alive is not None:
            self._alive.abandon()


class Memory(Shelf):
    """Segments in the memory of this process: they hold what no folder takes, and go with the process.

    Each is a file without a name, so that it is written and read as those on disk are.
    """

    keep_bytes = 0

    def __init__(self, size: int) -> None:
        """Nothing is taken yet.

        Args:
            size: Bytes that all segments may have together; beyond it the oldest goes.
        """
        self.segment_bytes = size // _PARTS
        self.largest = self.segment_bytes
        # one is being written, which may be too long by one entry, and the next is begun before the oldest goes
        self.sealed = SealedSegments(0, size - 3 * self.segment_bytes)
        self.used = False
        self._files: dict[int, Descriptor] = {}
        self._lock = threading.Lock()

    @property
    def held(self) -> bool:
        """Whether it is ours, which nobody can change."""
        return self.used

    stands = held

    def make(self) -> None:
        """Be ready.

        Raises:
            JournalError: The system knows no files without a name.
        """
        if not hasattr(os, "memfd_create"):
            raise JournalError(errno.ENOSYS, "this system has no files in memory")
        self.used = True

    def begin(self, number: int, content: bytes) -> Descriptor:
        """Make segment `number`, open for appending.

        Raises:
            OSError: It could not be made; nothing is left of it.
        """
        import fcntl

        if len(content) > self.sealed.cap_bytes:
            raise JournalError(errno.ENOSPC, f"a segment of {len(content)} bytes does not fit into memory")
        written = Descriptor(os.memfd_create("posemon-journal"))
        try:
            fcntl.fcntl(written.number, fcntl.F_SETFL, os.O_APPEND)
            write_whole(written.number, content)
            read = Descriptor(os.dup(written.number))
        except BaseException:
            written.close()
            raise
        with self._lock:
            self._files[number] = read
        return written

    def numbers(self) -> list[int]:
        return sorted(self._files.copy())

    def size(self, number: int) -> int:
        descriptor = self.open(number)
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def open(self, number: int) -> int:
        with self._lock:
            if number not in self._files:
                raise FileNotFoundError(errno.ENOENT, f"segment {number} is not in memory")
            return os.dup(self._files[number].number)

    def remove(self, number: int) -> None:
        with self._lock:
            gone = self._files.pop(number, None)
            if gone is not None:
                gone.close()

    def holds(self, number: int, descriptor: Descriptor) -> bool:  # noqa: ARG002 - nobody else can take it away
        """Whether segment `number` is there."""
        return number in self._files

    def add_dropped(self, counts: Mapping[str, int]) -> None:
        """The writer has the numbers; nobody else can ask for them."""

    def left(self) -> None:
        """The writer goes on elsewhere."""

    def dispose(self) -> None:
        """Give the memory back."""
        self.used = False
        for number in self.numbers():
            self.remove(number)

    def close(self) -> None:
        """What nobody has read goes."""
        self.dispose()

    def abandon(self) -> None:
        """In a forked child: give back what the parent goes on holding."""
        self._lock = threading.Lock()  # a thread that the child does not have may hold the old one
        self.dispose()
