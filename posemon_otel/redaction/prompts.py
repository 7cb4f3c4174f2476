"""Prompts that are in flight, in memory only, so that a text that quotes one can leave without it.

Whoever translates a call's keywords hands its prompts to the operation that it begins, which keeps them (``Held``);
texts within that operation, and of what is around it, are looked at for them. What is said outside of any operation is
looked at for those of the one that failed last in this context, and for the last prompts that anybody translated.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar, Token
from typing import NamedTuple, Protocol, TypeVar

PROMPT = "[prompt]"
"""Stands where a prompt stood."""

MOST_TEXT = 65_536
"""Characters of a text that are looked at."""

LEAST_RECENT = 12
"""Characters of the shortest prompt that is looked for outside of its operation."""

_LEAST = 3
_MOST_RECENT, _MOST_OWN, _MOST_WITHIN = 16, 1024, 256
_HEAD = 32

A = TypeVar("A")
R = TypeVar("R")


class Known(NamedTuple):
    """A prompt that is looked for.

    Attributes:
        head: How it begins, since a message may cut what it quotes; all of a short one.
        text: The prompt.
    """

    head: str
    text: str


class Receiver(Protocol):
    """Receives prompts: a list, or a ``Held``."""

    def append(self, prompt: str, /) -> None:
        """Takes one."""


class Held:
    """The prompts of one operation, those of what ran within it, and those of what is around it.

    No lock: a list is added to and cut in steps of the interpreter, and what runs within is on other threads too.

    Attributes:
        around: Of the operation around.
        own: The operation's own, the last 1,024.
        within: Of what ran within it, the last 256.
    """

    __slots__ = ("around", "own", "within")

    def __init__(self, around: "Held | None", prompts: Iterable[str] = ()) -> None:
        """Holds what it is given.

        Args:
            around: Of the operation around.
            prompts: The operation's own, as far as they are known.
        """
        self.around = around
        self.own: list[Known] = []
        self.within: list[Known] = []
        if around is None and _failed.get() is not None:
            _failed.set(None)
        for prompt in prompts:
            self.append(prompt)

    def append(self, prompt: str, /) -> None:
        """Takes one more; one that is shorter than three characters cannot be told from words."""
        found = _forms(prompt)
        self.own += found
        del self.own[:-_MOST_OWN]
        around = self.around
        while around is not None:
            around.within += found
            del around.within[:-_MOST_WITHIN]
            around = around.around

    def known(self) -> list[Known]:
        """All that is looked for in what is said within it."""
        known: list[Known] = []
        one: Held | None = self
        while one is not None:
            known += one.own
            known += one.within
            one = one.around
        return known


recent: tuple[Known, ...] = ()
"""The last prompts that were translated."""

shortest = MOST_TEXT
"""Characters that a text needs to be looked at."""

_collected: ContextVar[Receiver | None] = ContextVar("posemon-prompts-collected", default=None)
_saying: ContextVar[Held | None] = ContextVar("posemon-prompts-saying", default=None)
_failed: ContextVar[Held | None] = ContextVar("posemon-prompts-failed", default=None)
_current: Callable[[], Held | None] = lambda: None  # noqa: E731 - replaced by ``ask``


def remember(prompt: str) -> None:
    """Keeps a prompt in mind: for whoever collects here, and among the last 16."""
    global recent, shortest
    collected = _collected.get()
    if collected is not None:
        collected.append(prompt)
    if len(prompt) >= LEAST_RECENT:
        one = _one(prompt[:MOST_TEXT])
        if one not in recent:
            recent = (*recent[1 - _MOST_RECENT :], one)
            shortest = min(shortest, len(one.head))


def collect(into: Receiver) -> "Token[Receiver | None]":
    """Has ``remember`` add what it is given in this context, until ``stop`` gets the token."""
    return _collected.set(into)


def stop(token: "Token[Receiver | None]") -> None:
    """Ends what ``collect`` began."""
    _collected.reset(token)


def ask(current: Callable[[], Held | None]) -> None:
    """Sets who tells the current operation's prompts, wherever a text is looked at."""
    global _current
    _current = current


def failed(held: Held) -> None:
    """Has what is said here outside of every operation be of this one: who catches what it raised may report it.

    Until the next operation begins that has none around it.
    """
    _failed.set(held)


def saying(held: Held, call: Callable[[A], R], argument: A) -> R:
    """Calls something whose texts are an operation's that need not be current any more."""
    token = _saying.set(held)
    try:
        return call(argument)
    finally:
        _saying.reset(token)


def without(text: str, *, around: bool) -> str:
    """The text without the prompts that are known.

    Args:
        text: Of at least ``shortest`` characters, or it need not be asked about.
        around: Whether the operations around are asked; else the last prompts alone are looked for, so that the
            answer may be kept.
    """
    looked_for: Sequence[Known] = recent
    if around:
        held = _saying.get() or _current() or _failed.get()
        if held is not None:
            looked_for = (*recent, *held.known())
    found = [one for one in looked_for if one.head in text]
    if not found:
        return text
    text = _without_long([one for one in found if len(one.text) >= LEAST_RECENT], text)
    short = {one.text for one in found if len(one.text) < LEAST_RECENT}
    if short:
        words = "|".join(map(re.escape, sorted(short, key=len, reverse=True)))
        text = re.sub(rf"(?<!\w)(?:{words})(?!\w)", PROMPT, text)
    return text


def _one(prompt: str) -> Known:
    return Known(prompt[:_HEAD], prompt)


def _forms(prompt: str) -> list[Known]:
    """The prompt, and as it looks when quoted; nothing where it is too short."""
    global shortest
    text = prompt[:MOST_TEXT]
    if len(text) < _LEAST:
        return []
    found = [_one(form) for form in (text, *_quoted(text))]
    shortest = min(shortest, *(len(one.head) for one in found))
    return found


def _quoted(prompt: str) -> Iterable[str]:
    """How the prompt looks in Python's and in JSON's quotes, where that differs."""
    if prompt.isascii() and prompt.isprintable() and not set("'\"\\") & set(prompt):
        return ()
    import json

    forms = (repr(prompt)[1:-1], json.dumps(prompt)[1:-1], json.dumps(prompt, ensure_ascii=False)[1:-1])
    return {form for form in forms if form != prompt}


def _without_long(found: list[Known], text: str) -> str:
    """Where prompts begin alike, the one that the text follows longest is what it quotes."""
    kept: list[str] = []
    at = 0
    places = [text.find(one.head) for one in found]
    while True:
        for index, place in enumerate(places):
            if 0 <= place < at:
                places[index] = text.find(found[index].head, at)
        start = min((place for place in places if place >= 0), default=-1)
        if start < 0:
            return "".join(kept) + text[at:]
        same = max(_alike(text, start, one.text) for one, place in zip(found, places, strict=True) if place == start)
        kept += (text[at:start], PROMPT)
        at = start + same


def _alike(text: str, start: int, prompt: str) -> int:
    """How many characters of the prompt the text has from ``start`` on."""
    least, most = 0, min(len(prompt), len(text) - start)
    if text.startswith(prompt[:most], start):
        return most
    while least < most - 1:
        middle = (least + most) // 2
        if text.startswith(prompt[:middle], start):
            least = middle
        else:
            most = middle
    return least
