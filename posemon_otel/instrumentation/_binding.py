"""Arguments by name, from a signature that is read once, when patching: to read it at each call would cost 40 us."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

Bind = Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, dict[str, Any]]]
"""`(args, kwargs) -> (instance, arguments)`."""


def binder(function: Callable[..., Any], *, bound: bool) -> Bind:
    """Bind calls of `function`.

    Nothing is checked and no default is filled in: a call that the function refuses is still passed on to it, and the
    error is its own. Of such a call's arguments those that have a name are told.

    Args:
        function: The original, as its class or module holds it.
        bound: Whether the first positional argument is the instance (or the class).
    """
    names = _positional(function)
    if not bound:

        def bind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return None, {**dict(zip(names, args, strict=False)), **kwargs}

        return bind

    names = names[1:]

    def bind_method(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        instance = args[0] if args else None
        return instance, {**dict(zip(names, args[1:], strict=False)), **kwargs}

    return bind_method


def _positional(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in without a signature: its keywords are all there is to know
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(parameter.name for parameter in parameters if parameter.kind in kinds)
