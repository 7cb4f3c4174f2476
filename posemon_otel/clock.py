"""The two clocks: wall time stamps what happens, monotonic time measures how long it takes. Tests replace both."""

import time
from collections.abc import Callable

wall_ns: Callable[[], int] = time.time_ns
"""Nanoseconds since 1970; call it as ``clock.wall_ns()`` so that a replacement is seen."""

monotonic_ns: Callable[[], int] = time.monotonic_ns
"""Nanoseconds that never go back."""


def use(wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns) -> None:
    """Replaces the clocks; without arguments the real ones are back."""
    global wall_ns, monotonic_ns
    wall_ns, monotonic_ns = wall, monotonic
