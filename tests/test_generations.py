"""Generations and poses: status, counts, credits, what the row needs, and one log record at the end."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import posemon_otel as posemon
from posemon_otel import faults, operation
from posemon_otel.entries import Finish, Log
from posemon_otel.operation import Operation
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o
from tests.support import Recording


class FluxError(Exception):
    """A provider's error, told by its status."""

    __module__ = "huggingface_hub.errors"

    def __init__(self, status_code: int) -> None:
        super().__init__(f"HTTP {status_code}")
        self.status_code = status_code


def whole(recording: Recording) -> Finish:
    return recording.one(o.GENERATION.key)


def poses(recording: Recording) -> list[Finish]:
    return recording.of(o.RENDER.key)


def told(recording: Recording) -> Log:
    (log,) = recording.said()
    return log


def render(gen: Any, status: int | None, **words: Any) -> None:
    """Renders a pose, or fails with an HTTP status that the caller catches."""
    try:
        with gen.pose(**words):
            if status is not None:
                raise FluxError(status)
    except FluxError:
        pass


def test_a_completed_generation(recording: Recording) -> None:
    with posemon.generation(
        "g1",
        user_id="u1",
        expected_poses=2,
        credits_charged=60,
        model="FLUX.1-dev",
        provider="huggingface",
        background="beach",
    ) as gen:
        assert gen.status == "processing"
        for index in range(2):
            with gen.pose(f"p{index}", name="Warrior", variation="front", seed=index) as pose:
                pose.set(output_image=f"out/{index}.png", thumbnail=f"out/{index}.jpg", width=512)
    assert (gen.status, gen.poses_completed, gen.poses_failed, gen.credits_refunded) == ("completed", 2, 0, 0)
    finish = whole(recording)
    assert finish.name == "pose.generation"
    assert finish.attributes == {
        a.GENERATION_ID: "g1",
        a.USER_ID: "u1",
        a.EXPECTED_POSES: 2,
        a.CREDITS_CHARGED: 60,
        a.GEN_AI_REQUEST_MODEL: "FLUX.1-dev",
        a.GEN_AI_PROVIDER_NAME: "huggingface",
        "pose.data.background": "beach",
        a.POSES_COMPLETED: 2,
        a.POSES_FAILED: 0,
        a.GENERATION_STATUS: "completed",
        a.OUTCOME: "ok",
    }
    assert finish.facts == {
        "status": "completed",
        "user_id": "u1",
        "expected_poses": 2,
        "poses_completed": 2,
        "poses_failed": 0,
        "credits_charged": 60,
        "credits_refunded": 0,
        "model": "FLUX.1-dev",
        "provider": "huggingface",
        "avg_generation_time": pytest.approx(finish.seconds / 2, rel=0.5),
    }
    assert (finish.terminal, finish.status, finish.error) == (True, 0, None)
    first, second = poses(recording)
    assert {first.parent_id, second.parent_id} == {finish.span_id}
    assert (second.name, second.attributes) == (
        "pose.render",
        {
            a.GENERATION_ID: "g1",
            a.POSE_ID: "p1",
            a.POSE_NAME: "Warrior",
            a.POSE_VARIATION: "front",
            a.GEN_AI_REQUEST_SEED: 1,
            a.GEN_AI_REQUEST_MODEL: "FLUX.1-dev",
            a.IMAGE_WIDTH: 512,
            a.OUTCOME: "ok",
        },
    )
    assert second.facts == {
        "status": "completed",
        "pose_id": "p1",
        "pose_name": "Warrior",
        "variation": "front",
        "index": 1,
        "seed": 1,
        "model": "FLUX.1-dev",
        "controlnet_scale": None,
        "output_image": "out/1.png",
        "thumbnail": "out/1.jpg",
    }


def test_the_start_says_what_a_dead_process_would_leave(recording: Recording) -> None:
    seen: dict[str, Any] = {}

    class Starting(Recording):
        def start(self, operation: Operation, context: Any) -> Any:
            seen[operation.kind.key] = (dict(operation.attributes), dict(operation.facts))
            return super().start(operation, context)

    operation.use(Starting())
    with posemon.generation("g1", user_id="u1", expected_poses=2, credits_charged=60) as gen, gen.pose("p1", seed=7):
        attributes, facts = seen["generation"]
        assert (attributes[a.EXPECTED_POSES], attributes[a.CREDITS_CHARGED]) == (2, 60)
        assert (facts["status"], facts["user_id"], facts["expected_poses"]) == ("processing", "u1", 2)
        _, facts = seen["render"]
        assert (facts["status"], facts["pose_id"], facts["index"], facts["seed"]) == ("processing", "p1", 0, 7)


def test_a_partial_generation(recording: Recording) -> None:
    with posemon.generation("g1", expected_poses=3, credits_charged=90) as gen:
        render(gen, None, pose_id="p1")
        render(gen, 503, pose_id="p2")
        render(gen, None, pose_id="p3")
        gen.refund(30, reason="pose failed")
    finish = whole(recording)
    assert gen.status == "partial"
    assert finish.attributes[a.GENERATION_STATUS] == "partial"
    assert finish.attributes[a.CREDITS_REFUNDED] == 30
    assert finish.attributes[a.REFUND_REASON] == "pose failed"
    assert (finish.outcome, finish.status, finish.error) == ("ok", 0, None)
    assert a.ERROR_TYPE not in finish.attributes
    assert (finish.facts["poses_completed"], finish.facts["poses_failed"]) == (2, 1)
    assert finish.facts["credits_refunded"] == 30
    failed = poses(recording)[1]
    assert failed.attributes[a.ERROR_TYPE] == "FLUX_API_ERROR"
    assert failed.facts["status"] == "failed"
    assert failed.facts["error_type"] == "FLUX_API_ERROR"
    assert failed.facts["error_reason"] == "server_error"
    assert failed.facts["error_message"] == "HTTP 503"


def test_all_poses_failed_and_were_caught(recording: Recording) -> None:
    with posemon.generation("g1") as gen:
        render(gen, 429)
        render(gen, 500)
    finish = whole(recording)
    assert gen.status == "failed"
    assert finish.attributes[a.GENERATION_STATUS] == "failed"
    assert finish.attributes[a.ERROR_TYPE] == "FLUX_API_ERROR"
    assert finish.attributes[a.ERROR_REASON] == "rate_limited"  # the first pose's
    assert finish.error is not None
    assert finish.error.recorded  # by the pose: it is not counted again
    assert (finish.outcome, finish.status) == ("error", 2)
    assert finish.facts["error_type"] == "FLUX_API_ERROR"
    assert finish.facts["error_message"] == "HTTP 429"
    assert len(recording.exceptions()) == 2


def test_all_poses_timed_out(recording: Recording) -> None:
    with posemon.generation("g1") as gen:
        try:
            with gen.pose():
                raise TimeoutError
        except TimeoutError:
            pass
    assert whole(recording).outcome == "timeout"


def test_the_block_raises(recording: Recording) -> None:
    mine = FluxError(401)
    with pytest.raises(FluxError) as caught, posemon.generation("g1", expected_poses=2) as gen:
        render(gen, None)
        with gen.pose():
            raise mine
    assert caught.value is mine
    finish = whole(recording)
    assert gen.status == "failed"
    assert (finish.facts["poses_completed"], finish.facts["poses_failed"]) == (1, 1)
    assert finish.error is not None
    assert (finish.error.type, finish.error.reason, finish.error.recorded) == ("FLUX_API_ERROR", "auth", True)
    assert len(recording.exceptions()) == 1


def test_the_block_raises_outside_of_a_pose(recording: Recording) -> None:
    with pytest.raises(ValueError, match="no credits"), posemon.generation("g1"):
        raise ValueError("no credits")
    finish = whole(recording)
    assert finish.error is not None
    assert not finish.error.recorded
    assert len(recording.exceptions()) == 1
    assert finish.facts["error_message"] == "no credits"


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_the_block_is_left(recording: Recording, raised: type[BaseException]) -> None:
    with pytest.raises(raised), posemon.generation("g1"):
        raise raised
    finish = whole(recording)
    assert (finish.outcome, finish.status, finish.error) == ("cancelled", 0, None)
    assert finish.attributes[a.GENERATION_STATUS] == "failed"


@pytest.mark.parametrize(
    ("expected", "rendered", "failed", "status"),
    [
        (None, 0, 0, "completed"),
        (0, 0, 0, "completed"),
        (None, 1, 0, "completed"),
        (None, 1, 1, "partial"),
        (None, 0, 1, "failed"),
        (2, 2, 0, "completed"),
        (2, 1, 0, "partial"),
        (2, 1, 1, "partial"),
        (2, 0, 0, "failed"),
        (2, 0, 2, "failed"),
        (2, 2, 1, "completed"),  # one was tried again, without saying which
        (2, 3, 0, "completed"),
    ],
)
def test_the_status(recording: Recording, expected: int | None, rendered: int, failed: int, status: str) -> None:
    with posemon.generation("g1", expected_poses=expected) as gen:
        for _ in range(failed):
            render(gen, 500)
        for _ in range(rendered):
            render(gen, None)
    assert gen.status == status == whole(recording).attributes[a.GENERATION_STATUS] == whole(recording).facts["status"]


def test_nothing_was_rendered(recording: Recording) -> None:
    with posemon.generation("g1", expected_poses=4):
        pass
    finish = whole(recording)
    assert finish.error is not None
    assert finish.error._asdict() == {
        "type": "UNKNOWN_ERROR",
        "reason": "unknown",
        "message": "0 of 4 poses rendered",
        "recorded": False,
    }


def test_counts_may_be_stated(recording: Recording) -> None:
    with posemon.generation("g1", expected_poses=4) as gen:
        gen.set(poses_completed=3, poses_failed=1, colour="red")
    finish = whole(recording)
    assert gen.status == "partial"
    assert (finish.attributes[a.POSES_COMPLETED], finish.attributes[a.POSES_FAILED]) == (3, 1)
    assert (finish.facts["poses_completed"], finish.facts["poses_failed"]) == (3, 1)
    assert finish.attributes["pose.data.colour"] == "red"


@pytest.mark.parametrize(("said", "status"), [("failed", "failed"), ("partial", "partial"), ("odd", "completed")])
def test_the_status_may_be_stated(recording: Recording, said: str, status: str) -> None:
    with posemon.generation("g1") as gen:
        render(gen, None)
        gen.set(status=said)
    assert gen.status == status == whole(recording).attributes[a.GENERATION_STATUS]


def test_a_pose_begun_again_is_one_pose(recording: Recording) -> None:
    with posemon.generation("g1") as gen:
        render(gen, 503, pose_id="p1", variation="front")
        render(gen, 503, pose_id="p1", variation="back")
        render(gen, None, pose_id="p1", variation="front")
        render(gen, 503, pose_id="p1", variation="back")
        assert (gen.poses_completed, gen.poses_failed) == (1, 1)
        render(gen, None, pose_id="p1", variation="back")
    assert gen.status == "completed"
    assert [finish.facts["index"] for finish in poses(recording)] == [0, 1, 0, 1, 1]


def test_the_same_pose_twice_is_two(recording: Recording) -> None:
    with posemon.generation("g1", expected_poses=2) as gen:
        render(gen, None, pose_id="p1")
        render(gen, None, pose_id="p1")
    assert (gen.status, gen.poses_completed) == ("completed", 2)
    assert [finish.facts["index"] for finish in poses(recording)] == [0, 1]


def test_a_failure_may_be_stated_within_the_pose(recording: Recording) -> None:
    with posemon.generation("g1") as gen, gen.pose("p1") as pose:
        pose.fail(FluxError(429))
    assert gen.status == "failed"
    assert poses(recording)[0].attributes[a.ERROR_REASON] == "rate_limited"
    assert pose.error is not None
    assert pose.seconds == poses(recording)[0].seconds


async def test_async(recording: Recording) -> None:
    async with posemon.generation("g1", expected_poses=3) as gen:

        async def one(number: int) -> None:
            async with gen.pose(f"p{number}"):
                await asyncio.sleep(0.01)
                posemon.worker_logger.info("within")

        await asyncio.gather(*map(one, range(3)))
    assert gen.status == "completed"
    assert {finish.parent_id for finish in poses(recording)} == {whole(recording).span_id}
    within = [log for log in recording.said() if log.body == "within"]
    assert {log.span_id for log in within} == {finish.span_id for finish in poses(recording)}
    assert {log.attributes[a.GENERATION_ID] for log in within} == {"g1"}


async def test_a_pose_that_is_cancelled(recording: Recording) -> None:
    async with posemon.generation("g1", expected_poses=2) as gen:

        async def one(seconds: float) -> None:
            async with gen.pose():
                await asyncio.sleep(seconds)

        await one(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one(10), 0.01)
    assert gen.status == "partial"
    assert [finish.outcome for finish in poses(recording)] == ["ok", "cancelled"]


def test_poses_in_threads(recording: Recording) -> None:
    barrier = threading.Barrier(4)
    with posemon.generation("g1", expected_poses=4) as gen:

        def one(number: int) -> None:
            with gen.pose(f"p{number}"):
                barrier.wait(5)
                posemon.worker_logger.info("within")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(4)))
    assert gen.status == "completed"
    assert {finish.parent_id for finish in poses(recording)} == {whole(recording).span_id}
    assert {finish.trace_id for finish in poses(recording)} == {whole(recording).trace_id}
    assert sorted(finish.facts["index"] for finish in poses(recording)) == [0, 1, 2, 3]
    within = [log for log in recording.said() if log.body == "within"]
    assert {log.span_id for log in within} == {finish.span_id for finish in poses(recording)}


def test_a_pose_nests_in_what_is_current_within_the_generation(recording: Recording) -> None:
    with posemon.generation("g1") as gen, posemon.performance_tracker.measure("batch"), gen.pose():
        pass
    (batch,) = recording.of(o.MEASURE.key)
    assert poses(recording)[0].parent_id == batch.span_id
    assert gen.poses_completed == 1


def test_a_pose_does_not_nest_in_what_is_current_elsewhere(recording: Recording) -> None:
    with posemon.generation("g1") as gen:

        def one() -> None:
            with posemon.performance_tracker.measure("thread's own"), gen.pose():
                pass

        thread = threading.Thread(target=one)
        thread.start()
        thread.join(5)
    assert poses(recording)[0].parent_id == whole(recording).span_id


def test_pose_and_generation_learn_the_model_that_rendered_them(recording: Recording) -> None:
    with posemon.generation("g1") as gen:
        with gen.pose("p1"), posemon.flux_call("FLUX.1-dev", provider="fal"):
            pass
        with gen.pose("p2", model="FLUX.1-schnell"), posemon.flux_call("other", provider="fal"):
            pass
        with gen.pose("p3"), posemon.flux_call("FLUX.1-fill", provider="fal"):
            pass
    first, second, third = poses(recording)
    assert third.attributes[a.GEN_AI_REQUEST_MODEL] == "FLUX.1-fill"
    assert (first.attributes[a.GEN_AI_REQUEST_MODEL], first.facts["model"]) == ("FLUX.1-dev", "FLUX.1-dev")
    assert second.attributes[a.GEN_AI_REQUEST_MODEL] == "FLUX.1-schnell"
    assert whole(recording).attributes[a.GEN_AI_REQUEST_MODEL] == whole(recording).facts["model"] == "FLUX.1-dev"
    assert whole(recording).facts["provider"] == "fal"


# At the end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "severity", "body"),
    [
        ((None, None), "INFO", "Generation completed: 2 of 2 poses in 0.0 s"),
        ((None, 500), "WARN", "Generation partial: 1 of 2 poses in 0.0 s"),
        ((500, 500), "ERROR", "Generation failed: 0 of 2 poses in 0.0 s"),
    ],
)
def test_one_log_at_the_end(recording: Recording, statuses: tuple[int | None, ...], severity: str, body: str) -> None:
    with posemon.generation("g1", expected_poses=2) as gen:
        for status in statuses:
            render(gen, status)
    log = told(recording)
    assert (log.severity_text, log.body) == (severity, body)
    assert log.attributes[a.COMPONENT] == "worker"
    assert log.attributes[a.GENERATION_ID] == "g1"
    assert log.attributes[a.GENERATION_STATUS] == gen.status
    assert (log.span_id, log.trace_id) == (whole(recording).span_id, whole(recording).trace_id)
    assert log.attributes.get(a.ERROR_TYPE) == ("FLUX_API_ERROR" if gen.status == "failed" else None)
    assert operation.current() is None


def test_refunds_add_up(recording: Recording) -> None:
    with posemon.generation("g1", credits_charged=90) as gen:
        gen.refund(30)
        gen.refund(40, reason="background for anna@example.org")
    assert gen.credits_refunded == 70
    assert whole(recording).attributes[a.CREDITS_REFUNDED] == 70
    assert "anna@example.org" not in whole(recording).attributes[a.REFUND_REASON]


@pytest.mark.parametrize("credits_", [0, -5, None, "many", True, float("nan")])
def test_a_refund_of_nothing(recording: Recording, credits_: Any) -> None:
    with posemon.generation("g1") as gen:
        gen.refund(credits_)
    assert a.CREDITS_REFUNDED not in whole(recording).attributes
    assert recording.said("WARN")[0].body.startswith("a refund needs a positive number")


def test_a_refund_too_late_is_said_so(recording: Recording) -> None:
    with posemon.generation("g1") as gen:
        pass
    gen.refund(30)
    assert gen.credits_refunded == 0
    assert recording.said("WARN")[0].body.startswith("refund outside of the generation's block")


def test_refunds_from_many_threads(recording: Recording) -> None:
    with posemon.generation("g1") as gen, ThreadPoolExecutor(4) as pool:
        list(pool.map(gen.refund, [1] * 200))
    assert gen.credits_refunded == 200


# Retries --------------------------------------------------------------------------------------------------------------


def job(attempt: int, *, last: bool) -> Operation:
    made = Operation(o.PROCESS, {a.MESSAGING_DESTINATION_NAME: "pose-generation"})
    made.attempt, made.last_attempt = attempt, last
    return made


def test_a_failure_with_attempts_left_is_not_the_end(recording: Recording) -> None:
    with pytest.raises(FluxError), job(1, last=False), posemon.generation("g1", credits_charged=30) as gen, gen.pose():
        raise FluxError(503)
    with job(2, last=True), posemon.generation("g1", credits_charged=30) as gen, gen.pose():
        pass
    first, second = recording.of(o.GENERATION.key)
    assert (first.attempt, first.terminal, first.outcome) == (1, False, "error")
    assert a.GENERATION_STATUS not in first.attributes
    assert first.facts["status"] == "processing"
    assert (second.attempt, second.terminal, second.attributes[a.GENERATION_STATUS]) == (2, True, "completed")
    warning, info = recording.said()
    assert (warning.severity_text, info.severity_text) == ("WARN", "INFO")
    assert warning.body.endswith("attempt 1, a retry follows")


def test_the_last_attempt_decides(recording: Recording) -> None:
    with pytest.raises(FluxError), job(3, last=True), posemon.generation("g1") as gen, gen.pose():
        raise FluxError(503)
    finish = whole(recording)
    assert (finish.attempt, finish.terminal, finish.attributes[a.GENERATION_STATUS]) == (3, True, "failed")


def test_a_partial_generation_is_the_end_of_any_attempt(recording: Recording) -> None:
    with job(1, last=False), posemon.generation("g1") as gen:
        render(gen, None)
        render(gen, 500)
    assert (whole(recording).terminal, gen.status) == (True, "partial")


# Whatever comes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, "", 42, "x" * 50_000, "half \ud83d"])
def test_any_id(recording: Recording, given: Any) -> None:
    with posemon.generation(given) as gen, gen.pose():
        pass
    made = whole(recording).attributes[a.GENERATION_ID]
    assert isinstance(made, str)
    assert made == gen.id == poses(recording)[0].attributes[a.GENERATION_ID]
    assert 0 < len(made) <= 16 * 1024
    assert made.encode()


@pytest.mark.parametrize("given", ["4", 4.0, "four", -1, True, object()])
def test_any_count(recording: Recording, given: Any) -> None:
    with posemon.generation("g1", expected_poses=given, credits_charged=given) as gen:
        render(gen, None)
    wanted = 4 if given in ("4", 4.0) else None
    assert whole(recording).facts["expected_poses"] == wanted
    assert gen.status == ("partial" if wanted else "completed")


def test_secrets_stay(recording: Recording) -> None:
    with posemon.generation("g1", prompt="a private prompt", mail="anna@example.org") as gen, gen.pose() as pose:
        pose.set(
            output_image="https://cdn.example/1.png?X-Amz-Signature=0123456789abcdef", prompt="another private one"
        )
    text = repr(recording.finishes) + repr(recording.logs)
    for secret in ("private", "anna@example.org", "0123456789abcdef"):
        assert secret not in text
    assert whole(recording).attributes[a.PROMPT_LENGTH] == 16


def test_before_configure() -> None:
    operation.use(None)
    with posemon.generation("g1") as gen:
        render(gen, None)
        render(gen, 500)
        gen.refund(30)
    assert (gen.status, gen.credits_refunded) == ("partial", 30)


def test_a_fault_of_ours_at_the_end_changes_nothing(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    faults.strict = False

    def broken(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(Operation, "judge", broken)
    with pytest.raises(ValueError, match="mine"), posemon.generation("g1") as gen, gen.pose():
        raise ValueError("mine")
    assert len(recording.finishes) == 2


def test_unused_objects_do_nothing(recording: Recording) -> None:
    gen = posemon.generation("g1")
    gen.set(colour="red")
    pose = gen.pose("p1")
    pose.set(width=1)
    assert (gen.status, pose.seconds, pose.error) == ("pending", 0.0, None)
    assert recording.started == []
    gen.__exit__(None, None, None)
    pose.__exit__(None, None, None)
    assert recording.finishes == []


def test_a_pose_without_its_generation(recording: Recording) -> None:
    gen = posemon.generation("g1", model="FLUX.1-dev")
    with gen.pose("p1"):
        pass
    assert poses(recording)[0].attributes[a.GENERATION_ID] == "g1"
    assert poses(recording)[0].attributes[a.GEN_AI_REQUEST_MODEL] == "FLUX.1-dev"
    assert poses(recording)[0].parent_id == 0
