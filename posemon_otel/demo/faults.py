"""What can go wrong with the FLUX stand-in, and the plan that says when."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Generic, TypeVar

from posemon_otel.demo.flux_http import Answer

R = TypeVar("R")


class Failure(StrEnum):
    """One way to fail; the first group is an HTTP answer, the second breaks the answer itself."""

    BAD_REQUEST = "bad_request"
    AUTH = "auth"
    QUOTA = "quota"
    NOT_FOUND = "not_found"
    CONTENT_POLICY = "content_policy"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    MODEL_LOADING = "model_loading"
    GATEWAY_TIMEOUT = "gateway_timeout"

    SLOW = "slow"
    """A good image, dripped out over `Plan.slow_for` seconds."""
    HANG = "hang"
    """The request is taken and never answered."""
    DROP = "drop"
    """The connection closes half-way through the image."""
    CORRUPT = "corrupt"
    """Bytes that are no image, called `image/png`: the client cannot open them."""
    TRUNCATED = "truncated"
    """A PNG cut in half: the client opens it, its pixels cannot be read."""


class Plan(Generic[R]):
    """Decides for each request whether and how it fails; every method may be called from any thread at any time.

    What decides, first to last: an outage, the list of `fail_next`, the `rule`, the rates. The n-th request meets the
    same draw of the rates whatever came before it, so a seed gives the same counts in every run.

    Args:
        rates: failure to its share of the requests, 0 to 1; together at most 1.
        seed: of the draws.
        rule: called with the request for what neither outage nor list decides; None leaves it to the rates.
        retry_after: seconds, in the `Retry-After` of a 429.
        estimated_time: seconds, in the body of a loading model's 503.
        slow_for: seconds that a slow answer takes to drip out.

    Raises:
        ValueError: a rate is negative, or the rates sum to more than 1.
    """

    def __init__(
        self,
        rates: Mapping[Failure, float] | None = None,
        *,
        seed: int = 0,
        rule: Callable[[R], Failure | None] | None = None,
        retry_after: int = 2,
        estimated_time: float = 20.0,
        slow_for: float = 3.0,
    ) -> None:
        self.seed = seed
        self.retry_after = retry_after
        self.estimated_time = estimated_time
        self.slow_for = slow_for
        self._lock = threading.Lock()
        self._rule = rule
        self._rates = _checked(rates or {})
        self._next: deque[Failure | None] = deque()
        self._outage: Failure | None = None
        self._decided = 0

    def set_rates(self, rates: Mapping[Failure, float]) -> None:
        """Replace the rates; errors as the class says."""
        checked = _checked(rates)
        with self._lock:
            self._rates = checked

    def fail_next(self, *failures: Failure | None) -> None:
        """Append to the list that the next requests take from, one each; None is a request that goes well."""
        with self._lock:
            self._next.extend(failures)

    def begin_outage(self, failure: Failure = Failure.UNAVAILABLE) -> None:
        """From now on every request fails so, until `end_outage`; nothing is taken from the list meanwhile."""
        with self._lock:
            self._outage = failure

    def end_outage(self) -> None:
        """Let requests through again."""
        with self._lock:
            self._outage = None

    @contextmanager
    def outage(self, failure: Failure = Failure.UNAVAILABLE) -> Iterator[None]:
        """An outage for the length of a block."""
        self.begin_outage(failure)
        try:
            yield
        finally:
            self.end_outage()

    def clear(self) -> None:
        """No outage, empty list, no rule, no rates: everything goes well."""
        with self._lock:
            self._outage, self._rule, self._rates = None, None, {}
            self._next.clear()

    def decide(self, request: R) -> Failure | None:
        """How this request fails; None for well."""
        with self._lock:
            self._decided += 1
            draw = random.Random(f"{self.seed}:{self._decided}").random()
            if self._outage is not None:
                return self._outage
            if self._next:
                return self._next.popleft()
            rule, rates = self._rule, self._rates
        # The rule is the caller's code and may call back into this plan: never under the lock.
        ruled = rule(request) if rule is not None else None
        return ruled if ruled is not None else _drawn(draw, rates)

    def answer(self, failure: Failure, model: str) -> Answer | None:
        """The HTTP answer of a failure of this model; None where the failure breaks the answer instead.

        The bodies follow what the hosted service sends: `{"error": text}`, or a list of texts for bad parameters.
        """
        match failure:
            case Failure.BAD_REQUEST:
                return _error(400, ["Error in `parameters.num_inference_steps`: ensure this value is less than 101"])
            case Failure.AUTH:
                return _error(401, "Invalid username or password.")
            case Failure.QUOTA:
                return _error(402, "You have exceeded your monthly included credits for Inference Providers.")
            case Failure.NOT_FOUND:
                return _error(404, f"Model {model} does not exist")
            case Failure.CONTENT_POLICY:
                return _error(400, "The prompt was refused by the content policy.", code="content_policy_violation")
            case Failure.RATE_LIMITED:
                answer = _error(429, "Rate limit reached. Please slow down.")
                return answer._replace(headers={"retry-after": str(self.retry_after)})
            case Failure.SERVER_ERROR:
                return _error(500, "Internal Server Error")
            case Failure.UNAVAILABLE:
                return _error(503, "Service Unavailable")
            case Failure.MODEL_LOADING:
                return _error(503, f"Model {model} is currently loading", estimated_time=self.estimated_time)
            case Failure.GATEWAY_TIMEOUT:  # sent by the load balancer in front, which speaks HTML
                return Answer(504, "text/html", b"<html><body><h1>504 Gateway Time-out</h1></body></html>", {})
            case _:
                return None


def _error(status: int, error: str | list[str], **more: str | float) -> Answer:
    return Answer.of_json(status, {"error": error, **more})


def _checked(rates: Mapping[Failure, float]) -> dict[Failure, float]:
    checked = {Failure(failure): float(rate) for failure, rate in rates.items()}
    if any(rate < 0 for rate in checked.values()) or sum(checked.values()) > 1 + 1e-9:
        raise ValueError(f"rates: expected shares of at least 0 that sum to at most 1, got {checked}")
    return checked


def _drawn(draw: float, rates: Mapping[Failure, float]) -> Failure | None:
    for failure, rate in rates.items():
        if draw < rate:
            return failure
        draw -= rate
    return None
