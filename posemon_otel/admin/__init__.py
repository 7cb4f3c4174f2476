"""The admin app: who may see what, the endpoints, the dashboard. It asks ``records`` and judges by ``health``.

Needs ``pip install 'posemon-otel[admin]'``.
"""

from importlib.util import find_spec

if any(find_spec(name) is None for name in ("starlette", "uvicorn", "jwt", "bcrypt", "limits", "jinja2", "redis")):
    raise ImportError("posemon_otel.admin needs packages that are not installed: pip install 'posemon-otel[admin]'")

from posemon_otel.admin.app import create_app
from posemon_otel.admin.rates import Rates
from posemon_otel.admin.serve import ServeError, Server, run, start
from posemon_otel.admin.sign_in import SignInCodes
from posemon_otel.admin.site import Part
from posemon_otel.admin.tokens import Claims, SecretError, TokenError, make_token, verify
from posemon_otel.records.urls import DatabaseError

__all__ = [
    "Claims",
    "DatabaseError",
    "Part",
    "Rates",
    "SecretError",
    "ServeError",
    "Server",
    "SignInCodes",
    "TokenError",
    "create_app",
    "make_token",
    "run",
    "start",
    "verify",
]
