"""What becomes of a fault of our own: it is logged once, counted, and never reaches the code that is watched.

Under our own tests ``strict`` re-raises it, so that no fault hides behind its own harmlessness.
"""

import logging

logger = logging.getLogger("posemon_otel")
"""Diagnostics of posemon_otel itself; they stay out of the telemetry pipeline."""

strict = False
counts: dict[str, int] = {}
"""Faults by place, for ``posemon doctor`` and ``posemon.telemetry.dropped``."""


def fault(where: str, exc: BaseException) -> None:
    """Counts a fault of ours, logs the first of each place, and returns.

    Args:
        where: What was being done, as a few words.
        exc: What was raised. Exits and interrupts are not faults: they are re-raised.
    """
    if strict or not isinstance(exc, Exception):
        raise exc
    counts[where] = counts.get(where, 0) + 1
    if counts[where] == 1:
        logger.warning("%s failed and was skipped; later faults of this kind are only counted", where, exc_info=exc)
