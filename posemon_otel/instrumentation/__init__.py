"""Client libraries that are instrumented: one line each in `LIBRARIES`, one small file each beside this one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple

from posemon_otel import settings

if TYPE_CHECKING:
    from posemon_otel.instrumentation._library import Library

LIBRARIES: tuple[str, ...] = (
    "bullmq",
    "huggingface_hub",
    "pillow",
)
ENTRY_POINT_PREFIX = "posemon_"
"""Before a library's name it is the name of its `opentelemetry_instrumentor` entry point."""


class LibraryStatus(NamedTuple):
    """What there is to know about the instrumentation of a library.

    Attributes:
        name: The name that `instrument` takes.
        distribution: Its name on the package index.
        version: The installed version; None where it is not installed or does not say.
        tested: Versions that the instrumentation is tested with.
        instrumented: Whether it is switched on.
        reason: Why it is not, or what is odd about it although it is; empty where there is nothing to say.
        points: What became of each patched call, by its target: `patched`, waiting for an import, or why not.
    """

    name: str
    distribution: str
    version: str | None
    tested: str
    instrumented: bool
    reason: str
    points: dict[str, str]


def instrument(*names: str) -> None:
    """Watch client libraries. Nothing is imported for it: a library is patched when the application imports it.

    Args:
        *names: Names of `LIBRARIES`; such a library is taken in any version. Without names, every library is taken that
            is installed in a version that the instrumentation is tested with, and that
            `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` does not name; the others are skipped without a word, and `status`
            says why.

    Raises:
        ValueError: There is no such name.
        ModuleNotFoundError: A library that was asked for by name is not installed.
    """
    if not names:
        instrument_installed(_disabled())
        return
    libraries = [_load(name) for name in names]
    for library in libraries:
        if _version(library) is None:
            raise ModuleNotFoundError(
                f"instrument({library.name!r}): {library.distribution} is not installed; "
                f"pip install '{library.distribution}{library.tested}'",
                name=library.name,
            )
    _install(libraries)


def instrument_installed(disabled: Collection[str] = ()) -> None:
    """Watch every library that is installed in a tested version, skipping the others without a word.

    Args:
        disabled: Libraries to leave alone, as `<library>` or `posemon_<library>`; `*` is all of them.
    """
    _install([library for library in map(_load, LIBRARIES) if not _obstacle(library, disabled)])


def uninstrument(*names: str) -> None:
    """Give the originals back; a replacement that another tool has wrapped stays and does nothing from now on.

    Args:
        *names: Names of `LIBRARIES`; without any, all of them.

    Raises:
        ValueError: There is no such name.
    """
    from posemon_otel.instrumentation import _patching

    for name in names or LIBRARIES:
        _known(name)
        _patching.restore(name)


def status() -> list[LibraryStatus]:
    """Tell of each library whether it is instrumented, and why not."""
    from posemon_otel.instrumentation import _patching

    disabled = _disabled()
    told = []
    for library in map(_load, LIBRARIES):
        installed = _patching.installed(library.name)
        on = installed is not None
        reason = _obstacle(library, disabled) or ("" if on else "not asked for")
        told.append(
            LibraryStatus(
                library.name,
                library.distribution,
                _version(library),
                library.tested,
                on,
                reason,
                dict(installed.points) if installed is not None else {},
            )
        )
    return told


def dependencies(name: str) -> tuple[str, ...]:
    """The library's requirement, as `opentelemetry-instrument` checks it before it instruments.

    Raises:
        ValueError: There is no such name.
    """
    library = _load(name)
    return (f"{library.distribution} {library.tested}",)


def _known(name: str) -> str:
    if name not in LIBRARIES:
        raise ValueError(f"no instrumentation is called {name!r}; there are {', '.join(LIBRARIES)}")
    return name


def _load(name: str) -> Library:
    from importlib import import_module

    library: Library = import_module(f"{__name__}.{_known(name)}").LIBRARY
    return library


def _version(library: Library) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(library.distribution)
    except metadata.PackageNotFoundError:
        return None


def _disabled() -> tuple[str, ...]:
    return settings.current()[settings.DISABLED_INSTRUMENTATIONS]


def _install(libraries: Iterable[Library]) -> None:
    from posemon_otel.instrumentation import _patching
    from posemon_otel.instrumentation._begin import begin

    for library in libraries:
        _patching.install(library, begin)


def _obstacle(library: Library, disabled: Collection[str]) -> str:
    """Why the library is not instrumented unless it is asked for by name; empty where nothing speaks against it."""
    if not {library.name, ENTRY_POINT_PREFIX + library.name, "*"}.isdisjoint(disabled):
        return f"switched off by {settings.DISABLED_INSTRUMENTATIONS.variables[0]}"
    version = _version(library)
    if version is None:
        return f"{library.distribution} is not installed"
    from packaging.specifiers import SpecifierSet

    if not SpecifierSet(library.tested).contains(version, prereleases=True):
        return f"{library.distribution} {version} is not one of the versions tested, {library.tested}"
    return ""
