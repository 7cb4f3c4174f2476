"""What becomes of a dead process's journal: what was open ends as interrupted, counts go on where exports ended."""

from posemon_otel.delivery import drops, wire
from posemon_otel.delivery.metrics import EXPORTED, REPLAYED
from posemon_otel.delivery.otlp import decode
from posemon_otel.entries import Error, Finish, Start
from posemon_otel.journal import Journal, afterwards, positions
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import errors as e
from posemon_otel.semconv import operations as o

_MESSAGE = "the process died before it ended"


_TOLD = frozenset((wire.START, wire.FINISH, wire.LOG, wire.EVENT))
_STARTED = frozenset(kind.key for kind in o.KINDS if kind.started)


def interrupt_open(journal: Journal) -> int:
    """Writes an ``interrupted`` finish for each open operation of a dead process into its own journal.

    The consumer of metrics goes back to what had been exported: what was only replayed died with the process.
    Doing it again changes nothing: the finishes stand there. The end is the last sign of life, the time of the
    journal's last entry.

    Args:
        journal: A dead process's journal, which the caller has the right to ship.

    Returns:
        How many were open.
    """
    if positions.take_over(journal.folder, REPLAYED, EXPORTED):
        _tell_what_is_gone(journal)
    open_: dict[int, Start] = {}
    ended: set[int] = set()
    alive_until = 0
    for _, tag, payload in journal.entries():
        entry = decode(tag, payload, "traces") if tag in _TOLD else None
        if isinstance(entry, Start):
            if entry.kind in o.BY_KEY:  # a newer version's kinds are not ours to end
                open_[entry.span_id] = entry
            alive_until = max(alive_until, entry.start)
        elif isinstance(entry, Finish):
            if entry.kind in _STARTED:
                ended.add(entry.span_id)
            alive_until = max(alive_until, entry.end)
        elif entry is not None:
            alive_until = max(alive_until, entry.time)
    left = [start for span_id, start in open_.items() if span_id not in ended]
    afterwards.complete(journal, [(wire.FINISH, _interrupted(start, max(alive_until, start.start))) for start in left])
    return len(left)


def _tell_what_is_gone(journal: Journal) -> None:
    """Segments that everybody else had passed may be gone, with counts that no receiver has."""
    begin = journal.mark(REPLAYED).low.segment
    gone = next((segment.number for segment in journal.segments()), begin) - begin - 1
    if gone > 0 and REPLAYED in journal.consumers:
        drops.count(REPLAYED, "segments_gone", gone)
        drops.say_once(
            f"a process died while its metrics could not be delivered, and {gone} segments of its journal with counts"
            " were no longer kept (POSEMON_JOURNAL_KEEP)"
        )


def _interrupted(start: Start, end: int) -> Finish:
    error = Error(e.ErrorType.UNKNOWN_ERROR.value, e.UNKNOWN, _MESSAGE, recorded=start.kind != o.GENERATION.key)
    attributes = start.attributes | {
        a.OUTCOME: o.INTERRUPTED,
        a.ERROR_TYPE: error.type,
        a.ERROR_REASON: error.reason,
        a.COMPONENT: o.BY_KEY[start.kind].component,
    }
    if start.kind == o.GENERATION.key:
        attributes[a.GENERATION_STATUS] = o.FAILED
    return Finish(
        start.trace_id,
        start.span_id,
        start.parent_id,
        start.parent_remote,
        start.flags,
        start.trace_state,
        start.scope,
        start.kind,
        start.span_kind,
        start.name,
        start.start,
        end,
        attributes,
        2,
        _MESSAGE,
        o.INTERRUPTED,
        error,
        [],
        start.links,
        (0, 0, 0),
        start.facts,
        start.attempt,
        # Where a retry follows, that one counts; the row says failed until it does.
        terminal=start.last_attempt,
    )
