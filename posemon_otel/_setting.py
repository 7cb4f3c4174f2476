"""What a setting is, and the kinds that there are."""

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_HOST_AND_PORT = re.compile(r"[\w.-]+:\d+", re.ASCII)


class Setting(Generic[T]):
    """One setting.

    Attributes:
        name: Keyword of ``configure``.
        variables: Environment variables, the first that is set wins.
        default: Value where nothing is set.
        meaning: One line for the documentation.
        expected: What a value looks like, for messages.
        secret: Whether the value is shown only as set or not set.
        units: What one is worth in a variable that counts in another unit, as OpenTelemetry's in milliseconds.
    """

    __slots__ = ("default", "expected", "meaning", "name", "parse", "secret", "units", "variables")

    def __init__(
        self,
        name: str,
        variables: str,
        parse: Callable[[str], T],
        default: T,
        meaning: str,
        *,
        expected: str,
        secret: bool = False,
    ) -> None:
        self.name = name
        self.variables = tuple(variables.split())
        self.parse = parse
        self.default = default
        self.meaning = meaning
        self.expected = expected
        self.secret = secret
        self.units: dict[str, float] = {}


def _text(value: str) -> str:
    return value.strip()


def _flag(value: str) -> bool:
    word = value.strip().lower()
    if word in ("true", "1", "on", "yes"):
        return True
    if word in ("false", "0", "off", "no"):
        return False
    raise ValueError(value)


def names(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def without(refused: str) -> Callable[[str], str]:
    """Text that does not hold a word."""

    def parse(value: str) -> str:
        if refused in value:
            raise ValueError(value)
        return value.strip()

    return parse


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        word = value.strip().lower()
        if word not in choices:
            raise ValueError(value)
        return word

    return parse


def _at_least(kind: Callable[[str], Any], least: float, most: float = float("inf")) -> Callable[[str], Any]:
    def parse(value: str) -> Any:
        number = kind(value.strip())
        if not least <= number <= most:  # also refuses nan
            raise ValueError(value)
        return number

    return parse


def address(value: str) -> str:
    text = value.strip()
    if not text.startswith(("http://", "https://")):
        raise ValueError(value)
    return text


def _otlp_endpoint(value: str) -> str:
    """Without a scheme it is good for gRPC alone: ``Settings`` refuses it where HTTP is spoken."""
    return value.strip() if _HOST_AND_PORT.fullmatch(value.strip()) else address(value)


def text(
    name: str, variables: str, default: str, meaning: str, *, expected: str = "text", secret: bool = False
) -> Setting[str]:
    return Setting(name, variables, _text, default, meaning, expected=expected, secret=secret)


def flag(name: str, variables: str, default: bool, meaning: str) -> Setting[bool]:
    return Setting(name, variables, _flag, default, meaning, expected="true or false")


def choice(name: str, variables: str, default: str, meaning: str, *choices: str) -> Setting[str]:
    return Setting(
        name, variables, _choice(*choices), default, meaning, expected="one of " + ", ".join(filter(None, choices))
    )


def whole(
    name: str, variables: str, default: int, meaning: str, least: int = 0, most: float = float("inf")
) -> Setting[int]:
    bounds = f"at least {least}" if most == float("inf") else f"from {least} to {most}"
    return Setting(name, variables, _at_least(int, least, most), default, meaning, expected=f"a whole number, {bounds}")


def seconds(name: str, variables: str, default: float, meaning: str, least: float = 0.0) -> Setting[float]:
    return Setting(name, variables, _at_least(float, least), default, meaning, expected=f"seconds, at least {least:g}")


def endpoint(name: str, variables: str, meaning: str) -> Setting[str]:
    expected = "an address with a scheme, like http://127.0.0.1:4318"
    return Setting(name, variables, _otlp_endpoint, "", meaning, expected=expected)


def protocol(name: str, variables: str, default: str, meaning: str) -> Setting[str]:
    return choice(name, variables, default, meaning, *dict.fromkeys((default, "http/protobuf", "grpc")))
