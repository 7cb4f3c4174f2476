"""What a stored error message says about its type, where nothing better was stored with it.

The production database has only messages. The rules are tried in order, and the order is the point: the original tried
``api`` first and called every message with that word a FLUX error. Here what names its own subject comes before what
describes a symptom, and the FLUX service last, because messages about storage or time-outs often name it too.
"""

import re

from posemon_otel.semconv.errors import ErrorType

_RULES: tuple[tuple[ErrorType, re.Pattern[str]], ...] = tuple(
    (error_type, re.compile(pattern, re.IGNORECASE))
    for error_type, pattern in (
        (
            ErrorType.CREDIT_ERROR,
            r"\bcredits?\b|insufficient (funds|balance)|not enough (funds|balance)|\bbalance (is )?too low",
        ),
        (
            ErrorType.TIMEOUT_ERROR,
            (
                r"tim(ed?|ing)[\s_-]?out|\btimeout|\bETIMEDOUT\b|\bESOCKETTIMEDOUT\b|deadline exceeded"
                r"|\b(408|504)\b|gateway time"
            ),
        ),
        (
            ErrorType.NETWORK_ERROR,
            (
                r"\bECONN(REFUSED|RESET|ABORTED)\b|\bE(NOTFOUND|AI_AGAIN|PIPE|HOSTUNREACH|NETUNREACH)\b|socket hang ?up"
                r"|connection (was )?(refused|reset|closed|aborted|error)|network (error|is unreachable|failure)"
                r"|getaddrinfo|name or service not known|\bDNS\b|fetch failed|\b(TLS|SSL)\b|certificate"
            ),
        ),
        (ErrorType.CONTROLNET_ERROR, r"control[\s_-]?net|openpose|pose map|depth map|canny"),
        (
            ErrorType.STORAGE_ERROR,
            (
                r"\bS3\b|\bR2\b|\bbucket|storage|upload|\bENOSPC\b|no space left|\bEACCES\b|\bENOENT\b|\bEROFS\b"
                r"|disk (is )?full|no such (file|key|bucket)|NoSuch(Key|Bucket)|write (file|image)|thumbnail"
            ),
        ),
        (
            ErrorType.VALIDATION_ERROR,
            (
                r"validation|\binvalid (input|parameter|argument|request|pose|avatar|width|height|prompt)|\bmust be\b"
                r"|\bis required\b|missing (required|parameter|field)|out of range"
                r"|\b(not |un)supported (format|size|type)"
            ),
        ),
        (
            ErrorType.FLUX_API_ERROR,
            (
                r"\bflux\b|hugging ?face|\bHF\b|inference|\bmodel\b|diffusion|\brate.?limit|too many requests"
                r"|\b(429|5\d\d|401|403)\b|content policy|nsfw|safety|replicate|fal\.ai|together\.ai|\bAPI (error|key)"
            ),
        ),
    )
)


def classify_message(message: str | None) -> ErrorType:
    """The error type of a stored message, the last resort.

    Args:
        message: Free text; nothing known or nothing recognised is UNKNOWN_ERROR.
    """
    if message:
        for error_type, pattern in _RULES:
            if pattern.search(message):
                return error_type
    return ErrorType.UNKNOWN_ERROR


def stored_type(error_type: str | None, message: str | None) -> ErrorType:
    """The stored type where there is one that we know, else what the message says."""
    try:
        return ErrorType(error_type or "")
    except ValueError:
        return classify_message(message)
