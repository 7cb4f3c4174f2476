"""Component loggers: one call is one log record in the active span's context and one line on stderr."""

import sys
from types import TracebackType
from typing import Any

from posemon_otel import console, errors, operation, redaction
from posemon_otel.console import Attached
from posemon_otel.entries import Attributes, Scope, scope_number
from posemon_otel.faults import fault
from posemon_otel.semconv import SCOPE
from posemon_otel.semconv import attributes as a

ExcInfo = (
    bool
    | BaseException
    | tuple[type[BaseException], BaseException, TracebackType | None]
    | tuple[None, None, None]
    | None
)
"""What the standard library's ``exc_info`` takes."""

SEVERITY_TEXTS: dict[int, str] = {
    console.DEBUG: "DEBUG",
    console.INFO: "INFO",
    console.WARNING: "WARN",
    console.ERROR: "ERROR",
}
_LONGEST_NAME = 64


class ComponentLogger:
    """A logger of one component.

    Every method takes a message and keywords of the vocabulary: ``worker_logger.info("Rendered", pose_id="p1",
    width=512)``. ``error=exc`` or ``exc_info=True`` attaches an exception: its class, text and traceback, and its
    error type and reason. Message and values are redacted. Nothing here ever raises.

    Attributes:
        component: Its name, the value of ``pose.component``.
    """

    __slots__ = ("_scope", "component")

    def __init__(self, component: str) -> None:
        self.component = component
        self._scope = scope_number(Scope(f"{SCOPE}.{component}"))

    def debug(self, message: object, /, *, error: object = None, exc_info: ExcInfo = None, **words: Any) -> None:
        """What helps to understand a single run. The line appears where ``POSEMON_LOG_LEVEL`` is ``debug``."""
        self._log(console.DEBUG, message, error, exc_info, words)

    def info(self, message: object, /, *, error: object = None, exc_info: ExcInfo = None, **words: Any) -> None:
        """What went as it should."""
        self._log(console.INFO, message, error, exc_info, words)

    def warning(self, message: object, /, *, error: object = None, exc_info: ExcInfo = None, **words: Any) -> None:
        """What went on, but not as it should."""
        self._log(console.WARNING, message, error, exc_info, words)

    def error(self, message: object, /, *, error: object = None, exc_info: ExcInfo = None, **words: Any) -> None:
        """What failed."""
        self._log(console.ERROR, message, error, exc_info, words)

    def exception(self, message: object, /, *, error: object = None, exc_info: ExcInfo = True, **words: Any) -> None:
        """What failed, with the exception that is being handled."""
        self._log(console.ERROR, message, error, exc_info, words)

    def _log(self, severity: int, message: object, error: object, exc_info: ExcInfo, words: dict[str, Any]) -> None:
        try:
            lines = console.wanted(severity)
            if not lines and operation.sink() is None:
                return
            exc = error if isinstance(error, BaseException) else _raised(exc_info)
            if error is not None and error is not exc:
                words["error"] = error  # a text: it is kept as any other word
            attributes = redaction.translate(words)
            attached = None if exc is None else attach(exc, self.component, attributes)
            attributes[a.COMPONENT] = self.component
            body = str(redaction.clean_value(message, free_text=True))
            operation.log(severity, SEVERITY_TEXTS[severity], body, attributes, scope=self._scope)
            if lines:
                console.write(severity, self.component, body, attributes, attached)
        except Exception as fault_of_ours:
            fault("writing a log record", fault_of_ours)


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


def get_logger(name: str) -> ComponentLogger:
    """Makes the logger of another component.

    Args:
        name: Its name, as it is to stand on records and lines; at most 64 characters are kept.
    """
    cleaned = redaction.clean_line(str(redaction.clean_value(name, free_text=True))).strip()[:_LONGEST_NAME]
    return ComponentLogger(cleaned or "app")


worker_logger = ComponentLogger("worker")
storage_logger = ComponentLogger("storage")
flux_logger = ComponentLogger("flux")
controlnet_logger = ComponentLogger("controlnet")
metrics_logger = ComponentLogger("metrics")
