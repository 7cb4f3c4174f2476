"""What ``record_event`` makes."""

import re
from typing import Any
from uuid import uuid4

from opentelemetry import trace

from posemon_otel import clock, operation, redaction
from posemon_otel.entries import DEFAULT_SCOPE, Event
from posemon_otel.faults import fault
from posemon_otel.loggers import metrics_logger
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o

_DOTTED = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)+")
_LONGEST_TYPE = 128
_WARNINGS = 200

_warned: set[str] = set()


def record(kind: object, generation_id: object, user_id: object, metadata: dict[str, Any]) -> None:
    """Appends an event; ``events.record_event`` says what the arguments are. Never raises."""
    sink = operation.sink()
    if sink is None:
        return
    try:
        type_ = str(redaction.clean_value(kind, free_text=True))[:_LONGEST_TYPE]
        where = trace.get_current_span().get_span_context()
        sink.event(
            Event(
                uuid4().hex,
                clock.wall_ns(),
                where.trace_id.to_bytes(16, "big") if where.is_valid else b"",
                where.span_id,
                int(where.trace_flags),
                DEFAULT_SCOPE,
                type_,
                _name(type_),
                _given(generation_id) or _inherited(a.GENERATION_ID),
                _given(user_id) or _inherited(a.USER_ID),
                redaction.translate(metadata),
            )
        )
    except Exception as exc:
        fault("recording an event", exc)


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
