"""What a call of a logger does: one log record, one line on the console."""

import sys
from typing import Any

from posemon_otel import console, errors, operation, redaction
from posemon_otel.console import Attached
from posemon_otel.entries import Attributes, Scope, scope_number
from posemon_otel.faults import fault
from posemon_otel.loggers import DEBUG, ERROR, INFO, WARNING
from posemon_otel.semconv import SCOPE
from posemon_otel.semconv import attributes as a

SEVERITY_TEXTS: dict[int, str] = {DEBUG: "DEBUG", INFO: "INFO", WARNING: "WARN", ERROR: "ERROR"}

_scopes: dict[str, int] = {}


def write(
    component: str, severity: int, message: object, error: object, exc_info: object, words: dict[str, Any]
) -> None:
    """Writes one record and one line. Never raises.

    Args:
        component: Who says it.
        severity: OpenTelemetry's number.
        message: What; any object, as text.
        error: An exception to attach; anything else is a word like any other.
        exc_info: As the standard library has it.
        words: Keywords of the vocabulary.
    """
    try:
        lines = console.wanted(severity)
        if not lines and operation.sink() is None:
            return
        exc = error if isinstance(error, BaseException) else _raised(exc_info)
        if error is not None and error is not exc:
            words["error"] = error
        around = operation.current()
        attributes = redaction.translate(words, None if around is None else around.prompts)
        attached = None if exc is None else attach(exc, component, attributes)
        body = str(redaction.clean_value(message, free_text=True))
        _emit(component, severity, body, attributes, attached, lines=lines)
    except Exception as fault_of_ours:
        fault("writing a log record", fault_of_ours)


def say(component: str, severity: int, body: str, attributes: Attributes) -> None:
    """What we say ourselves, in the same way: ``body`` and ``attributes`` hold what has been cleaned. Never raises."""
    try:
        lines = console.wanted(severity)
        if lines or operation.sink() is not None:
            _emit(component, severity, body, attributes, None, lines=lines)
    except Exception as fault_of_ours:
        fault("writing a log record", fault_of_ours)


def _emit(
    component: str, severity: int, body: str, attributes: Attributes, attached: Attached | None, *, lines: bool
) -> None:
    attributes[a.COMPONENT] = component
    scope = _scopes.get(component)
    if scope is None:
        scope = _scopes[component] = scope_number(Scope(f"{SCOPE}.{component}"))
    operation.log(severity, SEVERITY_TEXTS[severity], body, attributes, scope=scope)
    if lines:
        console.write(severity, component, body, attributes, attached)


def attach(exc: BaseException, component: str | None, attributes: Attributes) -> Attached:
    """Adds what is known of an exception to the attributes of a log record.

    Args:
        exc: The exception.
        component: Who saw it; helps to classify.
        attributes: Receives ``exception.*``, ``error.type`` and ``pose.error.reason``.

    Returns:
        The same, for a line on the console.
    """
    verdict = errors.classify(exc, component)
    text = redaction.exception_text(exc)
    attributes[a.EXCEPTION_TYPE] = text.type
    attributes[a.EXCEPTION_MESSAGE] = text.message
    attributes[a.EXCEPTION_STACKTRACE] = text.stacktrace
    attributes[a.ERROR_TYPE] = verdict.type.value
    attributes[a.ERROR_REASON] = verdict.reason
    return Attached(verdict.type.value, verdict.reason, text, _place(exc))


def _raised(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        found = exc_info[1] if len(exc_info) > 1 else None
        return found if isinstance(found, BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def _place(exc: BaseException) -> str:
    innermost = exc.__traceback__
    if innermost is None:
        return ""
    while innermost.tb_next is not None:
        innermost = innermost.tb_next
    file = innermost.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f"{file}:{innermost.tb_lineno}"
