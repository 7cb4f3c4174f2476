"""From a patched call to an `Operation`: the one place where instrumentation meets OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.trace import Link

from posemon_otel import operation, redaction
from posemon_otel.calls import image_attributes
from posemon_otel.entries import Scope, scope_number
from posemon_otel.instrumentation._library import Attributes, Library, PatchPoint
from posemon_otel.semconv import LIBRARY_SCOPE
from posemon_otel.semconv import operations as o

_ALWAYS: dict[str, Attributes] = {
    o.GENERATE_IMAGE.key: image_attributes({}),
    o.GENERATE_IMAGE_LOCAL.key: image_attributes({}),
}
"""Attributes that every call of a kind carries."""


class LibraryOperation(operation.Operation):
    """An operation whose result is told in raw attributes, as a library file reads them."""

    __slots__ = ()

    def finish(self, exc: BaseException | None = None, attributes: Mapping[str, object] | None = None) -> None:
        """Ends it, once; see ``Operation.finish``. The attributes are cleaned here."""
        super().finish(exc, redaction.translate(attributes) if attributes else None)


def begin(
    library: Library,
    point: PatchPoint,
    attributes: Attributes,
    *,
    links: Sequence[Link] = (),
    context: Context | None = None,
    attempt: int | None = None,
    last_attempt: bool = True,
) -> LibraryOperation | None:
    """Starts the operation of a patched call; None before ``configure`` and where instrumentation is suppressed.

    Args:
        library: Gives the instrumentation scope.
        point: Gives the kind of operation.
        attributes: Raw attributes, by short name or key; they are cleaned here.
        links: Links of the span.
        context: Context to be the child of, where that is not the current one.
        attempt: 1 for the first try of a job; of the operation around it where it is left out.
        last_attempt: Whether no retry follows.
    """
    if operation.sink() is None or (context is None and operation.suppressed()):
        return None
    prompts: list[str] = []
    begun = LibraryOperation(
        point.kind,
        {**_ALWAYS.get(point.kind.key, {}), **redaction.translate(attributes, prompts)},
        prompts=prompts,
        scope=scope_number(Scope(LIBRARY_SCOPE + library.name)),
        links=links,
        context=context,
    )
    if attempt is not None:
        begun.attempt, begun.last_attempt = attempt, last_attempt
    return begun
