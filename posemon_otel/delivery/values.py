"""Attribute values of spans: what is kept when one is set, and what may leave when the span ends.

What is kept equals what the SDK keeps, with three exceptions, all promises of ours: nothing raises, a value is cut to
16 KiB where no limit is set, and bytes become their length.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes

from posemon_otel import redaction
from posemon_otel.redaction import keys
from posemon_otel.semconv.attributes import METADATA_KEYS

logger = logging.getLogger("opentelemetry.sdk.trace")
"""The SDK's own, so that what users filter there is filtered here."""

UNLIMITED: Final = sys.maxsize

_PLAIN: Final = frozenset((bool, int, float, type(None)))
_NO_SECRET: Final = (keys.PLAIN, keys.TEXT)
_FIXED: Final = frozenset((bool, float))
"""Types whose values pass under any key but a secret's; an integer may have too many bits."""
_INT64: Final = 1 << 63
_SHORT: Final = 12
"""Characters; the shortest prompt that redaction remembers."""
_DEEPEST: Final = 8
"""Levels of a nested value; what lies deeper becomes text."""
_LONGEST_KEY: Final = 1024
"""Characters of a key, and of a name that may go out as it is."""
_ROOM: Final = 64 * 1024
"""Characters of a value that is a list or mapping, all its parts together, a number counted as one."""


def kept(value: Any, longest: int) -> Any:
    """What is kept of an attribute's value. Never raises.

    Args:
        value: Anything.
        longest: Characters of a string, or of each string in a list or mapping.

    Returns:
        A string, number, flag, ``None``, or a tuple or dict of those.
    """
    kind = type(value)
    if kind is str:
        return value if len(value) <= longest else _cut(value, longest)
    if kind in _PLAIN:
        return value
    try:
        return _Part(longest).kept(value, 0)
    except Exception:
        return redaction.clean_value(value, free_text=False)


class _Part:
    """Copies a nested value within bounds."""

    __slots__ = ("_longest", "_room")

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._room = max(_ROOM, longest)

    def kept(self, value: Any, depth: int) -> Any:
        self._room -= 1
        if isinstance(value, str):
            # Of a subclass, such as an enumeration's member, the text alone is kept.
            text = str.__str__(value)
            if len(text) > self._longest:
                text = _cut(text, self._longest)
            self._room -= len(text)
            return text
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int.__int__(value)
        if isinstance(value, float):
            return float.__float__(value)
        if depth > _DEEPEST or isinstance(value, (bytes, bytearray, memoryview)):
            return redaction.clean_value(value, free_text=False)
        if isinstance(value, Mapping):
            return self._mapping(value, depth + 1)
        if isinstance(value, Sequence):
            return self._sequence(value, depth + 1)
        if not _speaks(value):
            return None  # as in the SDK
        return redaction.clean_value(value, free_text=False)

    def _sequence(self, value: Sequence[Any], depth: int) -> tuple[Any, ...]:
        parts = []
        for part in value:
            if self._room <= 0:
                break
            parts.append(self.kept(part, depth))
        return tuple(parts)

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        parts = {}
        for name, part in value.items():
            if self._room <= 0:
                break
            key = key_of(name)
            if key is not None:
                parts[key] = self.kept(part, depth)
        return parts


def _cut(text: str, longest: int) -> str:
    """Scrubbed before it is cut: half a secret is not known for one."""
    return redaction.scrub(text[: longest + 1024])[:longest]


def _speaks(value: object) -> bool:
    """Whether its text says something, unlike ``<object object at 0x...>``."""
    kind: Any = type(value)
    return kind.__str__ is not object.__str__ or kind.__repr__ is not object.__repr__


def key_of(key: Any) -> str | None:
    """The key as a string; ``None`` where it cannot be one, with a warning as the SDK's."""
    if isinstance(key, str) and key:
        return str.__str__(key)[:_LONGEST_KEY]
    logger.warning(
        "invalid attribute key `%s`: expected a non-empty string", redaction.clean_value(key, free_text=False)
    )
    if key is None or key == "" or not _speaks(key):
        return None
    made = redaction.clean_value(key, free_text=False)
    return str(made)[:_LONGEST_KEY] if made is not None else None


NEEDS_WORK, KEPT, CLEAN = range(3)


def fitness(attributes: Mapping[Any, Any], longest: int) -> int:
    """What is to be done with attributes that are set.

    Returns:
        ``CLEAN``: they are kept and may leave as they are; ``KEPT``: they are kept as they are; else ``NEEDS_WORK``.
    """
    if type(attributes) is not dict:
        return NEEDS_WORK
    fit = CLEAN
    for key, value in attributes.items():
        kind = type(value)
        if type(key) is not str or not 0 < len(key) <= _LONGEST_KEY:
            return NEEDS_WORK
        if kind is str:
            if len(value) > longest:
                return NEEDS_WORK
            if fit == CLEAN and (key not in METADATA_KEYS or not value.isascii() or "@" in value or "://" in value):
                fit = KEPT
        elif kind not in _PLAIN:
            return NEEDS_WORK
        elif key not in METADATA_KEYS or (kind is int and not -_INT64 <= value < _INT64):
            fit = KEPT
    return fit


def merge(target: dict[str, Any], attributes: Mapping[Any, Any], most: int, longest: int) -> int:
    """Sets attributes in ``target``: a key that is set again moves to the end, beyond ``most`` the oldest goes.

    Args:
        target: The span's attributes.
        attributes: The caller's mapping; it is not kept.
        most: Attributes that a span may have.
        longest: As in ``kept``.

    Returns:
        How many attributes were dropped.
    """
    if not most:
        return len(attributes)
    dropped = 0
    for name, value in attributes.items():
        key = name if type(name) is str and 0 < len(name) <= _LONGEST_KEY else key_of(name)
        if key is None:
            dropped += 1
            continue
        if target.pop(key, key) is key and len(target) >= most:  # it was not there, and there is no room
            dropped += drop_oldest(target)
        target[key] = kept(value, longest)
    return dropped


def drop_oldest(target: dict[str, Any]) -> int:
    """Makes room for one more; returns how many went."""
    logger.warning("A span has as many attributes as its limit allows; the oldest is dropped.")
    while target:
        try:
            target.pop(next(iter(target)), None)
        except (RuntimeError, StopIteration):  # another thread set or dropped one between the two steps
            continue
        return 1
    return 0


def redacted(key: str, value: Any) -> Any:
    """What may leave of another library's attribute: by its key, text scrubbed. Never raises."""
    kind = type(value)
    if kind is tuple:
        if keys.treatment(key) == keys.COMMAND:  # its words tell about one another
            made = redaction.clean_foreign(key, value)
            return tuple(made) if isinstance(made, list) else made
        return tuple([redacted(key, part) for part in value])
    if kind is dict and keys.treatment(key) in _NO_SECRET:
        return redacted_all(value)
    return redaction.clean_foreign(key, value)


def redacted_all(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """``redacted`` for each attribute; the commonest values on a shorter way."""
    clean = {}
    for key, value in attributes.items():
        kind = type(value)
        if key in METADATA_KEYS:
            if kind is str:
                if not value.isascii() or "@" in value or "://" in value:
                    value = redacted(key, value)  # noqa: PLW2901
            elif kind not in _FIXED and not (kind is int and -_INT64 <= value < _INT64):
                value = redacted(key, value)  # noqa: PLW2901
            clean[key] = value
            continue
        treatment = keys.treatment(key)
        if kind is str and treatment == keys.TEXT:
            value = _scrub_short(value) if len(value) < _SHORT else redaction.scrub(value)  # noqa: PLW2901
        elif treatment == keys.SECRET or not (kind in _FIXED or (kind is int and -_INT64 <= value < _INT64)):
            value = redacted(key, value)  # noqa: PLW2901
        clean[clean_text(key)] = value
    return clean


@lru_cache(1024)
def _scrub_short(text: str) -> str:
    """Methods, hosts, states: the same few texts again and again, too short to be a prompt that is found out later."""
    return redaction.scrub(text, around=False)


def bounded(attributes: Mapping[str, Any], dropped: int = 0) -> BoundedAttributes:
    """The SDK's own type, immutable, with a count of what the limits dropped."""
    made = BoundedAttributes(attributes=attributes, immutable=True)
    made.dropped = dropped
    return made


def moment(time: Any) -> int | None:
    """A time that the caller gives, in nanoseconds since 1970; ``None``, with a warning, where it is none."""
    if isinstance(time, (int, float)) and 0 <= time < _INT64:
        return int(time)
    logger.warning("a time in nanoseconds since 1970 was expected; the time of the call is used")
    return None


def clean_name(name: Any) -> str:
    """The name of a span or event as it may go out."""
    text = clean_text(name)
    return _scrub_short(text) if len(text) < _SHORT else redaction.scrub(text)


def clean_text(text: Any) -> str:
    """A name or key as it may go out: a string that can be encoded, of bounded length."""
    if type(text) is str and text.isascii() and len(text) <= _LONGEST_KEY:
        return text
    made = redaction.clean_value(text, free_text=False)
    return made if isinstance(made, str) else str(made)
