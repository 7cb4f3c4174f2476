"""The dashboard: one page without data, its script, its stylesheet. The numbers come as JSON from the endpoints."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from posemon_otel.admin.access import SESSION_COOKIE
from posemon_otel.admin.endpoints.session import LOGIN_PATH
from posemon_otel.admin.responses import PAGE_POLICY
from posemon_otel.records.periods import DEFAULT_PERIOD
from posemon_otel.version import __version__

DASHBOARD_PATH, STATIC_PATH = "/dashboard", "/static"
PERIODS = ("1h", "24h", "7d", "30d")
"""What the page offers; the API takes more."""

_HERE = Path(__file__).parent


class StaticFolder(StaticFiles):
    """The page's own files; the browser may keep them and asks each time whether they changed."""

    def __init__(self) -> None:
        super().__init__(directory=_HERE / "static")

    async def get_response(self, path: str, scope: Scope) -> Response:
        """As the base class, with a ``Cache-Control`` of its own."""
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def dashboard(request: Request, prefix: str, *, login: bool) -> Response:
    """The page.

    Args:
        request: For where the app is mounted.
        prefix: Where the endpoints begin.
        login: Whether the page offers e-mail address and password.
    """
    root = request.scope.get("root_path", "")
    page = _template().render(
        base=f"{root}{prefix}",
        login=f"{root}{LOGIN_PATH}" if login else "",
        session="yes" if SESSION_COOKIE in request.cookies else "",
        periods=PERIODS,
        default_period=DEFAULT_PERIOD,
        version=__version__,
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": PAGE_POLICY})


@cache
def _template() -> Template:
    folder = FileSystemLoader(_HERE / "templates")
    return Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True).get_template(
        "dashboard.html"
    )
