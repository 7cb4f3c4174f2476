"""What the users' own code costs where telemetry calls it: processors, samplers, id generators, callbacks.

Nothing is timed out, for nothing can be taken back from a thread that is inside it: what is slow is measured and named,
by one line and in ``everything``.
"""

import time
import weakref
from typing import Final, NamedTuple

from posemon_otel.faults import fault, logger

SLOW: Final = 0.1
"""Seconds of one call from which on it is called slow."""

now_ns = time.perf_counter_ns
"""The clock of the measurements: the real one, whatever clocks tests have set."""


class Timing(NamedTuple):
    """What a piece of the user's code has cost the threads that called it.

    Attributes:
        name: What it is and its class or function.
        calls: How often it was called.
        seconds: All calls together.
        slowest: The slowest call, in seconds.
        faults: How often it raised.
    """

    name: str
    calls: int
    seconds: float
    slowest: float
    faults: int


class Measured:
    """One piece of the user's code. The counts are diagnostics: two threads may lose one.

    Attributes:
        name: What it is, and its class or function.
    """

    __slots__ = ("__weakref__", "_calls", "_faults", "_slowest_ns", "_total_ns", "name")

    def __init__(self, what: str, whose: object) -> None:
        """Makes it known.

        Args:
            what: Before the name, as in ``the sampler``.
            whose: An object, named by its class, or a function.
        """
        named = whose if hasattr(whose, "__qualname__") else type(whose)
        self.name = f"{what} {named.__module__}.{named.__qualname__}"
        self._calls = self._faults = self._total_ns = self._slowest_ns = 0
        _known.add(self)

    def took(self, begun: int) -> None:
        """Counts a call that has ended.

        Args:
            begun: ``now_ns()`` at its start.
        """
        spent = now_ns() - begun
        self._calls += 1
        self._total_ns += spent
        if spent > self._slowest_ns:
            if spent >= SLOW * 1e9 > self._slowest_ns:
                logger.warning("%s is slow: one call took %.1f s of the thread that made it", self.name, spent / 1e9)
            self._slowest_ns = spent

    def failed(self, exc: Exception, doing: str = "") -> None:
        """Counts a call that raised. The fault stays here.

        Args:
            exc: What it raised.
            doing: What was being done, where the name alone does not say so.
        """
        self._faults += 1
        fault(doing or self.name, exc)

    def timing(self) -> Timing:
        """What it has cost so far."""
        return Timing(self.name, self._calls, self._total_ns / 1e9, self._slowest_ns / 1e9, self._faults)


_known: "weakref.WeakSet[Measured]" = weakref.WeakSet()


def everything() -> list[Timing]:
    """What each has cost this process so far, the slowest first; what was never called is left out."""
    measured = [one.timing() for one in list(_known)]
    return sorted((one for one in measured if one.calls or one.faults), key=lambda one: (-one.slowest, one.name))


def slow() -> list[Timing]:
    """Those with a slow call, the slowest first."""
    return [one for one in everything() if one.slowest >= SLOW]
