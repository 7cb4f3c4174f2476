"""Forks: kept off the moments in which a thread of delivery imports modules, and what is called in the child.

A module that is being imported is locked by its thread. A child that is forked meanwhile has the lock and not the
thread: it would wait for it for ever at its own first delivery.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from posemon_otel import faults

_WAIT_SECONDS = 2.0
_importing = threading.RLock()
_held = False


@contextmanager
def held_off() -> Iterator[None]:
    """A fork in another thread waits for the end of the block, though never longer than two seconds."""
    with _importing:
        yield


def in_child(method: Callable[[], None], doing: str) -> None:
    """Has a method called in every child that is forked, as long as its object lives.

    Args:
        method: A bound method; what it raises is a fault of ours.
        doing: What it does, in a few words.
    """
    weak = weakref.WeakMethod(method)

    def call() -> None:
        living = weak()
        if living is not None:
            try:
                living()
            except Exception as exc:
                faults.fault(doing, exc)

    os.register_at_fork(after_in_child=call)


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
