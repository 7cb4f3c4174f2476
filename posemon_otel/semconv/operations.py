"""Kinds of operation: what they are called, what they are, and whether their beginning is written down."""

from typing import NamedTuple

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(5)
"""Span kinds, with OpenTelemetry's numbers (``opentelemetry.trace.SpanKind``)."""

OK, ERROR, TIMEOUT, CANCELLED, INTERRUPTED = "ok", "error", "timeout", "cancelled", "interrupted"
OUTCOMES: tuple[str, ...] = (OK, ERROR, TIMEOUT, CANCELLED, INTERRUPTED)
"""Values of ``pose.outcome``."""

FAILED_OUTCOMES: frozenset[str] = frozenset((ERROR, TIMEOUT, INTERRUPTED))
"""Outcomes that make a span's status ERROR; a cancelled operation leaves it UNSET."""

PENDING, PROCESSING, COMPLETED, FAILED, PARTIAL = "pending", "processing", "completed", "failed", "partial"
STATUSES: tuple[str, ...] = (PENDING, PROCESSING, COMPLETED, FAILED, PARTIAL)
"""Statuses of a generation, as the production tables spell them."""

TERMINAL_STATUSES: tuple[str, ...] = (COMPLETED, PARTIAL, FAILED)
"""Values of ``pose.generation.status``."""

COMPONENTS: tuple[str, ...] = ("worker", "storage", "flux", "controlnet", "queue", "metrics", "credits")
"""Values of ``pose.component`` that we emit; ``get_logger`` may add one."""


class Kind(NamedTuple):
    """A kind of operation.

    Attributes:
        key: Stands in the journal.
        span_name: Template over short names and attributes; parts that are missing fall away.
        span_kind: One of the numbers above.
        component: Value of ``pose.component`` on its errors.
        started: Whether its start is journalled, so that a kill leaves an `interrupted` span.
        meaning: One line.
    """

    key: str
    span_name: str
    span_kind: int
    component: str
    started: bool
    meaning: str


GENERATE_IMAGE = Kind(
    "generate_image", "generate_content {gen_ai.request.model}", CLIENT, "flux", True, "a FLUX call over the network"
)
GENERATE_IMAGE_LOCAL = Kind(
    "generate_image_local",
    "generate_content {gen_ai.request.model}",
    INTERNAL,
    "flux",
    True,
    "a FLUX call in this process",
)
CONTROLNET = Kind(
    "controlnet", "controlnet {pose.controlnet.processor}", INTERNAL, "controlnet", False, "a pose map made or resized"
)
STORAGE = Kind(
    "storage",
    "{pose.storage.operation} {pose.storage.bucket|pose.storage.system}",
    CLIENT,
    "storage",
    False,
    "an object stored, read or deleted",
)
PROCESS = Kind("process", "process {messaging.destination.name}", CONSUMER, "queue", True, "a job")
SEND = Kind("send", "send {messaging.destination.name}", PRODUCER, "queue", False, "a job put into a queue")
GENERATION = Kind("generation", "pose.generation", INTERNAL, "worker", True, "a request for 1..N poses")
RENDER = Kind("render", "pose.render", INTERNAL, "worker", True, "one pose")
MEASURE = Kind(
    "measure", "{pose.operation.name}", INTERNAL, "worker", True, "a block measured by the performance tracker"
)
SPAN = Kind("span", "", INTERNAL, "", False, "a span of another instrumentation")

KINDS: tuple[Kind, ...] = (
    GENERATE_IMAGE,
    GENERATE_IMAGE_LOCAL,
    CONTROLNET,
    STORAGE,
    PROCESS,
    SEND,
    GENERATION,
    RENDER,
    MEASURE,
    SPAN,
)
BY_KEY: dict[str, Kind] = {kind.key: kind for kind in KINDS}


def span_name(kind: Kind, attributes: dict[str, object]) -> str:
    """The span's name: the kind's template filled from ``attributes``, missing parts left out."""
    template = kind.span_name
    if "{" not in template:
        return template
    head, _, rest = template.partition("{")
    parts: list[str] = [head.strip()] if head.strip() else []
    while rest:
        names, _, rest = rest.partition("}")
        value = next((attributes[name] for name in names.split("|") if attributes.get(name) not in (None, "")), None)
        if value is not None:
            parts.append(str(value))
        _, _, rest = rest.partition("{")
    return " ".join(parts) or kind.key


EVENT_NAMES: dict[str, str] = {
    "generation_started": "pose.generation.started",
    "generation_completed": "pose.generation.completed",
    "generation_failed": "pose.generation.failed",
    "export_generated": "pose.export.generated",
    "recovery_triggered": "pose.recovery.triggered",
}
"""Types of ``record_event`` and the EventName of their log record; a dotted name of the user's own is its own EventName."""

EVENT_PERSISTED, EVENT_EXCEPTION = "pose.event", "exception"
