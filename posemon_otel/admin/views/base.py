"""What every answer is made of."""

from datetime import UTC, datetime
from typing import ClassVar

from msgspec import Struct


def iso(moment: datetime | None) -> str | None:
    """A time as JSON has it."""
    return None if moment is None else stamp(moment)


def stamp(moment: datetime) -> str:
    """A time as JSON has it, where there is one."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class View(Struct, frozen=True, rename="camel"):
    """An answer.

    Attributes:
        VOLATILE: Fields that differ in every answer although nothing happened: they do not count for the ETag.
    """

    VOLATILE: ClassVar[tuple[str, ...]] = ()
