"""Backends that misbehave, over HTTP and over gRPC: what is lost, what is said, how long it takes."""

import re
import time
from collections import Counter

import pytest
from opentelemetry import trace

import posemon_otel as posemon
from posemon_otel import bootstrap
from posemon_otel.delivery import drops, quiet
from posemon_otel.delivery import globals as otel_globals
from posemon_otel.delivery.quarantine import quarantined
from posemon_otel.delivery.receipts import receipts
from posemon_otel.journal import Journal, positions
from tests.backends import BACKENDS, OK, Backend, HttpBackend, Reply, free_port, spans_of

HANGS = Reply(hang=True)


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.4")  # of one request
    drops.reset()
    quiet.reset()
    with otel_globals.set_aside():
        yield
        handle = bootstrap.handle()
        if handle is not None:
            handle.shutdown(1.0)


@pytest.fixture(params=BACKENDS)
def backend(request, fresh):
    with BACKENDS[request.param]() as made:
        yield made


@pytest.fixture
def http(fresh):
    with HttpBackend() as made:
        yield made


def configure(tmp_path, backend, **more):
    settings = {"metrics_exporter": "none", "logs_exporter": "none", "ship_interval": 0.05} | more
    return posemon.configure(
        "worker",
        otlp_endpoint=backend.url,
        otlp_protocol=backend.protocol,
        journal_dir=str(tmp_path),
        log_format="none",
        disabled_instrumentations=("*",),
        **settings,
    )


def spans(*names: str) -> None:
    tracer = trace.get_tracer("test")
    for name in names:
        with tracer.start_as_current_span(name):
            pass


def names(backend: Backend) -> Counter:
    return Counter(span.name for span in backend.spans())


def own(handle) -> Journal:
    return handle.pipeline.shipper._own()


def flush(handle, timeout: float) -> bool:
    began = time.monotonic()
    try:
        return handle.force_flush(timeout)
    finally:
        assert time.monotonic() - began <= timeout + 0.2


def lines(caplog) -> list[str]:
    return [record.message for record in caplog.records if record.name == "posemon_otel"]


OUTAGES = {
    "503": Reply(503),
    "429": Reply(429, retry_after="0"),
    "500": Reply(500),
    "401": Reply(401),
    "hangs": HANGS,
}


@pytest.mark.parametrize(
    ("backend", "how"), [*(("http", how) for how in OUTAGES), ("grpc", "503"), ("grpc", "hangs")], indirect=["backend"]
)
def test_an_outage_loses_nothing_and_costs_two_lines(tmp_path, backend, how, caplog):
    backend.answer = lambda _signal, _message: OUTAGES[how]
    handle = configure(tmp_path, backend, metrics_exporter="otlp", logs_exporter="otlp")
    spans("first")
    posemon.worker_logger.info("first")
    assert flush(handle, 0.8) is False
    quiet.say(now=True)
    spans("second")
    backend.answer = lambda _signal, _message: OK
    backend.released.set()
    assert flush(handle, 5.0) is True
    assert names(backend) == {"first": 1, "second": 1}
    assert Counter(record.body.string_value for record in backend.logs())["first"] == 1
    assert drops.counts() == {}
    deadline = time.monotonic() + 5
    while len(lines(caplog)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)  # housekeeping says it
    gone, back = lines(caplog)
    assert re.fullmatch(
        r"logs, metrics and traces cannot be delivered \(.*\); they stay in the journal and are sent again", gone
    )
    assert back == "logs, metrics and traces are delivered again"


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_backend_that_comes_back_is_found_at_once_by_a_flush(tmp_path, fresh, kind):
    port = free_port()
    down = BACKENDS[kind]
    url = f"http://127.0.0.1:{port}"
    handle = configure(tmp_path, type("Down", (), {"url": url, "protocol": down.protocol}))
    spans("while it is down")
    assert flush(handle, 0.3) is False
    time.sleep(0.8)  # the pause has grown
    with down(port) as backend:
        began = time.monotonic()
        assert flush(handle, 5.0) is True
        assert time.monotonic() - began < 1.5
        assert names(backend) == {"while it is down": 1}


def test_retry_after_is_honoured_even_by_a_flush(tmp_path, backend):
    replies = iter([Reply(503, retry_after="1")])
    backend.answer = lambda _signal, _message: next(replies, OK)
    handle = configure(tmp_path, backend)
    spans("one")
    assert flush(handle, 0.3) is False
    assert flush(handle, 0.3) is False
    assert flush(handle, 5.0) is True
    first, second = (moment for moment, _, _ in backend.asked)
    assert 0.9 < second - first < 2.6
    assert names(backend) == {"one": 1}


@pytest.mark.parametrize(
    ("refusal", "in_grpc"), [(400, "INVALID_ARGUMENT"), (401, "UNAUTHENTICATED"), (500, "INTERNAL")]
)
def test_one_poison_record_among_500_is_set_aside_and_the_others_arrive_once(
    tmp_path, backend, caplog, refusal, in_grpc
):
    def answer(_signal, message):
        return Reply(refusal) if any(span.name == "poison" for span in spans_of(message)) else OK

    backend.answer = answer
    handle = configure(tmp_path, backend)
    wanted = [f"span {number}" for number in range(499)]
    spans(*wanted[:250], "poison", *wanted[250:])
    assert flush(handle, 10.0) is True
    assert names(backend) == dict.fromkeys(wanted, 1)
    assert drops.counts() == {("traces", "rejected"): 1}
    folder = own(handle).folder
    (aside,) = quarantined(folder, "traces")
    status = str(refusal) if backend.protocol != "grpc" else in_grpc
    assert (aside.name, aside.status) == ("poison", status)
    assert backend.url in aside.endpoint
    assert aside.payload is not None
    noted = receipts(folder, "traces")
    (refused,) = [receipt for receipt in noted if receipt.status.startswith("rejected")]
    (place,) = [place for place, _, payload in own(handle).entries() if payload == aside.payload]
    assert refused.first == place < refused.end
    assert refused.status == f"rejected {status}"
    accepted = [receipt for receipt in noted if receipt != refused]
    assert accepted
    assert {receipt.endpoint for receipt in accepted} == {aside.endpoint}
    assert any(receipt.first <= place < receipt.end for receipt in accepted)
    assert len(lines(caplog)) == 1
    assert "set aside" in lines(caplog)[0]
    spans("afterwards")
    assert flush(handle, 5.0) is True
    assert names(backend)["afterwards"] == 1


def test_a_batch_that_is_too_large_is_halved_and_later_ones_are_smaller(tmp_path, backend):
    limit = 40_000
    backend.answer = lambda _signal, message: Reply(413) if message.ByteSize() > limit else OK
    handle = configure(tmp_path, backend)
    tracer = trace.get_tracer("test")

    def work(prefix):
        for number in range(100):
            tracer.start_span(f"{prefix}{number}", attributes={"text": "x" * 1000}).end()

    work("a")
    assert flush(handle, 10.0) is True
    before = len(backend.asked)
    work("b")
    assert flush(handle, 10.0) is True
    assert names(backend) == Counter(f"{prefix}{number}" for prefix in "ab" for number in range(100))
    assert all(message.ByteSize() <= limit for _, _, message in backend.asked[before:])
    assert drops.counts() == {}


def test_a_partial_success_is_counted_and_not_sent_again(tmp_path, backend, caplog):
    backend.answer = lambda _signal, _message: Reply(rejected=2, message="no room")
    handle = configure(tmp_path, backend)
    spans("a", "b", "c")
    assert flush(handle, 5.0) is True
    spans("d", "e")
    assert flush(handle, 5.0) is True
    assert set(names(backend).values()) == {1}
    batches = sum(1 for _ in backend.asked)
    assert drops.counts() == {("traces", "rejected"): 2 * batches}
    (line,) = lines(caplog)
    assert "accepted only a part of the traces: 'no room'" in line


def test_a_lost_reply_costs_a_duplicate_and_its_span_id_tells(tmp_path, backend):
    replies = iter([Reply(lost=True)])
    backend.answer = lambda _signal, _message: next(replies, OK)
    handle = configure(tmp_path, backend)
    spans("one")
    assert flush(handle, 5.0) is True
    assert names(backend) == {"one": 2}
    assert len({span.span_id for span in backend.spans()}) == 1


def test_values_that_no_protocol_has_poison_nothing(tmp_path, backend):
    handle = configure(tmp_path, backend, logs_exporter="otlp")
    tracer = trace.get_tracer("test")
    tracer.start_span("half an emoji \ud83d", attributes={"text\ud83d": "\ud83d"}).end()
    tracer.start_span("large", attributes={"number": 2**70, "text": "x" * 100_000_000}).end()
    posemon.worker_logger.warning("half \ud83d", number=2**70, text="y" * 100_000_000)
    spans("plain")
    assert flush(handle, 20.0) is True
    assert len(backend.spans()) == 3
    assert names(backend)["plain"] == 1
    assert len(backend.logs()) == 1
    assert drops.counts() == {}


def test_a_reply_that_drips_ends_at_the_deadline(tmp_path, http):
    http.answer = lambda _signal, _message: Reply(drip=True)
    handle = configure(tmp_path, http)
    spans("one")
    assert flush(handle, 2.0) is False
    first, second = (moment for moment, _, _ in http.asked[:2])
    assert second - first < 1.7  # 0.4 s the request, 0.6 s the pause, and a look every quarter of a second
    http.answer = lambda _signal, _message: OK
    assert flush(handle, 5.0) is True
    assert names(http) == {"one": 1}


def test_the_status_alone_acknowledges_and_a_body_of_something_else_is_said_once(tmp_path, http, caplog):
    http.answer = lambda _signal, _message: Reply(body=b"<html>welcome to the hotel</html>")
    handle = configure(tmp_path, http)
    for name in "ab":
        spans(name)
        assert flush(handle, 5.0) is True
    assert names(http) == {"a": 1, "b": 1}
    (line,) = lines(caplog)
    assert "not OTLP" in line


def test_a_redirect_is_no_success(tmp_path, http):
    http.answer = lambda _signal, _message: Reply(302, location="http://127.0.0.1:9/login")
    handle = configure(tmp_path, http)
    spans("one")
    assert flush(handle, 1.0) is False
    http.answer = lambda _signal, _message: OK
    assert flush(handle, 5.0) is True
    assert names(http) == {"one": 1}


def test_the_journal_is_left_to_who_has_the_right_to_ship_and_taken_over_afterwards(tmp_path, http):
    handle = configure(tmp_path, http)
    spans("ours")
    assert flush(handle, 5.0) is True
    ship = Journal.open(own(handle).folder)
    own(handle).release_ship()
    deadline = time.monotonic() + 5
    while not ship.try_ship():  # our own threads may be quicker: once more
        assert time.monotonic() < deadline
        own(handle).release_ship()
    time.sleep(0.3)  # a round that was under way has ended
    spans("theirs")
    assert flush(handle, 0.5) is False
    assert names(http) == {"ours": 1}
    ship.acknowledge("traces", ship.read("traces").position)  # as `posemon ship` does, once it is delivered
    assert positions.load(ship.folder, "traces").low > positions.START
    assert flush(handle, 2.0) is True
    ship.release_ship()
    spans("ours again")
    assert flush(handle, 5.0) is True
    assert names(http) == {"ours": 1, "ours again": 1}


def test_without_a_journal_the_exporter_itself_tries_again(tmp_path, backend, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "8")
    replies = iter([Reply(503)])
    backend.answer = lambda _signal, _message: next(replies, OK)
    handle = configure(tmp_path, backend, journal="off")
    spans("one")
    handle.force_flush(5.0)
    assert names(backend) == {"one": 1}
    assert len(backend.asked) == 2
