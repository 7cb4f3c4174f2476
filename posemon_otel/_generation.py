"""A generation that runs: what one request for 1..N poses came to.

``pose.generation`` is the span around, ``pose.render`` one for each pose. The status, the counts, the credits and
what the database row needs are made once, at the end, from what the block and its poses did.
"""

from threading import RLock
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from opentelemetry import context as otel_context

from posemon_otel import _logging, errors, operation, redaction
from posemon_otel._pose import Pose, whole
from posemon_otel.entries import Attributes, Error
from posemon_otel.faults import fault
from posemon_otel.loggers import ERROR, INFO, WARNING, worker_logger
from posemon_otel.operation import Operation
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import errors as e
from posemon_otel.semconv import operations as o

_STATED = frozenset(
    (a.GENERATION_STATUS, a.EXPECTED_POSES, a.POSES_COMPLETED, a.POSES_FAILED, a.CREDITS_CHARGED, a.CREDITS_REFUNDED)
)
"""What ``set`` states, and the end writes."""

_TOLD = (
    a.GENERATION_ID,
    a.USER_ID,
    a.GENERATION_STATUS,
    a.POSES_COMPLETED,
    a.POSES_FAILED,
    a.EXPECTED_POSES,
    a.CREDITS_REFUNDED,
    a.OUTCOME,
    a.ERROR_TYPE,
    a.ERROR_REASON,
)
"""What the log record at the end repeats."""


class Generation:
    """A generation that runs; ``generations.generation`` makes one.

    Attributes:
        id: Its id.
    """

    def __init__(self, generation_id: object, words: dict[str, Any]) -> None:
        cleaned = redaction.clean_value(generation_id, free_text=False)
        self.id = uuid4().hex if cleaned in (None, "") else str(cleaned)
        self._attributes: Attributes = {a.GENERATION_ID: self.id}
        self._stated: dict[str, Any] = {}
        self._prompts: list[str] = []
        self._operation: Operation | None = None
        # Re-entrant: a pose may end in a finaliser, on the thread that holds it.
        self._lock = RLock()
        self._poses = 0
        self._completed = 0
        self._failed: list[Pose] = []
        self._refunded = 0
        self._status = o.PENDING
        self.set(**words)

    @property
    def status(self) -> str:
        """``pending`` before the block, ``processing`` within, then ``completed``, ``partial`` or ``failed``."""
        return self._status

    @property
    def poses_completed(self) -> int:
        """Poses that came out so far."""
        return self._count(a.POSES_COMPLETED, self._completed)

    @property
    def poses_failed(self) -> int:
        """Poses that failed so far and were not rendered by a later try."""
        return self._count(a.POSES_FAILED, len(self._failed))

    @property
    def credits_refunded(self) -> int:
        """Credits given back so far."""
        return self._count(a.CREDITS_REFUNDED, 0) + self._refunded

    def set(self, **words: Any) -> None:
        """Adds attributes by the words of the vocabulary. A ``status`` or count said here is taken as it is said."""
        attributes = redaction.translate(words, self._prompts if self._operation is None else self._operation.prompts)
        for key in _STATED & attributes.keys():
            self._stated[key] = attributes.pop(key)
        self._attributes.update(attributes)
        if self._operation is not None:
            self._operation.update(attributes)

    def refund(self, credits: int, *, reason: str | None = None) -> None:  # noqa: A002 - the public keyword
        """Gives credits back. Within the block: what comes after the end is not counted, and warned of.

        Args:
            credits: How many, at least 1.
            reason: Why.
        """
        count = whole(credits)
        if not count:
            worker_logger.warning("a refund needs a positive number of credits; ignored", credits=credits)
            return
        if self._operation is None or not self._operation.running:
            worker_logger.warning(
                "refund outside of the generation's block; not counted", generation_id=self.id, credits=count
            )
            return
        with self._lock:
            self._refunded += count
        self._operation.set(refund_reason=reason)

    def pose(
        self,
        pose_id: str | None = None,
        *,
        name: str | None = None,
        variation: str | None = None,
        **words: Any,
    ) -> Pose:
        """Watches one pose: ``with gen.pose("p1", variation="front") as pose:``.

        It is a context manager, sync and async, and any number may run at once, in threads and in tasks. What is
        raised within makes the pose failed and goes on; the generation goes on where the caller catches it.

        Args:
            pose_id: Pose of the library.
            name: What people call it.
            variation: What tells it from its siblings.
            **words: More attributes, by the words of the vocabulary.
        """
        with self._lock:
            index = self._poses
            self._poses += 1
        return Pose(self, index, {**words, "pose_id": pose_id, "pose_name": name, "variation": variation})

    def __enter__(self) -> Self:
        # A process that dies leaves no more than what stands here at the start.
        attributes = {**self._attributes, **self._counts(a.EXPECTED_POSES, a.CREDITS_CHARGED)}
        self._operation = Operation(o.GENERATION, attributes, facts=self._facts(o.PROCESSING), prompts=self._prompts)
        self._status = o.PROCESSING
        self._operation.attach()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = self._operation
        if running is None:
            return
        running.detach()
        try:
            self._close(running, exc)
        except Exception as fault_of_ours:
            fault("ending a generation", fault_of_ours)
        running.finish(exc if running.outcome == o.OK else None)
        self._tell(running)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, exc, trace)

    def begin(self, pose: Pose) -> Operation:
        """Starts a pose's operation, beneath the generation's also where that is not current: in another thread."""
        with self._lock:
            again = next((failed for failed in self._failed if pose.key and failed.key == pose.key), None)
            if again is not None:
                self._failed.remove(again)
                pose.index = again.index
        attributes = {a.GENERATION_ID: self.id, **pose.attributes}
        mine = self._operation
        if a.GEN_AI_REQUEST_MODEL in self._attributes:
            attributes.setdefault(a.GEN_AI_REQUEST_MODEL, self._attributes[a.GEN_AI_REQUEST_MODEL])
        context = None if mine is None or _within(mine) else mine.context
        pose.describe(attributes, o.PROCESSING)
        return Operation(o.RENDER, attributes, facts=pose.facts, context=context, prompts=pose.prompts)

    def ended(self, pose: Pose, running: Operation) -> None:
        """Counts a pose that has ended."""
        with self._lock:
            if running.outcome == o.OK:
                self._completed += 1
            else:
                self._failed.append(pose)

    def _count(self, key: str, counted: int) -> int:
        stated = whole(self._stated.get(key))
        return counted if stated is None else stated

    def _counts(self, *keys: str) -> Attributes:
        counts = {key: whole(self._stated.get(key)) for key in keys}
        return {key: count for key, count in counts.items() if count is not None}

    def _close(self, running: Operation, exc: BaseException | None) -> None:
        seconds = running.seconds
        error: Error | None = None
        if exc is not None:
            status = o.FAILED
            running.judge(exc)
        else:
            status, error = self._verdict()
        if error is not None:
            timed_out = error.type == e.ErrorType.TIMEOUT_ERROR
            running.fail(error, o.TIMEOUT if timed_out else o.ERROR)
        running.terminal = status != o.FAILED or running.last_attempt or errors.unrecoverable(exc)
        self._status = status
        running.facts.update(self._facts(status if running.terminal else o.PROCESSING))
        if self.poses_completed:
            running.facts["avg_generation_time"] = seconds / self.poses_completed
        if running.error is not None:
            running.facts.update(
                error_type=running.error.type, error_reason=running.error.reason, error_message=running.error.message
            )
        closing = self._counts(a.EXPECTED_POSES, a.CREDITS_CHARGED)
        closing |= {a.POSES_COMPLETED: self.poses_completed, a.POSES_FAILED: self.poses_failed}
        if self.credits_refunded:
            closing[a.CREDITS_REFUNDED] = self.credits_refunded
        if running.terminal:
            closing[a.GENERATION_STATUS] = status
        running.update(closing)

    def _verdict(self) -> tuple[str, Error | None]:
        """Status and error of a block that raised nothing."""
        completed, failed = self.poses_completed, self.poses_failed
        expected = whole(self._stated.get(a.EXPECTED_POSES))
        stated = self._stated.get(a.GENERATION_STATUS)
        if stated in o.TERMINAL_STATUSES:
            return str(stated), self._error(expected or completed + failed) if stated == o.FAILED else None
        if (completed >= expected) if expected is not None else not failed:
            return o.COMPLETED, None
        if completed:
            return o.PARTIAL, None
        return o.FAILED, self._error(expected or failed)

    def _error(self, expected: int) -> Error:
        for pose in self._failed:
            if pose.error is not None:
                return pose.error._replace(recorded=True)
        message = f"{self.poses_completed} of {expected} poses rendered"
        return Error(e.ErrorType.UNKNOWN_ERROR.value, e.UNKNOWN, message, recorded=False)

    def _facts(self, status: str) -> dict[str, Any]:
        attributes = self._attributes if self._operation is None else self._operation.attributes
        return {
            "status": status,
            "user_id": attributes.get(a.USER_ID),
            "expected_poses": whole(self._stated.get(a.EXPECTED_POSES)),
            "poses_completed": self.poses_completed,
            "poses_failed": self.poses_failed,
            "credits_charged": self._count(a.CREDITS_CHARGED, 0),
            "credits_refunded": self.credits_refunded,
            "model": attributes.get(a.GEN_AI_REQUEST_MODEL),
            "provider": attributes.get(a.GEN_AI_PROVIDER_NAME),
        }

    def _tell(self, running: Operation) -> None:
        told: Attributes = {key: running.attributes[key] for key in _TOLD if key in running.attributes}
        told[f"{a.DATA_PREFIX}seconds"] = round(running.seconds, 3)
        expected = told.get(a.EXPECTED_POSES)
        of = "" if expected is None else f" of {expected}"
        body = f"Generation {self._status}: {self.poses_completed}{of} poses in {running.seconds:.1f} s"
        severity = WARNING
        if running.terminal:
            severity = {o.COMPLETED: INFO, o.FAILED: ERROR}.get(self._status, WARNING)
        else:
            body += f"; attempt {running.attempt}, a retry follows"
        token = otel_context.attach(running.context)
        try:
            _logging.say(worker_logger.component, severity, body, told)
        finally:
            otel_context.detach(token)


def _within(mine: Operation) -> bool:
    around = operation.current()
    while around is not None and around is not mine:
        around = around.parent
    return around is not None
