"""Events: what the application says has happened, and who wants to hear of it."""

import re
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from opentelemetry import trace

from posemon_otel import clock, operation, redaction
from posemon_otel.entries import DEFAULT_SCOPE, Attributes, Event, Finish
from posemon_otel.faults import fault
from posemon_otel.loggers import metrics_logger
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o

if TYPE_CHECKING:
    from datetime import datetime

GENERATION_FINISHED = "generation_finished"
"""Type of the ``Happening`` that a finished generation is."""

_DOTTED = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)+")
_LONGEST_TYPE = 128
_WARNINGS = 200


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
    attributes: Attributes
    status: str | None = None
    seconds: float | None = None
    error_type: str | None = None


Callback = Callable[[Happening], object]

_callbacks: list[Callback] = []
_warned: set[str] = set()
_lock = Lock()


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
    sink = operation.sink()
    if sink is None:
        return
    try:
        kind = str(redaction.clean_value(type, free_text=True))[:_LONGEST_TYPE]
        where = trace.get_current_span().get_span_context()
        sink.event(
            Event(
                uuid4().hex,
                clock.wall_ns(),
                where.trace_id.to_bytes(16, "big") if where.is_valid else b"",
                where.span_id,
                int(where.trace_flags),
                DEFAULT_SCOPE,
                kind,
                _name(kind),
                _given(generation_id) or _inherited(a.GENERATION_ID),
                _given(user_id) or _inherited(a.USER_ID),
                redaction.translate(metadata),
            )
        )
    except Exception as exc:
        fault("recording an event", exc)


def on_event(callback: Callback) -> Callable[[], None]:
    """Has a callback called with every event and every finished generation, as a ``Happening``.

    It is called on a thread of the telemetry, one at a time, in the process where it happened. What it raises is
    counted and goes nowhere.

    Args:
        callback: Receives the ``Happening``.

    Returns:
        A function that takes the callback away again.
    """
    with _lock:
        _callbacks.append(callback)

    def remove() -> None:
        with _lock:
            if callback in _callbacks:
                _callbacks.remove(callback)

    return remove


def listening() -> bool:
    """Whether anybody wants to hear of anything."""
    return bool(_callbacks)


def dispatch(happening: Happening) -> None:
    """Calls every callback, each isolated from the others. For the delivery, off the threads of the application."""
    for callback in tuple(_callbacks):
        try:
            callback(happening)
        except BaseException as exc:
            where = f"the on_event callback {getattr(callback, '__qualname__', None) or type(callback).__qualname__}"
            # An exit is no reason to end the thread of the delivery.
            fault(where, exc if isinstance(exc, Exception) else RuntimeError(f"it raised {type(exc).__name__}"))


def of_event(event: Event) -> Happening:
    """An event, as callbacks see it."""
    return Happening(event.type, event.generation_id, event.user_id, _moment(event.time), event.attributes)


def of_finish(finish: Finish) -> Happening | None:
    """A finished generation, as callbacks see it; ``None`` for other operations, and where a retry follows."""
    if finish.kind != o.GENERATION.key or not finish.terminal:
        return None
    return Happening(
        GENERATION_FINISHED,
        finish.attributes.get(a.GENERATION_ID),
        finish.attributes.get(a.USER_ID),
        _moment(finish.end),
        finish.attributes,
        finish.attributes.get(a.GENERATION_STATUS),
        finish.seconds,
        finish.error.type if finish.error else None,
    )


def _name(kind: str) -> str:
    known = o.EVENT_NAMES.get(kind)
    if known is not None:
        return known
    if _DOTTED.fullmatch(kind):
        return kind
    if kind not in _warned and len(_warned) < _WARNINGS:
        _warned.add(kind)
        metrics_logger.warning(
            f"record_event({kind!r}): expected one of {', '.join(o.EVENT_NAMES)} or a dotted name of your own; "
            f"kept under the name {o.EVENT_PERSISTED}"
        )
    return o.EVENT_PERSISTED


def _given(value: object) -> str | None:
    cleaned = redaction.clean_value(value, free_text=False)
    return None if cleaned in (None, "") else str(cleaned)


def _inherited(key: str) -> str | None:
    around = operation.current()
    while around is not None:
        if key in around.attributes:
            return str(around.attributes[key])
        around = around.parent
    return None


def _moment(nanoseconds: int) -> "datetime":
    from datetime import UTC, datetime

    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
