"""What the journal asks of the file system: private folders, held locks, descriptors that nobody else closes.

Everything that a forked child inherits is registered here and closed in it: `flock` belongs to the open file
description, so a child that kept its copy would keep a dead parent alive in the eyes of every adopter.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import threading
import weakref
from pathlib import Path
from typing import Protocol

# Descriptors of the journal stand at this number or above, where the kernel hands out none by itself: a host that
# closes "its" low descriptors and opens files in their place cannot make an entry land in one of them.
_LOWEST_DESCRIPTOR = 256

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class JournalError(OSError):
    """The journal cannot do what was asked: a folder that is not ours, an entry not written, an unknown format."""


class Abandonable(Protocol):
    """Something that holds descriptors and knows how to forget them in a forked child."""

    def abandon(self) -> None:
        """Close the child's copies without releasing what the parent holds."""


_inherited: weakref.WeakSet[Abandonable] = weakref.WeakSet()
_taking = threading.RLock()  # held while a lock is taken: no child is forked with a copy that nobody knows of
_hooked = False


def abandon_in_children(holder: Abandonable) -> None:
    """Have `holder.abandon()` called in every child that this process forks from now on."""
    global _hooked
    if not _hooked:
        _hooked = True
        os.register_at_fork(before=_taking.acquire, after_in_parent=_taking.release, after_in_child=_abandon_all)
    _inherited.add(holder)


def _abandon_all() -> None:
    _taking.release()
    for holder in list(_inherited):
        holder.abandon()
    _inherited.clear()


def prepare_root(root: Path) -> None:
    """Make `root` (mode 0700) or check the one that is there.

    Raises:
        JournalError: It belongs to another user, is no folder, or others may write to it.
        OSError: It cannot be made.
    """
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        root.mkdir(mode=0o700)
    except FileExistsError:
        pass
    if not owned(root):
        message = f"journal folder {root}: belongs to another user or is no folder; name one of your own"
        raise JournalError(errno.EPERM, message)
    mode = stat.S_IMODE(root.stat().st_mode)
    if mode & _OTHERS_MAY_WRITE:
        message = f"journal folder {root}: mode {mode:o} lets others write to it; chmod go-w it or name another"
        raise JournalError(errno.EPERM, message)


def owned(folder: Path) -> bool:
    """Whether `folder` is a folder of this user, and the link that leads to it, if any, too."""
    try:
        named, real = folder.lstat(), folder.stat()
    except OSError:
        return False
    return named.st_uid == real.st_uid == os.geteuid() and stat.S_ISDIR(real.st_mode)


def replace(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step: a reader sees the old or the new, never half of one.

    Raises:
        OSError: It could not be written; the old content stands.
    """
    draft = path.with_name(f".{path.name}")
    draft.write_bytes(content)
    draft.replace(path)


class Descriptor:
    """A file descriptor that is closed once, by its owner, and only while it is still the file that was opened."""

    __slots__ = ("_identity", "number")

    def __init__(self, path: Path | int, flags: int = 0) -> None:
        """Open `path` with `flags` (mode 0600, not inherited by programs that this process starts).

        An open descriptor in place of a path is taken over and gets another number.
        """
        low = path if isinstance(path, int) else os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            self.number = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _LOWEST_DESCRIPTOR)
        except OSError:  # the limit of open files is below that
            self.number = low
        else:
            os.close(low)
        self._identity = _identity(self.number)

    @property
    def ours(self) -> bool:
        """Whether the number still stands for the file that was opened here."""
        try:
            return self.number >= 0 and _identity(self.number) == self._identity
        except OSError:
            return False

    def stands_at(self, path: Path) -> bool:
        """Whether `path` names the file that was opened here."""
        try:
            status = path.stat()
        except OSError:
            return False
        return self.ours and (status.st_dev, status.st_ino) == self._identity

    def close(self) -> None:
        """Close it; a second call does nothing."""
        number, ours = self.number, self.ours
        self.number = -1
        if ours:
            os.close(number)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


class Lock:
    """An exclusive `flock` on a file: held until released or until every process that shares it is gone."""

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: Descriptor | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None and self._descriptor.ours

    def stands_at(self, path: Path) -> bool:
        """Whether the lock is held on the file that `path` names."""
        return self._descriptor is not None and self._descriptor.stands_at(path)

    def take(self) -> bool:
        """Take the lock if it is free; False if another holds it or its file was removed meanwhile.

        Raises:
            OSError: The file cannot be opened or the file system knows no locks.
        """
        if self.held:
            return True
        with _taking:
            descriptor = Descriptor(self._path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(descriptor.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor.number).st_nlink:
                    self._descriptor = descriptor
            except BlockingIOError:
                pass
            finally:
                if self._descriptor is not descriptor:
                    descriptor.close()
        return self.held

    def release(self) -> None:
        """Give the lock back, whoever else has a copy of the descriptor."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if descriptor.ours:
                fcntl.flock(descriptor.number, fcntl.LOCK_UN)
            descriptor.close()

    def abandon(self) -> None:
        """Close a forked child's copy; the parent goes on holding the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            descriptor.close()


def is_locked(path: Path) -> bool:
    """Whether somebody, this process included, holds the lock at `path`."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # shared, so that two who ask at once do not take each other for the owner
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False
