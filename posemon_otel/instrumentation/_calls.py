"""One call that is watched: from its arguments to an operation, and from its result to the operation's end.

Nothing here raises: what goes wrong with an extractor or an operation is a fault of ours, and the call goes on without.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any

from posemon_otel.faults import fault
from posemon_otel.instrumentation._binding import Bind
from posemon_otel.instrumentation._library import Attributes, Begin, Handle, Library, PatchPoint

_NOTHING: Attributes = {}


class Switch:
    """What all calls of a library share while it is installed.

    Attributes:
        on: Whether calls are watched. Off, a replacement that cannot be taken away calls the original and no more.
        begin: Starts an operation.
        inside: True within a watched call of the library, so that its own calls beneath are not watched again.
    """

    __slots__ = ("begin", "inside", "library", "on")

    def __init__(self, library: Library, begin: Begin) -> None:
        self.library = library
        self.begin = begin
        self.on = False
        self.inside: ContextVar[bool] = ContextVar(f"posemon-inside-{library.name}", default=False)


class Hook:
    """One patched function: what its replacement asks at each call."""

    __slots__ = ("_bind", "_switch", "_where", "point")

    def __init__(self, switch: Switch, point: PatchPoint, bind: Bind) -> None:
        self._switch = switch
        self._bind = bind
        self._where = f"reading a call of {point.target}"
        self.point = point

    @property
    def on(self) -> bool:
        """Whether calls are watched just now."""
        return self._switch.on

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """Start an operation for this call, or tell by None that it is nobody's business. Never raises."""
        switch = self._switch
        if not switch.on or switch.inside.get():
            return None
        try:
            instance, arguments = self._bind(args, kwargs)
            request = self.point.request
            attributes = _NOTHING if request is None else request(instance, arguments)
            handle = None if attributes is None else switch.begin(switch.library, self.point, attributes)
        except Exception as exc:
            fault(self._where, exc)
            return None
        return None if handle is None else Call(self.point, handle, switch.inside, instance, arguments)

    def begin(self, attributes: Attributes, **options: Any) -> Handle | None:
        """Start an operation of this point, for a `wrap` of one's own. Never raises."""
        if not self._switch.on:
            return None
        try:
            return self._switch.begin(self._switch.library, self.point, attributes, **options)
        except Exception as exc:
            fault(self._where, exc)
            return None


class Call:
    """One watched call. Entered, its operation is the current one: around each step of the library, never between."""

    __slots__ = ("_arguments", "_handle", "_inside", "_instance", "_point", "_token")

    def __init__(
        self, point: PatchPoint, handle: Handle, inside: ContextVar[bool], instance: Any, arguments: dict[str, Any]
    ) -> None:
        self._point = point
        self._handle: Handle | None = handle
        self._inside = inside
        self._instance = instance
        self._arguments = arguments
        self._token: Token[bool] | None = None

    def __enter__(self) -> None:
        self._token = self._inside.set(True)
        try:
            if self._handle is not None:
                self._handle.attach()
        except Exception as exc:
            fault(f"entering a call of {self._point.target}", exc)

    def __exit__(self, *raised: object) -> None:
        try:
            if self._handle is not None:
                self._handle.detach()
        except Exception as exc:
            fault(f"leaving a call of {self._point.target}", exc)
        token, self._token = self._token, None
        try:
            self._inside.reset(token)  # type: ignore[arg-type]  # paired with __enter__
        except ValueError:  # collected or closed in another context, which never was inside
            pass

    def fail(self, error: BaseException) -> None:
        """End the operation with what the library raised. Never raises."""
        self._end(error, _NOTHING)

    def succeed(self, result: Any) -> None:
        """End the operation with what the library returned. Never raises."""
        attributes: Attributes = _NOTHING
        if self._handle is not None and self._point.response is not None:
            try:
                attributes = self._point.response(self._instance, self._arguments, result)
            except Exception as exc:
                fault(f"reading a result of {self._point.target}", exc)
        self._end(None, attributes)

    def _end(self, error: BaseException | None, attributes: Attributes) -> None:
        # Let go of everything: an error's traceback holds this object, and the operation may hold the error.
        handle, self._handle = self._handle, None
        self._instance, self._arguments = None, {}
        if handle is not None:
            try:
                handle.finish(error, attributes)
            except Exception as exc:
                fault(f"finishing a call of {self._point.target}", exc)


class Unwatched:
    """Stands for a `Call` that nobody watches."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *raised: object) -> None:
        pass

    def fail(self, error: BaseException) -> None:
        pass

    def succeed(self, result: Any) -> None:
        pass
