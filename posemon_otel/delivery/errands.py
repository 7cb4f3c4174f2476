"""Work that a caller waits for only so long, also while the interpreter ends."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

from posemon_otel import faults


class Errands:
    """Runs functions on threads. One is parked beforehand: at exit some versions of Python start none any more."""

    def __init__(self) -> None:
        self._given: SimpleQueue[tuple[Callable[[], object], threading.Event]] = SimpleQueue()
        self._parked = threading.Thread(target=self._wait, name="posemon-errands", daemon=True)
        self._parked.start()

    def start(self, work: Callable[[], object]) -> Callable[[float], bool]:
        """Starts ``work``; what it raises is a fault of ours.

        Returns:
            A function that waits so many seconds at most, and tells whether the work is done.
        """
        done = threading.Event()
        try:
            threading.Thread(target=_do, args=(work, done), name="posemon-errand", daemon=True).start()
        except RuntimeError:
            self._given.put((work, done))
        return lambda seconds: done.wait(max(0.0, seconds))

    def run(self, work: Callable[[], object], seconds: float) -> bool:
        """Starts ``work`` and waits; tells whether it is done."""
        return self.start(work)(seconds)

    def _wait(self) -> None:
        while True:
            _do(*self._given.get())


def _do(work: Callable[[], object], done: threading.Event) -> None:
    try:
        work()
    except Exception as exc:
        faults.fault("delivering what a flush waits for", exc)
    finally:
        done.set()
