"""What an attribute's key tells about its value."""

import re
from functools import lru_cache

from posemon_otel.semconv import attributes as a

PLAIN, TEXT, MESSAGE, SECRET, CONTENT, URL, QUERY, STATEMENT, COMMAND = range(9)
"""Passes; is scrubbed; as an exception's text; goes; is a prompt; a URL; its query; a database statement; a command."""

_SECRET_FLAGS = frozenset(("auth", "key", "pass"))
"""Flags that hold credentials in common programs, as redis-cli's, beside those that read as a secret's key."""

_PATTERNS: tuple[tuple[str, int], ...] = (
    # Counts of tokens are numbers that everybody wants to see; a name like `max_tokens` is no secret.
    (r"authorization|(api|access|private|hash)[._-]?key|token(?!s|_?count|_?type|iz)|passw(or)?d", SECRET),
    (r"secret|cookie|credential|(^|[._-])(pwd|passphrase|signature|sig|jwt|dsn|email)($|[._-])", SECRET),
    (r"^db\.(query|operation)\.parameter", SECRET),
    (r"^gen_ai\.(input|output)\.messages|^gen_ai\.system_instructions|^gen_ai\.(prompt|completion)(?!_)", CONTENT),
    (r"prompt(?!_tokens|\.(length|hash)|_(length|hash|id))", CONTENT),
    (r"(^|\.)(input|output)\.value$|\.entity\.(input|output)$|^(pose\.data\.)?inputs?$", CONTENT),
    (r"^url\.query$|\.query_string$|^http\.query", QUERY),
    (r"(^|[._-])(ur[li]|endpoint|href|referr?er|location)s?$|^url\.full|^http\.target$|path_?qs", URL),
    (r"^db\.(query\.text|statement|query\.summary)$|(^|[._-])(sql|statement)$", STATEMENT),
    (r"^process\.command(_args|_line)?$", COMMAND),
    (r"^exception\.(message|stacktrace)$|(^|[._])(error|status)[._]?(message|description)$", MESSAGE),
)  # fmt: skip
"""On lower-cased keys, first match wins."""


@lru_cache(4096)
def treatment(key: str) -> int:
    """What is done with the value of an attribute, by its key."""
    if key in a.METADATA_KEYS:
        return PLAIN
    low = key.lower()
    return next((what for pattern, what in _PATTERNS if re.search(pattern, low)), TEXT)


def hides(flag: str) -> bool:
    """Whether a command's flag, as ``--token``, is followed by a secret."""
    name = flag.lstrip("-")
    return name != flag and (name.lower() in _SECRET_FLAGS or treatment(name) == SECRET)
