"""The format of a segment: frames one after another, the first of which is the head.

A frame is the length of what follows the first eight bytes, the CRC-32 of that, one byte that says what kind of entry
it is (its tag), and the entry in MessagePack. A length of 0 is never written: a run of zeros, which a file system may
leave behind after a power cut, would otherwise be a run of valid frames.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from struct import Struct
from typing import Any, Final, NamedTuple
from zlib import crc32

from posemon_otel.journal.files import Descriptor, JournalError

FORMAT: Final = 1
"""The version of this format, in every head. A reader refuses one that it does not know."""

HEAD: Final = 0
"""The tag of a segment's first entry; every other tag is the caller's."""

MAX_ENTRY: Final = 64 * 1024 * 1024
"""The most bytes that one entry may have. What claims to be larger is damage."""

FIRST: Final = 1
"""The number of a writer's first segment."""

_SUFFIX: Final = ".seg"
_DRAFT: Final = ".new"
_APPEND: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
_HEADER: Final = Struct("<IIB")
_HEADER_SIZE: Final = _HEADER.size
TAG_AT: Final = _HEADER_SIZE - 1
"""Where the tag stands in a frame."""

_PREFIX: Final = Struct("<II")
_PREFIX_SIZE: Final = _PREFIX.size
_TAG_CRC: Final = tuple(crc32(bytes((tag,))) for tag in range(256))
_pack = _HEADER.pack
_unpack_prefix = _PREFIX.unpack_from


class Segment(NamedTuple):
    """A segment as it stands somewhere."""

    number: int
    size: int


class Head(NamedTuple):
    """What a segment says about itself."""

    head: dict[str, Any]
    """The caller's mapping, as the writer gave it: the Resource, for one."""
    consumers: tuple[str, ...]
    """The consumers that the segment is owed to."""
    created: int
    """When it was begun, nanoseconds since 1970 by the writer's clock."""


class Scan(NamedTuple):
    """The whole frames at the start of a stretch of bytes."""

    entries: list[tuple[int, bytes]]
    """Tag and payload of each, heads left out."""
    end: int
    """Where the last whole frame ends."""
    missing: int
    """Bytes that the next frame has beyond the stretch; 0: none is cut off; -1: what stands at `end` is damaged."""


def frame(tag: int, payload: bytes) -> bytes:
    """One entry as it stands in the file.

    Raises:
        JournalError: The entry is larger than `MAX_ENTRY`.
    """
    size = len(payload) + 1
    if size > MAX_ENTRY:
        raise JournalError(errno.EMSGSIZE, f"an entry of {size} bytes: at most {MAX_ENTRY} can be written")
    return _pack(size, crc32(payload, _TAG_CRC[tag]), tag) + payload


def write_whole(descriptor: int, data: bytes) -> None:
    """Write `data` to the end of the segment open as `descriptor`.

    Raises:
        OSError: It could not be written as a whole.
    """
    if (written := os.write(descriptor, data)) != len(data):
        raise JournalError(errno.ENOSPC, f"{written} of {len(data)} bytes could be written")


def frame_size(payload: bytes) -> int:
    """Bytes that an entry with this MessagePack takes in the file."""
    return _HEADER_SIZE + len(payload)


def scan(data: bytes, limit: int) -> Scan:
    """Read at most `limit` entries from the start of `data`."""
    entries: list[tuple[int, bytes]] = []
    view = memoryview(data)
    at, size = 0, len(data)
    while at < size and len(entries) < limit:
        start = at + _PREFIX_SIZE
        if start > size:
            return Scan(entries, at, start - size)
        length, checksum = _unpack_prefix(data, at)
        if not 0 < length <= MAX_ENTRY:
            return Scan(entries, at, -1)
        end = start + length
        if end > size:
            return Scan(entries, at, end - size)
        if crc32(view[start:end]) != checksum:
            return Scan(entries, at, -1)
        tag = data[start]
        if tag != HEAD:
            entries.append((tag, data[start + 1 : end]))
        at = end
    return Scan(entries, at, 0)


def encode_head(head: Head) -> bytes:
    """The frame of a head, as of a segment that is begun now."""
    from msgspec import msgpack

    fields = {"format": FORMAT, "head": head.head, "consumers": list(head.consumers), "created": time.time_ns()}
    return frame(HEAD, msgpack.encode(fields))


def begin(path: Path, content: bytes) -> Descriptor:
    """Make the segment at `path`, open for appending. It gets its name when its head, or all of it, stands whole.

    Raises:
        OSError: It could not be made; nothing is left of it.
    """
    draft = path.with_suffix(_DRAFT)
    descriptor = None
    try:
        descriptor = Descriptor(draft, _APPEND)
        write_whole(descriptor.number, content)
        draft.rename(path)
    except BaseException:
        if descriptor is not None:
            descriptor.close()
        draft.unlink(missing_ok=True)
        raise
    return descriptor


def ends_with(descriptor: int, data: bytes) -> bool:
    """Whether the segment open as `descriptor` has `data` whole at its end."""
    try:
        start = os.fstat(descriptor).st_size - len(data)
        return start >= 0 and os.pread(descriptor, len(data), start) == data
    except OSError:
        return False


def read_head(path: Path) -> Head:
    """The head of the segment at `path`.

    Raises:
        JournalError: It has none that can be read, or one of a format that this version does not know.
        FileNotFoundError: There is no such segment.
    """
    from msgspec import DecodeError, msgpack

    with path.open("rb") as file:
        prefix = file.read(_PREFIX_SIZE)
        length = _unpack_prefix(prefix)[0] if len(prefix) == _PREFIX_SIZE else 0
        data = prefix + file.read(min(length, MAX_ENTRY))
    if not length or scan(data, 1).end != len(data) or data[_PREFIX_SIZE] != HEAD:
        raise JournalError(errno.EINVAL, f"{path}: the segment has no head that can be read")
    try:
        fields = msgpack.decode(data[_HEADER_SIZE:])
        version = fields["format"]
        if version == FORMAT:
            return Head(fields["head"], tuple(fields["consumers"]), fields["created"])
    except (DecodeError, KeyError, TypeError) as error:
        raise JournalError(errno.EINVAL, f"{path}: the segment has no head that can be read") from error
    raise JournalError(errno.EINVAL, f"{path}: format {version!r}, this version reads {FORMAT}")


def head_size(descriptor: int) -> int:
    """Bytes that the head takes at the start of the segment open as `descriptor`; 0 where they cannot be read."""
    prefix = os.pread(descriptor, _PREFIX_SIZE, 0)
    return _PREFIX_SIZE + int(_unpack_prefix(prefix)[0]) if len(prefix) == _PREFIX_SIZE else 0


def segment_path(folder: Path, number: int) -> Path:
    """Where segment `number` of a writer's folder stands."""
    return folder / f"{number:08d}{_SUFFIX}"


def segment_numbers(folder: Path) -> list[int]:
    """The numbers of the segments in a writer's folder, oldest first; empty where there is no such folder."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  # three times as fast as iterdir, and done at every read
    except (FileNotFoundError, NotADirectoryError):
        return []
    stems = (name[: -len(_SUFFIX)] for name in names if name.endswith(_SUFFIX))
    return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit())
