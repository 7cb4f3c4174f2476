"""``start_as_current_span``: a context manager that is a decorator too, of sync and async functions."""

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api

from posemon_otel.delivery.span import Span


class CurrentSpan(AbstractContextManager[trace_api.Span]):
    """Starts the span when it is entered, and again at each call of what it decorates."""

    __slots__ = ("_end_on_exit", "_make", "_record_exception", "_set_status", "_span", "_token")

    def __init__(
        self,
        make: Callable[[], trace_api.Span],
        record_exception: bool,
        set_status_on_exception: bool,
        end_on_exit: bool,
    ) -> None:
        """Remembers how to make the span.

        Args:
            make: Starts it.
            record_exception: Whether an exception that passes through is recorded.
            set_status_on_exception: Whether it makes the status ERROR.
            end_on_exit: Whether leaving ends the span.
        """
        self._make = make
        self._record_exception = record_exception
        self._set_status = set_status_on_exception
        self._end_on_exit = end_on_exit

    def __enter__(self) -> trace_api.Span:
        self._span = self._make()
        self._token: Any = context_api.attach(trace_api.set_span_in_context(self._span))
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            # Not by `detach`, which logs a traceback where a generator is closed in another task's context.
            self._token.var.reset(self._token)
        except (ValueError, RuntimeError):
            pass
        except AttributeError:  # another runtime context, which `OTEL_PYTHON_CONTEXT` names, has tokens of its own
            context_api.detach(self._token)
        span = self._span
        # What is only a BaseException, such as GeneratorExit, is no error.
        if isinstance(exc, Exception) and isinstance(span, Span) and span.is_recording():
            span.failed(exc, record=self._record_exception, status=self._set_status)
        if self._end_on_exit:
            span.end()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorates a function; the span of a coroutine function ends after the await."""
        again = (self._make, self._record_exception, self._set_status, self._end_on_exit)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def decorated_async(*args: Any, **kwargs: Any) -> Any:
                with CurrentSpan(*again):
                    return await function(*args, **kwargs)

            return decorated_async

        @functools.wraps(function)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            with CurrentSpan(*again):
                return function(*args, **kwargs)

        return decorated
