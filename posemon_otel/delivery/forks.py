"""Keeps forks off the moments in which a thread of delivery imports modules.

A module that is being imported is locked by its thread. A child that is forked meanwhile has the lock and not the
thread: it would wait for it for ever at its own first delivery.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_WAIT_SECONDS = 2.0
_importing = threading.RLock()
_held = False


@contextmanager
def held_off() -> Iterator[None]:
    """A fork in another thread waits for the end of the block, though never longer than two seconds."""
    with _importing:
        yield


def _before() -> None:
    global _held
    _held = _importing.acquire(timeout=_WAIT_SECONDS)


def _in_parent() -> None:
    if _held:
        _importing.release()


def _in_child() -> None:
    global _importing
    _importing = threading.RLock()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
