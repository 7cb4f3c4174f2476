"""Tokens of an identity provider: RS256 and ES256, with keys from its JWKS address."""

import jwt
from jwt import PyJWKClient
from jwt.exceptions import PyJWKClientConnectionError, PyJWTError

from posemon_otel.admin.tokens import Claims, TokenError, decode, read_claims

ALGORITHMS = ("RS256", "ES256")
_SECONDS = 3.0
_KEPT_SECONDS = 300.0


class KeysError(Exception):
    """The provider's keys cannot be read now."""


def is_foreign(token: str) -> bool:
    """Whether a token claims to be an identity provider's; only which key it is checked with depends on it."""
    try:
        return jwt.get_unverified_header(token).get("alg") in ALGORITHMS
    except (PyJWTError, UnicodeError, RecursionError):
        return False


class RemoteKeys:
    """The keys of one provider, kept for five minutes; an unknown ``kid`` has them read again, at most twice a minute.

    Nothing in a token but its ``kid`` chooses a key, and that only among the provider's own.
    """

    def __init__(self, url: str, audience: str, issuer: str | None = None) -> None:
        """Reads nothing yet.

        Args:
            url: Where the keys are.
            audience: Whom tokens must be for.
            issuer: Whose they must be; ``None`` takes whatever is signed with these keys.
        """
        self._audience, self._issuer = audience, issuer
        self._client = PyJWKClient(url, lifespan=_KEPT_SECONDS, timeout=_SECONDS, cooldown_duration=30)

    def verify(self, token: str) -> Claims:
        """Reads a token; blocks while the keys are read.

        Raises:
            TokenError: It is not accepted.
            KeysError: The keys cannot be read.
        """
        try:
            key = self._client.get_signing_key(str(jwt.get_unverified_header(token).get("kid")))
        except PyJWKClientConnectionError:
            raise KeysError("the provider's keys cannot be read") from None
        except (PyJWTError, ValueError):
            raise TokenError("The token is not valid.") from None
        if key.algorithm_name not in ALGORITHMS:
            raise TokenError("The token is not valid.")
        return read_claims(decode(token, key.key, key.algorithm_name, audience=self._audience, issuer=self._issuer))
