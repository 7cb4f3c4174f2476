"""Delivery as a process of its own, for all services of a folder or one; and once, for what ended processes left."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from posemon_otel import settings
from posemon_otel.delivery import backlog
from posemon_otel.delivery.happenings import Happenings
from posemon_otel.delivery.outside import OutsideShipper, consumers
from posemon_otel.journal import afterwards, journals, network_filesystem
from posemon_otel.journal.files import prepare_root
from posemon_otel.journal.outside import present
from posemon_otel.settings import Settings
from posemon_otel.state import journals_folder, spare_root

OPEN = "open operations"
"""What a dead process had open, which is delivered once its end was written into its journal."""

_CALLBACKS = frozenset((Happenings.name,))
_LOOK_EVERY = 0.05
_LEAST_STOP = 0.5


class NothingToShipError(RuntimeError):
    """There is no journal that could be shipped from outside; the message says why, and what mends it."""


def usable(chosen: Settings) -> Path:
    """The folder of journals, as ``state.journals_folder`` tells.

    Raises:
        NothingToShipError: Telemetry or the journal is off, or the folder is none that can be shipped from.
    """
    variable = settings.JOURNAL_DIR.variables[0]
    if chosen[settings.DISABLED]:
        raise NothingToShipError(f"{settings.DISABLED.variables[0]} switches all telemetry off")
    if chosen[settings.JOURNAL] == "off":
        raise NothingToShipError(f"{settings.JOURNAL.variables[0]}=off: workers send at once, and keep no journal")
    try:
        folder = journals_folder(chosen)
    except RuntimeError as error:
        raise NothingToShipError(f"{error}: set {variable}") from None
    kind = network_filesystem(folder)
    if kind is not None:
        raise NothingToShipError(f"{folder} lies on {kind}, where locks say nothing: set {variable} to a local folder")
    return folder


def shipped(folder: Path) -> list[str]:
    """The services for which a process ships from outside.

    Args:
        folder: As ``state.journals_folder`` tells.
    """
    return [root.name for root in backlog.services(folder) if present(root)]


class Ship:
    """Ships from outside for every service that has journals, or for one."""

    def __init__(self, chosen: Settings, folder: Path, say: Callable[[str], None], *, service: str = "") -> None:
        """Makes it; ``look`` does the work.

        Args:
            chosen: The settings.
            folder: As ``state.journals_folder`` tells.
            say: Called with a line where something has changed.
            service: The name of one service's folder; all where left out.
        """
        self._chosen = chosen
        self._folder = folder
        self._say = say
        self._service = service
        self._shippers: dict[Path, OutsideShipper] = {}
        self._said: dict[Path, str] = {}

    def look(self) -> None:
        """Begins with services that are new, and says what has changed.

        Raises:
            OSError: The folder of the one service cannot be made or is not ours.
        """
        for root in self._new_roots():
            self._shippers[root] = OutsideShipper(self._chosen, root, consumers(self._chosen), living=True)
            self._shippers[root].start()
        for root, shipper in self._shippers.items():
            shipper.adopt()  # more often than by itself: until it has a journal, a worker's flush waits for it
            told = _told(shipper)
            if self._said.get(root) != told:
                self._said[root] = told
                self._say(f"{root.name}: {told}")

    def stop(self, timeout: float) -> None:
        """Gives everything back within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        ending = [
            threading.Thread(target=shipper.stop, args=(timeout,), daemon=True) for shipper in self._shippers.values()
        ]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _new_roots(self) -> list[Path]:
        if self._service:
            root = self._folder / self._service
            prepare_root(root)  # the word stands there before the first worker begins
            found = [root, *(path for path in backlog.services(self._folder) if path == spare_root(root))]
            return [path for path in found if path not in self._shippers]
        unknown = [root for root in backlog.services(self._folder) if root not in self._shippers]
        return [root for root in unknown if next(journals(root), None) is not None]


def _told(shipper: OutsideShipper) -> str:
    if shipper.problem:
        return f"its journals cannot be shipped: {shipper.problem}"
    if not shipper.standing:
        return "another process ships it from outside; this one takes over when that ends"
    held = shipper.held
    told = f"ships for {held.living} living and {held.dead} ended processes"
    if held.apart:
        told += f"; those that owe {', '.join(sorted(held.apart))} too, which is not set up here, ship by themselves"
    return told


class Left(NamedTuple):
    """What still waits of what ended processes left.

    Attributes:
        service: The name of the service's folder.
        consumer: For whom; or ``OPEN``.
        bytes: How much.
        failure: What went wrong when it was last tried; empty where there is nobody to give it to.
    """

    service: str
    consumer: str
    bytes: int
    failure: str


def flush(chosen: Settings, folder: Path, timeout: float) -> list[Left]:
    """Delivers what ended processes left, once.

    Args:
        chosen: The settings.
        folder: As ``state.journals_folder`` tells.
        timeout: Seconds.

    Returns:
        What still waits; callbacks' part is left out, for they run in workers.
    """
    deadline = time.monotonic() + timeout
    shippers = [
        OutsideShipper(chosen, root, consumers(chosen), living=False)
        for root in backlog.services(folder)
        if any(not journal.alive for journal in journals(root))
    ]
    for shipper in shippers:
        shipper.adopt()
        shipper.start()
    while time.monotonic() < deadline and not all(shipper.settled() for shipper in shippers):
        time.sleep(min(_LOOK_EVERY, max(0.0, deadline - time.monotonic())))
    for shipper in shippers:
        shipper.stop(max(_LEAST_STOP, deadline - time.monotonic()))
    left = [
        Left(shipper.folder.name, consumer, waiting, shipper.failures.get(consumer, ""))
        for shipper in shippers
        for consumer, waiting in sorted(_waiting(shipper.folder).items())
    ]
    roots = (shipper.folder for shipper in shippers)
    why = "its folder cannot be written, or another process is at it"
    left += [Left(root.name, OPEN, 0, why) for root in roots if not _all_completed(root)]
    return left


def _all_completed(root: Path) -> bool:
    """Whether the ends of what dead processes had open stand in their journals."""
    return all(journal.alive or afterwards.is_completed(journal) for journal in journals(root))


def _waiting(root: Path) -> dict[str, int]:
    """Bytes that wait in the journals of dead processes, by consumer."""
    total: dict[str, int] = {}
    for journal in journals(root):
        for consumer in journal.consumers:
            waiting = 0 if journal.alive or consumer in _CALLBACKS else journal.lag(consumer).bytes
            if waiting:
                total[consumer] = total.get(consumer, 0) + waiting
    return total
