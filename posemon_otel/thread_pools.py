"""Thread pools run what they are given in the trace of whoever gave it: ``ThreadPoolExecutor.submit`` and all on it.

Of the context only OpenTelemetry's part goes along. The user's own context variables stay those of the worker thread,
which an ``initializer`` may have set. Plain threads are left alone: one that lives on would stay in the trace of the
request that happened to start it. ``asyncio.to_thread`` carries the context itself.
"""

import functools
from collections.abc import Callable, Collection
from typing import Any

from posemon_otel.faults import fault

NAMES = ("thread_pools", "posemon_thread_pools", "threading")
"""What ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`` may call it; the last is OpenTelemetry's own package for it."""

_installed: Any = None
_original: Any = None


def attach(disabled: Collection[str] = ()) -> None:
    """Has ``ThreadPoolExecutor.submit`` carry the context. Twice is once.

    Args:
        disabled: Instrumentations that are switched off, by name; ``*`` is all of them.
    """
    global _installed, _original
    if not {*NAMES, "*"}.isdisjoint(disabled):
        return
    # Imported here and not at the exit: there it raises.
    from concurrent.futures.thread import ThreadPoolExecutor

    if _installed is not None and ThreadPoolExecutor.submit is _installed:
        return
    original: Any = ThreadPoolExecutor.submit

    @functools.wraps(original)
    def submit(pool: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if _installed is submit:
            try:
                function = carrying(function)
            except Exception as exc:
                fault("carrying the context into a thread pool", exc)
        return original(pool, function, *args, **kwargs)

    _installed, _original = submit, original
    ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]


def detach() -> None:
    """Undoes ``attach``. Where somebody has wrapped the method since, ours stays and does nothing."""
    global _installed, _original
    if _original is not None:
        from concurrent.futures.thread import ThreadPoolExecutor

        if ThreadPoolExecutor.submit is _installed:
            ThreadPoolExecutor.submit = _original  # type: ignore[method-assign]
    _installed = _original = None


def carrying(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it runs elsewhere in the context of this call; itself where there is nothing to carry.

    Args:
        function: What is about to be handed to another thread. For pools of one's own.
    """
    from opentelemetry import context as otel_context

    carried = otel_context.get_current()
    if not carried or not callable(function):
        return function

    def run(*args: Any, **kwargs: Any) -> Any:
        token = otel_context.attach(carried)
        try:
            return function(*args, **kwargs)
        finally:
            otel_context.detach(token)

    return run
