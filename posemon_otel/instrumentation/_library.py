"""What to patch in a client library, as data.

A library is one small file that holds a `Library`: where its calls are (`PatchPoint`), what kind of operation each is,
and two small functions a call that read attributes. How a call is watched is decided in `_drivers`, where and when it
is put in place, in `_patching` and `_imports`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from posemon_otel.instrumentation._calls import Hook

Arguments = Mapping[str, Any]
"""A call's arguments by name, as they came: no defaults; unknown keywords included, surplus positional ones not."""

Attributes = Mapping[str, object]
"""Attributes by short name or full name, raw: the operation checks and redacts them."""

Request = Callable[[Any, Arguments], Attributes | None]
"""Reads a call: `(instance, arguments) -> attributes`. None says that this very call is no operation."""

Response = Callable[[Any, Arguments, Any], Attributes]
"""Reads what came of it: `(instance, arguments, result) -> attributes`. Of a generator the result is its last item."""

Wrap = Callable[[Callable[..., Any], "Hook"], Callable[..., Any]]
"""The escape hatch: `(original, hook) -> replacement`, for a call that no driver fits."""


class Handle(Protocol):
    """An operation that runs."""

    def attach(self) -> None:
        """Make it the current operation, until the `detach` that follows."""

    def detach(self) -> None:
        """Make what was current before the `attach` current again."""

    def finish(self, error: BaseException | None, attributes: Attributes) -> None:
        """End it, with what was raised (a `GeneratorExit` or a cancellation too) and what the response told."""


Begin = Callable[..., Handle | None]
"""Starts an operation without making it current: `(library, point, attributes, **options)`, the options being those of
a `wrap`. None says that nobody listens: the call then goes its own way."""


@dataclass(frozen=True, slots=True)
class PatchPoint:
    """One call of a library.

    Attributes:
        target: `module:function` or `module:Class.method`, in the module that *defines* it.
        kind: The kind of operation, an entry of `posemon_otel.semconv.operations`.
        request: Reads instance and arguments. For a static method or a function the instance is None.
        response: Reads the result, where there is something to read.
        driver: `auto` ends the operation when the call is done, also where that is later than its return: a coroutine's
            end, a generator's exhaustion, close or collection. `call` ends it at the return, whatever is returned.
        wrap: Makes the replacement itself; the request and response are then its own affair.
        aliases: Names elsewhere, `module:name`, that were bound to the function, or to it as somebody's bound method,
            when their module was imported. They are re-bound too.
    """

    target: str
    kind: Any
    request: Request | None = None
    response: Response | None = None
    driver: Literal["auto", "call"] = "auto"
    wrap: Wrap | None = None
    aliases: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The module to wait for."""
        return self.target.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Library:
    """A client library and its calls.

    Attributes:
        name: Its import name, and the name that `instrument` takes.
        distribution: Its name on the package index.
        tested: The versions that the library file is tested with, as a version specifier.
        points: What to patch.
    """

    name: str
    distribution: str
    tested: str
    points: tuple[PatchPoint, ...]
