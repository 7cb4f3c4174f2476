"""A trace as a tree for people: names, durations, a bar of when, and what went wrong."""

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from posemon_otel.entries import Finish
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o

_BAR = 24
_COLOURS = {"ok": "32", "error": "31", "cancelled": "33", "dim": "2", "name": "1"}
_SHOWN = (
    a.GENERATION_ID,
    a.GENERATION_STATUS,
    a.POSE_ID,
    a.POSE_NAME,
    a.GEN_AI_PROVIDER_NAME,
    a.IMAGE_WIDTH,
    a.IMAGE_HEIGHT,
    a.IMAGE_STEPS,
    a.STORAGE_OBJECT_SIZE,
    a.QUEUE_WAIT,
    a.QUEUE_ATTEMPT,
)


def print_tree(spans: Sequence[Finish], stream: TextIO | None = None) -> None:
    """Prints a trace on standard error, coloured where it is a terminal and ``NO_COLOR`` is not set.

    Args:
        spans: The finished spans of one trace, in any order.
        stream: Where to instead.
    """
    out = stream or sys.stderr
    out.write(draw(spans, colour=out.isatty() and not os.environ.get("NO_COLOR")) + "\n")
    out.flush()


def draw(spans: Sequence[Finish], *, colour: bool) -> str:
    """The tree as text, a line a span.

    Args:
        spans: The finished spans of one trace, in any order.
        colour: Whether to colour it with ANSI codes.
    """
    if not spans:
        return ""
    by_id = {span.span_id: span for span in spans}
    children: dict[int, list[Finish]] = {}
    for span in sorted(spans, key=lambda span: span.start):
        children.setdefault(span.parent_id if span.parent_id in by_id else 0, []).append(span)
    begin = min(span.start for span in spans)
    whole = max(max(span.end for span in spans) - begin, 1)
    lines = [_paint(f"trace {spans[0].trace_id.hex()}", "dim", colour)]
    names: list[tuple[str, Finish]] = []
    _walk(children, 0, "", names)
    width = max(len(prefix) + len(span.name) for prefix, span in names)
    for prefix, span in names:
        lines.append(_line(prefix, span, width, begin, whole, colour))
    return "\n".join(lines)


def _walk(children: dict[int, list[Finish]], parent: int, indent: str, names: list[tuple[str, Finish]]) -> None:
    below = children.get(parent, [])
    for number, span in enumerate(below):
        last = number == len(below) - 1
        root = parent == 0
        names.append((indent + ("" if root else "└─ " if last else "├─ "), span))
        _walk(children, span.span_id, indent + ("" if root else "   " if last else "│  "), names)


def _line(prefix: str, span: Finish, width: int, begin: int, whole: int, colour: bool) -> str:
    mark = "error" if span.status == 2 else "cancelled" if span.outcome == o.CANCELLED else "ok"
    left = int((span.start - begin) / whole * _BAR)
    length = max(1, round((span.end - span.start) / whole * _BAR))
    bar = (" " * left + "█" * length)[:_BAR].ljust(_BAR)
    shown = " ".join(
        f"{a.BY_KEY[key].short}={span.attributes[key]}"
        for key in _SHOWN
        if key in span.attributes
        and (key != a.GENERATION_ID or span.kind == o.GENERATION.key)
        and (key != a.POSE_ID or a.POSE_NAME not in span.attributes)
    )
    why = f"{span.error.type} {span.error.reason}" if span.error else span.status_description
    name = _paint(span.name, "name", colour) + " " * (width - len(prefix) - len(span.name))
    parts = [
        f"{prefix}{name}",
        _seconds(span.seconds).rjust(8),
        _paint(bar, mark, colour),
        _paint("✗ " + why, "error", colour) if mark == "error" else "",
        _paint(shown, "dim", colour),
    ]
    return "  ".join(part for part in parts if part).rstrip()


def _seconds(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.001 else f"{seconds * 1e6:.0f} µs"


def _paint(text: str, colour: str, on: bool) -> str:
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if on and text.strip() else text
