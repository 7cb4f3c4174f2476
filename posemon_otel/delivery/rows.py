"""What an entry of the journal is as a row of our database."""

from datetime import UTC, datetime
from typing import Any

from posemon_otel.delivery import wire
from posemon_otel.entries import Event, Finish, Start
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o

GENERATIONS, POSES, EVENTS = range(3)
"""The kinds of rows, in the order in which ``RecordWriter.write`` takes them."""

TAGS = frozenset((wire.START, wire.FINISH, wire.EVENT))
"""Entries that may be rows."""


def row_of(tag: int, entry: Any) -> tuple[int, Any] | None:
    """The kind and the row of an entry; ``None`` for one that is none.

    Raises:
        Exception: It lacks what a row needs; another version wrote it.
    """
    if tag == wire.EVENT:
        return EVENTS, _event(entry)
    if entry.kind == o.GENERATION.key:
        return GENERATIONS, _started(entry) if tag == wire.START else _generation(entry)
    if entry.kind == o.RENDER.key and tag == wire.FINISH and a.GENERATION_ID in entry.attributes:
        return POSES, _pose(entry)
    return None


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _started(start: Start) -> Any:
    from posemon_otel.records import GenerationRow

    own, facts = start.attributes, start.facts
    return GenerationRow(
        id=own[a.GENERATION_ID],
        status=o.PROCESSING,
        terminal=False,
        user_id=own.get(a.USER_ID),
        expected_poses=facts.get("expected_poses", own.get(a.EXPECTED_POSES)),
        credits_charged=facts.get("credits_charged"),
        started_at=_time(start.start),
        attempt=start.attempt,
        trace_id=start.trace_id.hex(),
        model=own.get(a.GEN_AI_REQUEST_MODEL),
        provider=own.get(a.GEN_AI_PROVIDER_NAME),
    )


def _generation(finish: Finish) -> Any:
    from posemon_otel.records import GenerationRow

    own, facts, error = finish.attributes, finish.facts, finish.error
    interrupted = finish.outcome == o.INTERRUPTED
    terminal = finish.terminal or interrupted
    status = o.FAILED if interrupted else facts.get("status") or own.get(a.GENERATION_STATUS) or o.PROCESSING
    return GenerationRow(
        id=own[a.GENERATION_ID],
        status=status if terminal else o.PROCESSING,
        terminal=terminal,
        user_id=own.get(a.USER_ID),
        expected_poses=facts.get("expected_poses", own.get(a.EXPECTED_POSES)),
        poses_completed=facts.get("poses_completed"),
        poses_failed=facts.get("poses_failed"),
        credits_charged=facts.get("credits_charged", own.get(a.CREDITS_CHARGED)),
        credits_refunded=facts.get("credits_refunded", own.get(a.CREDITS_REFUNDED)),
        error_type=error.type if error else None,
        error_reason=error.reason if error else None,
        error_message=error.message if error else "the process died" if interrupted else None,
        started_at=_time(finish.start),
        completed_at=_time(finish.end),
        avg_generation_time=facts.get("avg_generation_time"),
        total_processing_time=finish.seconds,
        attempt=finish.attempt,
        trace_id=finish.trace_id.hex(),
        model=own.get(a.GEN_AI_REQUEST_MODEL) or facts.get("model"),
        provider=own.get(a.GEN_AI_PROVIDER_NAME) or facts.get("provider"),
        interrupted=interrupted,
    )


def _pose(finish: Finish) -> Any:
    from posemon_otel.records import PoseRow, pose_row_id

    own, facts, error = finish.attributes, finish.facts, finish.error
    generation_id, variation = own[a.GENERATION_ID], own.get(a.POSE_VARIATION)
    told_by = {"pose_id": own.get(a.POSE_ID), "name": own.get(a.POSE_NAME), "variation": variation}
    return PoseRow(
        id=pose_row_id(generation_id, int(facts.get("index", 0)), **told_by),
        generation_id=generation_id,
        status=o.COMPLETED if finish.outcome == o.OK else o.FAILED,
        pose_library_id=own.get(a.POSE_ID),
        name=own.get(a.POSE_NAME),
        variation_key=variation,
        error_type=error.type if error else None,
        error_reason=error.reason if error else None,
        error_message=error.message if error else None,
        generation_time=finish.seconds,
        seed=own.get(a.GEN_AI_REQUEST_SEED),
        controlnet_weight=own.get(a.CONTROLNET_SCALE),
        output_image_url=facts.get("output_image"),
        thumbnail_url=facts.get("thumbnail"),
        attempt=finish.attempt,
        created_at=_time(finish.start),
    )


def _event(event: Event) -> Any:
    from posemon_otel.records import EventRow

    return EventRow(event.id, event.type, event.generation_id, event.user_id, _time(event.time), event.attributes)
