"""What the demo plays: generations whose pictures come out, and generations that meet each failure there is.

Everything follows from the number of generations, so a run can say beforehand what must be counted after it.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from posemon_otel.demo.faults import Failure
from posemon_otel.demo.flux_api import ImageRequest
from posemon_otel.demo.poses import POSES
from posemon_otel.semconv import errors as e
from posemon_otel.semconv import operations as o
from posemon_otel.semconv.errors import ErrorType

ATTEMPTS = 3
"""How often BullMQ lets a worker try a job, as in production."""

EXPECTED: Mapping[Failure, tuple[ErrorType, str]] = {
    Failure.BAD_REQUEST: (ErrorType.FLUX_API_ERROR, e.BAD_REQUEST),
    Failure.AUTH: (ErrorType.FLUX_API_ERROR, e.AUTH),
    Failure.QUOTA: (ErrorType.FLUX_API_ERROR, e.QUOTA),
    Failure.NOT_FOUND: (ErrorType.FLUX_API_ERROR, e.NOT_FOUND),
    Failure.CONTENT_POLICY: (ErrorType.FLUX_API_ERROR, e.CONTENT_POLICY),
    Failure.RATE_LIMITED: (ErrorType.FLUX_API_ERROR, e.RATE_LIMITED),
    Failure.SERVER_ERROR: (ErrorType.FLUX_API_ERROR, e.SERVER_ERROR),
    Failure.UNAVAILABLE: (ErrorType.FLUX_API_ERROR, e.SERVER_ERROR),
    Failure.MODEL_LOADING: (ErrorType.FLUX_API_ERROR, e.MODEL_LOADING),
    Failure.GATEWAY_TIMEOUT: (ErrorType.TIMEOUT_ERROR, e.TIMEOUT),
    Failure.HANG: (ErrorType.TIMEOUT_ERROR, e.TIMEOUT),
    Failure.DROP: (ErrorType.NETWORK_ERROR, e.CONNECTION),
    Failure.CORRUPT: (ErrorType.FLUX_API_ERROR, e.SERVER_ERROR),
    Failure.TRUNCATED: (ErrorType.FLUX_API_ERROR, e.SERVER_ERROR),
}
"""What each failure of the stand-in must be called, wherever it shows."""


class PoseOrder(NamedTuple):
    """One pose to be rendered.

    Attributes:
        pose_id: of the library.
        name: what people call it.
        variation: what tells it from its siblings.
        seed: tells the stand-in which picture is asked for; no two orders share one.
        failure: what the stand-in does; None renders it.
        times: how many tries meet the failure.
    """

    pose_id: str
    name: str
    variation: str
    seed: int
    failure: Failure | None = None
    times: int = ATTEMPTS


class Order(NamedTuple):
    """One generation that a user asks for."""

    id: str
    user_id: str
    poses: tuple[PoseOrder, ...]

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What keeps poses from being rendered in the end."""
        return tuple(pose.failure for pose in self.poses if pose.failure is not None and pose.times >= ATTEMPTS)

    @property
    def status(self) -> str:
        """How it must end."""
        if not self.failures:
            return o.COMPLETED
        return o.FAILED if len(self.failures) == len(self.poses) else o.PARTIAL

    @property
    def error_types(self) -> frozenset[str]:
        """Types of error that it must be counted under, once each."""
        return frozenset(EXPECTED[failure][0].value for failure in self.failures)


class Scenario(NamedTuple):
    """The generations of a run, in the order in which they are asked for.

    Attributes:
        calm: usual traffic, with failures of every kind here and there.
        incident: asked for while FLUX is away.
        recovery: asked for once it is back.
    """

    calm: tuple[Order, ...]
    incident: tuple[Order, ...]
    recovery: tuple[Order, ...]

    @property
    def orders(self) -> tuple[Order, ...]:
        """All of them."""
        return self.calm + self.incident + self.recovery


_Recipe = tuple[tuple[Failure | None, int], ...]
_OK = (None, 0)


def _lasting(*failures: Failure | None) -> _Recipe:
    return tuple(_OK if failure is None else (failure, ATTEMPTS) for failure in failures)


_CALM: tuple[_Recipe, ...] = (
    _lasting(None, None),
    _lasting(None, Failure.HANG),  # early: it takes as long as the worker's patience
    _lasting(None, Failure.RATE_LIMITED, None),
    _lasting(None),
    ((Failure.MODEL_LOADING, 1),),  # BullMQ's second try succeeds
    _lasting(Failure.CONTENT_POLICY, None, Failure.BAD_REQUEST),
    _lasting(None, None, None, None),
    _lasting(Failure.AUTH),
    _lasting(None, Failure.DROP),
    _lasting(None, None),
    _lasting(Failure.CORRUPT, None, None, Failure.TRUNCATED),
    _lasting(Failure.SERVER_ERROR, Failure.GATEWAY_TIMEOUT, None),
    _lasting(Failure.NOT_FOUND, Failure.QUOTA, None),
    _lasting(None, Failure.MODEL_LOADING),
)
_INCIDENT: tuple[_Recipe, ...] = (
    _lasting(Failure.UNAVAILABLE, Failure.UNAVAILABLE),
    _lasting(Failure.UNAVAILABLE),
    _lasting(Failure.UNAVAILABLE, Failure.UNAVAILABLE, Failure.UNAVAILABLE),
)
_RECOVERY: tuple[_Recipe, ...] = (_lasting(None, None), _lasting(None), _lasting(None, None, None))
_SHARE = 0.15
"""Share of the generations that fall into the incident, and again of those after it."""

_USERS = ("mara", "tom", "yuki", "ines", "omar")


def scenario(generations: int) -> Scenario:
    """Lay out a run.

    Args:
        generations: how many, at least 1. From 20 on every failure occurs; below 4 there is no incident.
    """
    aside = max(1, int(generations * _SHARE)) if generations >= 4 else 0
    orders = _orders()
    return Scenario(
        tuple(next(orders)(_CALM[number % len(_CALM)]) for number in range(generations - 2 * aside)),
        tuple(next(orders)(_INCIDENT[number % len(_INCIDENT)]) for number in range(aside)),
        tuple(next(orders)(_RECOVERY[number % len(_RECOVERY)]) for number in range(aside)),
    )


def trickle(already: int) -> Iterator[Order]:
    """Generations without end in which nothing is planned to fail.

    Args:
        already: generations asked for before, so that no id or seed is used twice.
    """
    for number, make in enumerate(_orders(already)):
        yield make(_lasting(*[None] * (1 + number % 3)))


class _Maker(NamedTuple):
    number: int

    def __call__(self, recipe: _Recipe) -> Order:
        library = list(POSES.values())
        poses = []
        for index, (failure, times) in enumerate(recipe):
            pose = library[(self.number * 3 + index * 5) % len(library)]
            seed = self.number * 100 + index
            poses.append(PoseOrder(pose.id, pose.name, f"v{index + 1}", seed, failure, times))
        return Order(f"demo-{self.number:04}", f"user-{_USERS[self.number % len(_USERS)]}", tuple(poses))


def _orders(already: int = 0) -> Iterator[_Maker]:
    number = already
    while True:
        number += 1
        yield _Maker(number)


class Script:
    """Tells the stand-in which requests fail, by their seeds: the same whatever order the worker asks in."""

    def __init__(self, orders: Iterable[Order]) -> None:
        self._lock = threading.Lock()
        self._planned = {
            pose.seed: deque([pose.failure] * pose.times)
            for order in orders
            for pose in order.poses
            if pose.failure is not None and pose.failure is not Failure.UNAVAILABLE  # that one is the outage's
        }

    def __call__(self, request: ImageRequest) -> Failure | None:
        """What becomes of a request; the `rule` of a `Plan`."""
        with self._lock:
            planned = self._planned.get(request.seed)
            return planned.popleft() if planned else None


def expected_statuses(orders: Iterable[Order]) -> Counter[str]:
    """How many generations must end how."""
    return Counter(order.status for order in orders)


def expected_errors(orders: Iterable[Order]) -> Counter[str]:
    """How many generations must be counted under each error type."""
    return Counter(kind for order in orders for kind in order.error_types)
