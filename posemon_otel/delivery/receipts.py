"""Who took what, when: a line for each delivered stretch of a journal, in a small bounded file beside it."""

import contextlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from posemon_otel.journal import Batch, Entry, Journal, Position

if TYPE_CHECKING:
    from posemon_otel.delivery.shipper import Outcome

ACKNOWLEDGED = "acknowledged"
"""Status of what was taken by an exporter that does not tell what it was answered."""

REJECTED = "rejected"
"""A status that begins so means that the stretch, one entry, was refused and stands in the quarantine file."""

MAX_BYTES = 512 * 1024
"""Size of the file beyond which its older half goes."""


class Receipt(NamedTuple):
    """What became of one stretch of a journal.

    Attributes:
        first: Where it begins.
        end: Behind its last entry.
        time_ns: When the answer came, in nanoseconds since 1970.
        endpoint: Who answered: a URL without credentials, or the exporter's name.
        status: The answer (``200``, ``OK``), ``acknowledged``, or ``rejected`` with the answer.
    """

    first: Position
    end: Position
    time_ns: int
    endpoint: str
    status: str


def receipts(journal_folder: Path, consumer: str) -> list[Receipt]:
    """The receipts that are still kept, oldest first.

    Args:
        journal_folder: The folder of one process's journal.
        consumer: ``traces`` or ``logs``.
    """
    try:
        lines = _path(journal_folder, consumer).read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError):  # a torn line: who wrote it died
            fields = json.loads(line)
            found.append(
                Receipt(
                    Position(*fields["first"]),
                    Position(*fields["end"]),
                    int(fields["time"]),
                    str(fields["endpoint"]),
                    str(fields["status"]),
                )
            )
    return found


def add(journal_folder: Path, consumer: str, new: Sequence[Receipt]) -> None:
    """Notes receipts; called by who ships the journal alone.

    Raises:
        OSError: They could not be written, which costs nothing but the knowledge.
    """
    append(_path(journal_folder, consumer), [_fields(receipt) for receipt in new], MAX_BYTES)


def note(journal: Journal, consumer: str, batch: Batch, outcome: "Outcome") -> None:
    """Writes down what became of a delivered batch; nothing where nothing was sent.

    Raises:
        OSError: As ``add``.
    """
    if not outcome.endpoint:
        return
    now = time.time_ns()
    new = [Receipt(batch.first, batch.position, now, outcome.endpoint, outcome.status)]
    for index, status in outcome.rejected:
        first, end = _place(journal, batch, batch.entries[index])
        new.append(Receipt(first, end, now, outcome.endpoint, f"{REJECTED} {status}"))
    add(journal.folder, consumer, new)


def _place(journal: Journal, batch: Batch, wanted: Entry) -> tuple[Position, Position]:
    """Where an entry of a batch begins and ends; the whole batch where it is gone."""
    found = None
    for position, tag, payload in journal.entries(batch.first):
        if found is not None:
            return found, position
        if position >= batch.position:
            break
        if (tag, payload) == wanted:
            found = position
    return (batch.first, batch.position) if found is None else (found, batch.position)


def append(path: Path, lines: Sequence[dict[str, Any]], max_bytes: int) -> None:
    """Appends lines of JSON to a file of ours (mode 0600) and removes its older half where it is too big.

    Raises:
        OSError: It could not be written.
    """
    data = b"".join(json.dumps(fields, separators=(",", ":")).encode() + b"\n" for fields in lines)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, data)
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    if size > max_bytes:
        _halve(path, max_bytes // 2)


def _halve(path: Path, keep: int) -> None:
    """Keeps the newest ``keep`` bytes, in whole lines."""
    with path.open("rb") as file:
        file.seek(-keep, os.SEEK_END)
        file.readline()
        rest = file.read()
    draft = path.with_name(f".{path.name}")
    draft.touch(mode=0o600)
    draft.write_bytes(rest)
    draft.replace(path)


def _path(journal_folder: Path, consumer: str) -> Path:
    return journal_folder / f"receipts-{consumer}.jsonl"


def _fields(receipt: Receipt) -> dict[str, Any]:
    return {
        "first": receipt.first,
        "end": receipt.end,
        "time": receipt.time_ns,
        "endpoint": receipt.endpoint,
        "status": receipt.status,
    }
