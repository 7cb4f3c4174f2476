"""The real client calls a model by its name, and reaches the stand-in."""

import socket
import threading

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from posemon_otel.demo.faults import Failure
from posemon_otel.demo.route import huggingface_at

MODEL = "black-forest-labs/FLUX.1-dev"


@pytest.mark.parametrize("provider", ["hf-inference", "auto", None])
def test_a_model_by_name_is_drawn_by_the_stand_in(flux, provider):
    with huggingface_at(flux.url):
        client = InferenceClient(model=MODEL, provider=provider, token="hf_test", timeout=5)
        assert client.text_to_image("a lotus", width=48, height=32).info["pose"] == "lotus"
    assert flux.counts.answers == {"image": 1}


def test_the_hub_is_asked_about_the_model_and_answers(flux):
    with huggingface_at(flux.url):
        info = huggingface_hub.model_info(MODEL, token=False)
    assert (info.id, info.pipeline_tag, flux.counts.lookups) == (MODEL, "text-to-image", 1)


def test_an_unnamed_model_is_the_one_that_the_hub_recommends(flux):
    with huggingface_at(flux.url):
        assert InferenceClient(token="hf_test", timeout=5).text_to_image("x", width=48, height=32).size == (48, 32)


def test_a_model_that_is_not_there_is_no_repository(flux):
    with huggingface_at(flux.url), pytest.raises(RepositoryNotFoundError):
        InferenceClient(model="no/such", token="hf_test", timeout=5).text_to_image("x")


def test_a_failure_speaks_of_the_service_as_the_real_one_does(flux):
    flux.plan.fail_next(Failure.RATE_LIMITED)
    with huggingface_at(flux.url), pytest.raises(HfHubHTTPError) as caught:
        InferenceClient(model=MODEL, provider="hf-inference", token="hf_test", timeout=5).text_to_image("x")
    url = f"https://router.huggingface.co/hf-inference/models/{MODEL}"
    assert str(caught.value.response.request.url) == url
    assert f"429 Too Many Requests for url: {url}." in str(caught.value)


async def test_the_async_client_reaches_it_by_name_too(flux):
    with huggingface_at(flux.url):
        async with AsyncInferenceClient(model=MODEL, provider="hf-inference", token="hf_test", timeout=5) as client:
            assert (await client.text_to_image("x", width=48, height=32)).size == (48, 32)


def test_another_thread_reaches_it_too(flux):
    sizes = []
    with huggingface_at(flux.url):
        client = InferenceClient(model=MODEL, provider="hf-inference", token="hf_test", timeout=5)
        thread = threading.Thread(target=lambda: sizes.append(client.text_to_image("x", width=48, height=32).size))
        thread.start()
        thread.join(10)
    assert sizes == [(48, 32)]


def test_the_client_looks_for_hugging_face_only_after_the_block(flux, monkeypatch):
    looked_up = []
    real = socket.getaddrinfo

    def resolve(host, *rest, **options):
        if host == flux.host:
            return real(host, *rest, **options)
        looked_up.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "no other names in this test")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with huggingface_at(flux.url):
        assert huggingface_hub.model_info(MODEL, token=False).id == MODEL
    assert looked_up == []
    with pytest.raises(httpx2.ConnectError):
        huggingface_hub.model_info(MODEL, token=False)
    assert looked_up == ["huggingface.co"]


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "http://example.org:80", "http://127.0.0.1", "127.0.0.1:80"])
def test_only_this_machine_may_stand_in(url):
    with pytest.raises(ValueError, match="expected http://127"), huggingface_at(url):
        pass
