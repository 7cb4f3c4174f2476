"""Records of the standard ``logging`` module, on their way to the log pipeline.

They are taken where a logger hands a record to its handlers, as if a handler of ours stood on the root logger: with
the levels, filters and ``propagate`` as the application set them. No handler really stands there, since that would
change what the application sees: ``logging.basicConfig`` does nothing where the root logger has a handler, warnings
no longer reach stderr where nobody configured anything, and ``dictConfig`` takes foreign handlers away.
"""

import functools
import logging
from typing import Any

from posemon_otel import operation, redaction
from posemon_otel._logging import attach as attach_exception
from posemon_otel.entries import Attributes, Scope, scope_number
from posemon_otel.faults import fault

_LEFT_OUT = ("posemon_otel", "opentelemetry")
"""Diagnostics of the telemetry itself: what is said while records go out would never end."""

_OWN = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))
_DEBUG, _TRACE, _MOST = 5, 1, 24

_installed: Any = None
_original: Any = None


class PipelineHandler(logging.Handler):
    """Writes standard records into the log pipeline. ``attach`` is for every logger; for one alone add it by hand."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record. Never raises."""
        try:
            if record.name.partition(".")[0] in _LEFT_OUT or operation.sink() is None:
                return
            attributes: Attributes = redaction.translate(_extra(record))
            raised = record.exc_info[1] if record.exc_info else None
            if raised is not None:
                attach_exception(raised, None, attributes)
            operation.log(
                severity(record.levelno),
                "WARN" if record.levelname == "WARNING" else record.levelname,
                str(redaction.clean_value(_message(record), free_text=True)),
                attributes,
                scope=scope_number(Scope(record.name, "", "")),
            )
        except Exception as exc:
            fault("taking a record of the standard logging module", exc)


_handler = PipelineHandler()


def attach() -> None:
    """Has every record that would reach the root logger's handlers reach the pipeline too. Twice is once."""
    global _installed, _original
    if _installed is not None and logging.Logger.callHandlers is _installed:
        return
    original: Any = logging.Logger.callHandlers

    @functools.wraps(original)
    def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
        if _installed is call_handlers and _ours(logger):
            _handler.handle(record)
        original(logger, record)

    _installed, _original = call_handlers, original
    logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign, assignment]


def detach() -> None:
    """Undoes ``attach``. Where somebody has wrapped the method since, ours stays and does nothing."""
    global _installed, _original
    if _original is not None and logging.Logger.callHandlers is _installed:
        logging.Logger.callHandlers = _original  # type: ignore[method-assign]
    _installed = _original = None


def severity(level: int) -> int:
    """OpenTelemetry's severity number of a level of ``logging``: 10 is 5 (DEBUG), 20 is 9 (INFO), and so on to 24."""
    if level < logging.DEBUG:
        return _TRACE
    tens, rest = divmod(level, 10)
    return min(_DEBUG + 4 * (tens - 1) + min(rest, 3), _MOST)


def _ours(logger: logging.Logger) -> bool:
    """Whether a record of this logger gets as far as the root, and no handler takes it to the pipeline already."""
    at: logging.Logger | None = logger
    while at is not None:
        if any(_leads_here(handler) for handler in at.handlers):
            return False
        if at.parent is None:
            return True
        at = at.parent if at.propagate else None
    return False


def _leads_here(handler: logging.Handler) -> bool:
    if isinstance(handler, PipelineHandler):
        return True
    return any(
        kind.__name__ == "LoggingHandler" and kind.__module__.startswith("opentelemetry.")
        for kind in type(handler).__mro__
    )


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _OWN}


def _message(record: logging.LogRecord) -> object:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit: the handlers of the application complain, the text is kept
        return record.msg
