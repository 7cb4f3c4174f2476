"""What an exception says about itself: by what it carries and by the names along its class chain.

No client library is imported: base classes differ between clients and between their versions (requests, httpx, httpx2,
urllib3 ...). What an exception was raised from is looked at where it says nothing itself; its message, where nothing
else is left.
"""

import errno
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from posemon_otel.semconv import errors as e

# What an exception can say beside the reasons themselves; the component decides what it means.
CANCELLED, CREDITS = "cancelled", "credits"
INVALID = "invalid"  # the input was refused, by a class made for that
ARGUMENT = "argument"  # ValueError, TypeError: the input was refused, or something is wrong in the code
CORRUPT = "corrupt"  # an image that cannot be read or written
UNREADABLE = "unreadable"  # an answer that is not what it claims to be
CONFLICT = "conflict"  # HTTP 409: too much at once for a model, already there for storage

_CLASS_NAMES: tuple[tuple[str, str], ...] = (
    (r"^(CancelledError|KeyboardInterrupt|SystemExit|GeneratorExit)$", CANCELLED),
    (r"OutOfMemory|^MemoryError$", e.OUT_OF_MEMORY),
    (r"Moderat|ContentPolicy|ContentFilter|NSFW|Nsfw", e.CONTENT_POLICY),
    (r"Credit(?!ential)", CREDITS),
    (r"Quota|InsufficientBalance|PaymentRequired", e.QUOTA),
    (r"RateLimit|TooManyRequests|Throttl|SlowDown|ResourceExhausted|Overloaded", e.RATE_LIMITED),
    (r"Authenti|Unauthori|Permission(Denied|Error)|Forbidden|Credential|TokenNotFound|AccessDenied", e.AUTH),
    (r"Time(d)?[oO]ut|DeadlineExceeded", e.TIMEOUT),
    (r"UnidentifiedImage|DecompressionBombError", CORRUPT),
    (r"JSONDecode|UnicodeDecode|DecodingError|ContentDecoding|ResponseValidation", UNREADABLE),
    (r"Validation(Error|Exception)?$|^InvalidURL$|^(Missing|Invalid)Schema$|^UnsupportedProtocol$", INVALID),
    (r"Connect(ion|or)?\w*Error$|^(gaierror|herror|SSLError|ProxyError|NameResolutionError)$", e.CONNECTION),
    (r"Disconnected|ConnectionClosed|(Protocol|Transport|Network|MaxRetry)Error$", e.CONNECTION),
    (r"ChunkedEncoding|IncompleteRead", e.CONNECTION),
    (r"^(Client(OS|Payload)Error|HTTPClientError|RemoteDisconnected)$", e.CONNECTION),
    (r"(?<!Module)NotFound(Error)?$|^NoSuch(Key|Bucket)|DoesNotExist", e.NOT_FOUND),
    (r"BadRequest|Unprocessable|AlreadyExists|Precondition", e.BAD_REQUEST),
    (r"^(FileExists|IsADirectory|NotADirectory)Error$", e.BAD_REQUEST),
    (r"InternalServer|ServiceUnavailable|BadGateway|ServerError$|^ModelError$", e.SERVER_ERROR),
    (r"^(ValueError|TypeError)$", ARGUMENT),
)  # fmt: skip
"""Patterns on a class's name, nearest class first, and what they say."""

_CODES: tuple[tuple[str, str], ...] = (
    ("contentpolicy|policyviolation|moderat|contentfilter|nsfw|safetyviolation", e.CONTENT_POLICY),
    ("outofmemory", e.OUT_OF_MEMORY),
    ("timeout|deadlineexceeded", e.TIMEOUT),
    ("insufficientquota|quotaexceeded|insufficient(funds|balance|storage|credit)|storagefull|diskfull", e.QUOTA),
    ("slowdown|throttl|toomanyrequests|ratelimit|requestlimitexceeded|operationaborted", e.RATE_LIMITED),
    ("accessdenied|invalidaccesskey|signaturedoesnotmatch|unauthori|forbidden", e.AUTH),
    ("(expired|invalid)token|invalidapikey", e.AUTH),
    ("nosuch|notfound", e.NOT_FOUND),
    ("modelloading|modelnotready", e.MODEL_LOADING),
)  # fmt: skip
"""Patterns on a provider's code, in lower case and letters only: ``content_policy_violation``, ``SlowDown`` ..."""

_POLICY = (
    r"(?i)content[ _-]?(policy|filter|moderat)|policy[ _-]?violation|moderat(ed|ion)|\bnsfw\b"
    r"|safety[ _-](system|check|filter|violat)"
)
_LOADING = r"(?i)\bloading\b|estimated_time|warming up|starting up|not (yet )?ready"
_MEMORY = r"(?i)out of memory|can't allocate memory|cannot allocate memory"
_TEXTS: tuple[tuple[str, str], ...] = (
    (_MEMORY, e.OUT_OF_MEMORY),
    (_POLICY, e.CONTENT_POLICY),
    (r"(?i)insufficient credits?|not enough credits?|out of credits?", CREDITS),
    (r"(?i)timed? ?out|deadline exceeded", e.TIMEOUT),
    (r"(?i)connection (was )?(refused|reset|aborted|closed)|unreachable|socket hang up", e.CONNECTION),
    (r"(?i)name or service not known|name resolution|getaddrinfo", e.CONNECTION),
    (r"ECONN(REFUSED|RESET|ABORTED)|ENOTFOUND", e.CONNECTION),
    (r"(?i)rate limit|too many requests", e.RATE_LIMITED),
    (r"(?i)model \S+ is (currently )?loading", e.MODEL_LOADING),
    (r"(?i)no space left|quota exceeded", e.QUOTA),
    (r"(?i)image file is truncated|cannot identify image|broken (data stream|png)|unrecognized data stream", CORRUPT),
)
"""Patterns on a message, the last resort."""

_ERRNOS: dict[int, str] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), e.QUOTA),
    errno.ENOMEM: e.OUT_OF_MEMORY,
    errno.ETIMEDOUT: e.TIMEOUT,
    **dict.fromkeys(
        (errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ENETDOWN, errno.ENETUNREACH,
         errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN, errno.EADDRNOTAVAIL), e.CONNECTION,
    ),
    errno.ENOENT: e.NOT_FOUND,
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), e.AUTH),
    **dict.fromkeys(
        (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EFBIG, errno.EINVAL), e.BAD_REQUEST
    ),
    **dict.fromkeys((errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE), e.SERVER_ERROR),
}  # fmt: skip

_STATUSES: dict[int, str] = {
    401: e.AUTH, 402: e.QUOTA, 403: e.AUTH, 404: e.NOT_FOUND, 407: e.AUTH, 408: e.TIMEOUT, 409: CONFLICT,
    410: e.NOT_FOUND, 425: e.RATE_LIMITED, 429: e.RATE_LIMITED, 504: e.TIMEOUT, 507: e.QUOTA, 524: e.TIMEOUT,
}  # fmt: skip
"""HTTP statuses that say more than their class: other 4xx are a bad request, other 5xx the server's error."""

_MOST_LINKS, _MOST_FRAMES, _MOST_TEXT = 16, 64, 4096


def signal(exc: BaseException) -> str | None:
    """What an exception says: a reason of ``semconv.errors`` or one of the names above; ``None`` when nothing."""
    own = _own(exc)
    if own == ARGUMENT:
        # `raise ValueError("no image") from ConnectError(...)`: what was named as the cause knows better.
        cause = _get(exc, "__cause__")
        return next((s for s in map(_own, chain(cause)) if s not in (None, CANCELLED, ARGUMENT)), own) if cause else own
    if own is not None:
        return own
    links = list(chain(exc))
    if isinstance(exc, BaseExceptionGroup):
        leaves = [s for s in map(_own, links) if s is not None]
        if leaves and all(s == CANCELLED for s in leaves) and len(leaves) == len(links) - 1:
            return CANCELLED
    named = links if isinstance(exc, BaseExceptionGroup) else [_get(exc, "__cause__")]
    for link in links[1:]:
        said = _own(link)
        if said in (None, CANCELLED):  # an error while a cancellation is handled is an error
            continue
        if said in (ARGUMENT, UNREADABLE) and not any(link is one for one in named):
            continue  # a ValueError that was merely being handled makes nobody's input invalid
        return said
    return next((s for s in (first(_TEXTS, _text(link)) for link in links) if s), None)


def chain(exc: BaseException | None) -> Iterator[BaseException]:
    """The exception, what it groups, what it was raised from; each once, at most 16."""
    waiting: list[Any] = [exc]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_LINKS:
        link = waiting.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            waiting.extend(link.exceptions[:_MOST_LINKS])
        cause = _get(link, "__cause__")
        if cause is None and not _get(link, "__suppress_context__"):
            cause = _get(link, "__context__")
        waiting.append(cause)


def _own(exc: BaseException) -> str | None:
    """What one exception says without its cause and its message."""
    cls: Any = type(exc)  # an exception's class hashes as any class does; mypy doubts it
    by_class = _by_class(cls)
    if by_class == CANCELLED:
        return by_class
    answer = _answer(exc, by_class)
    if answer is not None:
        return answer
    if by_class == e.SERVER_ERROR:
        return _refined(e.SERVER_ERROR, 500, exc)
    if by_class not in (None, ARGUMENT):
        return by_class
    if isinstance(exc, OSError):
        number = _get(exc, "errno")
        if isinstance(number, int) and number in _ERRNOS:
            return _ERRNOS[number]
    if isinstance(exc, (OSError, SyntaxError, EOFError)) and any(
        name.startswith("PIL.") for name, _ in frames(exc)[-1:]
    ):
        return CORRUPT
    if isinstance(exc, RuntimeError) and re.search(_MEMORY, _text(exc)):
        return e.OUT_OF_MEMORY  # torch before 2.5 and MPS raise a plain RuntimeError
    return by_class


def _answer(exc: BaseException, by_class: str | None) -> str | None:
    """What a provider's code or an HTTP status says."""
    response = _get(exc, "response")
    carried: list[Any] = [
        _get(exc, name) for name in ("code", "error_code", "error_type", "status", "status_code", "http_status")
    ]
    if isinstance(response, dict):  # botocore
        error, meta = response.get("Error"), response.get("ResponseMetadata")
        carried.insert(0, error.get("Code") if isinstance(error, dict) else None)
        carried.append(meta.get("HTTPStatusCode") if isinstance(meta, dict) else None)
    elif response is not None:
        carried += [_get(response, "status_code"), _get(response, "status")]
    for code in carried:
        if isinstance(code, str) and not code.isdigit():
            said = first(_CODES, re.sub("[^a-z]", "", code[:_MOST_TEXT].lower()))
            if said is not None:
                return said
    status = next((s for s in map(_status, carried) if s), 0)
    if not status:
        return None
    if by_class == e.QUOTA:
        return by_class
    said = _STATUSES.get(status) or (e.SERVER_ERROR if status >= 500 else e.BAD_REQUEST)
    return _refined(said, status, exc)


def _refined(reason: str, status: int, exc: BaseException) -> str:
    """The text of an answer tells a policy from a bad request and a loading model from a broken one."""
    if reason in (e.BAD_REQUEST, e.AUTH, e.SERVER_ERROR) and status not in (401, 407):
        text = _text(exc) + _body(exc)
        if (reason != e.SERVER_ERROR or status == 500) and re.search(_POLICY, text):
            return e.CONTENT_POLICY
        if status == 503 and re.search(_LOADING, text):
            return e.MODEL_LOADING
        if reason == e.SERVER_ERROR and re.search(_MEMORY, text):
            return e.OUT_OF_MEMORY
    return reason


def _status(value: Any) -> int:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    return int(value) if isinstance(value, int) and 400 <= value <= 599 else 0


@lru_cache(512)
def _by_class(cls: type[Any]) -> str | None:
    """What the class chain says, nearest class first."""
    for base in cls.__mro__:
        if base.__name__ == "Cancelled" and base.__module__.startswith("trio"):
            return CANCELLED
        if base.__name__ in ("ReadError", "WriteError", "CloseError") and base.__module__.startswith("http"):
            return e.CONNECTION
        said = first(_CLASS_NAMES, base.__name__)
        if said is not None:
            return said
    return None


def first(table: tuple[tuple[str, str], ...], text: str) -> str | None:
    """What the first pattern of a table that is found in ``text`` says."""
    return next((said for pattern, said in table if re.search(pattern, text)), None)


def _get(instance: Any, name: str) -> Any:
    try:
        return getattr(instance, name, None)
    except Exception:  # a property that raises says nothing
        return None


def _text(exc: BaseException) -> str:
    try:
        return str(exc)[:_MOST_TEXT]
    except Exception:  # a __str__ that raises says nothing
        return ""


def _body(exc: BaseException) -> str:
    """The start of an answer's body where it was read already: reading it here would take it from its owner."""
    body = _get(exc, "body") or _get(_get(exc, "response"), "_content")
    if isinstance(body, bytes):
        return body[:_MOST_TEXT].decode("utf-8", "replace")
    if isinstance(body, (str, dict)):
        try:
            return str(body)[:_MOST_TEXT]
        except Exception:  # a mapping of hostile objects
            return ""
    return ""


def frames(exc: BaseException) -> list[tuple[str, str]]:
    """Module and function of each frame that an exception passed through, outermost first, at most 64."""
    passed: list[tuple[str, str]] = []
    step = _get(exc, "__traceback__")
    while step is not None and len(passed) < _MOST_FRAMES:
        passed.append((str(step.tb_frame.f_globals.get("__name__", "")), step.tb_frame.f_code.co_name))
        step = step.tb_next
    return passed
