"""Which of two rows about one thing is right. Pure: rows may come twice, late, in any order, and the end is the same.

Every row has an order key. A generation remembers two of them: that of the newest row seen, and that of the newest
last word (completed, partial or failed; the word of an heir about a process that died is none). The newest row decides
whether the generation runs; what it shows beside its status comes from the newest last word once there is one.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from posemon_otel.records import clean
from posemon_otel.records.rows import GenerationRow, PoseRow
from posemon_otel.semconv.operations import COMPLETED, PENDING, PROCESSING, TERMINAL_STATUSES

RUNNING, INTERRUPTED, SETTLED = range(3)
_PHASE_AT = 34  # where it stands in a key

Known = Mapping[str, Any]
"""Columns of ``pose_generations`` and ``generation_facts`` that posemon writes, by name."""


def _key(attempt: int, began: datetime | None, phase: int, ended: datetime | None) -> str:
    """Compares as text: attempt, then beginning, then how final, then end."""
    times = ["" if time is None else time.strftime("%Y%m%dT%H%M%S.%f") for time in (began, ended)]
    return f"{clean.count(attempt):010d} {times[0]:>22} {phase} {times[1]}"


def blank(created_at: datetime, *, begun_here: bool) -> dict[str, Any]:
    """What is known before the first row.

    Args:
        created_at: When the generation was asked for.
        begun_here: Whether that is only our guess.
    """
    numbers = ("progress", "posesCompleted", "posesFailed", "creditCharged", "creditRefunded")
    return {
        "userId": None,
        "totalExpectedPoses": None,
        "status": PENDING,
        "createdAt": clean.moment(created_at),
        **dict.fromkeys(numbers, 0),
        "latest": "",
        "settled": None,
        "settled_status": None,
        "begun_here": begun_here,
    }


def generation_phase(row: GenerationRow) -> int:
    """Whether the row is a last word, that of an heir, or none."""
    if not row.terminal or row.status not in TERMINAL_STATUSES:
        return RUNNING
    return INTERRUPTED if row.interrupted else SETTLED


def generation_key(row: GenerationRow) -> str:
    """The row's place among those of its generation."""
    return _key(row.attempt, clean.moment(row.started_at), generation_phase(row), clean.moment(row.completed_at))


def pose_key(row: PoseRow) -> str:
    """The row's place among those of its pose."""
    phase = {PROCESSING: RUNNING, COMPLETED: SETTLED}.get(row.status, INTERRUPTED)
    return _key(row.attempt, clean.moment(row.created_at), phase, None)


def _words(row: GenerationRow) -> dict[str, Any]:
    """What an attempt says about itself."""
    return {
        "startedAt": clean.moment(row.started_at),
        "completedAt": None if generation_phase(row) == RUNNING else clean.moment(row.completed_at),
        "posesCompleted": clean.count(row.poses_completed),
        "posesFailed": clean.count(row.poses_failed),
        "errorMessage": clean.cleaned_text(row.error_message),
        "avgGenerationTime": clean.real(row.avg_generation_time),
        "totalProcessingTime": clean.real(row.total_processing_time),
        "attempt": clean.count(row.attempt),
        "interrupted": row.interrupted,
        "error_type": clean.cleaned_text(row.error_type),
        "error_reason": clean.cleaned_text(row.error_reason),
        "trace_id": clean.cleaned_text(row.trace_id),
        "model": clean.cleaned_text(row.model),
        "provider": clean.cleaned_text(row.provider),
    }


def _lasting(known: Known, row: GenerationRow) -> dict[str, Any]:
    """What belongs to the generation and not to an attempt: the first who knows it is right, credits only grow."""
    lasting = {
        "userId": known["userId"] if known["userId"] is not None else clean.cleaned_text(row.user_id),
        "totalExpectedPoses": known["totalExpectedPoses"],
        "creditCharged": max(known["creditCharged"], clean.count(row.credits_charged)),
        "creditRefunded": max(known["creditRefunded"], clean.count(row.credits_refunded)),
        "createdAt": known["createdAt"],
    }
    if lasting["totalExpectedPoses"] is None and row.expected_poses is not None:
        lasting["totalExpectedPoses"] = clean.count(row.expected_poses)
    began = clean.moment(row.started_at) or clean.moment(row.completed_at)
    if known["begun_here"] and began is not None:
        lasting["createdAt"] = min(known["createdAt"], began)
    return lasting


def merge(known: Known, row: GenerationRow) -> dict[str, Any]:
    """What is known after one more row.

    Args:
        known: The columns as they stand; ``latest`` is empty before the first row.
        row: What came.
    """
    phase, key = generation_phase(row), generation_key(row)
    merged = {**known, **_lasting(known, row)}
    newest = key > known["latest"]
    if newest:
        merged["latest"] = key
    if phase == SETTLED:
        if known["settled"] is None or key > known["settled"]:
            merged.update(_words(row), settled=key, settled_status=row.status)
    elif newest and known["settled"] is None:
        hides_its_end = phase == RUNNING and row.status in TERMINAL_STATUSES
        merged.update(_words(row), status=PROCESSING if hides_its_end else row.status)
    if merged["settled"] is not None:
        runs_again = merged["latest"][_PHASE_AT] == str(RUNNING)
        merged["status"] = PROCESSING if runs_again else merged["settled_status"]
    merged["progress"] = _progress(merged)
    return merged


def _progress(known: Known) -> int:
    if known["settled"] is not None and known["status"] == known["settled_status"]:
        return 100
    expected = known["totalExpectedPoses"]
    done = known["posesCompleted"] + known["posesFailed"]
    return min(100, done * 100 // expected) if expected else 0
