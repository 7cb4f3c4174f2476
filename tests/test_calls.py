"""Calls that no instrumentation covers."""

from typing import Any

import pytest

import posemon_otel as posemon
from posemon_otel import calls, redaction, settings
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o
from posemon_otel.settings import Settings
from tests.support import Recording


def use(**chosen: Any) -> None:
    settings.use(Settings(chosen, environ={}))


def test_a_flux_call(recording: Recording) -> None:
    with posemon.flux_call("flux-dev", provider="bfl", width=512, steps=28, seed=7, prompt="private") as call:
        call.set(image_count=1, cost_usd=0.025)
    finish = recording.one(o.GENERATE_IMAGE.key)
    assert (finish.name, finish.span_kind) == ("generate_content flux-dev", o.CLIENT)
    assert finish.attributes == {
        a.GEN_AI_OPERATION_NAME: "generate_content",
        a.GEN_AI_OUTPUT_TYPE: "image",
        a.GEN_AI_REQUEST_MODEL: "flux-dev",
        a.GEN_AI_PROVIDER_NAME: "bfl",
        a.IMAGE_OPERATION: "text_to_image",
        a.IMAGE_WIDTH: 512,
        a.IMAGE_STEPS: 28,
        a.GEN_AI_REQUEST_SEED: 7,
        a.PROMPT_LENGTH: 7,
        a.IMAGE_COUNT: 1,
        a.COST_USD: 0.025,
        a.OUTCOME: "ok",
    }


def test_a_flux_call_of_another_sort_without_a_model(recording: Recording) -> None:
    with posemon.flux_call(provider="bfl", operation="image_to_image", strength=0.5):
        pass
    finish = recording.one(o.GENERATE_IMAGE.key)
    assert finish.name == "generate_content"
    assert finish.attributes[a.IMAGE_OPERATION] == "image_to_image"


@pytest.mark.parametrize(
    ("raised", "kind", "outcome"),
    [
        (TimeoutError(), "TIMEOUT_ERROR", "timeout"),
        (ConnectionRefusedError(), "NETWORK_ERROR", "error"),
        (RuntimeError("odd"), "FLUX_API_ERROR", "error"),
    ],
)
def test_a_flux_call_that_fails(recording: Recording, raised: Exception, kind: str, outcome: str) -> None:
    with pytest.raises(type(raised)) as caught, posemon.flux_call("flux-dev", provider="bfl"):
        raise raised
    assert caught.value is raised
    finish = recording.one(o.GENERATE_IMAGE.key)
    assert (finish.attributes[a.ERROR_TYPE], finish.outcome) == (kind, outcome)
    assert finish.attributes[a.COMPONENT] == "flux"


def test_a_storage_write(recording: Recording) -> None:
    with posemon.storage_write("file", "out/anna/1.png", bytes=2048):
        pass
    finish = recording.one(o.STORAGE.key)
    assert (finish.name, finish.span_kind) == ("put file", o.CLIENT)
    assert finish.attributes == {
        a.STORAGE_SYSTEM: "file",
        a.STORAGE_OPERATION: "put",
        a.STORAGE_OBJECT_SIZE: 2048,
        a.OUTCOME: "ok",
    }


def test_a_storage_write_that_fails(recording: Recording) -> None:
    with pytest.raises(OSError, match="No space"), posemon.storage_write("file", "1.png"):
        raise OSError(28, "No space left on device")
    finish = recording.one(o.STORAGE.key)
    assert (finish.attributes[a.ERROR_TYPE], finish.attributes[a.ERROR_REASON]) == ("STORAGE_ERROR", "quota")


def test_what_of_a_key_may_leave(recording: Recording) -> None:
    use(hash_key="k" * 32)
    assert calls.storage_attributes("s3", "get", "a/b.png") == {
        a.STORAGE_SYSTEM: "s3",
        a.STORAGE_OPERATION: "get",
        a.STORAGE_KEY_HASH: redaction.keyed_hash("a/b.png"),
    }
    use(storage_keys=True)
    assert calls.storage_attributes("s3", "get", "a/b.png")[a.STORAGE_KEY] == "a/b.png"
    assert a.STORAGE_KEY not in calls.storage_attributes("s3", "get", None)


def test_nested_in_a_pose(recording: Recording) -> None:
    with posemon.generation("g1") as gen, gen.pose(), posemon.flux_call("flux-dev", provider="bfl"):
        pass
    call, render = recording.finishes[0], recording.one(o.RENDER.key)
    assert call.parent_id == render.span_id
    assert call.attributes[a.GENERATION_ID] == "g1"
