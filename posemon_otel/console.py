"""One line on stderr for each call of a logger: for people, as JSON, or none."""

import sys
import time
from typing import Any, NamedTuple

from opentelemetry import trace

from posemon_otel import clock, redaction, settings
from posemon_otel.entries import Attributes
from posemon_otel.loggers import DEBUG, ERROR, INFO, WARNING
from posemon_otel.semconv import attributes as a

LEVELS: dict[str, int] = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR}
"""Values of ``POSEMON_LOG_LEVEL`` and the least severity that each lets through."""

_LEVEL_NAMES = {number: name.upper() for name, number in LEVELS.items()}
_SHORT = {key: short for short, key in a.KEY_OF.items()}
_OF_THE_EXCEPTION = (a.EXCEPTION_TYPE, a.EXCEPTION_MESSAGE, a.EXCEPTION_STACKTRACE, a.ERROR_TYPE, a.ERROR_REASON)


class Attached(NamedTuple):
    """An exception that goes with a line.

    Attributes:
        type: Value of ``error.type``.
        reason: Value of ``pose.error.reason``.
        text: Class, message and stack, scrubbed.
        place: ``file.py:12`` where it was raised, or empty.
    """

    type: str
    reason: str
    text: redaction.ExceptionText
    place: str


def wanted(severity: int) -> bool:
    """Whether a line of this severity is to be written at all."""
    chosen = settings.current()
    return chosen[settings.LOG_FORMAT] != "none" and severity >= LEVELS[chosen[settings.LOG_LEVEL]]


def write(severity: int, component: str, message: str, attributes: Attributes, attached: Attached | None) -> None:
    """Writes one line, at once and in one piece. What is wrong with stderr never reaches the caller.

    Args:
        severity: OpenTelemetry's number.
        component: Who says it.
        message: What; scrubbed.
        attributes: Cleaned attributes; they are shown under the words that users type.
        attached: The exception that goes with it.
    """
    make = _json if settings.current()[settings.LOG_FORMAT] == "json" else _people
    line = make(severity, component, message, attributes, attached) + "\n"
    try:
        stream = sys.stderr  # looked up now: tests, daemons and pytest replace it
        try:
            stream.write(line)
        except UnicodeEncodeError:
            stream.write(line.encode("ascii", "backslashreplace").decode("ascii"))
        stream.flush()
    except Exception:
        pass  # closed, absent, a broken pipe, a full disk: there is nowhere left to say so, and the record has gone out


def _moment() -> str:
    whole, rest = divmod(clock.wall_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{rest // 1_000_000:03d}Z"


def _words(attributes: Attributes, attached: Attached | None) -> dict[str, Any]:
    said_elsewhere = (a.COMPONENT,) if attached is None else (a.COMPONENT, *_OF_THE_EXCEPTION)
    return {
        _SHORT.get(key) or key.removeprefix(a.DATA_PREFIX).removeprefix("pose."): value
        for key, value in attributes.items()
        if key not in said_elsewhere
    }


def _people(severity: int, component: str, message: str, attributes: Attributes, attached: Attached | None) -> str:
    parts = [_moment(), _LEVEL_NAMES[severity].ljust(7), component.ljust(10), message]
    parts += [f"{word}={_shown(value)}" for word, value in _words(attributes, attached).items()]
    if attached is not None:
        parts.append(f"error={attached.type}/{attached.reason} {attached.text.type}: {attached.text.message}")
        if attached.place:
            parts.append(f"({attached.place})")
    return redaction.clean_line(" ".join(parts))


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    return '"' + text.replace('"', '\\"') + '"' if " " in text or '"' in text or not text else text


def _json(severity: int, component: str, message: str, attributes: Attributes, attached: Attached | None) -> str:
    import json

    where = trace.get_current_span().get_span_context()
    line: dict[str, Any] = {
        "timestamp": _moment(),
        "level": _LEVEL_NAMES[severity],
        "component": component,
        "message": message,
    }
    words = _words(attributes, attached)
    if words:
        line["metadata"] = words
    if attached is not None:
        line["error"] = {
            "name": attached.text.type,
            "message": attached.text.message,
            "stack": attached.text.stacktrace,
            "type": attached.type,
            "reason": attached.reason,
        }
    if where.is_valid:
        line["traceId"] = f"{where.trace_id:032x}"
        line["spanId"] = f"{where.span_id:016x}"
    # Everything beyond ASCII is escaped: control characters and any stderr's encoding are no trouble then.
    try:
        return json.dumps(line, allow_nan=False)
    except ValueError:  # nan and infinity have no form in JSON
        return json.dumps({**line, "metadata": {word: str(value) for word, value in words.items()}})
