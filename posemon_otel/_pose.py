"""One pose of a generation: a render of its own, that comes out or fails."""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from posemon_otel import redaction
from posemon_otel.entries import Attributes, Error
from posemon_otel.faults import fault
from posemon_otel.operation import Operation
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o

if TYPE_CHECKING:
    from posemon_otel._generation import Generation

REFERENCES: tuple[str, ...] = ("output_image", "thumbnail")
"""Words of ``pose.set`` that tell where the results lie: facts for the row, never exported."""


class Pose:
    """A pose that is rendered; ``gen.pose`` makes one.

    Attributes:
        index: Its place in the generation, from 0.
        key: What tells it from other poses: id, name, variation; empty where it has none of them.
        attributes: Attributes to begin with.
        facts: What only the database row needs.
        prompts: Prompts that were said of it before it began.
    """

    def __init__(self, generation: "Generation", index: int, words: dict[str, Any]) -> None:
        self.index = index
        self.attributes: Attributes = {}
        self.facts: dict[str, Any] = {}
        self.prompts: list[str] = []
        self._generation = generation
        self._operation: Operation | None = None
        self._raised: BaseException | None = None
        self.set(**words)
        key = tuple(self.attributes.get(part) for part in (a.POSE_ID, a.POSE_NAME, a.POSE_VARIATION))
        self.key: tuple[Any, ...] = key if any(part is not None for part in key) else ()

    @property
    def error(self) -> Error | None:
        """Why it failed, once it has."""
        return None if self._operation is None else self._operation.error

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return 0.0 if self._operation is None else self._operation.seconds

    def set(self, **words: Any) -> None:
        """Adds attributes by the words of the vocabulary. Never raises.

        ``output_image`` and ``thumbnail``, the places where the results lie, go into the database row alone.
        """
        for word in REFERENCES:
            if word in words:
                place = redaction.clean_value(words.pop(word), free_text=True)
                if place is not None:
                    self.facts[word] = place
        if self._operation is None:
            self.attributes.update(redaction.translate(words, self.prompts))
        else:
            self._operation.set(**words)

    def fail(self, error: BaseException) -> None:
        """States a failure that is caught within the block, where nothing is raised through it."""
        self._raised = error

    def __enter__(self) -> Self:
        self._operation = self._generation.begin(self)
        self._operation.attach()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = self._operation
        if running is None:
            return
        running.detach()
        raised, self._raised = (exc if exc is not None else self._raised), None
        try:
            if raised is not None:
                running.judge(raised)
            self.describe(running.attributes, o.COMPLETED if running.outcome == o.OK else o.FAILED)
            if running.error is not None:
                self.facts.update(
                    error_type=running.error.type,
                    error_reason=running.error.reason,
                    error_message=running.error.message,
                )
        except Exception as fault_of_ours:
            fault("ending a pose", fault_of_ours)
        running.finish()
        self._generation.ended(self, running)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, exc, trace)

    def describe(self, known: Attributes, status: str) -> None:
        """Puts down what the database row needs.

        Args:
            known: Attributes of its operation.
            status: ``processing``, ``completed`` or ``failed``.
        """
        self.facts.update(
            status=status,
            pose_id=known.get(a.POSE_ID),
            pose_name=known.get(a.POSE_NAME),
            variation=known.get(a.POSE_VARIATION),
            index=self.index,
            seed=known.get(a.GEN_AI_REQUEST_SEED),
            model=known.get(a.GEN_AI_REQUEST_MODEL),
            controlnet_scale=known.get(a.CONTROLNET_SCALE),
        )


def whole(value: object) -> int | None:
    """A count: ``None`` for what is no whole number, or less than 0. Never raises."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = int(value)  # type: ignore[call-overload]
    except Exception:
        return None
    return number if number >= 0 else None
