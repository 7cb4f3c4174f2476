"""Answers about generations."""

from posemon_otel.admin.views.base import View, iso
from posemon_otel.records import results


class Generation(View, frozen=True):
    """A generation in a list; each field as in ``records.results.GenerationSummary``."""

    id: str
    user_id: str | None
    status: str
    expected_poses: int | None
    poses_completed: int
    poses_failed: int
    credits_charged: int
    credits_refunded: int
    created_at: str | None
    started_at: str | None
    completed_at: str | None
    avg_generation_time: float | None
    total_processing_time: float | None
    error_type: str | None
    attempt: int | None
    trace_id: str | None
    model: str | None
    provider: str | None
    sample: bool

    @classmethod
    def of(cls, summary: results.GenerationSummary) -> "Generation":
        """From the records."""
        values = {name: getattr(summary, name) for name in cls.__struct_fields__}
        times = {name: iso(values[name]) for name in ("created_at", "started_at", "completed_at")}
        return cls(**values | times)


class Generations(View, frozen=True):
    """``GET /generations``, newest first."""

    generations: tuple[Generation, ...]
