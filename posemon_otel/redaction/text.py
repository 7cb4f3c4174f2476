"""Text: keys, tokens, addresses, queries and prompts go, the rest stays readable.

Most texts are short and clean. So a few substring tests come before any expression, and each expression runs only where
one of its words stands in the text.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from posemon_otel import settings
from posemon_otel.redaction import prompts
from posemon_otel.redaction.prompts import PROMPT

REDACTED = "[redacted]"
"""Stands where a secret stood."""

_HASH_DIGITS = 16
_MOST = prompts.MOST_TEXT
"""Characters of a text that are looked at; what is beyond is cut."""

_special = re.compile(r"[@:=?%_/\\-]").search
"""Most secrets hold one of these; most texts that people write do not."""

_WORDS = ("eyJ", "AKIA", "ASIA", "AIza", "earer", "EARER")
"""One of these stands in every other secret."""

# fmt: off
_SUSPECT = (
    *_WORDS, "@", ":", "=", "?", "%40", "hf_", "r8_", "sk-", "sk_", "ghp_", "xox", "\\x",
    "iVBORw0KGgo", "/9j/", "UklGR", "R0lGOD",
)
# fmt: on
"""One of these stands in every text that is not clean; the last four begin encoded images."""


class _Rule(NamedTuple):
    words: tuple[str, ...]
    """At least one stands in the lower-cased text, or the expression cannot match."""
    pattern: str
    replace: str | Callable[[re.Match[str]], str]


def _url(match: re.Match[str]) -> str:
    url = match[0]
    kept = url.rstrip(".,;:)]}")
    return clean_url(kept) + url[len(kept) :]


_RULES = (
    _Rule(("://",), r"://[^\s\"'<>`]+", _url),
    _Rule(("?",), r"\?(?<=[\w/%.-]\?)[^\s\"'<>=?]{1,256}=[^\s\"'<>]*", ""),
    _Rule(("base64",), r"data:[\w/+.-]*;base64,[\w+/=-]*", "[image data]"),
    _Rule(
        ("ivborw0kggo", "/9j/", "uklgr", "r0lgod"),
        r"(?:iVBORw0KGgo|/9j/|UklGR|R0lGOD)[A-Za-z0-9+/]{64,}=*",
        "[image data]",
    ),
    _Rule(("\\x",), r"(?:\\x[0-9a-fA-F]{2}[^\\\n]{0,8}){8,}", "[bytes]"),
    _Rule(
        ("authorization", "cookie"),
        r"(?i)((?:authorization|cookie)[\"']?\s{0,3}[:=]\s{0,3}[\"']?)[^\r\n\"'}]+",
        rf"\1{REDACTED}",
    ),
    # The first letter stands alone, so that the search for it is a plain loop: `(?i)` over all is five times slower.
    _Rule(
        ("key", "token", "passw", "pwd", "secret", "credential", "signature"),
        r"([achpstACHPST](?i:(?:pi|ccess|ash|rivate)[_-]?key|oken(?!s\b|s?_count|ize)|assw(?:or)?d|wd"
        r"|ecret|redential|ignature)[\w-]{0,32}[\"']?\s{0,3}[:=]\s{0,3})"
        r"(?:\"[^\"]*\"?|'[^']*'?|[^\s,;&\"'}\])]+)",
        rf"\1{REDACTED}",
    ),
    _Rule(("bearer",), r"(?i)\b(bearer\s{1,3})[\w.~+/=-]{6,}", rf"\1{REDACTED}"),
    _Rule(("eyj",), r"eyJ[\w-]{6,}(?:\.[\w-]*){0,4}", REDACTED),
    _Rule(
        ("hf_", "r8_", "sk-", "sk_", "akia", "asia", "aiza", "ghp_", "xox"),
        r"\b(?:hf_|r8_|sk[-_]|AKIA|ASIA|AIza|ghp_|xox[a-z]-)[\w-]{8,}",
        REDACTED,
    ),
    _Rule(
        ("prompt", "input"),
        r"(?i)((?:prompt|\binputs|\binput_value)[\"']?\s{0,3}[:=]\s{0,3})"
        r"(?:\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s\d\[{][^\r\n]*)",
        rf"\1{PROMPT}",
    ),
    _Rule(("@", "%40"), r"(?<![\w.+%-])[\w.+%-]*[\w.+-](?:@|%40)[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}", "[email]"),
)  # fmt: skip

_Compiled = tuple[tuple[str, ...], Callable[..., str], str | Callable[[re.Match[str]], str]]

_QUOTED = r"(?<!\w)\"[^\"\n]{24,}\"(?!\w)|(?<!\w)'[^'\n]{24,}'(?!\w)"


@lru_cache(1)
def _rules() -> tuple[_Compiled, ...]:
    """The rules, compiled at the first text that needs one: the import stays cheap."""
    return tuple((rule.words, re.compile(rule.pattern).sub, rule.replace) for rule in _RULES)


def scrub(text: str, *, around: bool = True) -> str:
    """Free text without keys, tokens, e-mail addresses, URL queries and credentials, images and prompts that are known.

    Lone surrogates, which no encoder takes, become question marks. At most 65,536 characters are kept.

    Args:
        text: The text.
        around: Whether the prompts of the operations around are looked for; not where the answer is kept for others.
    """
    if not text.isascii():
        text = _encodable(text)
    if len(text) >= prompts.shortest:
        text = prompts.without(text[:_MOST], around=around)
    for word in _SUSPECT if _special(text) else _WORDS:
        if word in text:
            return _by_rules(text[:_MOST], _rules())
    return text[:_MOST]


def _by_rules(text: str, rules: tuple[_Compiled, ...]) -> str:
    low = text.lower()
    for words, sub, replace in rules:
        for word in words:
            if word in low:
                text = sub(replace, text)
                low = text.lower()
                break
    return text


def scrub_message(text: str, *, around: bool = True) -> str:
    """As :func:`scrub`, for an exception's text: quoted passages of words go too; a user may have written them."""
    text = scrub(text, around=around)
    if len(text) > 24 and ('"' in text or "'" in text):
        text = re.sub(_QUOTED, _quoted, text)
    return text


def _quoted(match: re.Match[str]) -> str:
    passage = match[0]
    return passage if passage.count(" ") < 3 else f"{passage[0]}[{len(passage) - 2} characters]{passage[0]}"


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def plain(text: str) -> str:
    """A subclass's text as an exact ``str``, whose methods are Python's own."""
    return str.__str__(text)


def cut(text: str, limit: int, *, free_text: bool) -> str:
    """A text of at most ``limit`` characters that can be encoded, scrubbed where it is free text."""
    if len(text) > limit:
        text = text[: limit + 1024]  # a secret that begins before the cut is seen whole
    if free_text or "@" in text or "://" in text:  # such an identifier is none
        text = scrub(text, around=free_text)
    elif not text.isascii():
        text = _encodable(text)
    return text if len(text) <= limit else text[:limit]


def clean_url(url: str) -> str:
    """A URL without credentials, query and fragment."""
    url = _encodable(url[:_MOST])
    if url[:5].lower() == "data:":
        return "[image data]"
    for mark in ("?", "#", ";"):
        url = url.partition(mark)[0]
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    authority, slash, path = rest.partition("/")
    _, at, after = rest.rpartition("@")
    if "@" in authority:
        authority = authority.rpartition("@")[2]
    elif at and ":" in authority and not authority.rpartition(":")[2].isdigit():  # a password with a slash in it
        authority, slash, path = after.partition("/")
    if separator and authority[:1] != "[" and authority.partition(":")[2].strip("0123456789"):
        authority = REDACTED  # what is left of credentials that held a `?` or `#`
    for word in _SUSPECT:
        if word in path:
            path = _by_rules(path, _rules()[1:])
            break
    return f"{scheme}{separator}{authority}{slash}{path}"


def keyed_hash(text: str) -> str | None:
    """First 16 hexadecimal digits of the text's HMAC-SHA256 under ``POSEMON_HASH_KEY``; ``None`` without a key."""
    key = settings.current()[settings.HASH_KEY]
    if not key:
        return None
    import hmac

    return hmac.digest(key.encode("utf-8", "replace"), text.encode("utf-8", "replace"), "sha256").hex()[:_HASH_DIGITS]


def clean_line(text: str) -> str:
    """One line for a terminal: line ends, ANSI sequences, other controls and bidirectional marks stand escaped."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in "\u00a0\u3000" else char.encode("unicode_escape").decode()
        for char in text
    )
