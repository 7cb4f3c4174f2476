"""Exceptions as text: type, message and traceback, scrubbed.

Scrubbing a traceback costs more than the failing call's whole telemetry. A frame's text is the same each time, so it is
made and scrubbed once; the message alone is scrubbed with each exception.
"""

from types import CodeType, TracebackType
from typing import NamedTuple

from posemon_otel.redaction.text import cut, plain, scrub_message

MOST_TEXT = 16_384
"""Characters of a traceback; the middle of a longer one is left out."""

_MOST_MESSAGE, _MOST_LINKS, _MOST_CHILDREN, _MOST_NOTES = 4096, 8, 8, 8
_OUTER_FRAMES, _INNER_FRAMES = 16, 48
_MOST_CACHED = 4096

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"

_frames: dict[tuple[int, int], tuple[CodeType, str]] = {}
"""Frames already made, by the code's id and the last instruction; each holds its code, so that an id is not reused."""


class ExceptionText(NamedTuple):
    """An exception as it may leave the process.

    Attributes:
        type: Class with its module, builtins without.
        message: At most 4,096 characters.
        stacktrace: As Python prints it, causes first; at most 16,384 characters.
    """

    type: str
    message: str
    stacktrace: str


def exception_text(exc: BaseException) -> ExceptionText:
    """Type, message and traceback of an exception. Never raises."""
    name, message = type_name(exc), message_text(exc)
    try:
        return ExceptionText(name, message, _stacktrace(exc, name, message))
    except Exception:  # an exception with hostile attributes: its type and message are worth having alone
        return ExceptionText(name, message, f"{name}: {message}")


def type_name(exc: BaseException) -> str:
    """Class of an exception with its module, builtins without: ``ValueError``, ``httpx.ReadTimeout``."""
    cls = type(exc)
    try:
        module, name = cls.__module__, cls.__qualname__
        full = name if module == "builtins" or not isinstance(module, str) else f"{module}.{name}"
        return cut(full, 256, free_text=False)
    except Exception:  # a class whose metaclass hides its names
        return "Exception"


def message_text(exc: BaseException) -> str:
    """The scrubbed text of an exception."""
    try:
        text = plain(str(exc))
    except Exception:
        return "<unprintable>"
    return scrub_message(text[: _MOST_MESSAGE + 1024])[:_MOST_MESSAGE]


def _stacktrace(exc: BaseException, name: str, message: str) -> str:
    parts: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = exc
    while link is not None and id(link) not in seen and len(seen) < _MOST_LINKS:
        seen.add(id(link))
        own = (name, message) if link is exc else (type_name(link), message_text(link))
        parts.append(_one(link, *own))
        if link.__cause__ is not None:
            link, between = link.__cause__, _CAUSE
        else:
            link, between = None if link.__suppress_context__ else link.__context__, _CONTEXT
        if link is not None and id(link) not in seen and len(seen) < _MOST_LINKS:
            parts.append(between)
    text = "".join(reversed(parts))
    if len(text) > MOST_TEXT:
        text = f"{text[: MOST_TEXT // 4]}\n[...]\n{text[len(text) - MOST_TEXT * 3 // 4 + 7 :]}"
    return text


def _one(exc: BaseException, name: str, message: str) -> str:
    lines = ["Traceback (most recent call last):\n", *_frame_lines(exc.__traceback__)] if exc.__traceback__ else []
    lines.append(f"{name}: {message}\n" if message else f"{name}\n")
    notes = getattr(exc, "__notes__", None)
    if isinstance(notes, (list, tuple)):
        lines += [
            f"{scrub_message(plain(note)[:_MOST_MESSAGE])}\n" for note in notes[:_MOST_NOTES] if isinstance(note, str)
        ]
    if isinstance(exc, BaseExceptionGroup):
        children = exc.exceptions
        lines += [f"  | {type_name(child)}: {message_text(child)}\n" for child in children[:_MOST_CHILDREN]]
        if len(children) > _MOST_CHILDREN:
            lines.append(f"  | [{len(children) - _MOST_CHILDREN} more]\n")
    return "".join(lines)


def _frame_lines(step: TracebackType | None) -> list[str]:
    lines: list[str] = []
    skipped = 0
    steps: list[TracebackType] = []
    while step is not None:
        steps.append(step)
        step = step.tb_next
    if len(steps) > _OUTER_FRAMES + _INNER_FRAMES:
        skipped = len(steps) - _OUTER_FRAMES - _INNER_FRAMES
        del steps[_OUTER_FRAMES : _OUTER_FRAMES + skipped]
    for index, step in enumerate(steps):
        if skipped and index == _OUTER_FRAMES:
            lines.append(f"  [{skipped} frames]\n")
        code = step.tb_frame.f_code
        cached = _frames.get((id(code), step.tb_lasti))
        lines.append(cached[1] if cached is not None else _frame(step, code))
    return lines


def _frame(step: TracebackType, code: CodeType) -> str:
    import linecache

    line = linecache.getline(code.co_filename, step.tb_lineno or 0, step.tb_frame.f_globals).strip()
    text = f'  File "{cut(code.co_filename, 512, free_text=False)}", line {step.tb_lineno}, in {code.co_name}\n'
    if line:
        text += f"    {scrub_message(line[:512], around=False)}\n"
    if len(_frames) >= _MOST_CACHED:
        _frames.clear()
    _frames[id(code), step.tb_lasti] = (code, text)
    return text
