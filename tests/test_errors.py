"""Classification: the same eight types and reasons from every client, by what an exception is, not by what it says."""

import asyncio
import concurrent.futures
import errno
import io
import json
import socket
import ssl
import subprocess
import sys
import urllib.error

import httpx
import httpx2
import pytest
import redis.exceptions
from huggingface_hub import errors as hub
from huggingface_hub.utils import hf_raise_for_status
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError

from posemon_otel.errors import Classified, ErrorType, classify, classify_error
from posemon_otel.semconv import errors as e
from posemon_otel.semconv import operations as o

FLUX, STORAGE, CONTROLNET = ErrorType.FLUX_API_ERROR, ErrorType.STORAGE_ERROR, ErrorType.CONTROLNET_ERROR
TIMEOUT = Classified(ErrorType.TIMEOUT_ERROR, "timeout", "timeout")
NETWORK = Classified(ErrorType.NETWORK_ERROR, "connection", "error")
INVALID = Classified(ErrorType.VALIDATION_ERROR, "bad_request", "error")
UNKNOWN = Classified(ErrorType.UNKNOWN_ERROR, "unknown", "error")
CANCELLED = Classified(ErrorType.UNKNOWN_ERROR, "unknown", "cancelled")
COMPONENTS = (None, "flux", "storage", "controlnet", "credits", "queue", "worker", "Export")


def failed(kind: ErrorType, reason: str) -> Classified:
    return Classified(kind, reason, "error")


def caught(function) -> BaseException:
    with pytest.raises(BaseException) as info:
        function()
    return info.value


def of(module: str, name: str, base: type = Exception, **attributes: object) -> BaseException:
    """An exception as a client that is not installed here raises it: module, class name, attributes."""
    exc = type(name, (base,), {"__module__": module})("something happened")
    for key, value in attributes.items():
        setattr(exc, key, value)
    return exc


def s3(code: str, status: int | None) -> BaseException:
    """As botocore raises an answer of S3."""
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return of("botocore.exceptions", "ClientError", response=answer)


def answer(module: str, name: str, status: int, **attributes: object) -> BaseException:
    return of(module, name, status_code=status, **attributes)


def hub_answer(status: int, body: str) -> BaseException:
    request = httpx2.Request("POST", "http://127.0.0.1:1/models/black-forest-labs/FLUX.1-dev")
    return caught(lambda: hf_raise_for_status(httpx2.Response(status, json={"error": body}, request=request)))


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, "width must be a multiple of 8", "bad_request"),
        (400, "blocked by our content policy", "content_policy"),
        (401, "Invalid credentials in Authorization header", "auth"),
        (402, "You have exceeded your monthly included credits", "quota"),
        (403, "no", "auth"),
        (404, "Model not found", "not_found"),
        (409, "busy", "rate_limited"),
        (413, "too large", "bad_request"),
        (422, "NSFW content detected", "content_policy"),
        (429, "Rate limit reached", "rate_limited"),
        (500, "boom", "server_error"),
        (500, "CUDA out of memory. Tried to allocate 20.00 MiB", "out_of_memory"),
        (502, "loading", "server_error"),
        (503, "Model black-forest-labs/FLUX.1-dev is currently loading", "model_loading"),
        (503, "Service Unavailable", "server_error"),
    ],
)
def test_answers_of_hugging_face(status, body, reason):
    exc = hub_answer(status, body)
    assert classify(exc, "flux") == failed(FLUX, reason)
    assert classify(exc) == failed(FLUX, reason), "the client's package says that it was FLUX"


@pytest.mark.parametrize("status", [408, 504])
def test_an_answer_can_be_a_timeout(status):
    assert classify(hub_answer(status, ""), "flux") == TIMEOUT


@pytest.mark.parametrize(
    "exc",
    [
        TimeoutError(),
        concurrent.futures.TimeoutError(),
        OSError(errno.ETIMEDOUT, "Connection timed out"),
        hub.InferenceTimeoutError("Inference call timed out: http://127.0.0.1"),
        httpx.ReadTimeout("x"),
        httpx2.ConnectTimeout("x"),
        httpx2.PoolTimeout("x"),
        redis.exceptions.TimeoutError(),
        of("openai", "APITimeoutError"),
        of("botocore.exceptions", "ReadTimeoutError"),
        of("google.api_core.exceptions", "DeadlineExceeded"),
        of("fal_client.client", "FalClientTimeoutError"),
        of("app", "Failed", code="RequestTimeout"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("component", COMPONENTS)
def test_timeouts(exc, component):
    assert classify(exc, component) == TIMEOUT


@pytest.mark.parametrize(
    "exc",
    [
        ConnectionRefusedError(),
        ConnectionResetError(),
        BrokenPipeError(),
        OSError(errno.ECONNREFUSED, "refused"),
        OSError(errno.EHOSTUNREACH, "no route"),
        socket.gaierror(-2, "Name or service not known"),
        ssl.SSLError(1, "handshake"),
        urllib.error.URLError(ConnectionRefusedError()),
        httpx.ConnectError("x"),
        httpx2.ConnectError("x"),
        httpx2.ReadError("x"),
        httpx2.RemoteProtocolError("x"),
        redis.exceptions.ConnectionError(),
        of("openai", "APIConnectionError"),
        of("botocore.exceptions", "EndpointConnectionError"),
        of("aiohttp.client_exceptions", "ServerDisconnectedError"),
        # urllib3 1.x: below a timeout's class, and none
        of("urllib3.exceptions", "NewConnectionError", type("ConnectTimeoutError", (Exception,), {})),
    ],
    ids=repr,
)
@pytest.mark.parametrize("component", COMPONENTS)
def test_connections(exc, component):
    if isinstance(exc, urllib.error.URLError):
        exc = caught(lambda: _raise_from(urllib.error.URLError("x"), ConnectionRefusedError()))
    assert classify(exc, component) == NETWORK


def _raise_from(exc: BaseException, cause: BaseException | None) -> None:
    raise exc from cause


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (answer("fal_client", "FalClientHTTPError", 422, error_type="content_policy_violation"), "content_policy"),
        (of("fal_client.client", "FalClientHTTPError", status_code=429), "rate_limited"),
        (of("replicate.exceptions", "ReplicateError", status=401), "auth"),
        (of("replicate.exceptions", "ModelError"), "server_error"),
        (of("openai", "RateLimitError", status_code=429, code="rate_limit_exceeded"), "rate_limited"),
        (of("openai", "RateLimitError", status_code=429, code="insufficient_quota"), "quota"),
        (of("openai", "BadRequestError", status_code=400, code="content_policy_violation"), "content_policy"),
        (answer("openai", "BadRequestError", 400, body={"error": {"message": "It was moderated"}}), "content_policy"),
        (of("together.error", "ServiceUnavailableError", status_code=503), "server_error"),
        (of("torch", "OutOfMemoryError", RuntimeError), "out_of_memory"),
        (of("bfl", "Failed", status="Content Moderated"), "content_policy"),
        (of("bfl", "Failed", status="Task not found"), "not_found"),
        (of("requests", "HTTPError", response=httpx.Response(503, text="model is loading")), "model_loading"),
        (RuntimeError("MPS backend out of memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (json.JSONDecodeError("x", "doc", 0), "server_error"),
        (KeyError("images"), "unknown"),
        (OSError(errno.ENOSPC, "No space left on device"), "quota"),
    ],
    ids=repr,
)  # fmt: skip
def test_other_ways_a_render_fails(exc, expected):
    assert classify(exc, "flux") == failed(FLUX, expected)


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (s3("SlowDown", 503), "rate_limited"),
        (s3("NoSuchBucket", 404), "not_found"),
        (s3("AccessDenied", None), "auth"),
        (s3("Odd", 500), "server_error"),
        (of("botocore.exceptions", "NoCredentialsError"), "auth"),
        (of("storage3.exceptions", "StorageApiError", status="403", code="Unauthorized"), "auth"),
        (of("storage3.exceptions", "StorageApiError", status=409, code="Duplicate"), "bad_request"),
        (of("google.api_core.exceptions", "Forbidden", code=403), "auth"),
        (of("obstore.exceptions", "AlreadyExistsError"), "bad_request"),
        (of("obstore.exceptions", "PermissionDeniedError"), "auth"),
        (OSError(errno.ENOSPC, "No space left on device"), "quota"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "quota"),
        (OSError(errno.EROFS, "Read-only file system"), "auth"),
        (OSError(errno.EIO, "I/O error"), "server_error"),
        (FileNotFoundError(2, "No such file"), "not_found"),
        (FileNotFoundError(), "not_found"),
        (PermissionError(13, "denied"), "auth"),
        (IsADirectoryError(21, "x"), "bad_request"),
    ],
    ids=repr,
)  # fmt: skip
def test_storage(exc, reason):
    assert classify(exc, "storage") == failed(STORAGE, reason)
    assert classify(exc) == classify(exc, "worker") == failed(STORAGE, reason), "storage says so itself"


def test_an_image_that_cannot_be_read():
    no_image = caught(lambda: Image.open(io.BytesIO(b"<html>")))
    assert isinstance(no_image, UnidentifiedImageError)
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "PNG")
    truncated = caught(lambda: Image.open(io.BytesIO(whole.getvalue()[:900])).load())
    for exc in (no_image, truncated):
        assert classify(exc, "flux") == classify(exc) == failed(FLUX, "server_error")
        assert classify(exc, "controlnet") == failed(CONTROLNET, "bad_request")


def test_an_image_that_cannot_be_written():
    exc = caught(lambda: Image.new("RGBA", (2, 2)).save(io.BytesIO(), "JPEG"))
    assert classify(exc, "storage") == classify(exc) == failed(STORAGE, "bad_request")


def test_what_the_client_refuses_is_the_callers_input():
    from huggingface_hub.utils import validate_repo_id

    wrong = caught(lambda: validate_repo_id("not/a/model/name"))
    assert isinstance(wrong, hub.HFValidationError)
    pydantic_like = of("pydantic_core._pydantic_core", "ValidationError", ValueError)
    for exc in (wrong, ValueError("width"), TypeError("seed"), pydantic_like, httpx2.UnsupportedProtocol("x")):
        for component in ("flux", "worker", "queue", None):
            assert classify(exc, component) == INVALID, (exc, component)
    assert classify(ValueError("shapes differ"), "controlnet") == failed(CONTROLNET, "bad_request")
    assert classify(ValueError("unknown file extension"), "storage") == failed(STORAGE, "bad_request")
    assert classify(pydantic_like, "storage") == INVALID


def test_credits_are_ours_alone():
    ours = of("app.billing", "InsufficientCreditsError")
    assert (
        classify(ours)
        == classify(ours, "worker")
        == classify(ours, "credits")
        == failed(ErrorType.CREDIT_ERROR, "quota")
    )
    assert classify(RuntimeError("Insufficient credits: 40 needed")) == failed(ErrorType.CREDIT_ERROR, "quota")
    assert classify(RuntimeError("balance row is locked"), "credits") == failed(ErrorType.CREDIT_ERROR, "unknown")
    assert classify(hub_answer(402, "out of credits"), "flux") == failed(FLUX, "quota")
    assert classify(hub_answer(402, "out of credits")) == failed(FLUX, "quota")
    assert classify(of("app", "AwsCredentialError"), "storage") == failed(STORAGE, "auth")


@pytest.mark.parametrize(
    "exc",
    [
        asyncio.CancelledError(),
        concurrent.futures.CancelledError(),
        KeyboardInterrupt(),
        SystemExit(1),
        GeneratorExit(),
        of("trio", "Cancelled", BaseException),
        BaseExceptionGroup("tasks", [asyncio.CancelledError(), KeyboardInterrupt()]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("component", COMPONENTS)
def test_cancelled(exc, component):
    assert classify(exc, component) == CANCELLED


def test_a_group_is_what_failed_in_it():
    group = BaseExceptionGroup("tasks", [asyncio.CancelledError(), ExceptionGroup("inner", [httpx.ReadTimeout("x")])])
    assert classify(group, "flux") == TIMEOUT
    assert classify(BaseExceptionGroup("tasks", [asyncio.CancelledError(), RuntimeError("x")])) == UNKNOWN


def test_the_cause_counts_only_where_the_exception_says_nothing():
    outer = caught(lambda: _raise_from(RuntimeError("render failed"), hub_answer(429, "slow down")))
    assert classify(outer, "flux") == classify(outer) == failed(FLUX, "rate_limited")
    strong = caught(lambda: _raise_from(hub_answer(401, "x"), TimeoutError()))
    assert classify(strong, "flux") == failed(FLUX, "auth")
    hidden = caught(lambda: _raise_from(RuntimeError("render failed"), None))
    hidden.__context__ = TimeoutError()
    assert classify(hidden, "flux") == failed(FLUX, "unknown"), "`from None` hides the context"
    seen = RuntimeError("render failed")
    seen.__context__ = TimeoutError()
    assert classify(seen, "flux") == TIMEOUT
    named = caught(lambda: _raise_from(ValueError("no reference image"), httpx.ConnectError("x")))
    assert classify(named) == NETWORK, "an argument's error that names a fault as its cause is that fault"
    handling = RuntimeError("render failed")
    handling.__context__ = KeyError("x")
    handling.__context__.__context__ = ValueError("no number")
    assert classify(handling) == UNKNOWN, "what was merely being handled makes nobody's input invalid"
    assert classify(caught(lambda: _raise_from(RuntimeError("render failed"), ValueError("width")))) == INVALID
    cleaning = RuntimeError("cleaning up")
    cleaning.__context__ = asyncio.CancelledError()
    assert classify(cleaning).outcome == "error"


def test_the_message_is_the_last_resort():
    assert classify(RuntimeError("deadline exceeded while waiting")) == TIMEOUT
    assert classify(RuntimeError("connect ECONNREFUSED 127.0.0.1:6379")) == NETWORK
    assert classify(RuntimeError("too many requests"), "flux") == failed(FLUX, "rate_limited")
    assert classify(RuntimeError("Request Moderated"), "flux") == failed(FLUX, "content_policy")
    assert classify(RuntimeError("the api answered oddly")) == UNKNOWN, "the word api makes no FLUX error"
    assert classify(PermissionError(13, "connection refused"), "storage") == failed(STORAGE, "auth")


def test_an_applications_own_classes_name_their_component():
    assert classify_error(of("app", "FluxRenderError")) is FLUX
    assert classify_error(of("app", "BucketWriteError")) is STORAGE
    assert classify_error(of("app", "ControlNetError")) is CONTROLNET
    assert classify_error(of("app", "Odd")) is ErrorType.UNKNOWN_ERROR
    assert classify(of("app", "Odd", status_code=429)) == UNKNOWN, "a status of nobody knows what is no FLUX answer"


def test_where_an_exception_passed_tells_where_it_comes_from():
    code = compile("def call():\n    raise RuntimeError('unexpected')", "client.py", "exec")
    library = {"__name__": "fal_client.client"}
    exec(code, library)
    assert classify(caught(library["call"])) == failed(FLUX, "unknown")


def test_a_body_that_was_not_read_stays_unread():
    def chunks():
        yield b"blocked by content policy"

    response = httpx.Response(400, content=chunks(), request=httpx.Request("POST", "http://127.0.0.1:1/"))
    exc = caught(response.raise_for_status)
    assert classify(exc, "flux") == failed(FLUX, "bad_request")
    assert response.read() == b"blocked by content policy"
    assert classify(exc, "flux") == failed(FLUX, "content_policy")


class HostileError(Exception):
    """Every attribute and every conversion raises."""

    def __getattribute__(self, name):
        raise RuntimeError(name)

    def __str__(self):
        raise RuntimeError("str")

    __repr__ = __hash__ = __eq__ = __bool__ = __str__


class MuteError(Exception):
    """Its text and its status cannot be had."""

    @property
    def status_code(self):
        raise KeyError("status_code")

    @property
    def response(self):
        return HostileError()

    def __str__(self):
        raise ValueError("str")


def test_hostile_exceptions():
    odd = of("x", "E", code=[], status={}, response=object())
    for exc in (HostileError(), MuteError(), odd, of("x", "E", OSError, errno=2.5)):
        for component in (*COMPONENTS, 7, HostileError()):
            found = classify(exc, component)
            assert found.reason in e.VALID_REASONS[found.type]
    assert classify(MuteError(), "flux") == failed(FLUX, "unknown")


def test_cycles_and_endless_chains():
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert classify(first) == UNKNOWN
    last: BaseException = TimeoutError()
    for _ in range(10_000):
        link = RuntimeError("link")
        link.__cause__ = last
        last = link
    assert classify(last) == UNKNOWN, "what is thousands of links away is not looked for"


NAMES = [
    "TimeoutError",
    "RateLimitError",
    "ModelError",
    "Odd",
    "InsufficientCreditsError",
    "NSFWError",
    "StorageError",
    "ValidationError",
    "OutOfMemoryError",
    "JSONDecodeError",
    "UnidentifiedImageError",
    "NotFoundError",
]
MODULES = ("huggingface_hub.errors", "botocore.exceptions", "controlnet_aux.x", "builtins", "app", "PIL", "trio")
ANYTHING = st.one_of(
    st.none(),
    st.integers(),
    st.integers(400, 599),
    st.text(),
    st.binary(),
    st.sampled_from([reason.name for reason in e.REASONS]),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.text()),
)


@bounds(deadline=None)  # the machine may be busy
@given(
    name=st.sampled_from(NAMES),
    module=st.sampled_from(MODULES),
    base=st.sampled_from([Exception, ValueError, OSError, RuntimeError, BaseException]),
    carried=st.dictionaries(
        st.sampled_from(["status_code", "status", "code", "response", "body", "errno", "error_type"]), ANYTHING
    ),
    text=st.text(),
    component=st.sampled_from(COMPONENTS),
)
def test_only_valid_pairs_come_out(name, module, base, carried, text, component):
    exc = type(name, (base,), {"__module__": module, **carried})(text)
    found = classify(exc, component)
    assert found.reason in e.VALID_REASONS[found.type]
    assert found.outcome in (o.ERROR, o.TIMEOUT, o.CANCELLED)
    assert (found.outcome == o.TIMEOUT) == (found.type is ErrorType.TIMEOUT_ERROR)
    assert classify_error(exc, component) is found.type


def test_every_status_has_a_reason():
    for status in range(400, 600):
        exc = of("app", "Answer", status_code=status)
        assert classify(exc, "flux").reason != "unknown", status
        for component in COMPONENTS:
            found = classify(exc, component)
            assert found.reason in e.VALID_REASONS[found.type], (status, component)


def test_no_client_is_imported():
    code = "import sys, posemon_otel.errors as _; print({'httpx', 'httpx2', 'PIL', 'huggingface_hub'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
