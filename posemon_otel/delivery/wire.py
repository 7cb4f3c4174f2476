"""Which entry is which in the journal, and how each is read back."""

from typing import Any, NamedTuple

from posemon_otel.delivery import forks
from posemon_otel.entries import Attributes, Event, Finish, Log, Start

START, FINISH, LOG, EVENT, SCOPE = 1, 2, 3, 4, 5
"""Tags of the entries; 0 is the journal's own."""


class ScopeEntry(NamedTuple):
    """An instrumentation scope, written before the first entry of a segment that refers to its number."""

    number: int
    name: str
    version: str
    schema_url: str
    attributes: Attributes | None


TYPES: dict[int, Any] = {START: Start, FINISH: Finish, LOG: Log, EVENT: Event, SCOPE: ScopeEntry}


_decoders: dict[int, Any] = {}


def decoder(tag: int) -> Any:
    """The decoder of an entry's payload; its ``decode`` raises ``msgspec.MsgspecError`` on bytes that are none."""
    made = _decoders.get(tag)
    return _make_decoder(tag) if made is None else made


def _make_decoder(tag: int) -> Any:
    """Makes one, a thread at a time, in no half-way state at a fork.

    msgspec leaves what it knows of a class on that class before it knows it all. A second thread that makes a decoder
    meanwhile takes that, and its ``decode`` ends the process with a segmentation fault.
    """
    import msgspec

    with forks.held_off():
        if tag not in _decoders:
            _decoders[tag] = msgspec.msgpack.Decoder(TYPES[tag])
        return _decoders[tag]


def moment(tag: int, payload: Any) -> int | None:
    """When an entry was written, in nanoseconds since 1970; ``None`` where it does not say or cannot be read."""
    import msgspec

    if tag not in TYPES:
        return None
    try:
        entry = decoder(tag).decode(payload)
    except msgspec.MsgspecError:
        return None  # written by another version
    for name in ("end", "time", "start"):
        found = getattr(entry, name, None)
        if found is not None:
            return int(found)
    return None
