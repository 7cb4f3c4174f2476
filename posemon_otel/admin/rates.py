"""How often somebody may ask: windows kept in this process's memory, by the ``limits`` library."""

import hashlib
import time
from typing import NamedTuple

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter, RateLimiter, SlidingWindowCounterRateLimiter

from posemon_otel.admin.errors import too_many


class Rates(NamedTuple):
    """The limits, in the notation of ``limits``.

    Attributes:
        requests: Requests of one user, or of one address where nobody is signed in.
        sign_ins: Attempts to sign in from one address.
        account: Attempts to sign in to one account, from wherever, since the last that succeeded.
        refused: Requests with a token that is not accepted, from one address.
    """

    requests: str = "6000/minute"
    sign_ins: str = "60/minute"
    account: str = "10 per 5 minutes"
    refused: str = "60/minute"


class Limiter:
    """Counts and refuses."""

    def __init__(self, rates: Rates) -> None:
        storage = MemoryStorage()
        self._counting: RateLimiter = SlidingWindowCounterRateLimiter(storage)  # constant memory for each key
        self._exact: RateLimiter = MovingWindowRateLimiter(storage)
        self._requests = parse(rates.requests)
        self._sign_ins = parse(rates.sign_ins)
        self._account = parse(rates.account)
        self._refused = parse(rates.refused)

    def request(self, subject: str) -> None:
        """Counts a request.

        Raises:
            ApiError: 429.
        """
        _hit(self._counting, self._requests, "request", subject)

    def sign_in(self, address: str, account: str | None) -> None:
        """Counts an attempt to sign in, before anything about it is known.

        Raises:
            ApiError: 429.
        """
        _hit(self._exact, self._sign_ins, "address", address)
        if account is not None:
            _hit(self._exact, self._account, "account", account.casefold())

    def signed_in(self, account: str) -> None:
        """Forgets the attempts at an account: its owner has come."""
        self._exact.clear(self._account, "account", _key(account.casefold()))

    def refused(self, address: str) -> None:
        """Counts a token that was not accepted.

        Raises:
            ApiError: 429.
        """
        _hit(self._exact, self._refused, "refused", address)


def _key(subject: str) -> str:
    """Of one length, and no address or account stays readable in memory."""
    return hashlib.blake2b(subject.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _hit(limiter: RateLimiter, item: RateLimitItem, kind: str, subject: str) -> None:
    key = _key(subject)
    if not limiter.hit(item, kind, key):
        raise too_many(limiter.get_window_stats(item, kind, key).reset_time - time.time())
