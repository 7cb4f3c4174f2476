"""Shipping from outside: a process that ships for a whole service says so, and the living writers leave it to it.

The word stands in a locked file beside the journals, so it is gone with the process that gave it, however that ends.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from posemon_otel.journal.files import Lock, abandon_in_children, is_locked

_NAME = ".shipper"


class Outside:
    """The word of a process that ships for a service; one at a time can give it."""

    def __init__(self, root: Path, consumers: Collection[str]) -> None:
        """Says nothing yet.

        Args:
            root: The service's folder.
            consumers: Those that it ships for, and those that it leaves to the writers themselves. A writer that owes
                to any other goes on shipping by itself.
        """
        self._path = root / _NAME
        self._consumers = sorted(consumers)
        self._lock = Lock(self._path)
        abandon_in_children(self)

    def take(self) -> bool:
        """Give the word, or see that it still stands; False if another process has given it.

        Raises:
            OSError: There is no such folder, or it cannot be written.
        """
        if self._lock.held:
            if self._path.exists():
                return True
            self._lock.release()  # the folder was taken away, and may be there anew
        if not self._lock.take():
            return False
        self._path.write_text(json.dumps(self._consumers))
        return True

    def release(self) -> None:
        """Take the word back: the writers ship by themselves again."""
        self._lock.release()

    def abandon(self) -> None:
        """In a forked child: the word stays the parent's."""
        self._lock.abandon()


def present(root: Path) -> bool:
    """Whether a process ships from outside for a service."""
    try:
        return is_locked(root / _NAME)
    except OSError:
        return False


def serves(root: Path, consumers: Collection[str]) -> bool:
    """Whether a process ships from outside for writers below `root` that owe to `consumers`."""
    path = root / _NAME
    try:
        return is_locked(path) and set(consumers) <= set(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):  # it is just being written
        return False
