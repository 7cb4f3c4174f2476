"""Values of attributes as every exporter takes them, by what their keys tell.

Whatever user code hands over is taken: 100 MB, half an emoji, 2**70, a list that holds itself, an object that cannot be
printed. A value that cannot be had is named by its type.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from itertools import islice
from typing import Any

from posemon_otel import settings
from posemon_otel.redaction import keys as k
from posemon_otel.redaction.prompts import LEAST_RECENT, PROMPT, remember
from posemon_otel.redaction.text import (
    REDACTED,
    clean_url,
    cut,
    plain,
    scrub,
    scrub_message,
)
from posemon_otel.semconv import attributes as a

Value = str | bool | int | float | list[str] | list[bool] | list[int] | list[float]
"""What an attribute may hold."""

MOST_ITEMS = 128
"""Items of a sequence that are kept."""

_MOST_KEY = 256
_MOST_DEPTH = 4
_MOST_PARTS = 1024
_NUMBERS = frozenset((bool, int, float))
LEAST_INT, MOST_INT = -(2**63), 2**63 - 1


def clean_attributes(mapping: Mapping[str, object] | None, foreign: bool = True) -> dict[str, Value]:
    """Clean copies of attributes that already have their keys.

    Args:
        mapping: Attributes; ``None`` is no attributes.
        foreign: Whether they come from another library or a user, so that keys are looked at; our own registered ones
            need it not.
    """
    limit = settings.current()[settings.VALUE_LENGTH_LIMIT]
    attributes: dict[str, Value] = {}
    if mapping is None:
        return attributes
    try:
        for key, value in mapping.items():
            if not isinstance(key, str) or not key:
                continue
            cleaned = (
                by_key(key, value, limit) if foreign else clean(value, limit, free_text=key not in a.METADATA_KEYS)
            )
            if cleaned is not None:
                attributes[clean_key(key)] = cleaned
    except Exception:  # a mapping that breaks off: what was read is kept
        return attributes
    return attributes


def clean_foreign(key: str, value: object) -> Value | None:
    """The value of an attribute of another library's span, or of a user's, by what its key says it is.

    URLs lose credentials and query, statements their literals, secrets and prompts everything; other text is scrubbed.
    ``None`` means: leave it out.
    """
    return by_key(key, value, settings.current()[settings.VALUE_LENGTH_LIMIT])


def clean_value(value: object, free_text: bool) -> Value | None:
    """Any value as what an exporter takes; ``None`` stays ``None``.

    Args:
        value: Anything.
        free_text: Whether text is scrubbed; it is always cut to ``OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT`` characters.
    """
    return clean(value, settings.current()[settings.VALUE_LENGTH_LIMIT], free_text=free_text)


def clean_key(key: object) -> str:
    """A key of at most 256 characters that can be encoded."""
    if type(key) is str and len(key) <= _MOST_KEY and key.isascii():
        return key
    return str(clean(key, _MOST_KEY, free_text=False))[:_MOST_KEY]


def by_key(key: str, value: object, limit: int, depth: int = 0) -> Value | None:
    """The clean value of an attribute, by what its key says it is; text has at most ``limit`` characters."""
    what = k.treatment(key)
    if what in (k.PLAIN, k.TEXT) or value is None or (what != k.SECRET and type(value) in _NUMBERS):
        return clean(value, limit, free_text=what != k.PLAIN, depth=depth)
    if what in (k.SECRET, k.QUERY):
        return REDACTED
    if what == k.CONTENT:
        if settings.current()[settings.CAPTURE_CONTENT]:
            return clean(value, limit, free_text=False, depth=depth)
        _remember(value)
        return PROMPT
    if what == k.URL and type(value) is str:
        return clean_url(value)[:limit]
    cleaned = clean(value, limit, free_text=what != k.URL, depth=depth)
    if isinstance(cleaned, list):
        if what == k.COMMAND:
            return _command([str(item) for item in cleaned])
        return [_textby_key(what, str(item)) for item in cleaned]
    return _textby_key(what, cleaned) if isinstance(cleaned, str) else cleaned


def _remember(content: object) -> None:
    """Keeps in mind what is said in a prompt that is a text, several texts, or texts among options."""
    waiting, room = [content], _MOST_PARTS
    while waiting and room:
        part = waiting.pop()
        room -= 1
        if type(part) is str:
            remember(part)
        elif type(part) is list or type(part) is tuple:
            waiting += part[:room]
        elif type(part) is dict:  # of whose texts a short one is rather an option
            texts = islice(part.values(), room)
            waiting += [text for text in texts if type(text) is not str or len(text) >= LEAST_RECENT]


def _textby_key(what: int, text: str) -> str:
    if what == k.URL:
        return clean_url(text)
    if what == k.STATEMENT:
        return clean_statement(text)
    if what == k.COMMAND:
        import re

        return "".join(_command(re.findall(r"\s+|(?:\"[^\"]*\"?|'[^']*'?|[^\s\"'])+", text)))
    return scrub_message(text)


def _command(words: list[str]) -> list[str]:
    """A command's words without what follows a flag that is named like a secret, as its own word or after ``=``."""
    shown: list[str] = []
    hidden = False
    for word in words:
        if word.isspace():  # what stands between two words of a command line
            shown.append(word)
        elif hidden and not word.startswith("-"):
            shown.append(REDACTED)
            hidden = False
        else:
            flag, given, _ = word.partition("=")
            hidden = k.hides(flag)
            shown.append(f"{flag}={REDACTED}" if hidden and given else word)
            hidden = hidden and not given
    return shown


def clean_statement(statement: str) -> str:
    """A database statement with ``?`` for its literals."""
    import re

    strings = r"'(?:[^'\\]|\\.|'')*'?|\$\$.*?(?:\$\$|$)|(?<=[:=])\s*\"(?:[^\"\\]|\\.)*\"?"
    text = re.sub(strings, "?", statement, flags=re.DOTALL)
    return scrub(re.sub(r"(?<![\w.$?:\"])-?\d+(?:\.\d+)?\b", "?", text))


def clean(value: object, limit: int, *, free_text: bool, depth: int = 0) -> Value | None:
    """Any value as what an exporter takes; text has at most ``limit`` characters."""
    kind = type(value)
    if kind is str:
        return cut(value, limit, free_text=free_text)  # type: ignore[arg-type]
    if kind is bool or kind is float or value is None:
        return value  # type: ignore[return-value]
    try:
        if kind is int:
            return _whole(value)  # type: ignore[arg-type]
        return _other(value, limit, free_text, depth)
    except Exception:  # the object's own methods raise
        return f"<{kind.__name__[:_MOST_KEY]}>"


def _whole(value: int) -> int | str:
    # In hexadecimal beyond 64 bits: Python refuses thousands of decimal digits.
    return value if LEAST_INT <= value <= MOST_INT else f"{value:#x}"[:_MOST_KEY]


def _other(value: Any, limit: int, free_text: bool, depth: int) -> Value | None:
    if isinstance(value, Enum):
        return clean(value.value, limit, free_text=free_text, depth=depth)
    if isinstance(value, str):
        return cut(plain(value), limit, free_text=free_text)
    if isinstance(value, int):
        return _whole(int.__int__(value))
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping):
        return _document(value, limit, depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _sequence(value, limit, free_text, depth)
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and hasattr(value, "dtype"):  # NumPy, torch
        return _array(value, shape, limit, free_text, depth)
    if hasattr(value, "as_integer_ratio"):  # Decimal, Fraction
        return float(value)
    if callable(getattr(value, "total_seconds", None)):
        return float(value.total_seconds())
    if callable(getattr(value, "isoformat", None)):
        return cut(plain(str(value.isoformat())), limit, free_text=free_text)
    return cut(plain(str(value)), limit, free_text=True)


def _array(value: Any, shape: tuple[int, ...], limit: int, free_text: bool, depth: int) -> Value | None:
    if not shape:
        return clean(value.item(), limit, free_text=free_text, depth=depth + 1) if depth < _MOST_DEPTH else None
    if len(shape) == 1 and shape[0] <= MOST_ITEMS:
        return _sequence(value.tolist(), limit, free_text, depth)
    return cut(f"<array {shape} {value.dtype}>", limit, free_text=False)


def _sequence(values: Iterable[Any], limit: int, free_text: bool, depth: int) -> Value:
    if depth >= _MOST_DEPTH:
        return "[...]"
    items: list[Any] = []
    room = limit
    for value in islice(iter(values), MOST_ITEMS):
        item = clean(value, room, free_text=free_text, depth=depth + 1)
        if item is None:
            continue
        if isinstance(item, list):
            item = _dump(item)[:room]
        items.append(item)
        if isinstance(item, str):
            room -= len(item)
            if room <= 0:
                break
    kinds = set(map(type, items))
    if kinds == {int, float}:
        return [float(item) for item in items]
    if len(kinds) > 1:
        return [item if isinstance(item, str) else _dump(item) for item in items]
    return items


def _document(mapping: Mapping[Any, Any], limit: int, depth: int) -> str:
    """A mapping as JSON text; each value cleaned by its key."""
    if depth >= _MOST_DEPTH:
        return "{...}"
    document: dict[str, Any] = {}
    for key, value in islice(mapping.items(), MOST_ITEMS):
        name = clean_key(key)
        document[name] = by_key(name, value, limit, depth + 1)
    return _dump(document)[:limit]


def _dump(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
