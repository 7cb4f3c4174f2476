"""Puts a library's replacements in place and takes them away again. Knows no OpenTelemetry.

A point is patched when the module that defines it has been imported, so that installing imports nothing. What stood
there comes back when it is still ours to give back; where somebody else has wrapped our replacement in the meantime, it
stays and is switched off, and on again by the next `install`: it is never put in twice.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable
from types import FunctionType, MethodType, ModuleType
from typing import Any

from posemon_otel.faults import fault
from posemon_otel.instrumentation import _imports
from posemon_otel.instrumentation._binding import binder
from posemon_otel.instrumentation._calls import Hook, Switch
from posemon_otel.instrumentation._drivers import replacement
from posemon_otel.instrumentation._library import Begin, Library, PatchPoint

PATCHED, WAITING = "patched", "waiting for the import of its module"
"""States of a point; any other is the reason why it could not be patched."""

_lock = threading.RLock()
_installed: dict[str, Installed] = {}


def install(library: Library, begin: Begin) -> Installed:
    """Patch the points of `library` whose modules are there, and the others as they come. Again, it changes nothing.

    Args:
        library: What to patch.
        begin: Starts an operation for a call.
    """
    with _lock:
        known = _installed.get(library.name)
        if known is not None and known.library is not library:
            known.restore()
            known = None
        made = known or Installed(library, begin)
        _installed[library.name] = made
    made.install(begin)
    return made


def restore(name: str) -> None:
    """Take the patches of the library `name` away; nothing happens where there are none."""
    found = _installed.get(name)
    if found is not None:
        found.restore()


def installed(name: str) -> Installed | None:
    """The patches of the library `name`, while they are switched on."""
    found = _installed.get(name)
    return found if found is not None and found.on else None


class Installed:
    """A library's patches.

    Attributes:
        library: What is patched.
        points: The state of each target: `PATCHED`, `WAITING` or why it is neither.
    """

    def __init__(self, library: Library, begin: Begin) -> None:
        self.library = library
        self.points: dict[str, str] = {}
        self._switch = Switch(library, begin)
        self._places: list[_Place] = []
        self._cancel: list[Callable[[], None]] = []

    @property
    def on(self) -> bool:
        """Whether it is installed just now."""
        return self._switch.on

    def install(self, begin: Begin) -> None:
        """Patch, or switch on again what is still in place."""
        with _lock:
            self._switch.begin = begin
            if self._switch.on:
                return
            self._switch.on = True
            self.points = {point.target: WAITING for point in self.library.points}
            modules = dict.fromkeys(point.module for point in self.library.points)
            # Watched first and looked for afterwards: a module that is imported in between is seen by at least one.
            self._cancel = [_imports.watch(name, self._executed) for name in modules]
        for name in modules:
            # Not under our lock: this waits for another thread's import, which may wait for the lock in `_executed`.
            module = _imports.imported(name)
            if module is not None:
                self._patch(module, fresh=False)

    def restore(self) -> None:
        """Give back what is still ours, and switch off what is not."""
        with _lock:
            self._switch.on = False
            self.points = {}
            for cancel in self._cancel:
                cancel()
            self._cancel = []
            self._places = [place for place in self._places if not place.give_back()]

    def _executed(self, module: ModuleType) -> None:
        self._patch(module, fresh=True)

    def _patch(self, module: ModuleType, *, fresh: bool) -> None:
        with _lock:
            if not self._switch.on:
                return
            for point in self.library.points:
                if point.module == module.__name__:
                    try:
                        self.points[point.target] = self._patch_point(module, point, fresh=fresh)
                    except Exception as exc:
                        self.points[point.target] = f"could not be patched: {exc!r}"
                        fault(f"patching {point.target}", exc)

    def _patch_point(self, module: ModuleType, point: PatchPoint, *, fresh: bool) -> str:
        path, _, name = point.target.partition(":")[2].rpartition(".")
        owner: Any = module
        for part in path.split(".") if path else ():
            owner = inspect.getattr_static(owner, part, None)
        found = inspect.getattr_static(owner, name, None)
        if found is None:
            return "not found: this version of the library has no such call"
        known = next((place for place in self._places if place.owner is owner and place.name == name), None)
        if known is not None and not fresh and known.still_there(found):
            known.rebind_aliases()
            return PATCHED
        if known is not None:
            self._places.remove(known)
        self._places.append(_Place(owner, name, found, point, self._switch))
        return PATCHED


class _Place:
    """One attribute of a class or module, and the replacement that we have put there."""

    def __init__(self, owner: Any, name: str, found: Any, point: PatchPoint, switch: Switch) -> None:
        self.owner = owner
        self.name = name
        self._point = point
        self._found = found
        self._own = name in vars(owner)  # an inherited method is patched on the class that was asked for
        descriptor = type(found) if issubclass(type(found), (staticmethod, classmethod)) else None
        self._original = found.__func__ if descriptor else found
        if not inspect.isroutine(self._original) or isinstance(self._original, (staticmethod, classmethod)):
            raise TypeError(
                f"{point.target} is a {type(found).__qualname__}: only functions and methods can be watched"
            )
        method = inspect.isclass(owner) and not isinstance(found, staticmethod)
        call = _bind_first(found, owner) if method and type(self._original) is not FunctionType else self._original
        hook = Hook(switch, point, binder(self._original, bound=method))
        self._function = replacement(call, hook, like=self._original)
        self._put = descriptor(self._function) if descriptor else self._function
        self._aliases: dict[str, Any] = {}
        setattr(owner, name, self._put)
        self.rebind_aliases()

    def still_there(self, found: Any) -> bool:
        """Whether our replacement is what is found, or is taken to be beneath it: whoever came later wrapped ours."""
        return found is not self._found

    def rebind_aliases(self) -> None:
        """Make names that were bound to the original when their module was imported mean the replacement."""
        for alias in self._point.aliases:
            module, name, value = _alias(alias)
            if _function(value) is self._original:
                self._aliases[alias] = value
                setattr(module, name, _with_function(value, self._function))

    def give_back(self) -> bool:
        """Put back what was found; False where somebody else's wrapper holds our replacement."""
        for alias in self._point.aliases:
            module, name, value = _alias(alias)
            if _function(value) is self._function:
                # A module that was imported while we were in place never held the original.
                setattr(module, name, self._aliases.get(alias, _with_function(value, self._original)))
        current = inspect.getattr_static(self.owner, self.name, None)
        if current is not self._put:
            return current is self._found
        if self._own:
            setattr(self.owner, self.name, self._found)
        else:
            delattr(self.owner, self.name)
        return True


def _bind_first(found: Any, owner: type) -> Callable[..., Any]:
    """Calls a method that is no plain function, such as another tool's wrapper, the way Python does: bound."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if not args:
            return found.__get__(None, owner)(**kwargs)
        return found.__get__(args[0], type(args[0]))(*args[1:], **kwargs)

    return call


def _alias(alias: str) -> tuple[ModuleType | None, str, Any]:
    module_name, _, name = alias.partition(":")
    module = sys.modules.get(module_name)
    return module, name, inspect.getattr_static(module, name, None)


def _function(value: Any) -> Any:
    return value.__func__ if type(value) is MethodType else value


def _with_function(value: Any, function: Callable[..., Any]) -> Any:
    return MethodType(function, value.__self__) if type(value) is MethodType else function
