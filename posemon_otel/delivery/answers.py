"""What a backend answered, as far as an exporter lets it be heard: SDK exporters tell success or failure, and no more.

Our HTTP session and gRPC stub note each answer; who has called ``export`` on the same thread reads them. An exporter
that is neither is heard of by its result alone.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from posemon_otel.delivery import drops

LONGEST_RETRY_AFTER = 3600.0
"""Seconds beyond which a ``Retry-After`` is not believed."""

_MESSAGE_CHARS = 200
_REJECTED = frozenset((400, 413, 422))
_OUTAGES = frozenset((408, 429, 502, 503, 504))


class Verdict(Enum):
    """What an answer says about the batch and about the backend."""

    ACCEPTED = "accepted"
    OUTAGE = "outage"
    """Nothing is wrong with the batch: later."""
    REJECTED = "rejected"
    """The backend lives, and something in the batch is wrong for it."""
    UNKNOWN = "unknown"
    """Either."""


class Answer(NamedTuple):
    """One answer.

    Attributes:
        verdict: What it means.
        status: In the protocol's words: ``503``, ``UNAVAILABLE``, or the exception's name.
        endpoint: Who was asked, without credentials and query.
        retry_after: Seconds that the backend asked to be left alone.
        too_large: Whether the batch was refused for its size.
    """

    verdict: Verdict
    status: str
    endpoint: str
    retry_after: float = 0.0
    too_large: bool = False


_here = threading.local()


@contextmanager
def listening() -> Iterator[list[Answer]]:
    """Collects the answers that exporters get on this thread within the block."""
    before = getattr(_here, "heard", None)
    heard: list[Answer] = []
    _here.heard = heard
    try:
        yield heard
    finally:
        _here.heard = before


def note(answer: Answer) -> None:
    """Notes an answer for who listens on this thread."""
    heard = getattr(_here, "heard", None)
    if heard is not None:
        heard.append(answer)


def place(url: str) -> str:
    """A URL as it may be written down: no credentials, no query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def of_http(status: int, retry_after: str | None, endpoint: str) -> Answer:
    """The meaning of an HTTP status. A redirect is none of success: the batch went nowhere."""
    if 200 <= status < 300:
        return Answer(Verdict.ACCEPTED, str(status), endpoint)
    if status in _OUTAGES:
        return Answer(Verdict.OUTAGE, str(status), endpoint, seconds(retry_after))
    verdict = Verdict.REJECTED if status in _REJECTED else Verdict.UNKNOWN
    return Answer(verdict, str(status), endpoint, too_large=status == 413)


def seconds(retry_after: str | None) -> float:
    """The seconds of a ``Retry-After``, which may be a number or a date; 0 where there is none that can be read."""
    if retry_after is None:
        return 0.0
    try:
        wait = float(retry_after)
    except ValueError:
        try:
            moment = parsedate_to_datetime(retry_after)
        except (TypeError, ValueError):
            return 0.0
        wait = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
    return min(wait, LONGEST_RETRY_AFTER) if wait > 0 else 0.0


def partial_success(signal: str, body: bytes, headers: Mapping[str, str], message: Any, endpoint: str) -> None:
    """Counts what the body of a successful answer says was refused.

    The status alone is the acknowledgement, as OTLP has it: a body that is none of OTLP's costs one line, for it
    may be that a proxy answers and no backend.

    Args:
        signal: ``traces``, ``logs`` or ``metrics``.
        body: The body.
        headers: Of the answer.
        message: The protobuf class of the answer.
        endpoint: Who answered.
    """
    if not body:
        return
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            said = json.loads(body).get("partialSuccess") or {}
            refused = next((int(value) for key, value in said.items() if key.startswith("rejected")), 0)
            refuse(signal, refused, str(said.get("errorMessage", "")), endpoint)
        else:
            refuse_message(signal, message.FromString(body), endpoint)
    except Exception:  # whatever a parser makes of bytes that are not its own
        drops.say_once(
            f"{endpoint} answers 2xx with a body that is not OTLP; {signal} count as delivered. Is it a collector?"
        )


def refuse_message(signal: str, response: Any, endpoint: str) -> None:
    """Counts what a protobuf answer says was refused."""
    partial = response.partial_success
    refused = next((value for field, value in partial.ListFields() if field.name.startswith("rejected")), 0)
    refuse(signal, int(refused), partial.error_message, endpoint)


def refuse(signal: str, items: int, reason: str, endpoint: str) -> None:
    """Counts items that a backend has taken and thrown away; one line for each reason."""
    if items > 0:
        drops.count(signal, "rejected", items)
    if items > 0 or reason:
        shown = reason[:_MESSAGE_CHARS] or "without a reason"
        verb = "accepted only a part of" if items > 0 else "warns about"
        drops.say_once(f"{endpoint} {verb} the {signal}: {shown!r}; rejected items are counted as dropped")
