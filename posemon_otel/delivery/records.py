"""The consumer of rows: generations, poses and events become upserts in our own database.

A database that is away, slow or locked delays rows, and nothing else. A row that it will not take is found by halving:
writing a batch again changes nothing, so the halves are simply written. It is set aside, and the others arrive.
"""

import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, NamedTuple

from posemon_otel import faults
from posemon_otel.delivery import drops, forks, quarantine, wire
from posemon_otel.delivery.otlp import decode
from posemon_otel.delivery.rows import TAGS, row_of
from posemon_otel.delivery.shipper import Entry, Outcome
from posemon_otel.journal import Journal

_REFUSING_STATES = ("22", "23", "54", "P0")
"""Classes of SQLSTATE that blame the row: its values, a constraint, a limit, a trigger's own word."""

_REFUSING_ERRORS = ("DataError", "IntegrityError", "NotSupportedError")
"""Their names where the driver tells no SQLSTATE."""

_PATIENCE = 2
_UNPROVEN = 3
"""Rows that may be blamed one after another while the database takes no other: more are its own trouble."""


class Blame(Enum):
    """What an error says."""

    DATABASE = "database"
    """It is away, locked, full or not ours: later."""
    ROW = "row"
    """It lives, and will not have a row of the batch."""
    UNKNOWN = "unknown"
    """Either: whether a part of the batch goes through tells."""


class _Row(NamedTuple):
    number: int
    kind: int
    row: Any


class _Refused(NamedTuple):
    number: int
    blame: Blame
    why: str


class _Away(Exception):  # noqa: N818 - it tells what became of the batch
    pass


class Records:
    """Writes rows. A database that is away delays them; the journal holds them meanwhile."""

    name = "records"
    dead_only = False

    def __init__(self, connect: Callable[[], Any], batch_entries: int) -> None:
        """Makes the consumer.

        Args:
            connect: Opens the database and returns a ``posemon_otel.records.RecordWriter``; raises where it is away.
            batch_entries: Entries that one transaction takes at most.
        """
        self._connect = connect
        self._writer: Any = None
        self._ever_written = False
        self._refused_since = 0
        self.batch_entries = batch_entries

    def deliver(self, journal: Journal, entries: Sequence[Entry]) -> Outcome:
        if not any(tag in TAGS for tag, _ in entries):
            return Outcome(delivered=True)
        written = 0
        try:
            self._open()
            rows, refused = self._rows(entries)
            if rows:
                written = self._write(rows, refused)
        except _Away as away:
            self._forget_writer()
            return Outcome(delivered=False, status=str(away))
        if rows and not self._proven(written, refused):
            return Outcome(delivered=False, status=refused[-1].why, stuck=True)
        endpoint = "" if self._writer is None else self._writer.address
        for one in refused:
            self._set_aside(journal, entries[one.number], endpoint, one.why)
        rejected = tuple((one.number, one.why) for one in refused)
        return Outcome(delivered=True, endpoint=endpoint, status="written" if written else "", rejected=rejected)

    def _proven(self, written: int, refused: Sequence[_Refused]) -> bool:
        """Whether the database lives, so that what it refused may be set aside."""
        if written:
            self._ever_written, self._refused_since = True, 0
            return True
        self._refused_since += len(refused)
        certain = all(one.blame is Blame.ROW for one in refused)
        return certain and self._ever_written and self._refused_since <= _UNPROVEN

    def close(self) -> None:
        """Gives up connections that are not in use; a transaction ends by the database's own timeouts."""
        self._forget_writer()

    def _open(self) -> None:
        """Has a writer, and with it the modules that rows need."""
        if self._writer is not None:
            return
        try:
            with forks.held_off():
                self._writer = self._connect()
        except Exception as exc:
            raise _Away(_first_line(exc)) from exc

    def _forget_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _rows(self, entries: Sequence[Entry]) -> tuple[list[_Row], list[_Refused]]:
        rows, refused = [], []
        for number, (tag, payload) in enumerate(entries):
            entry = decode(tag, payload, self.name) if tag in TAGS else None
            if entry is None:
                continue
            try:
                found = row_of(tag, entry)
            except Exception as exc:
                refused.append(_Refused(number, Blame.ROW, type(exc).__name__))
            else:
                if found is not None:
                    rows.append(_Row(number, *found))
        return rows, refused

    def _write(self, rows: list[_Row], refused: list[_Refused]) -> int:
        """Writes what the database takes, and adds what it does not take to ``refused``.

        Returns:
            How many rows went through.

        Raises:
            _Away: The database takes nothing now.
        """
        parts, written, failed = [rows], 0, 0
        patience = _PATIENCE * len(rows).bit_length() + _PATIENCE
        while parts:
            part = parts.pop()
            try:
                self._transaction(part)
            except _Away:
                raise
            except Exception as exc:
                blame, why = blame_of(exc), _first_line(exc)
                if blame is Blame.DATABASE:
                    raise _Away(why) from exc
                failed += 1
                if not written and failed > patience:
                    raise _Away(why) from exc
                if len(part) == 1:
                    refused.append(_Refused(part[0].number, blame, why))
                else:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
            else:
                written += len(part)
        return written

    def _transaction(self, rows: Sequence[_Row]) -> None:
        kinds: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        for row in rows:
            kinds[row.kind].append(row.row)
        self._open()
        self._writer.write(*kinds)

    def _set_aside(self, journal: Journal, entry: Entry, endpoint: str, why: str) -> None:
        tag, payload = entry
        drops.count(self.name, "rejected")
        drops.say_once(
            f"{endpoint or 'the database'} takes other rows but not some ({why}): they are set aside in"
            f" {quarantine.path(journal.folder, self.name)} and counted as dropped"
        )
        found = wire.decoder(tag).decode(payload)
        try:
            quarantine.add(
                journal.folder,
                self.name,
                quarantine.Quarantined(
                    time.time_ns(),
                    endpoint,
                    why,
                    found.name,
                    found.trace_id.hex(),
                    f"{found.span_id:016x}" if found.span_id else "",
                    tag,
                    len(payload),
                    bytes(payload),
                ),
            )
        except OSError as exc:
            drops.say_once(f"what was refused could not be set aside in {journal.folder}: {exc.strerror or exc}")
            faults.logger.debug("setting a row aside", exc_info=exc)


def blame_of(error: BaseException) -> Blame:
    """Whether the database or a row is to blame for an error of ``RecordWriter.write``."""
    from posemon_otel.records import DatabaseError

    if not isinstance(error, DatabaseError):
        return Blame.UNKNOWN  # a value that the driver cannot even send
    cause = getattr(error.__cause__, "orig", None)
    if cause is None:
        return Blame.DATABASE
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return Blame.ROW if state.startswith(_REFUSING_STATES) else Blame.DATABASE
    names = {kind.__name__ for kind in type(cause).__mro__}
    if names.intersection(_REFUSING_ERRORS):
        return Blame.ROW
    return Blame.DATABASE if "OperationalError" in names else Blame.UNKNOWN


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
