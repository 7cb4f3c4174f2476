"""What went wrong: every exception becomes one of eight types and a reason, whichever client raised it.

``_evidence`` reads what an exception says; here the component that it was raised in makes it a type and a reason.
"""

from typing import NamedTuple

from posemon_otel import _evidence as s
from posemon_otel.semconv import errors as e
from posemon_otel.semconv import operations as o
from posemon_otel.semconv.errors import ErrorType

__all__ = ["Classified", "ErrorType", "classify", "classify_error"]


class Classified(NamedTuple):
    """What an exception amounts to.

    Attributes:
        type: Value of ``error.type``.
        reason: Value of ``pose.error.reason``; ``(type, reason)`` stands in ``semconv.errors.VALID_REASONS``.
        outcome: ``error``, ``timeout`` or ``cancelled``.
    """

    type: ErrorType
    reason: str
    outcome: str


_FLUX, _STORAGE, _CONTROLNET, _CREDIT = "flux", "storage", "controlnet", "credits"
_ORIGINS: dict[str, str] = {
    **dict.fromkeys(
        ("huggingface_hub", "fal_client", "replicate", "openai", "together", "blackforest", "diffusers", "torch"), _FLUX
    ),
    **dict.fromkeys(
        (
            "botocore",
            "boto3",
            "aiobotocore",
            "aioboto3",
            "s3transfer",
            "s3fs",
            "storage3",
            "supabase",
            "obstore",
            "gcsfs",
        ),
        _STORAGE,
    ),
    **dict.fromkeys(("google.cloud.storage", "google.api_core", "google.resumable_media"), _STORAGE),
    **dict.fromkeys(("controlnet_aux", "rtmlib", "easy_dwpose"), _CONTROLNET),
}
"""Where an exception comes from, by the package of its class or of a function it passed through."""

_CLASS_ORIGINS: tuple[tuple[str, str], ...] = (
    (r"(?i)flux", _FLUX),
    (r"(?i)control_?net", _CONTROLNET),
    (r"(?i)storage|bucket|upload", _STORAGE),
    (r"Credit(?!ential)", _CREDIT),
)
"""An application's own classes say it in their names."""

_TYPES: dict[str, ErrorType] = {
    _FLUX: ErrorType.FLUX_API_ERROR,
    _STORAGE: ErrorType.STORAGE_ERROR,
    _CONTROLNET: ErrorType.CONTROLNET_ERROR,
    _CREDIT: ErrorType.CREDIT_ERROR,
}
_NEAREST: dict[str, tuple[str, ...]] = {
    e.CONTENT_POLICY: (e.BAD_REQUEST,),
    e.AUTH: (e.BAD_REQUEST,),
    e.MODEL_LOADING: (e.SERVER_ERROR,),
    e.RATE_LIMITED: (e.SERVER_ERROR,),
}
"""What stands in for a reason that a type does not know, before ``unknown`` does."""


def classify(exc: BaseException, component: str | None = None) -> Classified:
    """Type, reason and outcome of an exception. Never raises.

    Args:
        exc: The exception, as it was caught.
        component: Where it was raised: ``flux``, ``storage``, ``controlnet``, ``credits``, ``queue``, ``worker``. Where
            it is none of the first four, the exception's own package may say it.
    """
    try:
        return _settle(s.signal(exc), exc, component)
    except Exception:  # an exception with hostile attributes; the user's own error must still pass
        kind = _TYPES.get(component) if type(component) is str else None
        return Classified(kind or ErrorType.UNKNOWN_ERROR, e.UNKNOWN, o.ERROR)


def unrecoverable(exc: BaseException | None) -> bool:
    """Whether the application says that no retry is to follow: BullMQ's ``UnrecoverableError``, told by its name."""
    return exc is not None and any(cls.__name__ == "UnrecoverableError" for cls in type(exc).__mro__)


def classify_error(exc: BaseException, component: str | None = None) -> ErrorType:
    """The error type of an exception; see :func:`classify`. Never raises."""
    return classify(exc, component).type


def _settle(signal: str | None, exc: BaseException, component: str | None) -> Classified:
    if signal == s.CANCELLED:
        return Classified(ErrorType.UNKNOWN_ERROR, e.UNKNOWN, o.CANCELLED)
    if signal == e.TIMEOUT:
        return Classified(ErrorType.TIMEOUT_ERROR, e.TIMEOUT, o.TIMEOUT)
    if signal == e.CONNECTION:
        return Classified(ErrorType.NETWORK_ERROR, e.CONNECTION, o.ERROR)
    if signal == s.INVALID:
        return Classified(ErrorType.VALIDATION_ERROR, e.BAD_REQUEST, o.ERROR)
    where = component.lower() if type(component) is str else ""
    if where not in _TYPES:
        where = _origin(exc, signal)
    kind = _TYPES.get(where, ErrorType.UNKNOWN_ERROR)
    if kind is ErrorType.UNKNOWN_ERROR and signal in (s.ARGUMENT, s.UNREADABLE):
        return Classified(ErrorType.VALIDATION_ERROR, e.BAD_REQUEST, o.ERROR)
    if where == _FLUX and signal == s.ARGUMENT:
        return Classified(ErrorType.VALIDATION_ERROR, e.BAD_REQUEST, o.ERROR)
    reason = _reason(signal, where)
    valid = e.VALID_REASONS[kind]
    if reason not in valid:
        if reason == e.OUT_OF_MEMORY:
            return Classified(ErrorType.UNKNOWN_ERROR, reason, o.ERROR)
        reason = next((near for near in _NEAREST.get(reason, ()) if near in valid), e.UNKNOWN)
    return Classified(kind, reason, o.ERROR)


def _reason(signal: str | None, where: str) -> str:
    if signal is None:
        return e.UNKNOWN
    if signal == s.CREDITS:
        return e.QUOTA
    if signal == s.CONFLICT:
        return e.RATE_LIMITED if where == _FLUX else e.BAD_REQUEST
    if signal == s.CORRUPT:
        return e.SERVER_ERROR if where == _FLUX else e.BAD_REQUEST
    if signal == s.UNREADABLE:
        return e.SERVER_ERROR
    if signal == s.ARGUMENT:
        return e.BAD_REQUEST
    return signal


def _origin(exc: BaseException, signal: str | None) -> str:
    """The component that an exception comes from, or empty."""
    links = list(s.chain(exc))
    for link in links:
        passed = [cls.__module__ for cls in type(link).__mro__] + [module for module, _ in s.frames(link)]
        found = next((component for component in map(_package, passed) if component), "")
        if found:
            return found
    if signal == s.CREDITS:
        return _CREDIT
    if signal == s.CORRUPT:
        return _STORAGE if any(function == "save" for _, function in s.frames(exc)) else _FLUX
    for link in links:
        if signal is not None and isinstance(link, OSError) and type(link).__module__ == "builtins":
            return _STORAGE  # a file
        named = s.first(_CLASS_ORIGINS, type(link).__name__)
        if named:
            return named
    return ""


def _package(module: str) -> str:
    """The component that a module belongs to, or empty."""
    while module:
        if module in _ORIGINS:
            return _ORIGINS[module]
        module = module.rpartition(".")[0]
    return ""
