"""What the demo shows while it works: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Any, Protocol, Self


class Screen(Protocol):
    """Shows what happens."""

    colour: bool
    """Whether colours can be shown."""

    def say(self, line: str = "") -> None:
        """Print a line that stays."""

    def begin(self, total: int) -> None:
        """Begin to count towards `total` generations."""

    def progress(self, done: int, doing: str) -> None:
        """So many generations have ended."""

    def working(self, doing: str) -> None:
        """Show what goes on without an end in sight."""

    def close(self) -> None:
        """Take the moving parts away; what was said stays."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_screen() -> Screen:
    """The screen that standard output is good for."""
    return TerminalScreen() if sys.stdout.isatty() else PlainScreen()


def fail(message: str) -> int:
    """Say on stderr, in one line, why the demo failed; returns the exit code."""
    print(f"posemon demo: {message}", file=sys.stderr)
    return 1


class PlainScreen:
    """Lines, for files and pipes: one for each new thing that is done, and one every fifth of the way."""

    colour = False
    _STEPS = 5

    def __init__(self) -> None:
        self._total = 0
        self._said = ("", 0)

    def say(self, line: str = "") -> None:
        print(line, flush=True)

    def begin(self, total: int) -> None:
        self._total = total

    def progress(self, done: int, doing: str) -> None:
        now = (doing, done * self._STEPS // max(self._total, 1))
        if now != self._said:
            self._said = now
            self.say(f"  {done}/{self._total} generations  {doing}")

    def working(self, doing: str) -> None:
        if doing != self._said[0]:
            self._said = (doing, -1)
            self.say(f"  {doing}")

    def close(self) -> None:
        self._total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class TerminalScreen:
    """A bar with what is being done beside it. `rich` is loaded at its first use, lest the first line be late."""

    def __init__(self) -> None:
        self.colour = not os.environ.get("NO_COLOR")
        self._moving: Any = None
        self._task: Any = None

    def say(self, line: str = "") -> None:
        if self._moving is None:
            print(line, flush=True)
        else:
            self._moving.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def begin(self, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

        self.close()
        columns = (BarColumn(bar_width=28), MofNCompleteColumn(), TimeElapsedColumn())
        self._start(*columns, TextColumn("{task.description}"), total=total)

    def progress(self, done: int, doing: str) -> None:
        self._moving.update(self._task, completed=done, description=doing)

    def working(self, doing: str) -> None:
        if self._moving is None:
            from rich.progress import TextColumn

            self._start(TextColumn("{task.description}"), total=None)
        self._moving.update(self._task, description=doing)

    def close(self) -> None:
        if self._moving is not None:
            self._moving.stop()
            self._moving = None

    def _start(self, *columns: Any, total: int | None) -> None:
        from rich.progress import Progress, SpinnerColumn

        self._moving = Progress(SpinnerColumn(), *columns, transient=True)
        self._task = self._moving.add_task("", total=total)
        self._moving.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
