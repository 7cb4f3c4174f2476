"""Signing in: e-mail and password as the original kept them, and links that work once."""

import functools
import hashlib
import secrets
import threading
import time
from typing import NamedTuple

import bcrypt

from posemon_otel.admin.access import ADMIN_ROLE

CODE_SECONDS = 15 * 60.0
"""How long a link works."""

_BCRYPT_BYTES = 72
_ROUNDS = 10  # the original's
_MOST_CODES = 1000


def password_matches(password: str, stored: str | None) -> bool:
    """Whether a password is the one whose bcrypt hash is stored.

    Takes as long for a user who does not exist, so that the time does not tell who does. As the original's library did,
    only the first 72 bytes count.

    Args:
        password: As typed.
        stored: The hash; ``None`` for an unknown user.
    """
    typed = password.encode("utf-8", "surrogatepass")[:_BCRYPT_BYTES]
    try:
        matches = bcrypt.checkpw(typed, _nobody() if stored is None else stored.encode("utf-8"))
    except ValueError:  # what is stored is no bcrypt hash, or the password holds a NUL
        return False
    return matches and stored is not None


@functools.cache
def _nobody() -> bytes:
    return bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(_ROUNDS))


class SignIn(NamedTuple):
    """Whom a link signs in.

    Attributes:
        user_id: The user.
        email: Their address.
        role: Counts only where no users are kept.
    """

    user_id: str
    email: str | None = None
    role: str | None = ADMIN_ROLE


class SignInCodes:
    """Codes for links that sign somebody in, each good once and for a short time.

    They stay in this process. The link carries the code in its fragment, which browsers do not send: the page exchanges
    it by POST for the session cookie.
    """

    def __init__(self, seconds: float = CODE_SECONDS) -> None:
        self._seconds = seconds
        self._codes: dict[bytes, tuple[float, SignIn]] = {}
        self._lock = threading.Lock()

    def issue(self, user_id: str, *, email: str | None = None, role: str | None = ADMIN_ROLE) -> str:
        """Makes a code.

        Args:
            user_id: Whom it signs in.
            email: Their address.
            role: Counts only where no users are kept.
        """
        code = secrets.token_urlsafe(24)
        now = time.monotonic()
        with self._lock:
            for digest in [digest for digest, (end, _) in self._codes.items() if end <= now]:
                del self._codes[digest]
            while len(self._codes) >= _MOST_CODES:
                del self._codes[next(iter(self._codes))]
            self._codes[_digest(code)] = (now + self._seconds, SignIn(user_id, email, role))
        return code

    def redeem(self, code: str) -> SignIn | None:
        """Whom a code signs in; ``None`` when it is unknown, used or too old. It does not work a second time."""
        with self._lock:
            end, sign_in = self._codes.pop(_digest(code), (0.0, None))
        return sign_in if time.monotonic() < end else None


def _digest(code: str) -> bytes:
    """Looking up a hash tells nothing by its time, and a dump of the memory shows no code."""
    return hashlib.sha256(code.encode("utf-8", "replace")).digest()
