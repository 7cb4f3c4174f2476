"""Which entry is which in the journal, and how each is read back."""

from functools import cache
from typing import Any, NamedTuple

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


@cache
def decoder(tag: int) -> Any:
    """The decoder of an entry's payload; its ``decode`` raises ``msgspec.MsgspecError`` on bytes that are none."""
    import msgspec

    return msgspec.msgpack.Decoder(TYPES[tag])
