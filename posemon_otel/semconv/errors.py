"""Error types, reasons and what follows from them.

``ErrorType`` is the value of ``error.type`` on spans, metrics and logs; a reason is the value of ``pose.error.reason``.
Retryable and refundable hang on the pair; the type's own value is the default for reasons that do not say otherwise.
"""

from enum import StrEnum
from typing import NamedTuple


class Reason(NamedTuple):
    """A finer cause within an error type.

    Attributes:
        name: Value of ``pose.error.reason``.
        retryable: Whether the same call may succeed later; ``None`` leaves it to the type.
        refundable: Whether the customer gets the credits back; ``None`` leaves it to the type.
        meaning: One line for the documentation.
    """

    name: str
    retryable: bool | None
    refundable: bool | None
    meaning: str


RATE_LIMITED = "rate_limited"
AUTH = "auth"
NOT_FOUND = "not_found"
BAD_REQUEST = "bad_request"
CONTENT_POLICY = "content_policy"
MODEL_LOADING = "model_loading"
SERVER_ERROR = "server_error"
TIMEOUT = "timeout"
CONNECTION = "connection"
OUT_OF_MEMORY = "out_of_memory"
QUOTA = "quota"
UNKNOWN = "unknown"

REASONS: tuple[Reason, ...] = (
    Reason(RATE_LIMITED, True, True, "too many requests (HTTP 409, 429, a throttling code)"),
    Reason(AUTH, False, True, "credentials missing, wrong or not allowed (401, 403)"),
    Reason(NOT_FOUND, False, True, "no such model, bucket, file or task (404)"),
    Reason(BAD_REQUEST, False, None, "the request itself is refused (400, 405, 413, 422)"),
    Reason(CONTENT_POLICY, False, False, "prompt or image moderated"),
    Reason(MODEL_LOADING, True, True, "the model is not ready yet (503 that says so)"),
    Reason(SERVER_ERROR, True, True, "the other side failed (5xx) or answered with something unusable"),
    Reason(TIMEOUT, True, True, "no answer in time"),
    Reason(CONNECTION, True, True, "refused, reset, DNS, TLS"),
    Reason(OUT_OF_MEMORY, True, True, "GPU or host memory exhausted"),
    Reason(QUOTA, False, None, "credits, disk or account used up (402, ENOSPC)"),
    Reason(UNKNOWN, None, None, "nothing says more"),
)
_BY_NAME = {reason.name: reason for reason in REASONS}


class ErrorType(StrEnum):
    """The eight kinds of failure that a pose generator tells apart; values are the original system's."""

    FLUX_API_ERROR = "FLUX_API_ERROR"
    STORAGE_ERROR = "STORAGE_ERROR"
    CREDIT_ERROR = "CREDIT_ERROR"
    TIMEOUT_ERROR = "TIMEOUT_ERROR"
    NETWORK_ERROR = "NETWORK_ERROR"
    CONTROLNET_ERROR = "CONTROLNET_ERROR"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    UNKNOWN_ERROR = "UNKNOWN_ERROR"

    @property
    def retryable(self) -> bool:
        """Whether a retry can help when nothing finer than the type is known."""
        return _TYPE_DEFAULTS[self.value][0]

    @property
    def refundable(self) -> bool:
        """Whether credits are given back when nothing finer than the type is known."""
        return _TYPE_DEFAULTS[self.value][1]


_TYPE_DEFAULTS: dict[str, tuple[bool, bool]] = {
    # type: (retryable, refundable)
    "FLUX_API_ERROR": (True, True),
    "STORAGE_ERROR": (True, True),
    "CREDIT_ERROR": (False, False),
    "TIMEOUT_ERROR": (True, True),
    "NETWORK_ERROR": (True, True),
    "CONTROLNET_ERROR": (True, True),
    "VALIDATION_ERROR": (False, False),
    "UNKNOWN_ERROR": (True, True),
}

VALID_REASONS: dict[ErrorType, tuple[str, ...]] = {
    ErrorType.FLUX_API_ERROR: (
        RATE_LIMITED, AUTH, NOT_FOUND, BAD_REQUEST, CONTENT_POLICY, MODEL_LOADING, SERVER_ERROR, OUT_OF_MEMORY, QUOTA, UNKNOWN,
    ),
    ErrorType.STORAGE_ERROR: (RATE_LIMITED, AUTH, NOT_FOUND, BAD_REQUEST, SERVER_ERROR, QUOTA, UNKNOWN),
    ErrorType.CREDIT_ERROR: (QUOTA, UNKNOWN),
    ErrorType.TIMEOUT_ERROR: (TIMEOUT,),
    ErrorType.NETWORK_ERROR: (CONNECTION,),
    ErrorType.CONTROLNET_ERROR: (BAD_REQUEST, NOT_FOUND, SERVER_ERROR, OUT_OF_MEMORY, UNKNOWN),
    ErrorType.VALIDATION_ERROR: (BAD_REQUEST, UNKNOWN),
    ErrorType.UNKNOWN_ERROR: (OUT_OF_MEMORY, UNKNOWN),
}  # fmt: skip
"""Which reasons each type can carry: metrics start at 0 for these pairs, and classification yields no other."""


def retryable(error_type: ErrorType, reason: str) -> bool:
    """Whether the same call may succeed later."""
    own = _BY_NAME[reason].retryable
    return error_type.retryable if own is None else own


def refundable(error_type: ErrorType, reason: str) -> bool:
    """Whether the customer gets the credits of the failed pose back."""
    own = _BY_NAME[reason].refundable
    return error_type.refundable if own is None else own


COMPONENTS_OF: dict[ErrorType, tuple[str, ...]] = {
    ErrorType.FLUX_API_ERROR: ("flux",),
    ErrorType.STORAGE_ERROR: ("storage",),
    ErrorType.CREDIT_ERROR: ("credits",),
    ErrorType.TIMEOUT_ERROR: ("flux", "storage"),
    ErrorType.NETWORK_ERROR: ("flux", "storage"),
    ErrorType.CONTROLNET_ERROR: ("controlnet",),
    ErrorType.VALIDATION_ERROR: ("worker",),
    ErrorType.UNKNOWN_ERROR: ("worker",),
}
"""Where each type usually arises: metrics start at 0 for these; another component's series begins with its first error."""
