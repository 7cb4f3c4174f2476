"""The real clients against the FLUX stand-in, by URL and by name: whole spans, and errors as they become types."""

from __future__ import annotations

import asyncio
import inspect
import io

import huggingface_hub
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from opentelemetry.trace import SpanKind, StatusCode
from PIL import Image

from posemon_otel import instrumentation, testing
from posemon_otel.demo.faults import Failure
from posemon_otel.demo.flux import FluxServer
from posemon_otel.demo.route import huggingface_at

MODEL = "black-forest-labs/FLUX.1-dev"
GIVEN = {"width": 64, "height": 48, "num_inference_steps": 4, "guidance_scale": 3.5, "seed": 7}
REQUEST = {
    "gen_ai.operation.name": "generate_content",
    "gen_ai.output.type": "image",
    "gen_ai.provider.name": "huggingface",
    "gen_ai.request.seed": 7,
    "pose.image.operation": "text_to_image",
    "pose.image.width": 64,
    "pose.image.height": 48,
    "pose.image.steps": 4,
    "pose.image.guidance_scale": 3.5,
    "pose.prompt.length": 8,
}
RESULT = {"pose.image.count": 1, "pose.image.format": "png", "pose.outcome": "ok"}


@pytest.fixture
def flux(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)
    with FluxServer() as server:
        yield server
    huggingface_hub.close_session()


@pytest.fixture
def telemetry():
    with testing.capture() as captured:
        yield captured


def ask_sync(call, *args, client, **kwargs):
    return getattr(InferenceClient(**{"token": "hf_test", "timeout": 5} | client), call)(*args, **kwargs)


def ask_async(call, *args, client, **kwargs):
    async def ask():
        async with AsyncInferenceClient(**{"token": "hf_test", "timeout": 5} | client) as asked:
            return await getattr(asked, call)(*args, **kwargs)

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["sync", "async"])


@both
def test_a_model_by_url_has_an_address_and_no_name(flux, telemetry, ask):
    image = ask("text_to_image", "a dancer", client={"model": flux.model_url()}, **GIVEN)
    assert image.size == (64, 48)
    (span,) = telemetry.spans
    assert (span.name, span.kind, span.status.status_code) == ("generate_content", SpanKind.CLIENT, StatusCode.UNSET)
    assert span.instrumentation_scope.name == "posemon_otel.instrumentation.huggingface_hub"
    address = {"server.address": "127.0.0.1", "server.port": flux.port}
    assert dict(span.attributes) == REQUEST | RESULT | address
    assert (span.events, span.links, span.parent) == ((), (), None)


@both
@pytest.mark.parametrize("where", ["client", "call"])
def test_a_model_by_name_names_the_span(flux, telemetry, ask, where):
    client = {"provider": "hf-inference"} | ({"model": MODEL} if where == "client" else {})
    call = {"model": MODEL} if where == "call" else {}
    with huggingface_at(flux.url):
        ask("text_to_image", "a dancer", client=client, **GIVEN, **call)
    (span,) = telemetry.spans
    assert span.name == f"generate_content {MODEL}"
    assert dict(span.attributes) == REQUEST | RESULT | {"gen_ai.request.model": MODEL}


def test_a_model_that_nobody_named_is_not_guessed(flux, telemetry):
    with huggingface_at(flux.url):
        ask_sync("text_to_image", "a dancer", client={}, **GIVEN)
    (span,) = telemetry.spans
    assert span.name == "generate_content"
    assert dict(span.attributes) == REQUEST | RESULT


@both
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the library's own
def test_image_to_image(flux, telemetry, ask):
    picture = io.BytesIO()
    Image.new("RGB", (40, 32)).save(picture, "PNG")
    given = {"prompt": "a lotus", "strength": 0.5, "seed": 3, "negative_prompt": "blur", "num_inference_steps": 2}
    target = {"width": 48, "height": 32}
    ask("image_to_image", picture.getvalue(), client={"model": flux.model_url()}, target_size=target, **given)
    (span,) = telemetry.spans
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.output.type": "image",
        "gen_ai.provider.name": "huggingface",
        "gen_ai.request.seed": 3,
        "pose.image.operation": "image_to_image",
        "pose.image.width": 48,
        "pose.image.height": 32,
        "pose.image.steps": 2,
        "pose.image.strength": 0.5,
        "pose.prompt.length": 7,
        "pose.negative_prompt.length": 4,
        "server.address": "127.0.0.1",
        "server.port": flux.port,
        **RESULT,
    }


def test_extra_body_tells_what_the_arguments_do_not(flux, telemetry):
    extra = {"strength": 0.25, "seed": 99, "unknown": "ignored"}
    ask_sync("text_to_image", "a dancer", client={"model": flux.model_url()}, extra_body=extra, **GIVEN)
    (span,) = telemetry.spans
    assert span.attributes["pose.image.strength"] == 0.25
    assert span.attributes["gen_ai.request.seed"] == 7
    assert not [key for key in span.attributes if "unknown" in key]


FAILURES = [
    (Failure.BAD_REQUEST, "FLUX_API_ERROR", "bad_request", "error"),
    (Failure.AUTH, "FLUX_API_ERROR", "auth", "error"),
    (Failure.RATE_LIMITED, "FLUX_API_ERROR", "rate_limited", "error"),
    (Failure.MODEL_LOADING, "FLUX_API_ERROR", "model_loading", "error"),
    (Failure.SERVER_ERROR, "FLUX_API_ERROR", "server_error", "error"),
    (Failure.CORRUPT, "FLUX_API_ERROR", "server_error", "error"),
    (Failure.DROP, "NETWORK_ERROR", "connection", "error"),
    (Failure.HANG, "TIMEOUT_ERROR", "timeout", "timeout"),
]


@both
@pytest.mark.parametrize(("failure", "kind", "reason", "outcome"), FAILURES, ids=[str(row[0]) for row in FAILURES])
def test_a_failure_has_its_type_and_reason_and_reaches_the_caller_untouched(
    flux, telemetry, ask, failure, kind, reason, outcome
):
    flux.plan.fail_next(failure, failure)
    client = {"model": flux.model_url()}
    with pytest.raises(Exception) as watched:
        ask("text_to_image", "a dancer", client=client | {"timeout": 0.5}, **GIVEN)
    instrumentation.uninstrument("huggingface_hub")
    with pytest.raises(Exception) as plain:
        ask("text_to_image", "a dancer", client=client | {"timeout": 0.5}, **GIVEN)
    assert type(watched.value) is type(plain.value)
    (span,) = telemetry.spans
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == kind
    assert span.attributes["pose.error.reason"] == reason
    assert span.attributes["pose.outcome"] == outcome
    assert span.attributes["pose.component"] == "flux"
    assert "pose.image.count" not in span.attributes
    assert [event.name for event in span.events] == ["exception"]


def test_nothing_secret_is_on_the_span(flux, telemetry):
    prompt = "a portrait of jane@example.com"
    ask_sync("text_to_image", prompt, client={"model": flux.model_url() + "?api_key=secret"}, **GIVEN)
    (span,) = telemetry.spans
    assert not [text for text in ("jane", "secret", "hf_test") if text in span.to_json()]


def test_sync_and_async_still_compare(telemetry):
    """The library's own tests compare the signatures of its two clients."""
    AsyncInferenceClient()  # loads its module
    for name in ("text_to_image", "image_to_image"):
        one, other = getattr(InferenceClient, name), getattr(AsyncInferenceClient, name)
        assert hasattr(one, "__wrapped__")
        assert hasattr(other, "__wrapped__")
        assert inspect.signature(one) == inspect.signature(other)
        assert inspect.iscoroutinefunction(other)
        assert not inspect.iscoroutinefunction(one)


def test_a_bad_call_is_the_librarys_to_refuse(flux, telemetry):
    with pytest.raises(TypeError, match=r"text_to_image\(\) got an unexpected keyword argument 'colour'"):
        ask_sync("text_to_image", "a dancer", client={"model": flux.model_url()}, colour="red")
