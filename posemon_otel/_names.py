"""Names given to the performance tracker: an id in one would make a metric series of its own, so it is taken out."""

import re
from typing import NamedTuple

from posemon_otel import redaction

_ID = re.compile(
    r"(?:^|(?<=[-_:/.#\s]))(?:"
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"  # a UUID
    r"|[0-9]{5,}"  # a row's number, a time
    r"|(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,}"  # part of a hash
    r"|(?=(?:[A-Za-z]*[0-9]){2})[0-9A-Za-z]{16,}"  # cuid, ULID and their kin
    r")(?=$|[-_:/.#\s])"
)
_SEPARATORS_LEFT_OVER = re.compile(r"^[-_:/.#\s]+|[-_:/.#\s]+(?=[-_:/.#\s]|$)")
_LONGEST = 128
_REMEMBERED = 1024
NAMELESS = "operation"
"""Name of an operation that has only an id."""


class Name(NamedTuple):
    """A tracker's name.

    Attributes:
        text: The name without ids: the span's, the metric's.
        id: The ids that stood in it, or empty.
    """

    text: str
    id: str


_plain: dict[str, Name] = {}


def split(name: object) -> Name:
    """Takes ids out of a name: ``flux-api-<uuid>`` is ``flux-api`` and the uuid. Never raises.

    Numbers of five digits and more, hexadecimal runs of eight with a digit and letter-digit runs of sixteen count as
    ids where they stand between separators.
    """
    known = _plain.get(name) if type(name) is str else None
    if known is not None:
        return known
    text = str(redaction.clean_value(name, free_text=False))[: _LONGEST * 2]
    ids = _ID.findall(text)
    kept = _SEPARATORS_LEFT_OVER.sub("", _ID.sub("", text)) if ids else text
    found = Name(redaction.scrub(kept, around=False).strip()[:_LONGEST] or NAMELESS, ",".join(ids))
    if not ids and type(name) is str and len(_plain) < _REMEMBERED:
        _plain[name] = found
    return found
