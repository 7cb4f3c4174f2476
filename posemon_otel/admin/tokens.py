"""Tokens of the admins: JSON Web Tokens, one algorithm for each key, always with an end."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jwt
from jwt.types import Options

from posemon_otel.settings import JWKS_AUDIENCE, JWT_SECRET

ALGORITHM = "HS256"
SECRET_BYTES = 32
"""A key shorter than the hash can be guessed (RFC 7518, 3.2)."""

DAY_SECONDS = 24 * 3600.0
_MOST_CHARACTERS = 8192
_OPTIONS: Options = {"require": ["exp", "userId"], "verify_iat": False}


class SecretError(ValueError):
    """The key of the tokens is missing or too short, or nothing says whom they are for; the message says what to do."""


class TokenError(Exception):
    """A token that is not accepted; the message may be shown to whoever sent it."""


class Claims(NamedTuple):
    """What a token says.

    Attributes:
        user_id: Claim ``userId``.
        email: Claim ``email``.
        role: Claim ``role``; counts only where no users are kept.
        expires_at: Claim ``exp``, seconds since 1970.
    """

    user_id: str
    email: str | None
    role: str | None
    expires_at: float


def check_secret(secret: str | None) -> str:
    """The key, when it is one.

    Raises:
        SecretError: It is missing or shorter than 32 bytes.
    """
    length = len((secret or "").encode("utf-8", "surrogatepass"))
    if secret is None or length < SECRET_BYTES:
        got = f"one of {length} bytes" if length else "none"
        raise SecretError(
            f"{JWT_SECRET.variables[0]}: expected a key of at least {SECRET_BYTES} bytes, got {got}; "
            "make one with: openssl rand -hex 32"
        )
    return secret


def check_audience(audience: str | None) -> str:
    """The audience of an identity provider's tokens, when there is one.

    Without it every token of the provider would open this app, whichever application it was made for.

    Raises:
        SecretError: It is missing.
    """
    if not audience:
        raise SecretError(
            f"{JWKS_AUDIENCE.variables[0]}: expected the audience that the identity provider's tokens are for (their "
            "claim aud), got none; set it to the provider's name for this application"
        )
    return audience


def make_token(user: str, role: str | None, secret: str, ttl: float = DAY_SECONDS, *, email: str | None = None) -> str:
    """Makes a token.

    Args:
        user: Id of the user.
        role: Counts only where no ``users`` table says otherwise; ``None`` leaves it out.
        secret: The key, at least 32 bytes.
        ttl: Seconds until it ends.
        email: The user's address.

    Raises:
        SecretError: The key is missing or too short.
        ValueError: ``user`` is empty or ``ttl`` is not a positive number.
    """
    key = check_secret(secret)
    if not user:
        raise ValueError("user: expected the id of a user, got an empty one")
    if not 0 < ttl < float("inf"):
        raise ValueError(f"ttl: expected a positive number of seconds, got {ttl!r}")
    now = time.time()
    claims: dict[str, Any] = {"userId": user, "iat": int(now), "exp": int(now + ttl)}
    claims |= {name: value for name, value in (("email", email), ("role", role)) if value is not None}
    return jwt.encode(claims, key, algorithm=ALGORITHM)


def verify(token: str, secret: str) -> Claims:
    """Reads a token whose signature, algorithm and times are right.

    Raises:
        TokenError: They are not, or the token names no user.
    """
    return read_claims(decode(token, secret, ALGORITHM))


def decode(
    token: str, key: Any, algorithm: str, *, audience: str | None = None, issuer: str | None = None
) -> dict[str, Any]:
    """The claims of a token, checked with one key and the one algorithm that belongs to it.

    Args:
        token: The token.
        key: The key.
        algorithm: The algorithm.
        audience: Whom it must be for; ``None`` takes only tokens that name nobody.
        issuer: Whose it must be; ``None`` takes anybody's.

    Raises:
        TokenError: Signature, algorithm, times, audience or issuer are not right.
    """
    if len(token) > _MOST_CHARACTERS:
        raise TokenError("The token is too long.")
    try:
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=[algorithm], options=_OPTIONS, audience=audience, issuer=issuer
        )
        return claims
    except jwt.ExpiredSignatureError:
        raise TokenError("The token has expired.") from None
    except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
        raise TokenError("The token is for another application.") from None
    except (jwt.InvalidTokenError, UnicodeError, RecursionError, OverflowError):
        raise TokenError("The token is not valid.") from None


def read_claims(claims: Mapping[str, Any]) -> Claims:
    """What a verified token says.

    Raises:
        TokenError: It names no user.
    """
    user, email, role = claims["userId"], claims.get("email"), claims.get("role")
    if not isinstance(user, str) or not user:
        raise TokenError("The token names no user.")
    return Claims(
        user, email if isinstance(email, str) else None, role if isinstance(role, str) else None, float(claims["exp"])
    )
