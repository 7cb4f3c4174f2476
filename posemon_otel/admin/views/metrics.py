"""Answers about numbers."""

from typing import ClassVar

from posemon_otel.admin.views.base import View, iso, stamp
from posemon_otel.health import Judgement, worst
from posemon_otel.records import results


class Metrics(View, frozen=True):
    """``GET /metrics``; each field as in ``records.results.SystemMetrics``."""

    VOLATILE: ClassVar[tuple[str, ...]] = ("start_time", "end_time")

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
    queue_depth: int | None
    queue_waiting: int | None
    queue_active: int | None
    queue_delayed: int | None
    queue_failed: int | None
    total_poses_generated: int
    total_credits_spent: int
    total_credits_refunded: int
    refund_rate: float
    start_time: str | None
    end_time: str
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, metrics: results.SystemMetrics) -> "Metrics":
        """From the records."""
        values = {name: getattr(metrics, name) for name in cls.__struct_fields__}
        return cls(**values | {"start_time": iso(metrics.start_time), "end_time": stamp(metrics.end_time)})


class TopUser(View, frozen=True, omit_defaults=True):
    """A user; name and e-mail address only where a setting shows them."""

    user_id: str
    generation_count: int
    total_poses: int
    success_rate: float
    name: str | None = None
    email: str | None = None


class TopUsers(View, frozen=True, omit_defaults=True):
    """``GET /metrics/top-users``."""

    users: tuple[TopUser, ...]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, top: results.TopUsers) -> "TopUsers":
        """From the records."""
        users = (
            TopUser(user.user_id, user.generation_count, user.total_poses, user.success_rate, user.name, user.email)
            for user in top.users
        )
        return cls(tuple(users), top.warnings)


class PopularPose(View, frozen=True):
    """A pose of the library."""

    pose_id: str
    name: str
    usage_count: int
    category: str | None


class PopularPoses(View, frozen=True, omit_defaults=True):
    """``GET /metrics/popular-poses``."""

    poses: tuple[PopularPose, ...] | None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, popular: results.PopularPoses) -> "PopularPoses":
        """From the records."""
        poses = popular.poses
        return cls(
            None
            if poses is None
            else tuple(PopularPose(pose.pose_id, pose.name, pose.usage_count, pose.category) for pose in poses),
            popular.warnings,
        )


class ErrorCount(View, frozen=True):
    """An error type."""

    error_type: str
    count: int
    last_occurred: str | None
    share: float
    retryable: bool


class ErrorAnalysis(View, frozen=True, omit_defaults=True):
    """``GET /metrics/errors``."""

    errors: tuple[ErrorCount, ...]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, analysis: results.ErrorAnalysis) -> "ErrorAnalysis":
        """From the records."""
        errors = (
            ErrorCount(error.error_type, error.count, iso(error.last_occurred), error.share, error.retryable)
            for error in analysis.errors
        )
        return cls(tuple(errors), analysis.warnings)


class Thresholds(View, frozen=True):
    """Bounds of an indicator: beyond ``good`` is good, beyond ``critical`` critical, between and on them warning."""

    direction: str
    good: float
    critical: float


class Indicator(View, frozen=True):
    """A number and what it says."""

    key: str
    title: str
    meaning: str
    unit: str
    value: float | None
    status: str
    thresholds: Thresholds


class Indicators(View, frozen=True):
    """``GET /metrics/indicators``; ``status`` is the worst of them."""

    VOLATILE: ClassVar[tuple[str, ...]] = ("start_time", "end_time")

    status: str
    indicators: tuple[Indicator, ...]
    start_time: str | None
    end_time: str
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, judgements: tuple[Judgement, ...], metrics: results.SystemMetrics) -> "Indicators":
        """From the judgements and the numbers that they judge."""
        indicators = tuple(
            Indicator(
                key=judged.indicator.key,
                title=judged.indicator.title,
                meaning=judged.indicator.meaning,
                unit=judged.indicator.unit,
                value=judged.value,
                status=judged.status.value,
                thresholds=Thresholds(
                    judged.indicator.direction.value, judged.indicator.good, judged.indicator.critical
                ),
            )
            for judged in judgements
        )
        return cls(
            worst(judgements).value, indicators, iso(metrics.start_time), stamp(metrics.end_time), metrics.warnings
        )


class Bucket(View, frozen=True):
    """One step of a time series."""

    start: str
    total: int
    by_status: dict[str, int]
    success_rate: float | None
    errors: dict[str, int]


class Timeseries(View, frozen=True, omit_defaults=True):
    """``GET /metrics/timeseries``."""

    interval_seconds: int
    buckets: tuple[Bucket, ...]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, series: results.Timeseries) -> "Timeseries":
        """From the records."""
        buckets = (
            Bucket(stamp(bucket.start), bucket.total, bucket.by_status, bucket.success_rate, bucket.errors)
            for bucket in series.buckets
        )
        return cls(series.interval_seconds, tuple(buckets), series.warnings)
