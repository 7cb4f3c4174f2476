"""OTLP exporters over gRPC that tell what was answered and leave retrying to the shipper."""

from functools import cache
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.grpc.exporter import InvalidCompressionValueException

from posemon_otel.delivery import answers
from posemon_otel.delivery.answers import LONGEST_RETRY_AFTER, Answer, Verdict
from posemon_otel.faults import logger

NOTHING = frozenset((grpc.StatusCode.OK,))
"""Codes that an exporter shall retry by itself: none. It takes an empty set for none given; no failure is OK."""

_RETRY_INFO = "google.rpc.retryinfo-bin"
_TOO_LARGE = "larger than max"
_REJECTED = frozenset((grpc.StatusCode.INVALID_ARGUMENT,))
_OUTAGES = frozenset(  # what OTLP calls retryable; RESOURCE_EXHAUSTED is also what a too large message gets
    (
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )
)


class _Telling:
    """Before an exporter's class: each stub that it makes is listened to."""

    told_as: tuple[str, str]

    def _initialize_channel_and_stub(self) -> None:
        super()._initialize_channel_and_stub()  # type: ignore[misc]  # the exporter's
        self._client = _Heard(self._client, *self.told_as)  # type: ignore[has-type]


@cache
def telling(exporter_class: type, signal: str, endpoint: str) -> Any:
    """A subclass of an exporter that tells.

    Args:
        exporter_class: One of the official gRPC exporters.
        signal: ``traces``, ``logs`` or ``metrics``.
        endpoint: Where it sends to.
    """
    return type(exporter_class.__name__, (_Telling, exporter_class), {"told_as": (signal, answers.place(endpoint))})


def made(exporter_class: Any, **arguments: Any) -> Any:
    """An exporter. The SDK's raises on every compression but gzip, ``none`` among them.

    Args:
        exporter_class: As ``telling`` returns.
        **arguments: Its own.
    """
    try:
        return exporter_class(**arguments)
    except InvalidCompressionValueException as exc:
        if '"none"' not in str(exc):
            logger.warning("%s: over gRPC expected gzip or none; using none", exc)
        return exporter_class(compression=grpc.Compression.NoCompression, **arguments)


class _Heard:
    """A stub whose answers are noted."""

    def __init__(self, stub: Any, signal: str, endpoint: str) -> None:
        self._stub = stub
        self._signal = signal
        self._endpoint = endpoint

    def Export(self, **call: Any) -> Any:  # noqa: N802 - gRPC's name
        try:
            response = self._stub.Export(**call)
        except grpc.RpcError as error:
            answers.note(_of_error(error, self._endpoint))
            raise
        except ValueError as error:  # the channel was closed: the exporter is being shut down on another thread
            answers.note(Answer(Verdict.OUTAGE, grpc.StatusCode.CANCELLED.name, self._endpoint))
            raise _Closed(str(error)) from error
        answers.note(Answer(Verdict.ACCEPTED, "OK", self._endpoint))
        answers.refuse_message(self._signal, response, self._endpoint)
        return response


class _Closed(grpc.RpcError):  # type: ignore[misc]  # no stubs
    """A call on a closed channel, as the exporter expects errors."""

    def code(self) -> Any:
        return grpc.StatusCode.CANCELLED

    def details(self) -> str:
        return str(self)

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return ()


def _of_error(error: Any, endpoint: str) -> Answer:
    code = error.code()
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in (error.details() or ""):
        return Answer(Verdict.REJECTED, code.name, endpoint, too_large=True)
    if code in _OUTAGES:
        return Answer(Verdict.OUTAGE, code.name, endpoint, _retry_after(error))
    return Answer(Verdict.REJECTED if code in _REJECTED else Verdict.UNKNOWN, code.name, endpoint)


def _retry_after(error: Any) -> float:
    for key, value in error.trailing_metadata() or ():
        if key == _RETRY_INFO:
            info = RetryInfo()
            info.ParseFromString(value)
            delay: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
            return min(max(delay, 0.0), LONGEST_RETRY_AFTER)
    return 0.0
