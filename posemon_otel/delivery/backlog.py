"""Journals as seen from outside: what waits in them for whom, and the spans that stand in them. Changes nothing."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from posemon_otel.delivery import wire
from posemon_otel.entries import Finish
from posemon_otel.journal import Journal, Mark, Position, journals
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o
from posemon_otel.state import spare_root


class Waiting(NamedTuple):
    """What waits for one consumer.

    Attributes:
        consumer: ``traces``, ``logs``, ``metrics``, ``records`` or ``events``.
        bytes: Bytes of the journal that it has not passed.
        seconds: Age of the oldest entry among them; ``None`` where it does not say.
        dropped: Entries that it lost because the journal was full.
    """

    consumer: str
    bytes: int
    seconds: float | None
    dropped: int


class Backlog(NamedTuple):
    """The journal of one process.

    Attributes:
        service: ``service.name`` of the process.
        folder: Where it lies.
        alive: Whether the process lives.
        bytes: Bytes on disk.
        waiting: What waits, a line a consumer.
    """

    service: str
    folder: Path
    alive: bool
    bytes: int
    waiting: tuple[Waiting, ...]

    @property
    def delivered(self) -> bool:
        """Whether nothing waits for anybody."""
        return not any(one.bytes for one in self.waiting)


def backlogs(folder: Path) -> list[Backlog]:
    """The journals below a folder of services, living and dead; those of other users are left out.

    Args:
        folder: As ``state.journals_folder`` tells.
    """
    found = []
    for journal in every_journal(folder):
        try:
            found.append(_backlog(journal))
        except OSError:
            continue  # its owner has just removed it
    return found


def generation_spans(folder: Path, generation_id: str) -> list[Finish]:
    """The finished spans of the traces of a generation, of all services, as far as their segments are still kept.

    Args:
        folder: As ``state.journals_folder`` tells.
        generation_id: The generation.
    """
    by_trace: dict[bytes, list[Finish]] = {}
    wanted: set[bytes] = set()
    for finish in _finishes(every_journal(folder)):
        by_trace.setdefault(finish.trace_id, []).append(finish)
        if finish.kind == o.GENERATION.key and finish.attributes.get(a.GENERATION_ID) == generation_id:
            wanted.add(finish.trace_id)
    return [finish for trace_id in sorted(wanted) for finish in by_trace[trace_id]]


def every_journal(folder: Path) -> Iterator[Journal]:
    """The journals of every service that this user can read, oldest writer of each first.

    Args:
        folder: As ``state.journals_folder`` tells.
    """
    for service in services(folder):
        yield from journals(service)


def services(folder: Path) -> list[Path]:
    """The folders in which services may have journals, those in memory that stand in for one of them too.

    Args:
        folder: As ``state.journals_folder`` tells.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        found = []
    return [*found, *_spares(folder)]


def _spares(folder: Path) -> list[Path]:
    example = "service"
    spare = spare_root(folder / example)
    before = spare.name.partition(example)[0]
    named = ((path, path.name.removeprefix(before).rpartition("-")[0]) for path in spare.parent.glob(f"{before}*"))
    return sorted(path for path, name in named if name and spare_root(folder / name) == path)


def service_of(journal: Journal) -> str:
    """``service.name`` of the process that wrote a journal."""
    resource: dict[str, Any] = journal.head.get("resource", {})
    return str(resource.get("service.name", journal.folder.parent.name))


def behind(mark: Mark, at: Position) -> bool:
    """Whether a consumer with this mark is done with the entry at a place."""
    return at < mark.low or mark.skip(at) > at


def _backlog(journal: Journal) -> Backlog:
    dropped = journal.dropped
    return Backlog(
        service_of(journal),
        journal.folder,
        journal.alive,
        sum(segment.size for segment in journal.segments()),
        tuple(_waiting(journal, consumer, dropped.get(consumer, 0)) for consumer in sorted(journal.consumers)),
    )


def _waiting(journal: Journal, consumer: str, dropped: int) -> Waiting:
    lag = journal.lag(consumer)
    seconds = None
    if lag.oldest is not None:
        moment = wire.moment(*lag.oldest)
        seconds = None if moment is None else max(0.0, time.time() - moment / 1e9)
    return Waiting(consumer, lag.bytes, seconds, dropped)


def _finishes(found: Iterable[Journal]) -> Iterator[Finish]:
    for journal in found:
        try:
            for _, tag, payload in journal.entries():
                if tag == wire.FINISH:
                    finish = decoded(tag, payload)
                    if finish is not None:
                        yield finish
        except OSError:
            continue  # its owner has just removed it


def decoded(tag: int, payload: bytes) -> Any:
    """An entry; ``None`` for one that this version cannot read."""
    import msgspec

    if tag not in wire.TYPES:
        return None
    try:
        return wire.decoder(tag).decode(payload)
    except msgspec.MsgspecError:
        return None  # written by another version
