"""The performance tracker: measures blocks, functions and calls, and what begins in one place and ends in another."""

from collections.abc import Callable
from contextvars import ContextVar
from threading import RLock
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast, overload

from posemon_otel import _names, operation, redaction
from posemon_otel._durations import Durations, Summary
from posemon_otel.faults import fault
from posemon_otel.loggers import metrics_logger
from posemon_otel.operation import Operation
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o

P = ParamSpec("P")
R = TypeVar("R")

MOST_OPEN = 10_000
"""Started and never ended operations that are kept; beyond it the oldest is ended as cancelled."""

_WARNINGS = 200
_REMEMBERED_HERE = 64


__all__ = ["Measurement", "PerformanceTracker", "Summary", "Token", "performance_tracker"]


class Token:
    """What ``start`` returns: one running operation, whatever else runs under its name."""

    __slots__ = ("_operation", "name")

    def __init__(self, name: str, running: Operation) -> None:
        self.name = name
        self._operation = running

    @property
    def running(self) -> bool:
        """Whether it has not been ended yet."""
        return self._operation.running


class Measurement:
    """What ``measure(name)`` returns: a context manager, sync and async, and a decorator.

    It may be entered and used as often as one likes, also concurrently and within itself. ``with`` gives the running
    operation: ``.set(...)`` adds attributes, ``.seconds`` tells how long it took, or has taken so far.
    """

    __slots__ = ("_entered", "_name", "_tracker", "_words")

    def __init__(self, tracker: "PerformanceTracker", name: object, words: dict[str, Any]) -> None:
        self._tracker = tracker
        self._name = name
        self._words = words
        self._entered: list[Operation] = []

    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]:
        """Measures each call of a function, to the end of the coroutine or generator that it makes."""
        return _measured(function, self)

    def __enter__(self) -> Operation:
        running = self.begin()
        running.attach()
        self._entered.append(running)
        return running

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = self._innermost()
        if running is not None:
            running.detach()
            self._tracker.finish(running, exc)

    async def __aenter__(self) -> Operation:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, exc, trace)

    def begin(self) -> Operation:
        """Starts an operation of its own, which is not current."""
        return self._tracker.begin(self._name, self._words)

    def end(self, running: Operation, exc: BaseException | None = None) -> None:
        """Ends what ``begin`` started."""
        self._tracker.finish(running, exc)

    def _innermost(self) -> Operation | None:
        # Threads and tasks may have entered the same object: what this one entered is found in its own context.
        around: Operation | None = operation.current()
        while around is not None:
            for index, mine in enumerate(self._entered):
                if mine is around:
                    return self._entered.pop(index)
            around = around.parent
        return self._entered.pop() if self._entered else None


class PerformanceTracker:
    """Measures operations by name. Each makes a span, a point in ``pose.operation.duration`` and a DEBUG line."""

    def __init__(self) -> None:
        self._durations = Durations()
        # Re-entrant: a finaliser may start or end something on the thread that holds it.
        self._lock = RLock()
        self._open: dict[int, Token] = {}
        self._warned: set[str] = set()

    @overload
    def measure(self, name: str, /, **words: Any) -> Measurement: ...

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
        measurement = Measurement(self, name, words)
        return measurement if function is None else measurement(function)()

    def start(self, name: str, /, **words: Any) -> Token:
        """Starts an operation that ends in ``end``. It never becomes the current span.

        Args:
            name: What is measured.
            **words: Attributes, by the words of the vocabulary.

        Returns:
            A token. Any number may run under one name.
        """
        token = Token(_names.split(name).text, self.begin(name, words))
        with self._lock:
            self._open[id(token)] = token
            forgotten = self._open.pop(next(iter(self._open))) if len(self._open) > MOST_OPEN else None
        _mine.set((*(mine for mine in _mine.get()[1 - _REMEMBERED_HERE :] if mine.running), token))
        if forgotten is not None:
            self._warn_once(
                "start", f"more than {MOST_OPEN} operations were started and not ended; the oldest are given up"
            )
            self.finish(forgotten._operation, GeneratorExit())  # noqa: SLF001 - of this module
        return token

    def end(self, operation: Token | str, /, *, error: BaseException | None = None) -> float:
        """Ends an operation.

        Args:
            operation: What ``start`` returned, or its name: then the latest of that name which this task or thread
                started (or one that it comes from), else the latest at all.
            error: Why it failed, if it did.

        Returns:
            Seconds that it took; 0.0, with a warning, for something unknown or ended before.
        """
        token = self._take(operation)
        if token is None:
            name = operation.name if isinstance(operation, Token) else _names.split(operation).text
            metrics_logger.warning("end() of an operation that is not running", operation_name=name)
            return 0.0
        running = token._operation  # noqa: SLF001 - of this module
        self.finish(running, error)
        return running.seconds

    def summary(self) -> dict[str, Summary]:
        """Count, p50, p95 and maximum in seconds by name, of everything this process has measured.

        Percentiles come from logarithmic buckets and are right to 1 %; at most 1,000 names are told apart, the rest is
        summed up as ``other``.
        """
        return self._durations.summary()

    def reset(self) -> None:
        """Forgets durations, warnings and what was started and not ended."""
        self._durations.clear()
        with self._lock:
            self._open.clear()
            self._warned.clear()
        _mine.set(())

    def begin(self, name: object, words: dict[str, Any]) -> Operation:
        """Starts an operation, which is not current. Never raises."""
        split = _names.split(name)
        attributes = redaction.translate(words) if words else {}
        attributes[a.OPERATION_NAME] = split.text
        if split.id:
            attributes[a.OPERATION_ID] = split.id
            self._warn_once(
                split.text, f"the name of {split.text!r} has an id in it; the id is kept as {a.OPERATION_ID} instead"
            )
        return Operation(o.MEASURE, attributes)

    def finish(self, running: Operation, exc: BaseException | None) -> None:
        """Ends an operation: span, point, line, summary. Never raises."""
        if not running.running:
            return
        running.finish(exc)
        try:
            name = running.attributes[a.OPERATION_NAME]
            self._durations.add(name, running.seconds)
            told: dict[str, Any] = {
                "operation_name": name,
                "seconds": running.seconds,
                a.OUTCOME: running.outcome,
            }
            metrics_logger.debug(f"{name} took {running.seconds:.3f} s", **told)
        except Exception as fault_of_ours:
            fault("summing up a measurement", fault_of_ours)

    def _take(self, wanted: object) -> Token | None:
        with self._lock:
            if isinstance(wanted, Token):
                return self._open.pop(id(wanted), None)
            name = _names.split(wanted).text
            for candidates in (reversed(_mine.get()), reversed(list(self._open.values()))):
                for token in candidates:
                    if token.name == name and self._open.pop(id(token), None) is not None:
                        return token
        return None

    def _warn_once(self, key: str, message: str) -> None:
        with self._lock:
            if key in self._warned or len(self._warned) >= _WARNINGS:
                return
            self._warned.add(key)
        metrics_logger.warning(message)


class _Step:
    """One measured call, as the drivers of the instrumentation want it: current around each step, never between."""

    __slots__ = ("_measurement", "_running")

    def __init__(self, measurement: Measurement) -> None:
        self._measurement = measurement
        self._running = measurement.begin()

    def __enter__(self) -> Self:
        self._running.attach()
        return self

    def __exit__(self, *raised: object) -> None:
        self._running.detach()

    def fail(self, error: BaseException) -> None:
        self._measurement.end(self._running, error)

    def succeed(self, result: Any) -> None:
        add = getattr(result, "add_done_callback", None)
        if add is None or not callable(getattr(result, "exception", None)):
            self._measurement.end(self._running)
            return
        try:
            add(self._settle)
        except Exception as exc:
            fault("waiting for a measured future", exc)
            self._measurement.end(self._running)

    def _settle(self, future: Any) -> None:
        try:
            error = future.exception()
        except BaseException as cancelled:  # a cancelled future raises here, as it does where it is awaited
            error = cancelled
        self._measurement.end(self._running, error)


class _Opener:
    """Opens a step for each call of a decorated function."""

    class point:  # noqa: N801 - what a driver asks of a patch point: nothing special here
        wrap = None
        driver = "auto"

    def __init__(self, measurement: Measurement) -> None:
        self._measurement = measurement

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Step:  # noqa: ARG002 - the drivers' signature
        return _Step(self._measurement)


def _measured(function: Callable[P, R], measurement: Measurement) -> Callable[P, R]:
    from posemon_otel.instrumentation._drivers import replacement

    return cast("Callable[P, R]", replacement(function, cast("Any", _Opener(measurement)), function))


_mine: ContextVar[tuple[Token, ...]] = ContextVar("posemon-started", default=())
"""What this task or thread, or one that it comes from, started last."""

performance_tracker = PerformanceTracker()
"""The process's tracker."""
