"""What of an ``OTEL_*`` variable's value can be used: what the SDK takes without raising, and without a traceback."""

import os
import re
from collections.abc import Callable
from importlib.metadata import entry_points
from math import isfinite
from pathlib import Path
from typing import Final, NamedTuple


class Check(NamedTuple):
    """What a value should be.

    Attributes:
        expected: For messages.
        usable: What of a value can be used: the value itself, a part of it, or nothing.
        default: What is used where it is nothing, for messages.
        secret: Whether the value may not be shown.
        keep: Whether a value that is not usable is told of and left: its default would be less than what was asked for.
    """

    expected: str
    usable: Callable[[str], str]
    default: str = ""
    secret: bool = False
    keep: bool = False


def _whole(least: int) -> Callable[[str], str]:
    def usable(value: str) -> str:
        try:
            return value if int(value) >= least else ""
        except ValueError:
            return ""

    return usable


def _positive(value: str) -> str:
    try:
        return value if isfinite(float(value)) and float(value) > 0 else ""
    except ValueError:
        return ""


def _one_of(*words: str) -> Check:
    """One of some words, in the case that the SDK compares with."""

    def usable(value: str) -> str:
        found = next((word for word in words if word.lower() == value.strip().lower()), "")
        return value if found and found == value else found

    return Check("one of " + ", ".join(words), usable, f", {words[0]}")


def _any_case(*words: str) -> Check:
    return _one_of(*words)._replace(
        usable=lambda value: value if value.strip().lower() in map(str.lower, words) else ""
    )


def _parts(value: str, fits: Callable[[str], bool]) -> str:
    """The parts between commas that fit; the value itself where all do."""
    given = [part for part in value.split(",") if part.strip()]
    fitting = [part for part in given if fits(part.strip())]
    return value if fitting == given else ",".join(fitting)


def _installed(group: str, name: str) -> bool:
    return bool(entry_points(group=group, name=name))


def _entry_point(group: str, expected: str) -> Check:
    return Check(expected, lambda value: value if _installed(group, value) else "")


def _readable(value: str) -> str:
    return value if Path(value).is_file() and os.access(value, os.R_OK) else ""


def _propagator(name: str) -> bool:
    return name.lower() == "none" or _installed("opentelemetry_propagator", name)


def _detector(name: str) -> bool:
    return name == "*" or _installed("opentelemetry_resource_detector", name)


_CODES: Final = re.compile(
    r"(?i)ok|cancelled|unknown|invalid_argument|deadline_exceeded|not_found|already_exists|permission_denied|aborted"
    r"|unauthenticated|resource_exhausted|failed_precondition|out_of_range|unimplemented|internal|unavailable|data_loss"
)
_PAIR: Final = re.compile(r"[^=,\s][^=,]*=[^,]*")
_HEADER: Final = re.compile(r"[!#$%&'*+\-.^_`|~\w]+\s*=[\x20-\x7e]*", re.ASCII)

LIMIT: Final = Check("a whole number, at least 0", _whole(0))
COUNT: Final = Check("a whole number, at least 1", _whole(1))
POSITIVE: Final = Check("a number greater than 0", _positive)
FILE: Final = Check("a file that can be read", _readable, keep=True)
CODES: Final = Check(
    "names of gRPC's status codes", lambda value: _parts(value, lambda one: bool(_CODES.fullmatch(one)))
)
FLAG: Final = _any_case("false", "true")
COMPRESSION: Final = _any_case("none", "gzip", "deflate")
EXEMPLARS: Final = _one_of("trace_based", "always_on", "always_off")
TEMPORALITY: Final = _any_case("cumulative", "delta", "lowmemory")
AGGREGATION: Final = _one_of("explicit_bucket_histogram", "base2_exponential_bucket_histogram")
PAIRS: Final = Check(
    "key=value pairs separated by commas", lambda value: _parts(value, lambda one: bool(_PAIR.fullmatch(one)))
)
HEADERS: Final = Check(
    "name=value pairs separated by commas", lambda value: _parts(value, lambda one: bool(_HEADER.fullmatch(one))),
    ", none", secret=True,
)  # fmt: skip
PROPAGATORS: Final = Check(
    "installed propagators, like tracecontext,baggage",
    lambda value: _parts(value, _propagator),
    ", tracecontext,baggage",
)
DETECTORS: Final = Check("installed resource detectors", lambda value: _parts(value, _detector))
CREDENTIALS: Final = _entry_point("opentelemetry_otlp_credential_provider", "an installed credential provider")
TRACER_PROVIDER: Final = _entry_point("opentelemetry_tracer_provider", "an installed tracer provider")
METER_PROVIDER: Final = _entry_point("opentelemetry_meter_provider", "an installed meter provider")
LOGGER_PROVIDER: Final = _entry_point("opentelemetry_logger_provider", "an installed logger provider")
