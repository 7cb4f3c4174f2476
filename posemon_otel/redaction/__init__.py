"""What may leave the call: the one vocabulary, clean values, scrubbed text. Nothing here raises, whatever it is given.

Used once, before the sink, for our own operations and logs and for other libraries' spans, so that nothing raw is on
disk, in a user's processor or on the wire.
"""

from posemon_otel.redaction import prompts
from posemon_otel.redaction.exceptions import ExceptionText, exception_text
from posemon_otel.redaction.text import clean_line, clean_url, keyed_hash, scrub, scrub_message
from posemon_otel.redaction.values import Value, clean_attributes, clean_foreign, clean_value
from posemon_otel.redaction.vocabulary import translate

__all__ = [
    "ExceptionText",
    "Value",
    "clean_attributes",
    "clean_foreign",
    "clean_line",
    "clean_url",
    "clean_value",
    "exception_text",
    "keyed_hash",
    "prompts",
    "scrub",
    "scrub_message",
    "translate",
]
