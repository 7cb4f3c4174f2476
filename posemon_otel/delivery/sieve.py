"""Finds what in a batch a backend will not take, and tells it from a backend that takes nothing.

A batch that fails is halved. If one half goes through, the backend lives and the other half holds the poison, down to
the record. If neither does, it is an outage, and the batch is given again after a pause, in smaller parts each time.
What the exporter tells (``answers``) makes this quicker; nothing is given up before the backend has taken something
else, so that a wrong endpoint or a wrong token costs nothing but time.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from posemon_otel.delivery import answers
from posemon_otel.delivery.answers import Answer, Verdict
from posemon_otel.faults import logger

FIRST_LIMIT = 2 * 1024 * 1024
"""Bytes of entries in one request; a gRPC server takes 4 MiB unless told otherwise."""

_SMALLEST_LIMIT = 16 * 1024
_RECENT = 60.0
_UNKNOWN_PATIENCE = 3
_HALVES_OUTAGES_AFTER = 3
_DEADLY_FAILURES = 3
_REFUSED_UNPROVEN = 3
_INSISTS = 3


class Item(NamedTuple):
    """One record of a batch.

    Attributes:
        number: Of its entry in the batch.
        record: What the exporter takes.
        size: Bytes of its entry.
    """

    number: int
    record: Any
    size: int


class Refused(NamedTuple):
    """An item that the backend does not take."""

    item: Item
    answer: Answer


class _Suspect(NamedTuple):
    failures: int
    """How often it failed alone, each time after something else had gone through."""
    accepted: int
    """What the backend had accepted when it last failed."""


class Held:
    """A batch under way, kept from one attempt to the next: what went through is not sent again."""

    def __init__(self) -> None:
        self.parts: deque[list[Item]] = deque()
        self.refused: list[Refused] = []
        self.attempts = 0
        self.progressed = False
        self.suspects: dict[int, _Suspect] = {}

    def add(self, items: Sequence[Item], limit: int) -> None:
        """Adds records, to be tried before the others, in parts of at most ``limit`` bytes."""
        parts: list[list[Item]] = []
        room = 0
        for item in items:
            if not parts or item.size > room:
                parts.append([])
                room = limit
            parts[-1].append(item)
            room -= item.size
        self.parts.extendleft(reversed(parts))

    def put_back(self, part: list[Item], *, halve: bool, first: bool) -> None:
        """Puts a part back that failed: to be tried first, or after all others."""
        middle = len(part) // 2
        parts = [part[:middle], part[middle:]] if halve and middle else [part]
        if first and len(part) > 1:
            self.parts.extendleft(reversed(parts))
        else:
            self.parts.extend(parts)

    def join(self, limit: int) -> None:
        """Makes few requests again of the many parts that an outage has left; suspects stay alone."""
        items = sorted((item for part in self.parts for item in part), key=lambda item: item.number)
        self.parts = deque([item] for item in items if item.number in self.suspects)
        self.add([item for item in items if item.number not in self.suspects], limit)


class Sieve:
    """Gives batches to one exporter.

    Attributes:
        answer: The last answer.
    """

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self._accepted = 0
        self._accepted_at = float("-inf")
        self._refused_since = 0
        self.limit = FIRST_LIMIT
        self.answer = Answer(Verdict.ACCEPTED, "", "")

    def give(self, held: Held, refuse: Callable[[Refused], None]) -> bool:
        """Gives what is left of a batch.

        Args:
            held: The batch.
            refuse: Called with each record that the backend does not take.

        Returns:
            Whether nothing is left of it; else it is to be given again after a pause.
        """
        proven, failures = False, 0
        while held.parts:
            part = held.parts.popleft()
            answer = self._export(part)
            if proven and failures == 0 and len(part) == 1:
                answer = self._insist(part, answer)
            self.answer = answer
            if answer.verdict is Verdict.ACCEPTED:
                self._accepted += 1
                self._accepted_at, self._refused_since = time.monotonic(), 0
                if held.attempts and not held.progressed:
                    held.join(self.limit)
                held.progressed = proven = True
                failures = 0
                continue
            failures += 1
            if answer.too_large:
                self.limit = max(min(self.limit, sum(item.size for item in part) // 2), _SMALLEST_LIMIT)
            if len(part) == 1 and self._is_poison(held, part[0], answer, proven=proven, first=failures == 1):
                if answer.verdict is Verdict.REJECTED:  # else it might just have gone away: no more before a success
                    failures = 0
                self._refused_since += 1
                held.refused.append(Refused(part[0], answer))
                refuse(held.refused[-1])
                continue
            outage = answer.verdict is Verdict.OUTAGE
            deep = answer.verdict is Verdict.REJECTED
            halve = not outage or held.attempts >= _HALVES_OUTAGES_AFTER
            held.put_back(part, halve=halve, first=deep or not halve)
            if failures >= self._patience(answer, held, proven=proven):
                held.attempts += 1
                return False
        return True

    def _patience(self, answer: Answer, held: Held, *, proven: bool) -> int:
        """How many failures one after another are enough for now."""
        if answer.verdict is Verdict.OUTAGE:
            return 1
        if answer.verdict is Verdict.UNKNOWN:
            return _UNKNOWN_PATIENCE  # the whole and both of its halves
        left = sum(map(len, held.parts))
        return 2 * left + 2 if proven else 2 * left.bit_length() + 2

    def _is_poison(self, held: Held, item: Item, answer: Answer, *, proven: bool, first: bool) -> bool:
        """Whether a record that failed alone is to blame, and not the backend."""
        known = held.suspects.get(item.number)
        if known is None:
            known = held.suspects[item.number] = _Suspect(0, self._accepted)
        elif self._accepted > known.accepted:
            known = held.suspects[item.number] = _Suspect(known.failures + 1, self._accepted)
        if answer.verdict is Verdict.OUTAGE:  # it may be that the record makes the backend fall over
            return known.failures >= _DEADLY_FAILURES
        if answer.verdict is Verdict.REJECTED:
            recently = time.monotonic() - self._accepted_at < _RECENT and self._refused_since < _REFUSED_UNPROVEN
            return proven or recently or known.failures > 0
        return proven and first  # what was given just before went through

    def _insist(self, part: list[Item], answer: Answer) -> Answer:
        """Asks again where it may be the record: a backend that fails now and then must not cost one."""
        for _ in range(_INSISTS):
            if answer.verdict is not Verdict.UNKNOWN:
                break
            answer = self._export(part)
        return answer

    def _export(self, part: list[Item]) -> Answer:
        with answers.listening() as heard:
            try:
                answer = self._exporter.export([item.record for item in part])
                accepted = answer is None or answer.name == "SUCCESS"  # some exporters say nothing, as the SDK allows
                status = "acknowledged" if accepted else "failed"
            except Exception as exc:
                logger.debug("an exporter raised", exc_info=exc)
                accepted, status = False, type(exc).__name__
        wanted = [answer for answer in heard if (answer.verdict is Verdict.ACCEPTED) is accepted]
        if wanted:  # of several exporters the one that failed for a while only: the batch goes to all again
            return next((answer for answer in wanted if answer.verdict is Verdict.OUTAGE), wanted[-1])
        return Answer(Verdict.ACCEPTED if accepted else Verdict.UNKNOWN, status, self._name())

    def _name(self) -> str:
        return str(getattr(self._exporter, "name", type(self._exporter).__name__))
