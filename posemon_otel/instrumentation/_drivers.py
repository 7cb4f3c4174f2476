"""How a patched call is watched: one way for plain calls, coroutines, generators and async generators each.

The replacement is a function of the original's own sort (`async def` for `async def`, a generator for a generator),
with its name, signature and attributes: what asks `inspect`, pickles by name, binds, overrides or calls `super()` finds
what was there before. What the library raises passes through untouched, and what we raise never gets out.

These are plain functions and no proxies of wrapt's: `Client.method is Client.method` stays true (code that looks for
overridden methods asks that), they pickle, and a call that is not watched costs a third
(`tests/benchmarks/patching.py`).
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Protocol

from posemon_otel.instrumentation._calls import Call, Hook, Unwatched

Function = Callable[..., Any]


def replacement(original: Function, hook: Hook, like: Function) -> Function:
    """A function to stand in the original's place.

    Args:
        original: What it calls.
        hook: What it asks.
        like: What it looks like: the original as it was found.
    """
    point = hook.point
    if point.wrap is not None:
        made = point.wrap(original, hook)
    elif point.driver == "call":
        made = _plain(original, hook, later=False)
    elif inspect.iscoroutinefunction(like):
        made = _coroutine(original, hook)
    elif inspect.isgeneratorfunction(like):
        made = _generator(original, hook)
    elif inspect.isasyncgenfunction(like):
        made = _async_generator(original, hook)
    else:
        made = _plain(original, hook, later=True)
    return functools.wraps(like)(made)


def _plain(original: Function, hook: Hook, *, later: bool) -> Function:
    def call(*args: Any, **kwargs: Any) -> Any:
        watched = hook.open(args, kwargs)
        if watched is None:
            return original(*args, **kwargs)
        try:
            with watched:
                result = original(*args, **kwargs)
        except BaseException as error:
            watched.fail(error)
            raise
        if later and type(result) in _LATER:
            return _goes_on(watched, result)
        watched.succeed(result)
        return result

    return call


def _coroutine(original: Function, hook: Opener) -> Function:
    async def call(*args: Any, **kwargs: Any) -> Any:
        watched = hook.open(args, kwargs)
        if watched is None:
            return await original(*args, **kwargs)
        try:
            with watched:
                result = await original(*args, **kwargs)
        except BaseException as error:
            watched.fail(error)
            raise
        watched.succeed(result)
        return result

    return call


def _generator(original: Function, hook: Opener) -> Function:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        watched = hook.open(args, kwargs)
        if watched is None:
            return (yield from original(*args, **kwargs))
        resume: Function | None = None
        argument = item = None
        while True:
            try:
                with watched:
                    if resume is None:
                        inner = original(*args, **kwargs)
                        resume = inner.send
                    item = resume(argument)
            except StopIteration as stop:
                watched.succeed(item)
                return stop.value
            except GeneratorExit:  # closed, broken off or collected: the consumer had enough
                watched.succeed(item)
                raise
            except BaseException as error:
                watched.fail(error)
                raise
            finally:
                argument = None  # an exception kept in a frame of its own traceback would be garbage for the collector
            try:
                argument = yield item
                resume = inner.send
            except BaseException as thrown:
                argument = thrown
                resume = inner.throw

    return call


def _async_generator(original: Function, hook: Opener) -> Function:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        # There is no `yield from` here: what the consumer sends and throws is handed on step by step, watched or not.
        watched = hook.open(args, kwargs) or Unwatched()
        resume: Function | None = None
        argument = item = None
        while True:
            try:
                with watched:
                    if resume is None:
                        inner = original(*args, **kwargs)
                        resume = inner.asend
                    item = await resume(argument)
            except StopAsyncIteration:
                watched.succeed(item)
                return
            except GeneratorExit:
                watched.succeed(item)
                raise
            except BaseException as error:
                watched.fail(error)
                raise
            finally:
                argument = None
            try:
                argument = yield item
                resume = inner.asend
            except BaseException as thrown:
                argument = thrown
                resume = inner.athrow

    return call


class Opener(Protocol):
    """What a driver asks before it calls."""

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """The watched call, if this one is watched."""


class _Opened:
    """A call that is being watched already and goes on in what it returned."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._never_begun: Any = None

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:  # noqa: ARG002 - an `Opener`
        self._never_begun.detach()
        return self._call

    def watch(self, driven: Any) -> None:
        """End the operation of a result that is thrown away before its first step; from then on it ends by itself."""
        self._never_begun = weakref.finalize(driven, self._call.fail, GeneratorExit())
        self._never_begun.atexit = False


_LATER: dict[type, Callable[[Function, Opener], Function]] = {
    CoroutineType: _coroutine,
    GeneratorType: _generator,
    AsyncGeneratorType: _async_generator,
}


def _goes_on(call: Call, result: Any) -> Any:
    opened = _Opened(call)
    driven = _LATER[type(result)](lambda: result, opened)()
    driven.__name__, driven.__qualname__ = result.__name__, result.__qualname__
    opened.watch(driven)
    return driven
