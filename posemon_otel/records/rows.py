"""What may be written: one row for a generation, a pose, an event. Filled by whoever reads the journal."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid5

POSE_NAMESPACE = UUID("6f1d3c6e-8a53-5d0b-9a64-7f5a3a1b2c4d")
"""Namespace of the ids of poses that have none of their own."""


class GenerationRow(NamedTuple):
    """State of one attempt at a generation.

    Attributes:
        id: The generation.
        status: A value of ``posemon_otel.semconv.operations.STATUSES``.
        terminal: Whether this is its last word: no attempt follows by itself.
        user_id: Whose it is; ``None`` where unknown, as everywhere below.
        expected_poses: Poses asked for.
        poses_completed: Poses rendered.
        poses_failed: Poses lost.
        credits_charged: Credits charged; the greatest number that any row has said stays.
        credits_refunded: Credits given back; likewise.
        error_type: A value of ``posemon_otel.semconv.errors.ErrorType``.
        error_reason: The finer cause.
        error_message: Redacted text.
        started_at: When this attempt began; aware, or naive in UTC.
        completed_at: When it ended.
        avg_generation_time: Seconds per pose.
        total_processing_time: Seconds.
        attempt: 1 is the first.
        trace_id: 32 hex digits.
        model: As in ``gen_ai.request.model``.
        provider: As in ``gen_ai.provider.name``.
        interrupted: Whether its process died: then every other last word of any attempt is better than this one.
    """

    id: str
    status: str
    terminal: bool
    user_id: str | None = None
    expected_poses: int | None = None
    poses_completed: int | None = None
    poses_failed: int | None = None
    credits_charged: int | None = None
    credits_refunded: int | None = None
    error_type: str | None = None
    error_reason: str | None = None
    error_message: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    avg_generation_time: float | None = None
    total_processing_time: float | None = None
    attempt: int = 1
    trace_id: str | None = None
    model: str | None = None
    provider: str | None = None
    interrupted: bool = False


class PoseRow(NamedTuple):
    """One attempt at one pose.

    Attributes:
        id: The pose; ``pose_row_id`` makes one.
        generation_id: What it belongs to.
        status: ``processing``, ``completed`` or ``failed``.
        pose_library_id: The library's pose, where it is one.
        name: What people call it.
        variation_key: What tells it from its siblings.
        error_type: A value of ``posemon_otel.semconv.errors.ErrorType``.
        error_reason: The finer cause.
        error_message: Redacted text.
        generation_time: Seconds.
        seed: As asked for.
        controlnet_weight: Scale of the pose map.
        output_image_url: Where the image lies.
        thumbnail_url: Where the thumbnail lies.
        attempt: Attempt of its generation.
        created_at: When this attempt began.
    """

    id: str
    generation_id: str
    status: str
    pose_library_id: str | None = None
    name: str | None = None
    variation_key: str | None = None
    error_type: str | None = None
    error_reason: str | None = None
    error_message: str | None = None
    generation_time: float | None = None
    seed: int | None = None
    controlnet_weight: float | None = None
    output_image_url: str | None = None
    thumbnail_url: str | None = None
    attempt: int = 1
    created_at: datetime | None = None


class EventRow(NamedTuple):
    """What ``record_event`` said.

    Attributes:
        id: The event's own uuid; writing it twice is writing it once.
        type: ``generation_started`` and its kin, or a dotted name.
        generation_id: What it is about, where it is about one.
        user_id: Who it is about, where it is about one.
        at: When it happened.
        metadata: Redacted JSON values.
    """

    id: str
    type: str
    generation_id: str | None
    user_id: str | None
    at: datetime
    metadata: Mapping[str, Any]


def pose_row_id(generation_id: str, index: int, *, pose_id: Any = None, name: Any = None, variation: Any = None) -> str:
    """The id of a pose that was given none: the same in every attempt.

    What tells a pose from its siblings is all that was said of it, not its variation alone: each of two poses of the
    library may have a ``front``. Only one of which nothing was said is told by its place.

    Args:
        generation_id: The generation.
        index: Its place in the generation.
        pose_id: Pose of the library.
        name: What people call it.
        variation: Its variation key.
    """
    said = (pose_id, name, variation)
    place = f"index\0{index}" if said == (None, None, None) else f"key\0{json.dumps(said)}"
    return str(uuid5(POSE_NAMESPACE, f"{generation_id}\0{place}".encode("utf-8", "replace").decode()))
