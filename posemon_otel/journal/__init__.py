"""An append-only journal: what a process writes is there when the process is not.

It knows neither OpenTelemetry nor what an entry means: a tag, MessagePack, and consumers that each read at their own
pace.
"""

from __future__ import annotations

from posemon_otel.journal.adopt import adoptable, journals, network_filesystem, tidy
from posemon_otel.journal.files import JournalError
from posemon_otel.journal.places import Places, Trouble
from posemon_otel.journal.positions import START, Mark, Position
from posemon_otel.journal.reader import Batch, Entry, Journal, Lag
from posemon_otel.journal.retention import CAP_BYTES, KEEP_BYTES, MEMORY_BYTES, SEGMENT_BYTES, SPARE_BYTES
from posemon_otel.journal.segment import Segment
from posemon_otel.journal.writer import Writer

__all__ = [
    "CAP_BYTES",
    "KEEP_BYTES",
    "MEMORY_BYTES",
    "SEGMENT_BYTES",
    "SPARE_BYTES",
    "START",
    "Batch",
    "Entry",
    "Journal",
    "JournalError",
    "Lag",
    "Mark",
    "Places",
    "Position",
    "Segment",
    "Trouble",
    "Writer",
    "adoptable",
    "journals",
    "network_filesystem",
    "tidy",
]
