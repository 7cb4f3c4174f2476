"""A small import hook: something is done to a module whenever it has been executed, and nothing is imported for it."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Watcher = Callable[[ModuleType], None]

_lock = threading.Lock()
_watchers: dict[str, tuple[Watcher, ...]] = {}


def watch(name: str, watcher: Watcher) -> Callable[[], None]:
    """Call `watcher(module)` each time the module `name` has been executed, by an import or a reload.

    A module that is there already is not reported: ask `imported`. An import that fails is not reported either, but the
    next attempt is. The watcher runs on the importing thread and must not raise.

    Returns:
        What ends the watch. With the last one the hook leaves `sys.meta_path`.
    """
    with _lock:
        _watchers[name] = (*_watchers.get(name, ()), watcher)
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)

    def cancel() -> None:
        with _lock:
            rest = tuple(other for other in _watchers.get(name, ()) if other is not watcher)
            if rest:
                _watchers[name] = rest
            else:
                _watchers.pop(name, None)
            if not _watchers and _finder in sys.meta_path:
                sys.meta_path.remove(_finder)

    return cancel


def imported(name: str) -> ModuleType | None:
    """The module, if it has been imported; one that another thread is importing just now is waited for."""
    if sys.modules.get(name) is None:
        return None
    try:
        return importlib.import_module(name)
    except ImportError:  # it failed on the other thread and was taken out again
        return None


class _Finder:
    """Stands first in `sys.meta_path`, asks those behind it and changes the loader of watched modules alone."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        if name not in _watchers:
            return None
        finders = list(sys.meta_path)
        behind = finders[finders.index(self) + 1 :] if self in finders else finders
        for finder in behind:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None else None
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):  # not so for a namespace package
                    spec.loader = _Loader(spec.loader)  # type: ignore[assignment]  # a loader in all it does
                return spec
        return None


class _Loader:
    """The module's own loader, but for what follows the execution."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        create = getattr(self._loader, "create_module", None)
        return create(spec) if create is not None else None

    def exec_module(self, module: ModuleType) -> None:
        # The module shall know its real loader: resources, sources and reloads ask for it.
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        for watcher in _watchers.get(module.__name__, ()):
            watcher(module)


_finder: Any = _Finder()
