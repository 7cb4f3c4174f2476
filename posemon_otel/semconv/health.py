"""Health indicators and alerts: thresholds, direction, window, runbook. One source for code, rules, dashboards and docs."""

from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """What an indicator says."""

    GOOD = "good"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


class Direction(StrEnum):
    """Which end of the scale is the good one."""

    HIGHER_IS_BETTER = "higher_is_better"
    LOWER_IS_BETTER = "lower_is_better"


class Indicator(NamedTuple):
    """A number with two bounds. Beyond ``good`` is good, beyond ``critical`` is critical; the bounds themselves are warning.

    Attributes:
        key: Name in JSON, and of the number that it judges.
        title: Name for people.
        unit: ``percent``, ``s`` or ``jobs``.
        direction: Which end is the good one.
        good: Bound of the good side, in ``unit``.
        critical: Bound of the critical side, in ``unit``.
        window: Period of the number in rules, as in ``1h``; empty where it is a level at a moment.
        runbook: Anchor in MONITORING.md.
        meaning: What the number is.
    """

    key: str
    title: str
    unit: str
    direction: Direction
    good: float
    critical: float
    window: str
    runbook: str
    meaning: str


SUCCESS_RATE = Indicator(
    "successRate",
    "Success rate",
    "percent",
    Direction.HIGHER_IS_BETTER,
    95.0,
    90.0,
    "1h",
    "success-rate",
    "completed generations among those that ended",
)
AVG_GENERATION_TIME = Indicator(
    "avgGenerationTime",
    "Average time per pose",
    "s",
    Direction.LOWER_IS_BETTER,
    30.0,
    60.0,
    "1h",
    "average-time-per-pose",
    "seconds per pose of completed generations",
)
QUEUE_DEPTH = Indicator(
    "queueDepth",
    "Queue depth",
    "jobs",
    Direction.LOWER_IS_BETTER,
    100.0,
    500.0,
    "",
    "queue-depth",
    "waiting and active jobs",
)
REFUND_RATE = Indicator(
    "refundRate",
    "Refund rate",
    "percent",
    Direction.LOWER_IS_BETTER,
    5.0,
    10.0,
    "1h",
    "refund-rate",
    "credits given back among credits charged",
)
INDICATORS: tuple[Indicator, ...] = (SUCCESS_RATE, AVG_GENERATION_TIME, QUEUE_DEPTH, REFUND_RATE)


class Alert(NamedTuple):
    """A condition that should wake somebody: ``number`` is above ``threshold``.

    Attributes:
        key: Name of the rule.
        title: Name for people.
        number: What is compared: a key of the mapping that ``posemon_otel.health.firing`` takes.
        threshold: It fires above this, never at it.
        unit: Unit of both.
        window: Period over which the number is made; empty where it is a level at a moment.
        severity: ``Status.WARNING`` or ``Status.CRITICAL``.
        runbook: Anchor in MONITORING.md.
        meaning: One line.
    """

    key: str
    title: str
    number: str
    threshold: float
    unit: str
    window: str
    severity: Status
    runbook: str
    meaning: str


FAILURE_RATE_HIGH = Alert(
    "PoseFailureRateHigh",
    "High failure rate",
    "failureRate",
    10.0,
    "percent",
    "1h",
    Status.CRITICAL,
    "high-failure-rate",
    "failed generations among those that ended within the hour",
)
QUEUE_BACKLOG = Alert(
    "PoseQueueBacklog",
    "Queue backlog",
    "queueWaiting",
    500.0,
    "jobs",
    "",
    Status.WARNING,
    "queue-backlog",
    "jobs that wait",
)
GENERATION_SLOW = Alert(
    "PoseGenerationSlow",
    "Slow generation",
    "avgGenerationTime",
    AVG_GENERATION_TIME.critical,
    "s",
    "1h",
    Status.WARNING,
    "slow-generation",
    "seconds per pose",
)
REFUNDS_HIGH = Alert(
    "PoseRefundsHigh",
    "Many refunds",
    "creditsRefunded",
    1000.0,
    "credits",
    "1h",
    Status.CRITICAL,
    "many-refunds",
    "credits given back within the hour",
)
QUEUE_STALLED = Alert(
    "PoseQueueStalled",
    "Queue stalled",
    "waitingWhileIdle",
    0.0,
    "jobs",
    "10m",
    Status.CRITICAL,
    "queue-stalled",
    "jobs that wait although none was processed in the window",
)
ALERTS: tuple[Alert, ...] = (FAILURE_RATE_HIGH, QUEUE_BACKLOG, GENERATION_SLOW, REFUNDS_HIGH, QUEUE_STALLED)
