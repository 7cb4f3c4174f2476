"""Durations by name in bounded memory, for the tracker's summary."""

import math
from threading import RLock
from typing import NamedTuple

GROWTH = 1.02
"""Each bucket is wider than the one before by this factor: percentiles are right to 1 %."""

LEAST = 1e-7
"""Seconds; what is shorter falls into the first bucket."""

MOST_NAMES = 1000
OTHER = "other"
"""Name under which what comes after ``MOST_NAMES`` names is summed up."""

_LOG_GROWTH = math.log(GROWTH)


class Summary(NamedTuple):
    """Durations of one name, in seconds.

    Attributes:
        count: How many there were.
        p50: Half of them took no longer; right to 1 %, as ``p95``.
        p95: 95 % of them took no longer.
        max: The longest.
    """

    count: int  # type: ignore[assignment]  # a tuple's own `count` counts elements: nobody misses it here
    p50: float
    p95: float
    max: float


class Durations:
    """Counts in logarithmic buckets: at most some 1,500 numbers a name (100 ns to 11 days) and ``MOST_NAMES`` names."""

    def __init__(self) -> None:
        # Re-entrant: a collected generator may end its measurement within this lock, on the thread that holds it.
        self._lock = RLock()
        self._buckets: dict[str, dict[int, int]] = {}
        self._longest: dict[str, float] = {}

    def add(self, name: str, seconds: float) -> None:
        """Counts one duration."""
        bucket = math.ceil(math.log(max(seconds, LEAST) / LEAST) / _LOG_GROWTH)
        with self._lock:
            if name not in self._buckets and len(self._buckets) >= MOST_NAMES:
                name = OTHER
            buckets = self._buckets.setdefault(name, {})
            buckets[bucket] = buckets.get(bucket, 0) + 1
            self._longest[name] = max(seconds, self._longest.get(name, 0.0))

    def summary(self) -> dict[str, Summary]:
        """Everything counted so far, by name."""
        with self._lock:
            counted = {name: (dict(buckets), self._longest[name]) for name, buckets in self._buckets.items()}
        return {name: _summarise(buckets, longest) for name, (buckets, longest) in sorted(counted.items())}


def _summarise(buckets: dict[int, int], longest: float) -> Summary:
    count = sum(buckets.values())
    ordered = sorted(buckets.items())

    def percentile(share: float) -> float:
        rank, passed = math.ceil(share * count), 0
        for bucket, size in ordered:
            passed += size
            if passed >= rank:
                # The bucket's middle, in the geometric sense; the longest is known exactly.
                return min(LEAST * math.pow(GROWTH, bucket - 0.5), longest)
        return longest

    return Summary(count, percentile(0.5), percentile(0.95), longest)
