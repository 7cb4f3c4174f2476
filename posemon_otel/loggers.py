"""Component loggers: one call is one log record in the active span's context and one line on stderr."""

from types import TracebackType
from typing import Any

ExcInfo = (
    bool
    | BaseException
    | tuple[type[BaseException], BaseException, TracebackType | None]
    | tuple[None, None, None]
    | None
)
"""What the standard library's ``exc_info`` takes."""

DEBUG, INFO, WARNING, ERROR = 5, 9, 13, 17
"""OpenTelemetry's severity numbers."""

_LONGEST_NAME = 64


class ComponentLogger:
    """A logger of one component.

    Every method takes a message and keywords of the vocabulary: ``worker_logger.info("Rendered", pose_id="p1",
    width=512)``. ``error=exc`` or ``exc_info=True`` attaches an exception: its class, text and traceback, and its
    error type and reason. Message and values are redacted. Nothing here ever raises.

    Attributes:
        component: Its name, the value of ``pose.component``.
    """

    __slots__ = ("component",)

    def __init__(self, component: str) -> None:
        self.component = component

    def debug(self, message: object, /, *, error: object = None, exc_info: ExcInfo = None, **words: Any) -> None:
        """What helps to understand a single run. The line appears where ``POSEMON_LOG_LEVEL`` is ``debug``."""
        self._log(DEBUG, message, error, exc_info, words)

    def info(self, message: object, /, *, error: object = None, exc_info: ExcInfo = None, **words: Any) -> None:
        """What went as it should."""
        self._log(INFO, message, error, exc_info, words)

    def warning(self, message: object, /, *, error: object = None, exc_info: ExcInfo = None, **words: Any) -> None:
        """What went on, but not as it should."""
        self._log(WARNING, message, error, exc_info, words)

    def error(self, message: object, /, *, error: object = None, exc_info: ExcInfo = None, **words: Any) -> None:
        """What failed."""
        self._log(ERROR, message, error, exc_info, words)

    def exception(self, message: object, /, *, error: object = None, exc_info: ExcInfo = True, **words: Any) -> None:
        """What failed, with the exception that is being handled."""
        self._log(ERROR, message, error, exc_info, words)

    def _log(self, severity: int, message: object, error: object, exc_info: ExcInfo, words: dict[str, Any]) -> None:
        from posemon_otel import _logging

        _logging.write(self.component, severity, message, error, exc_info, words)


def get_logger(name: str) -> ComponentLogger:
    """Makes the logger of another component.

    Args:
        name: Its name, as it is to stand on records and lines; at most 64 characters are kept.
    """
    from posemon_otel import redaction

    cleaned = redaction.clean_line(str(redaction.clean_value(name, free_text=True))).strip()[:_LONGEST_NAME]
    return ComponentLogger(cleaned or "app")


worker_logger = ComponentLogger("worker")
storage_logger = ComponentLogger("storage")
flux_logger = ComponentLogger("flux")
controlnet_logger = ComponentLogger("controlnet")
metrics_logger = ComponentLogger("metrics")
