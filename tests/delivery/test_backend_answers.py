"""What is understood of answers, what is written down of them, and what is said about an outage."""

import threading
import time
from email.utils import formatdate

import pytest

from posemon_otel.delivery import answers, drops, http_session, quarantine, quiet, receipts
from posemon_otel.delivery.answers import Verdict
from posemon_otel.delivery.quarantine import Quarantined, quarantined
from posemon_otel.delivery.receipts import Receipt
from posemon_otel.journal import Position
from tests.backends import HttpBackend, Reply, request_of, response_of


@pytest.fixture(autouse=True)
def _fresh():
    drops.reset()
    quiet.reset()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, 0),
        ("7", 7),
        ("0.5", 0.5),
        ("-3", 0),
        ("soon", 0),
        ("nan", 0),
        ("inf", answers.LONGEST_RETRY_AFTER),
        ("99999999", answers.LONGEST_RETRY_AFTER),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
    ],
)
def test_retry_after(header, expected):
    assert answers.seconds(header) == expected


def test_retry_after_as_a_date():
    assert answers.seconds(formatdate(time.time() + 90, usegmt=True)) == pytest.approx(90, abs=2)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.ACCEPTED),
        (202, Verdict.ACCEPTED),
        (302, Verdict.UNKNOWN),
        (400, Verdict.REJECTED),
        (401, Verdict.UNKNOWN),
        (404, Verdict.UNKNOWN),
        (413, Verdict.REJECTED),
        (429, Verdict.OUTAGE),
        (500, Verdict.UNKNOWN),
        (503, Verdict.OUTAGE),
    ],
)
def test_the_meaning_of_http(status, verdict):
    answer = answers.of_http(status, "5", "somewhere")
    assert answer.verdict is verdict
    assert answer.too_large is (status == 413)
    assert answer.retry_after == (5.0 if verdict is Verdict.OUTAGE else 0.0)


def test_an_endpoint_is_written_down_without_its_secrets():
    assert answers.place("https://user:secret@host:4318/v1/traces?key=secret") == "https://host:4318/v1/traces"


def test_answers_are_heard_on_the_thread_that_asked():
    note = answers.of_http(200, None, "here")
    answers.note(note)  # nobody listens
    with answers.listening() as heard:
        other = threading.Thread(target=answers.note, args=(note,))
        other.start()
        other.join()
        assert heard == []
        with answers.listening() as inner:
            answers.note(note)
        answers.note(note)
        assert (heard, inner) == ([note], [note])


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_a_partial_success_in_protobuf_and_in_json(signal, caplog):
    message = type(response_of(signal, Reply()))
    body = response_of(signal, Reply(rejected=3, message="why")).SerializeToString()
    answers.partial_success(signal, body, {"content-type": "application/x-protobuf"}, message, "http://a")
    as_json = b'{"partialSuccess": {"rejectedThings": "4", "errorMessage": "why in JSON"}}'
    answers.partial_success(signal, as_json, {"content-type": "application/json; charset=utf-8"}, message, "http://a")
    answers.partial_success(signal, b"", {}, message, "http://a")
    answers.partial_success(signal, b"{}", {"content-type": "application/json"}, message, "http://a")
    assert drops.counts() == {(signal, "rejected"): 7}
    assert [record.message for record in caplog.records] == [
        f"http://a accepted only a part of the {signal}: 'why'; rejected items are counted as dropped",
        f"http://a accepted only a part of the {signal}: 'why in JSON'; rejected items are counted as dropped",
    ]


def test_a_warning_of_a_backend_is_said_once_and_bounded(caplog):
    for _ in range(3):
        answers.refuse("traces", 0, "deprecated " * 1000, "http://a")
    (record,) = caplog.records
    assert record.message.startswith("http://a warns about the traces: 'deprecated")
    assert len(record.message) < 400
    assert drops.counts() == {}


def test_receipts_are_read_back_and_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(receipts, "MAX_BYTES", 10_000)
    for number in range(300):
        receipts.add(
            tmp_path,
            "traces",
            [Receipt(Position(1, number, 0), Position(1, number + 1, 0), number, "http://a", "200")],
        )
    path = tmp_path / "receipts-traces.jsonl"
    assert path.stat().st_size <= 10_000
    assert path.stat().st_mode & 0o777 == 0o600
    found = receipts.receipts(tmp_path, "traces")
    assert found[-1] == Receipt(Position(1, 299, 0), Position(1, 300, 0), 299, "http://a", "200")
    assert [receipt.time_ns for receipt in found] == list(range(300 - len(found), 300))
    assert len(found) > 30
    with path.open("ab") as file:
        file.write(b'{"first": [1, 2')  # who wrote it died
    assert receipts.receipts(tmp_path, "traces") == found
    assert receipts.receipts(tmp_path, "logs") == []


def test_quarantine_is_read_back_bounded_and_leaves_out_what_is_large(tmp_path, monkeypatch):
    monkeypatch.setattr(quarantine, "MAX_BYTES", 20_000)
    monkeypatch.setattr(quarantine, "PAYLOAD_BYTES", 100)
    small = Quarantined(1, "http://a", "400", "poison", "ab" * 16, "cd" * 8, 2, 3, b"\x00\xff\x01")
    quarantine.add(tmp_path, "traces", small)
    quarantine.add(tmp_path, "traces", small._replace(size=101, payload=b"x" * 101))
    assert quarantined(tmp_path, "traces") == [small, small._replace(size=101, payload=None)]
    for number in range(300):
        quarantine.add(tmp_path, "traces", small._replace(time_ns=number))
    path = quarantine.path(tmp_path, "traces")
    assert path.stat().st_size <= 20_000
    assert path.stat().st_mode & 0o777 == 0o600
    assert quarantined(tmp_path, "traces")[-1].time_ns == 299


def test_an_outage_of_all_signals_is_one_line_and_a_database_has_its_own(caplog):
    quiet.gone("traces", "503 from http://a")
    quiet.say()
    assert caplog.records == []  # others may find out within the second
    quiet.gone("metrics")
    quiet.gone("logs", "503 from http://a")
    quiet.gone("records")
    quiet.say(now=True)
    quiet.gone("traces", "refused")
    quiet.say(now=True)
    quiet.back("traces")
    quiet.back("records")
    quiet.say(now=True)
    quiet.back("logs")
    quiet.back("metrics")
    quiet.back("metrics")
    quiet.say()
    quiet.say()
    assert [record.message for record in caplog.records] == [
        "logs, metrics and traces cannot be delivered (503 from http://a); they stay in the journal and are sent again",
        "records cannot be delivered; they stay in the journal and are sent again",
        "records are delivered again",
        "logs, metrics and traces are delivered again",
    ]


def session() -> http_session.Session:
    return http_session.Session("traces", type(response_of("traces", Reply())))


def test_a_connection_that_the_backend_has_closed_meanwhile_is_no_outage():
    with HttpBackend() as backend:
        replies = iter([Reply(), Reply(lost=True)])
        backend.answer = lambda _signal, _message: next(replies, Reply())
        ours = session()
        with answers.listening() as heard:
            assert ours.request("POST", f"{backend.url}/v1/traces", data=b"", timeout=2).status_code == 200
            assert ours.request("POST", f"{backend.url}/v1/traces", data=b"", timeout=2).status_code == 200
        assert [answer.verdict for answer in heard] == [Verdict.ACCEPTED, Verdict.ACCEPTED]
        assert len(backend.asked) == 3
        ours.close()


def test_a_request_is_ended_from_outside():
    with HttpBackend() as backend:
        backend.answer = lambda _signal, _message: Reply(hang=True)
        ours, ended = session(), []

        def ask():
            try:
                ours.request("POST", f"{backend.url}/v1/traces", data=b"", timeout=30)
            except http_session.Unanswered as exc:
                ended.append(exc)

        asking = threading.Thread(target=ask)
        asking.start()
        deadline = time.monotonic() + 10
        while not backend.asked and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not ours.overdue
        ours.close()
        asking.join(10)
        assert len(ended) == 1


def test_a_proxy_is_used(monkeypatch):
    with HttpBackend() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        ours = session()
        assert ours.request("POST", "http://collector.invalid/v1/traces", data=b"", timeout=5).status_code == 200
        assert [signal for _, signal, _ in proxy.asked] == ["traces"]
        ours.close()


def test_a_call_on_a_channel_that_was_closed_at_the_end_is_an_error_that_the_exporter_knows():
    import grpc
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

    from posemon_otel.delivery.grpc_exporters import _Heard

    channel = grpc.insecure_channel("127.0.0.1:9")
    stub = _Heard(TraceServiceStub(channel), "traces", "http://a")
    channel.close()
    with answers.listening() as heard, pytest.raises(grpc.RpcError) as raised:
        stub.Export(request=request_of("traces")(), timeout=1)
    assert raised.value.code() is grpc.StatusCode.CANCELLED
    assert "closed" in raised.value.details()
    assert [(answer.verdict, answer.status) for answer in heard] == [(Verdict.OUTAGE, "CANCELLED")]
