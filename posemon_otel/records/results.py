"""What the database side answers: frozen data, no SQL, no JSON.

Times are aware and in UTC, rates are percent with two decimals, durations are seconds. ``None`` means that there is no
answer: either nothing happened from which a number could be made, or the source cannot tell, and then ``warnings``
holds a line that says so.
"""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SystemMetrics:
    """Numbers of a period; generations belong to the period in which they were created.

    Attributes:
        total_generations: All generations created in the period, whatever their status.
        active_generations: Every running generation, whenever it was created.
        completed_generations: Status ``completed``; in our own database without those that have failed poses.
        failed_generations: Status ``failed``.
        partial_generations: Status ``partial``; in our own database also those marked completed that have failed poses.
        pending_generations: Status ``pending``.
        avg_generation_time: Seconds per pose, mean over the completed generations; ``None`` when none can tell.
        avg_poses_per_generation: Poses rendered by all generations created in the period, divided by their number.
        success_rate: completed / total, percent; 0 when there are none.
        settled_success_rate: completed / (completed + failed + partial), percent; ``None`` when there are none.
        total_poses_generated: Poses rendered by the generations created in the period.
        total_credits_spent: Credits charged for them, refunds not subtracted.
        total_credits_refunded: Credits given back.
        refund_rate: refunded / charged, percent; 0 when nothing was charged.
        start_time: Beginning of the period (inclusive); ``None`` means since ever.
        end_time: End of the period (exclusive).
        queue_depth: Waiting and active jobs; filled from outside, as are the four below.
        queue_waiting: Jobs that BullMQ calls waiting, prioritized and paused.
        queue_active: Jobs in work.
        queue_delayed: Jobs that wait for their time.
        queue_failed: Jobs kept as failed.
        warnings: One line for everything that could not be answered.
    """

    total_generations: int
    active_generations: int
    completed_generations: int
    failed_generations: int
    partial_generations: int
    pending_generations: int
    avg_generation_time: float | None
    avg_poses_per_generation: float
    success_rate: float
    settled_success_rate: float | None
    total_poses_generated: int
    total_credits_spent: int
    total_credits_refunded: int
    refund_rate: float
    start_time: datetime | None
    end_time: datetime
    queue_depth: int | None = None
    queue_waiting: int | None = None
    queue_active: int | None = None
    queue_delayed: int | None = None
    queue_failed: int | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TopUser:
    """A user by the number of their generations.

    Attributes:
        user_id: The user.
        generation_count: Generations created in the period.
        total_poses: Poses rendered for them.
        success_rate: completed / all, percent.
        name: Only where it was asked for.
        email: Only where it was asked for.
    """

    user_id: str
    generation_count: int
    total_poses: int
    success_rate: float
    name: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class TopUsers:
    """Most generations first, ties by user id."""

    users: tuple[TopUser, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PopularPose:
    """A public pose of the library.

    Attributes:
        pose_id: The library's id.
        name: Its name.
        usage_count: How often it was asked for: counted from the poses in our own database, the application's own
            column elsewhere.
        category: Name of its category, where it has one.
    """

    pose_id: str
    name: str
    usage_count: int
    category: str | None


@dataclass(frozen=True, slots=True)
class PopularPoses:
    """Most used first, ties by name, then id; ``None`` where the source has no pose library."""

    poses: tuple[PopularPose, ...] | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """One error type.

    Attributes:
        error_type: A value of ``posemon_otel.semconv.errors.ErrorType``.
        count: Generations that failed with it, or lost poses to it.
        last_occurred: When the last of them ended, else started, else was created.
        share: Percent of all counts.
        retryable: Whether a retry can help, as the type says.
    """

    error_type: str
    count: int
    last_occurred: datetime | None
    share: float
    retryable: bool


@dataclass(frozen=True, slots=True)
class ErrorAnalysis:
    """Most frequent first, ties by name."""

    errors: tuple[ErrorCount, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bucket:
    """One step of a time series.

    Attributes:
        start: Beginning of the step, a multiple of the interval since 1970.
        total: Generations created in it.
        by_status: Their number by status, each status of ours present.
        success_rate: completed / (completed + failed + partial), percent; ``None`` when none is settled.
        errors: Failures by error type, only those that occurred.
    """

    start: datetime
    total: int
    by_status: dict[str, int]
    success_rate: float | None
    errors: dict[str, int]


@dataclass(frozen=True, slots=True)
class Timeseries:
    """Steps without gaps, oldest first.

    Attributes:
        interval_seconds: Length of a step.
        buckets: The steps; the first and the last reach beyond the period where it does not begin or end on a step.
        warnings: One line for everything that could not be answered.
    """

    interval_seconds: int
    buckets: tuple[Bucket, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationSummary:
    """One generation in a list.

    Attributes:
        id: The generation.
        user_id: Whose it is.
        status: As in ``SystemMetrics``.
        expected_poses: Poses asked for.
        poses_completed: Poses rendered.
        poses_failed: Poses lost.
        credits_charged: Credits charged.
        credits_refunded: Credits given back.
        created_at: When it was asked for.
        started_at: When its last attempt began.
        completed_at: When it ended.
        avg_generation_time: Seconds per pose.
        total_processing_time: Seconds.
        error_type: Why it failed, where that is known.
        attempt: The attempt that the numbers come from, 1 being the first; ``None`` outside our own database, as for
            the three below.
        trace_id: Its trace.
        model: Its model.
        provider: Who rendered it.
        sample: Whether it belongs to the sample history.
    """

    id: str
    user_id: str | None
    status: str
    expected_poses: int | None
    poses_completed: int
    poses_failed: int
    credits_charged: int
    credits_refunded: int
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    avg_generation_time: float | None
    total_processing_time: float | None
    error_type: str | None
    attempt: int | None = None
    trace_id: str | None = None
    model: str | None = None
    provider: str | None = None
    sample: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """A row of ``users``, for signing in.

    Attributes:
        id: The user.
        email: Their address, as stored.
        name: Their name.
        role: As stored; compare without regard to case.
        password: The stored hash; never shown.
    """

    id: str
    email: str
    name: str | None
    role: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What ``write_sample`` wrote.

    Attributes:
        generations: Number of generations.
        poses: Number of poses.
        users: Number of users.
        by_status: Generations by status.
        start: When the first was created.
        end: When the last ended; before the time that was asked for.
    """

    generations: int
    poses: int
    users: int
    by_status: dict[str, int]
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class SchemaState:
    """What ``check`` found.

    Attributes:
        state: ``current``, ``empty`` (no tables yet), ``stale`` (an older revision of ours) or ``foreign`` (somebody
            else's tables, or those of a later posemon).
        revision: The database's revision, where it has one.
        head: The revision that this version of posemon needs.
        problem: One line that says what to do; ``None`` when current.
    """

    state: str
    revision: str | None
    head: str
    problem: str | None = None

    @property
    def current(self) -> bool:
        """Whether posemon can read and write this database as its own."""
        return self.state == "current"
