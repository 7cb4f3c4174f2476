"""Events: what the application says has happened, and who wants to hear of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime


class Happening(NamedTuple):
    """What a callback of ``on_event`` receives: an event, or a finished generation.

    Attributes:
        type: The type given to ``record_event``, or ``generation_finished``.
        generation_id: What it is about, where it is about one.
        user_id: Who it is about, where it is about one.
        at: When it happened; aware, in UTC.
        attributes: As they are exported, redacted.
        status: Of a finished generation ``completed``, ``partial`` or ``failed``.
        seconds: Of a finished generation how long it took.
        error_type: Of a finished generation why it failed, a value of ``ErrorType``.
    """

    type: str
    generation_id: str | None
    user_id: str | None
    at: "datetime"
    attributes: "dict[str, Any]"
    status: str | None = None
    seconds: float | None = None
    error_type: str | None = None


Callback = Callable[[Happening], object]

_callbacks: list[tuple[Callback, Any]] = []


def record_event(
    type: str,  # noqa: A002 - the public keyword
    generation_id: str | None = None,
    user_id: str | None = None,
    **metadata: Any,
) -> None:
    """Records that something has happened: a log record with an EventName, a row, a metric. Never raises.

    Args:
        type: ``generation_started``, ``generation_completed``, ``generation_failed``, ``export_generated``,
            ``recovery_triggered``, or a dotted name of one's own, as ``shop.credits.bought``. Anything else is kept
            under the EventName ``pose.event``, with one warning.
        generation_id: What it is about; the running generation where it is left out.
        user_id: Who it is about; the running generation's where it is left out.
        **metadata: More, by the words of the vocabulary.
    """
    from posemon_otel import _events

    _events.record(type, generation_id, user_id, metadata)


def on_event(callback: Callback) -> Callable[[], None]:
    """Has a callback called with every event and every finished generation, as a ``Happening``.

    It is called on a thread of the telemetry, one at a time, at least once for each. That is in the process where it
    happened while that one lives: what a dead process had not told its callbacks, another process of the service that
    finds its journal tells its own, perhaps once more. What a callback raises is counted and goes nowhere.

    Args:
        callback: Receives the ``Happening``.

    Returns:
        A function that takes the callback away again.
    """
    from posemon_otel.timings import Measured

    # One callback may be registered twice, and each taken away by its own function.
    entry = (callback, Measured("the on_event callback", callback))
    _callbacks.append(entry)

    def remove() -> None:
        _callbacks[:] = [other for other in _callbacks if other is not entry]

    return remove


def listening() -> bool:
    """Whether anybody wants to hear of anything."""
    return bool(_callbacks)


def dispatch(happening: Happening) -> None:
    """Calls every callback, each isolated and measured. For the delivery, off the threads of the application."""
    from posemon_otel.timings import now_ns

    for callback, measured in tuple(_callbacks):
        begun = now_ns()
        try:
            callback(happening)
        except BaseException as exc:
            # An exit is no reason to end the thread of the delivery.
            measured.failed(exc if isinstance(exc, Exception) else RuntimeError(f"it raised {type(exc).__name__}"))
        finally:
            measured.took(begun)
