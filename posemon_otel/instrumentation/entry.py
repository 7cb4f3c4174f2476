"""The `opentelemetry_instrumentor` entry points, `posemon_<library>`: what `opentelemetry-instrument` finds and calls.

`BaseInstrumentor` is a singleton by inheritance: the instance is kept on the class that was asked first, and its
subclasses take that one. So these classes are siblings, and their common base is never made an instance of.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # untyped

from posemon_otel import instrumentation


class _Instrumentor(BaseInstrumentor):  # type: ignore[misc]
    library: ClassVar[str]

    def instrumentation_dependencies(self) -> Collection[str]:
        return instrumentation.dependencies(self.library)

    def _instrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - the base's signature
        instrumentation.instrument(self.library)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - the base's signature
        instrumentation.uninstrument(self.library)


class BullMQInstrumentor(_Instrumentor):
    """Instruments BullMQ."""

    library = "bullmq"


class HuggingFaceHubInstrumentor(_Instrumentor):
    """Instruments huggingface_hub."""

    library = "huggingface_hub"


class PillowInstrumentor(_Instrumentor):
    """Instruments Pillow."""

    library = "pillow"
