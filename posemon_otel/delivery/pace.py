"""When the threads of delivery work, and when they rest: a flush wakes them all."""

import threading
import time
from collections.abc import Callable

_FLUSH_PAUSE = 0.5
_FLUSH_LOOK = 0.05


class Pace:
    """Shared by the threads of one shipper.

    Attributes:
        flushes: How often somebody began to wait in a flush; to be read before looking for something to deliver.
    """

    def __init__(self, interval: float) -> None:
        """Makes it.

        Args:
            interval: Seconds between two looks where there was nothing to deliver.
        """
        self._interval = interval
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._flushing = 0
        self.flushes = 0

    @property
    def stopped(self) -> bool:
        """Whether the threads are to end."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Ends all pauses and flushes."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    def wait_for_stop(self, seconds: float) -> bool:
        """Pauses that no flush ends; True where it is the end."""
        return self._stopping.wait(seconds)

    def progress(self) -> None:
        """Something was delivered: who waits in a flush may be done."""
        with self._changed:
            self._changed.notify_all()

    def flush(self, done: Callable[[], bool], timeout: float, hopeless: Callable[[int], bool] | None = None) -> bool:
        """Has everybody work until ``done()`` or for ``timeout`` seconds; returns whether it is done.

        Args:
            done: Whether it is.
            timeout: Seconds.
            hopeless: Given this flush's number, whether waiting on is in vain.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            self._flushing += 1
            self.flushes += 1
            number = self.flushes
            self._changed.notify_all()
        try:
            while not done():
                left = deadline - time.monotonic()
                if left <= 0 or self.stopped or (hopeless is not None and hopeless(number)):
                    return False
                with self._changed:
                    self._changed.wait(min(left, _FLUSH_LOOK))
            return True
        finally:
            with self._changed:
                self._flushing -= 1

    def rest(self, flushes: int, seconds: float, retry_after: float) -> bool:
        """Pauses after a failure.

        Args:
            flushes: What it was before the delivery that failed.
            seconds: How long; less where somebody waits in a flush.
            retry_after: Seconds that the other side asked for; a flush does not shorten these.

        Returns:
            False where a flush that began since has ended the pause.
        """
        begun = time.monotonic()
        with self._changed:
            while not self.stopped:
                fresh = self.flushes != flushes
                pause = 0.0 if fresh else min(seconds, _FLUSH_PAUSE) if self._flushing else seconds
                left = begun + max(pause, retry_after) - time.monotonic()
                if left <= 0:
                    return not fresh
                self._changed.wait(left)
        return True

    def idle(self, flushes: int) -> None:
        """Pauses until there may be something new; while somebody waits in a flush, not for long."""
        begun = time.monotonic()
        with self._changed:
            while not self.stopped and self.flushes == flushes:
                pause = min(self._interval, _FLUSH_LOOK) if self._flushing else self._interval
                left = begun + pause - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)
