"""Parameters of a request: each known, given once, and what it should be; else a 400 that says so."""

from datetime import UTC, datetime

from starlette.datastructures import QueryParams

from posemon_otel.admin.errors import ApiError, bad_request
from posemon_otel.records.periods import Period, parse_period

LIMIT, PERIOD, START_DATE, END_DATE, INTERVAL = "limit", "period", "startDate", "endDate", "interval"
PERIOD_PARAMETERS = (PERIOD, START_DATE, END_DATE)

MOST_ROWS = 100
_MOST_DIGITS = 9


class Parameters:
    """The query of one request.

    Raises:
        ApiError: 400 for a parameter that the endpoint does not know or that is given more than once.
    """

    def __init__(self, query: QueryParams, known: tuple[str, ...]) -> None:
        self._values: dict[str, str] = {}
        for name, value in query.multi_items():
            if name not in known:
                takes = f"this endpoint takes {', '.join(known)}" if known else "this endpoint takes none"
                raise bad_request(f"Unknown parameter {_shown(name)}; {takes}.")
            if name in self._values:
                raise bad_request(f"{name}: given more than once.")
            self._values[name] = value

    def text(self, name: str) -> str | None:
        """The value as it came; ``None`` when it was not given."""
        return self._values.get(name)

    def limit(self, default: int) -> int:
        """How many rows.

        Raises:
            ApiError: 400 for anything but ASCII digits that make 1 to 100.
        """
        text = self._values.get(LIMIT)
        if text is None:
            return default
        digits = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
        if not digits or not 1 <= int(text) <= MOST_ROWS:
            raise bad_request(f"{LIMIT}: expected a whole number from 1 to {MOST_ROWS}, got {_shown(text)}.")
        return int(text)

    def period(self, *, default: str | None = None) -> Period:
        """The period, from ``period`` or ``startDate`` and ``endDate``.

        Args:
            default: Its name where none is given; ``None`` is that of every endpoint, the last 24 hours.

        Raises:
            ApiError: 400.
        """
        period, start, end = (self._values.get(name) for name in PERIOD_PARAMETERS)
        if period is None and start is None and end is None:
            period = default
        try:
            return parse_period(period, start_date=start, end_date=end, now=datetime.now(UTC))
        except ValueError as error:
            raise refused(error) from None


def refused(error: ValueError) -> ApiError:
    """The 400 for a value that a parser of the records refused; its message is one line about that value."""
    return bad_request(_printable(str(error))[:300] + ".")


def _shown(value: str) -> str:
    return repr(_printable(value)[:40])


def _printable(value: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in value)
