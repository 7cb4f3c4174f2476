"""The stand-in as the real client meets it: pictures, and every failure as the exception that it becomes."""

import asyncio
import base64
import io
import json
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, InferenceTimeoutError
from PIL import Image, UnidentifiedImageError

from posemon_otel.demo.faults import Failure, Plan
from posemon_otel.demo.flux import FluxServer

TIMEOUT = 5.0


def ask_sync(flux, prompt="a dancer", *, timeout=TIMEOUT, **request):
    client = InferenceClient(model=flux.model_url(), token="hf_test", timeout=timeout)
    return client.text_to_image(prompt, **{"width": 64, "height": 48} | request)


def ask_async(flux, prompt="a dancer", *, timeout=TIMEOUT, **request):
    async def ask():
        async with AsyncInferenceClient(model=flux.model_url(), token="hf_test", timeout=timeout) as client:
            return await client.text_to_image(prompt, **{"width": 64, "height": 48} | request)

    return asyncio.run(ask())


both_clients = pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["sync", "async"])


def png(width=40, height=30):
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return out.getvalue()


@both_clients
def test_a_picture_of_the_asked_size_pose_and_seed(flux, ask):
    image = ask(flux, "someone running", width=96, height=64, seed=7, extra_body={"pose": "Warrior"})
    assert (image.format, image.size, image.info) == ("PNG", (96, 64), {"pose": "warrior", "seed": "7"})
    assert len(image.getcolors(96 * 64)) > 3
    assert flux.counts == (1, 0, {"image": 1})


def test_the_same_seed_draws_the_same_picture_and_another_seed_another(flux):
    first, again, other = (ask_sync(flux, "waving", seed=seed).tobytes() for seed in (1, 1, 2))
    assert first == again
    assert first != other


HTTP_FAILURES = {
    Failure.BAD_REQUEST: (BadRequestError, 400, "Error in `parameters.num_inference_steps`"),
    Failure.CONTENT_POLICY: (BadRequestError, 400, "content policy"),
    Failure.AUTH: (HfHubHTTPError, 401, "Invalid username or password."),
    Failure.QUOTA: (HfHubHTTPError, 402, "exceeded your monthly included credits"),
    Failure.NOT_FOUND: (HfHubHTTPError, 404, "Model black-forest-labs/FLUX.1-dev does not exist"),
    Failure.RATE_LIMITED: (HfHubHTTPError, 429, "429 Too Many Requests"),
    Failure.SERVER_ERROR: (HfHubHTTPError, 500, "500 Internal Server Error"),
    Failure.UNAVAILABLE: (HfHubHTTPError, 503, "503 Service Unavailable"),
    Failure.MODEL_LOADING: (HfHubHTTPError, 503, "Model black-forest-labs/FLUX.1-dev is currently loading"),
    Failure.GATEWAY_TIMEOUT: (HfHubHTTPError, 504, "504 Gateway Timeout"),
}


@both_clients
@pytest.mark.parametrize("failure", HTTP_FAILURES)
def test_an_http_failure_is_the_real_clients_exception(flux, ask, failure):
    kind, status, message = HTTP_FAILURES[failure]
    flux.plan.fail_next(failure)
    with pytest.raises(HfHubHTTPError) as caught:
        ask(flux)
    assert (type(caught.value), caught.value.response.status_code) == (kind, status)
    assert message in str(caught.value)
    assert caught.value.request_id == caught.value.response.request.headers["x-amzn-trace-id"]
    assert ask(flux).size == (64, 48)
    assert flux.counts.answers == {failure: 1, "image": 1}


def test_a_rate_limit_says_when_to_come_back_and_a_loading_model_how_long_it_takes(flux):
    flux.plan.fail_next(Failure.RATE_LIMITED, Failure.MODEL_LOADING)
    with pytest.raises(HfHubHTTPError) as limited:
        ask_sync(flux)
    with pytest.raises(HfHubHTTPError) as loading:
        ask_sync(flux)
    assert limited.value.response.headers["retry-after"] == "2"
    assert loading.value.response.json()["estimated_time"] == 20.0


def test_the_two_failure_tables_together_are_all_failures():
    broken = {Failure.SLOW, Failure.HANG, Failure.DROP, Failure.CORRUPT, Failure.TRUNCATED}
    assert set(HTTP_FAILURES) | broken == set(Failure)
    assert {failure for failure in Failure if Plan().answer(failure, "m") is None} == broken


@both_clients
def test_a_hanging_answer_is_a_timeout(flux, ask):
    flux.plan.fail_next(Failure.HANG)
    with pytest.raises(InferenceTimeoutError) as caught:
        ask(flux, timeout=0.3)
    assert isinstance(caught.value, TimeoutError)
    assert flux.counts.answers == {"hang": 1}


@both_clients
def test_a_dropped_connection_is_a_protocol_error(flux, ask):
    flux.plan.fail_next(Failure.DROP)
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending complete message body"):
        ask(flux)


@both_clients
def test_a_corrupt_image_cannot_be_opened_and_a_truncated_one_not_read(flux, ask):
    flux.plan.fail_next(Failure.CORRUPT, Failure.TRUNCATED)
    with pytest.raises(UnidentifiedImageError):
        ask(flux)
    image = ask(flux, width=256, height=256)
    with pytest.raises(OSError, match="truncated"):
        image.load()


@both_clients
def test_a_slow_answer_takes_longer_than_the_clients_timeout_and_arrives(flux, ask):
    """The client's timeout is for each read, so a drip never meets it."""
    flux.plan.slow_for = 1.6
    flux.plan.fail_next(Failure.SLOW)
    started = time.monotonic()
    assert ask(flux, timeout=1.0).size == (64, 48)
    assert time.monotonic() - started > 1.5


def test_latency_and_jitter_come_before_the_picture():
    with FluxServer(latency=0.6, jitter=0.1) as flux:
        started = time.monotonic()
        ask_sync(flux)
        assert time.monotonic() - started >= 0.5
        flux.latency = flux.jitter = 0.0
        started = time.monotonic()
        ask_sync(flux)
        assert time.monotonic() - started < 0.5


def test_counts_are_what_the_clients_saw():
    rates = {Failure.RATE_LIMITED: 0.2, Failure.SERVER_ERROR: 0.15, Failure.DROP: 0.1, Failure.CORRUPT: 0.05}
    seen = []
    for _ in range(2):
        with FluxServer(plan=Plan(rates, seed=3)) as flux, ThreadPoolExecutor(4) as pool:
            seen.append(Counter(pool.map(lambda n, flux=flux: outcome(flux, n), range(60))))
            assert flux.counts.requests == 60
            assert flux.counts.answers == seen[-1]
    assert seen[0] == seen[1]
    assert set(seen[0]) == {"image", *rates}


def outcome(flux, seed):
    try:
        ask_sync(flux, seed=seed)
    except HfHubHTTPError as error:
        return {429: "rate_limited", 500: "server_error"}[error.response.status_code]
    except httpx2.RemoteProtocolError:
        return "drop"
    except UnidentifiedImageError:
        return "corrupt"
    return "image"


def test_stopping_ends_hanging_calls_and_leaves_no_thread(flux):
    before = set(threading.enumerate())
    flux.plan.begin_outage(Failure.HANG)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(ask_sync, flux) for _ in range(3)]
        deadline = time.monotonic() + TIMEOUT
        while flux.counts.answers.get("hang") != 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        started = time.monotonic()
        flux.stop()
        assert time.monotonic() - started < TIMEOUT / 2
        assert {type(call.exception(TIMEOUT)) for call in calls} <= {httpx2.RemoteProtocolError, httpx2.ReadError}
    assert set(threading.enumerate()) == {thread for thread in before if thread.name != "flux-stand-in"}
    flux.stop()


def test_a_stopped_server_refuses_and_is_back_at_its_address(flux):
    address = flux.url
    with pytest.raises(RuntimeError, match="already running"):
        flux.start()
    flux.stop()
    with pytest.raises(httpx2.ConnectError):
        ask_sync(flux)
    flux.start()
    assert (flux.url, ask_sync(flux).size) == (address, (64, 48))


def test_a_taken_port_is_said_where_the_server_is_started(flux):
    other = FluxServer(port=flux.port)
    with pytest.raises(OSError, match="address already in use"):
        other.start()
    other.port = 0
    with other:
        assert ask_sync(other).size == (64, 48)


def test_image_to_image_draws_over_the_picture(flux):
    client = InferenceClient(model=flux.model_url("black-forest-labs/FLUX.1-Kontext-dev"), token="hf_test")
    bare = client.image_to_image(png())
    sized = client.image_to_image(png(), "as a tree", target_size={"width": 80, "height": 60}, seed=4)
    assert (bare.size, bare.getpixel((0, 0))) == ((40, 30), (255, 0, 0))
    assert (sized.size, sized.info) == ((80, 60), {"pose": "tree", "seed": "4"})


# The client's own: its async calls pass bytes as `data`, which httpx2 wants as `content`.
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
async def test_image_to_image_with_the_async_client(flux):
    model = flux.model_url("black-forest-labs/FLUX.1-Kontext-dev")
    async with AsyncInferenceClient(model=model, token="hf_test") as client:
        assert (await client.image_to_image(png(), "lotus")).info["pose"] == "lotus"


def test_a_dedicated_endpoint_is_at_the_root(flux):
    assert InferenceClient(base_url=flux.url, token="hf_test").text_to_image("x", width=32, height=16).size == (32, 16)


NO_INTEGER = "Error in `parameters.seed`: value is not a valid integer"
BAD_WIDTH, BAD_HEIGHT = (
    f"Error in `parameters.{name}`: ensure this value is an integer from 16 to 2048" for name in ("width", "height")
)
NO_PICTURE = "Cannot identify the image in `inputs`"
BOMB = json.dumps({"inputs": base64.b64encode(png(5000, 1)).decode(), "parameters": {"prompt": "x"}}).encode()


@pytest.mark.parametrize(
    ("path", "content", "status", "error"),
    [
        ("/models/no/such", b"{}", 404, "Model no/such does not exist"),
        ("/elsewhere", b"{}", 404, "Model /elsewhere does not exist"),
        ("/", b"{", 400, "The body is not valid JSON"),
        ("/", b'{"inputs": 3}', 400, ["Error in `inputs`: field required, a string"]),
        ("/", b'{"inputs": "x", "parameters": [1]}', 400, ["Error in `parameters`: value is not a valid object"]),
        ("/", b'{"inputs": "x", "parameters": {"seed": "7"}}', 400, [NO_INTEGER]),
        ("/", b'{"inputs": "x", "parameters": {"width": 100000, "height": true}}', 400, [BAD_WIDTH, BAD_HEIGHT]),
        ("/", b'{"inputs": "bm8gcGljdHVyZQ==", "parameters": {"prompt": "x"}}', 400, NO_PICTURE),
        ("/", BOMB, 400, "The image is larger than 4096 pixels"),
    ],
)
def test_a_bad_request_is_refused_and_takes_nothing_from_the_plan(flux, path, content, status, error):
    flux.plan.fail_next(Failure.SERVER_ERROR)
    answer = httpx2.post(flux.url + path, content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert flux.counts.answers == {"refused": 1}
    with pytest.raises(HfHubHTTPError):
        ask_sync(flux)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ncontent-length: many\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nx: " + b"x" * 100_000 + b"\r\n\r\n", b"431"),
        (b"PUT / HTTP/1.1\r\nconnection: close\r\n\r\n", b"405"),
    ],
)
def test_what_is_no_request_is_said_and_the_connection_closed(flux, sent, status):
    with socket.create_connection((flux.host, flux.port), timeout=TIMEOUT) as connection:
        connection.sendall(sent)
        with connection.makefile("rb") as answer:
            assert answer.read().split(b" ", 2)[1] == status
    assert ask_sync(flux).size == (64, 48)
