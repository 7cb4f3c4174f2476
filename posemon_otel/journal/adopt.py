"""What becomes of the journals of processes that are gone: somebody who lives ships them, and in time they go.

The right to do either is the folder's `ship` lock, so two who find the same folder do not both have it.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from posemon_otel.journal.files import JournalError, Lock, is_locked, owned
from posemon_otel.journal.place import ALIVE, SHIP
from posemon_otel.journal.reader import Journal
from posemon_otel.journal.retention import CAP_BYTES, KEEP_BYTES, Lost, add
from posemon_otel.journal.segment import segment_numbers

KEEP_FOLDERS = 64
"""Folders of dead processes that everybody has passed, kept for looking things up: at most so many."""

# There a lock may be lost without a word, and a living process's journal would be taken for a dead one's.
_NETWORK = frozenset(
    "afpfs afs beegfs ceph cifs fuse.ceph fuse.glusterfs fuse.sshfs gfs2 glusterfs lustre "  # noqa: SIM905  # 18 lines
    "nfs nfs3 nfs4 ocfs2 smb2 smb3 smbfs".split()
)
_HALF_MADE_S = 3600
_OCTAL = re.compile(r"\\([0-7]{3})")  # how that file writes a space
_MOUNTS = Path("/proc/self/mountinfo")


def network_filesystem(path: Path) -> str | None:
    """The kind of network file system that `path` lies on; None if it is local or nothing can be known."""
    try:
        mounts = _MOUNTS.read_text().splitlines()
    except OSError:
        return None
    real = path.resolve()
    kind, longest = "", -1
    for line in mounts:
        fields, _, described = line.partition(" - ")
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields.split()[4])
        if len(point) >= longest and real.is_relative_to(point):
            kind, longest = described.split()[0], len(point)
    return kind if kind in _NETWORK else None


def journals(root: Path, *, keep_bytes: int = KEEP_BYTES) -> Iterator[Journal]:
    """The journals under a service's folder that this user can read, oldest writer first, living and dead."""
    for folder in _folders(root):
        if not folder.name.startswith("."):
            with contextlib.suppress(OSError):
                yield Journal.open(folder, keep_bytes=keep_bytes)


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(Path(entry) for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def adoptable(root: Path, *, consumers: Collection[str], keep_bytes: int = KEEP_BYTES) -> Iterator[Journal]:
    """The journals of dead processes in which something waits for one of `consumers`, each with its `ship` lock held.

    The caller reads, acknowledges and calls `release_ship`. A folder that somebody else has is left out, and all are
    on a network file system, where a lock says nothing.

    Raises:
        OSError: `root` cannot be read.
    """
    if network_filesystem(root) is not None:
        return
    for journal in journals(root, keep_bytes=keep_bytes):
        if journal.alive or journal.passed(consumers) or not journal.try_ship():
            continue
        if journal.passed(consumers):  # who had it before us has just done it
            journal.release_ship()
        else:
            yield journal


def tidy(
    root: Path,
    *,
    keep_bytes: int = KEEP_BYTES,
    cap_bytes: int = CAP_BYTES,
    keep_folders: int = KEEP_FOLDERS,
    settled: Callable[[Journal], bool] = lambda _journal: True,
) -> Lost:
    """Remove what is too much of the dead processes' journals, oldest first.

    Args:
        root: The service's folder.
        keep_bytes: How much of what all consumers have passed stays.
        cap_bytes: How much may wait for its consumers.
        keep_folders: How many folders of what all consumers have passed stay.
        settled: Whether nothing will be added to a dead process's journal any more; else it stays.

    Returns:
        Entries that each consumer lost by it, by (consumer, tag).

    Raises:
        OSError: `root` cannot be read.
    """
    lost: Lost = {}
    if network_filesystem(root) is not None:
        return lost
    _sweep(root)
    kept = waiting = folders = 0
    for journal in sorted(journals(root), key=lambda journal: journal.id, reverse=True):
        if journal.alive:
            continue
        size = sum(segment.size for segment in journal.segments())
        if journal.passed():
            if not settled(journal):
                continue
            kept, folders = kept + size, folders + 1
            if kept > keep_bytes or folders > keep_folders:
                _remove(journal.folder)
        else:
            waiting += size
            if waiting > cap_bytes and journal.try_ship():
                add(lost, journal.trim(cap_bytes=max(cap_bytes - waiting + size, 0)))
                journal.release_ship()
    return lost


def _sweep(root: Path) -> None:
    """Remove folders without a segment, and those whose process died while it made them."""
    import shutil

    for folder in _folders(root):
        if not owned(folder) or is_locked(folder / ALIVE):
            continue
        half_made = folder.name.startswith(".")
        with contextlib.suppress(OSError):
            if half_made and time.time() - folder.stat().st_mtime > _HALF_MADE_S:
                shutil.rmtree(folder)
            elif not half_made and (folder / ALIVE).exists() and not segment_numbers(folder):
                _remove(folder)


def _remove(folder: Path) -> None:
    """Remove the folder unless somebody ships it; who opens its lock meanwhile finds it removed."""
    import shutil

    lock = Lock(folder / SHIP)
    with contextlib.suppress(FileNotFoundError, JournalError):
        if lock.take():
            try:
                shutil.rmtree(folder)
            finally:
                lock.release()
