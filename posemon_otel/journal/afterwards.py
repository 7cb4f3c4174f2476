"""What is added to a dead process's journal: what it would have written, had it lived on.

Whoever does it holds the right to ship the journal. It is done once; the mark says so, also when nothing was to add.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

from posemon_otel.journal.files import JournalError
from posemon_otel.journal.place import COMPLETED
from posemon_otel.journal.reader import Journal
from posemon_otel.journal.segment import (
    FIRST,
    Head,
    begin,
    encode_head,
    frame,
    segment_numbers,
    segment_path,
    write_whole,
)


def is_completed(journal: Journal) -> bool:
    """Whether somebody has looked after this journal since its process died."""
    return (journal.folder / COMPLETED).exists()


def complete(journal: Journal, entries: Sequence[tuple[int, Any]]) -> None:
    """Adds a last segment with `entries` (tag, record), and the mark.

    Raises:
        JournalError: The process lives, or somebody else has the right to ship.
        OSError: It could not be written; nothing is marked.
    """
    if journal.alive or not journal.shipping:
        raise JournalError(errno.EPERM, f"{journal.folder}: only who ships a dead process's journal may add to it")
    if entries:
        from msgspec import msgpack

        number = max(segment_numbers(journal.folder), default=FIRST - 1) + 1
        head = encode_head(Head(journal.head, journal.consumers, 0))
        frames = b"".join(frame(tag, msgpack.encode(record)) for tag, record in entries)
        descriptor = begin(segment_path(journal.folder, number), head)
        try:
            write_whole(descriptor.number, frames)
        finally:
            descriptor.close()
    (journal.folder / COMPLETED).touch(mode=0o600)
