"""What the endpoints answer, field by field; the JSON names are these in camelCase.

Times are ISO 8601 in UTC with milliseconds and ``Z``, rates percent, durations seconds, ``null`` is "not known", and
``warnings`` then says why; lists carry it only where it says something.
"""

from posemon_otel.admin.views.base import View, iso, stamp
from posemon_otel.admin.views.generations import Generation, Generations
from posemon_otel.admin.views.metrics import (
    Bucket,
    ErrorAnalysis,
    ErrorCount,
    Indicator,
    Indicators,
    Metrics,
    PopularPose,
    PopularPoses,
    Thresholds,
    Timeseries,
    TopUser,
    TopUsers,
)
from posemon_otel.admin.views.system import Health, Login, LoginData, Problem, Session, SignedInUser

__all__ = [
    "Bucket",
    "ErrorAnalysis",
    "ErrorCount",
    "Generation",
    "Generations",
    "Health",
    "Indicator",
    "Indicators",
    "Login",
    "LoginData",
    "Metrics",
    "PopularPose",
    "PopularPoses",
    "Problem",
    "Session",
    "SignedInUser",
    "Thresholds",
    "Timeseries",
    "TopUser",
    "TopUsers",
    "View",
    "iso",
    "stamp",
]
