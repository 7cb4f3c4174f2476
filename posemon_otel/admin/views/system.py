"""Answers about health, sign-in and what went wrong."""

from typing import ClassVar

from posemon_otel.admin.views.base import View


class Health(View, frozen=True, omit_defaults=True):
    """``GET /health``.

    Attributes:
        status: ``healthy``, ``degraded`` or ``unhealthy``.
        timestamp: When it was asked.
        app: Which application.
        checks: State of each part: ``available``, ``failing`` or ``unknown``.
        details: A line for each part that has one; for admins.
    """

    VOLATILE: ClassVar[tuple[str, ...]] = ("timestamp",)

    status: str
    timestamp: str
    app: str
    checks: dict[str, str] | None = None
    details: dict[str, str] | None = None


class SignedInUser(View, frozen=True):
    """Who signed in."""

    id: str
    email: str | None
    name: str | None


class Session(View, frozen=True):
    """``GET`` and ``POST /session``: who is signed in, and whether they may see the numbers."""

    user_id: str
    email: str | None
    role: str
    admin: bool


class LoginData(View, frozen=True):
    """What a sign-in yields."""

    user: SignedInUser
    token: str


class Login(View, frozen=True):
    """``POST /api/auth/login``."""

    success: bool
    message: str
    data: LoginData


class Problem(View, frozen=True):
    """An error."""

    error: str
    message: str
