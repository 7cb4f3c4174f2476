"""Entries that a backend refused while it took others: set aside in a small bounded file beside the journal."""

import base64
import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from posemon_otel.delivery import receipts

MAX_BYTES = 4 * 1024 * 1024
"""Size of the file beyond which its older half goes."""

PAYLOAD_BYTES = 1024 * 1024
"""A larger entry is set aside without its content."""


class Quarantined(NamedTuple):
    """One refused entry.

    Attributes:
        time_ns: When it was refused, in nanoseconds since 1970.
        endpoint: Who refused it: a URL without credentials, or the exporter's name.
        status: The answer, as far as the exporter told it.
        name: Of the span, or the event of the log record.
        trace_id: As hex; empty outside a trace.
        span_id: As hex; empty outside a span.
        tag: The entry's tag in the journal (``delivery.wire``).
        size: Bytes of its payload.
        payload: The entry as it stood in the journal; ``None`` where it was too large.
    """

    time_ns: int
    endpoint: str
    status: str
    name: str
    trace_id: str
    span_id: str
    tag: int
    size: int
    payload: bytes | None


def quarantined(journal_folder: Path, consumer: str) -> list[Quarantined]:
    """What is set aside, oldest first.

    Args:
        journal_folder: The folder of one process's journal.
        consumer: ``traces`` or ``logs``.
    """
    try:
        lines = path(journal_folder, consumer).read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):  # a torn line: who wrote it died
            fields = json.loads(line)
            payload = fields.pop("payload")
            found.append(Quarantined(**fields, payload=None if payload is None else base64.b64decode(payload)))
    return found


def add(journal_folder: Path, consumer: str, refused: Quarantined) -> None:
    """Sets an entry aside.

    Raises:
        OSError: It could not be written.
    """
    fields: dict[str, Any] = refused._asdict()
    payload = None if refused.payload is None or refused.size > PAYLOAD_BYTES else refused.payload
    fields["payload"] = None if payload is None else base64.b64encode(payload).decode()
    receipts.append(path(journal_folder, consumer), [fields], MAX_BYTES)


def path(journal_folder: Path, consumer: str) -> Path:
    """The quarantine file of a consumer."""
    return journal_folder / f"quarantine-{consumer}.jsonl"
