"""Measured functions: the drivers of the instrumentation, with the tracker's operations in them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast

from posemon_otel.faults import fault

if TYPE_CHECKING:
    from posemon_otel._measuring import Measurement

P = ParamSpec("P")
R = TypeVar("R")


class _Step:
    """One measured call, as the drivers of the instrumentation want it: current around each step, never between."""

    __slots__ = ("_measurement", "_running")

    def __init__(self, measurement: "Measurement") -> None:
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

    def __init__(self, measurement: "Measurement") -> None:
        self._measurement = measurement

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Step:  # noqa: ARG002 - the drivers' signature
        return _Step(self._measurement)


def measured(function: Callable[P, R], measurement: "Measurement") -> Callable[P, R]:
    """A function in the place of ``function``, of the same sort, each call of which is measured to its end."""
    from posemon_otel.instrumentation._drivers import replacement

    return cast("Callable[P, R]", replacement(function, cast("Any", _Opener(measurement)), function))
