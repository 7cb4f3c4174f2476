"""Pillow: saving an image to a file is a storage write.

A save into memory is not: the bytes are on their way to some other storage, whose own client is watched.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from posemon_otel.calls import storage_attributes
from posemon_otel.instrumentation._library import Arguments, Attributes, Library, PatchPoint
from posemon_otel.semconv.operations import STORAGE

_PATH = (str, bytes, os.PathLike)
_FILES = (io.BufferedWriter, io.BufferedRandom, io.FileIO)


def _request(instance: Any, arguments: Arguments) -> Attributes | None:
    path = _path(arguments.get("fp"))
    if path is None:
        return None
    given = arguments.get("format")
    return {
        **storage_attributes("file", "put", path),
        "width": getattr(instance, "width", None),
        "height": getattr(instance, "height", None),
        "image_format": given.lower() if isinstance(given, str) else None,
    }


def _response(instance: Any, arguments: Arguments, result: Any) -> Attributes:  # noqa: ARG001 - a `Response`
    from PIL.Image import EXTENSION

    file = arguments.get("fp")
    path = _path(file) or ""
    named = arguments.get("format") or EXTENSION.get(Path(path).suffix.lower(), "")
    return {"bytes": _size(file, path), "image_format": named.lower() or None}


def _path(file: Any) -> str | None:
    """The path of what is written, or None where it is no file."""
    opened = getattr(file, "file", file)  # within a temporary file's wrapper
    named = file if isinstance(file, _PATH) else getattr(opened, "name", None) if isinstance(opened, _FILES) else None
    return os.fsdecode(named) if isinstance(named, _PATH) else None


def _size(file: Any, path: str) -> int | None:
    """Bytes of the file. One that the caller has opened is left where it stood."""
    if isinstance(file, _PATH):
        return Path(path).stat().st_size
    if not file.seekable():
        return None
    stood = file.tell()
    file.seek(0, os.SEEK_END)
    size: int = file.tell()
    file.seek(stood)
    return size


LIBRARY = Library(
    name="pillow",
    distribution="pillow",
    tested=">=11,<14",
    points=(PatchPoint("PIL.Image:Image.save", STORAGE, _request, _response),),
)
