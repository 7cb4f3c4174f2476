"""What the performance tracker does; ``tracker`` is its public face, which costs nothing to import."""

import os
from collections.abc import Callable
from contextvars import ContextVar
from threading import RLock
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from posemon_otel import _logging, _names, operation, redaction
from posemon_otel._durations import Durations
from posemon_otel._steps import measured
from posemon_otel.faults import fault
from posemon_otel.loggers import DEBUG, metrics_logger
from posemon_otel.operation import Operation
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o

P = ParamSpec("P")
R = TypeVar("R")

MOST_OPEN = 10_000
"""Started and never ended operations that are kept; beyond it the oldest is ended as cancelled."""

_WARNINGS = 200
_SECONDS = f"{a.DATA_PREFIX}seconds"
_REMEMBERED_HERE = 64


class Token:
    """What ``start`` returns: one running operation, whatever else runs under its name.

    Attributes:
        name: Its name, without ids.
        operation: The operation.
    """

    __slots__ = ("name", "operation")

    def __init__(self, name: str, running: Operation) -> None:
        self.name = name
        self.operation = running

    @property
    def running(self) -> bool:
        """Whether it has not been ended yet."""
        return self.operation.running


class Measurement:
    """What ``measure(name)`` returns: a context manager, sync and async, and a decorator.

    It may be entered and used as often as one likes, also concurrently and within itself. ``with`` gives the running
    operation: ``.set(...)`` adds attributes, ``.seconds`` tells how long it took, or has taken so far.
    """

    __slots__ = ("_entered", "_name", "_tracker", "_words")

    def __init__(self, tracker: "Measuring", name: object, words: dict[str, Any]) -> None:
        self._tracker = tracker
        self._name = name
        self._words = words
        self._entered: list[Operation] = []

    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]:
        """Measures each call of a function, to the end of the coroutine or generator that it makes."""
        return measured(function, self)

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


class Measuring:
    """Starts, ends and sums up what is measured in this process."""

    def __init__(self) -> None:
        self.durations = Durations()
        # Re-entrant: a finaliser may start or end something on the thread that holds it.
        self._lock = RLock()
        self._open: dict[int, Token] = {}
        self._warned: set[str] = set()
        if hasattr(os, "register_at_fork"):
            # What runs is the parent's to end, and a lock that another thread held stays held in the child.
            os.register_at_fork(after_in_child=self.forget)

    def start(self, name: object, words: dict[str, Any]) -> Token:
        """Starts an operation that is never current, under a token."""
        token = Token(_names.split(name).text, self.begin(name, words))
        with self._lock:
            self._open[id(token)] = token
            forgotten = self._open.pop(next(iter(self._open))) if len(self._open) > MOST_OPEN else None
        _mine.set((*(mine for mine in _mine.get()[1 - _REMEMBERED_HERE :] if mine.running), token))
        if forgotten is not None:
            self._warn_once(
                "start", f"more than {MOST_OPEN} operations were started and not ended; the oldest are given up"
            )
            self.finish(forgotten.operation, GeneratorExit())
        return token

    def end(self, wanted: object, error: BaseException | None) -> float:
        """Ends what a token stands for, or the latest of a name; its seconds, 0.0 for something unknown."""
        token = self._take(wanted)
        if token is None:
            name = wanted.name if isinstance(wanted, Token) else _names.split(wanted).text
            metrics_logger.warning("end() of an operation that is not running", operation_name=name)
            return 0.0
        self.finish(token.operation, error)
        return token.operation.seconds

    def forget(self) -> None:
        """Begins anew: durations, warnings and what was started and not ended are gone."""
        self._lock = RLock()
        self.durations = Durations()
        self._open, self._warned = {}, set()
        _mine.set(())

    def begin(self, name: object, words: dict[str, Any]) -> Operation:
        """Starts an operation, which is not current. Never raises."""
        split = _names.split(name)
        prompts: list[str] = []
        attributes = redaction.translate(words, prompts) if words else {}
        attributes[a.OPERATION_NAME] = split.text
        if split.id:
            attributes[a.OPERATION_ID] = split.id
            self._warn_once(
                split.text, f"the name of {split.text!r} has an id in it; the id is kept as {a.OPERATION_ID} instead"
            )
        return Operation(o.MEASURE, attributes, name=split.text, prompts=prompts)

    def finish(self, running: Operation, exc: BaseException | None) -> None:
        """Ends an operation: span, point, line, summary. Never raises."""
        if not running.running:
            return
        running.finish(exc)
        try:
            name = running.attributes[a.OPERATION_NAME]
            self.durations.add(name, running.seconds)
            _logging.say(
                metrics_logger.component,
                DEBUG,
                f"{name} took {running.seconds:.3f} s",
                {a.OPERATION_NAME: name, _SECONDS: running.seconds, a.OUTCOME: running.outcome},
            )
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


_mine: ContextVar[tuple[Token, ...]] = ContextVar("posemon-started", default=())
"""What this task or thread, or one that it comes from, started last."""
