"""The performance tracker: measures blocks, functions and calls, and what begins in one place and ends in another.

Modules that do the work are imported at the first use, as everywhere in what the package itself imports.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from posemon_otel._durations import Summary
    from posemon_otel._measuring import Measurement, Measuring, Token

R = TypeVar("R")


class PerformanceTracker:
    """Measures operations by name. Each makes a span, a point in ``pose.operation.duration`` and a DEBUG line."""

    def __init__(self) -> None:
        self._made: dict[str, Measuring] = {}

    @overload
    def measure(self, name: str, /, **words: Any) -> "Measurement": ...

    @overload
    def measure(self, name: str, function: Callable[[], R], /, **words: Any) -> R: ...

    def measure(self, name: str, function: Callable[[], Any] | None = None, /, **words: Any) -> Any:
        """Measures a block, a function or a call.

        ``with measure("resize"):`` and ``async with``, ``@measure("resize")`` over functions of every sort, and
        ``measure("resize", call)``, which returns what ``call()`` returns: a coroutine or a generator is measured until
        it is done, a future or task until it has its result, everything else until it is returned.

        Args:
            name: What is measured. Ids in it become ``pose.operation.id``, with one warning a name.
            function: What to call.
            **words: Attributes, by the words of the vocabulary.
        """
        from posemon_otel import _measuring

        measurement = _measuring.Measurement(self._measuring, name, words)
        return measurement if function is None else measurement(function)()

    def start(self, name: str, /, **words: Any) -> "Token":
        """Starts an operation that ends in ``end``. It never becomes the current span.

        Args:
            name: What is measured.
            **words: Attributes, by the words of the vocabulary.

        Returns:
            A token. Any number may run under one name.
        """
        return self._measuring.start(name, words)

    def end(self, operation: "Token | str", /, *, error: BaseException | None = None) -> float:
        """Ends an operation.

        Args:
            operation: What ``start`` returned, or its name: then the latest of that name which this task or thread
                started (or one that it comes from), else the latest at all.
            error: Why it failed, if it did.

        Returns:
            Seconds that it took; 0.0, with a warning, for something unknown or ended before.
        """
        return self._measuring.end(operation, error)

    def summary(self) -> "dict[str, Summary]":
        """Count, p50, p95 and maximum in seconds by name, of everything this process has measured.

        Percentiles come from logarithmic buckets and are right to 1 %; at most 1,000 names are told apart, the rest is
        summed up as ``other``.
        """
        return self._measuring.durations.summary()

    def reset(self) -> None:
        """Forgets durations, warnings and what was started and not ended."""
        self._measuring.forget()

    @property
    def _measuring(self) -> "Measuring":
        made = self._made.get("one")
        if made is None:
            from posemon_otel import _measuring

            made = self._made.setdefault("one", _measuring.Measuring())  # two threads may both come here: one wins
        return made


performance_tracker = PerformanceTracker()
"""The process's tracker."""
