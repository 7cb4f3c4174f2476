"""What threads set aside while another thread's `write` is held up by the disk: a stalled disk holds one call, not all.

It stands in this process's memory alone, until whoever comes next, or the held-up call itself, writes it down.
"""

from __future__ import annotations

import threading
from collections import deque

from posemon_otel.journal.segment import TAG_AT

PATIENCE = 1.0
"""Seconds that an append waits for another's; further ones then wait for nothing until the disk moves again."""


class Aside:
    """Whole entries in the order of their appends, bounded in bytes: beyond it the oldest goes, counted.

    Attributes:
        dropped: Entries that went, by tag.
    """

    def __init__(self, size: int) -> None:
        """Nothing stands aside.

        Args:
            size: Bytes that all entries may have together.
        """
        self._size = size
        self._held = 0
        self._frames: deque[bytes] = deque()
        self._lock = threading.RLock()  # never held over anything that can block
        self.dropped: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, data: bytes) -> None:
        """Set an entry aside."""
        with self._lock:
            self._frames.append(data)
            self._held += len(data)
            while self._held > self._size:
                gone = self._frames.popleft()
                self._held -= len(gone)
                self.dropped[gone[TAG_AT]] = self.dropped.get(gone[TAG_AT], 0) + 1

    def take(self) -> bytes | None:
        """The oldest entry, which is no longer here then; None if there is none."""
        with self._lock:
            if not self._frames:
                return None
            data = self._frames.popleft()
            self._held -= len(data)
            return data

    def give_back(self, data: bytes) -> None:
        """Put back what was taken and could not be written."""
        with self._lock:
            self._frames.appendleft(data)
            self._held += len(data)
