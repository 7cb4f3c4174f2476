"""What once went wrong: each of these lost, doubled or blocked something."""

import logging
import time

import pytest
from opentelemetry import trace
from sqlalchemy import text

import posemon_otel as posemon
from posemon_otel import entries, testing
from posemon_otel.delivery import globals as otel_globals
from posemon_otel.delivery.exporters import Tee
from posemon_otel.records import connect, upgrade
from tests.receiver import Receiver, attributes

QUIET = {"log_format": "none", "ship_interval": 0.05, "disabled_instrumentations": ("*",)}


@pytest.fixture
def captured():
    with testing.capture(disabled_instrumentations=("*",)) as captured:
        yield captured


def test_a_scope_name_that_cannot_be_encoded_costs_nothing(captured):
    logging.getLogger("file-\udce9").warning("one")
    for number in range(100):
        posemon.worker_logger.info(f"line {number}")
    bodies = [record.log_record.body for record in captured.logs]
    assert bodies == ["one", *(f"line {number}" for number in range(100))]


def test_a_scope_name_is_scrubbed(captured):
    logging.getLogger("mail.ada@example.org").warning("one")
    (record,) = captured.logs
    assert "ada@example.org" not in record.instrumentation_scope.name


def test_scopes_are_bounded(monkeypatch):
    monkeypatch.setattr(entries, "scopes", list(entries.scopes))
    monkeypatch.setattr(entries, "_scope_numbers", dict(entries._scope_numbers))
    numbers = {entries.scope_number(entries.Scope(f"logger-{number}")) for number in range(5_000)}
    assert len(entries.scopes) <= 1_000
    assert entries.scopes[max(numbers)].name.startswith("logger-") or max(numbers) < 1_000
    assert entries._OVERFLOW_SCOPE in numbers


def test_a_generation_with_many_attributes_keeps_its_id_and_its_row(tmp_path):
    path = tmp_path / "rows.db"
    engine = connect(f"sqlite:///{path}")
    upgrade(engine)
    with testing.capture(disabled_instrumentations=("*",), database_url=f"sqlite:///{path}", fixed=False) as captured:
        with posemon.generation("many", user_id="u1", **{f"word_{number}": number for number in range(140)}):
            pass
        with posemon.generation("next"):
            pass
        many = captured.spans[0]
        assert many.attributes["pose.generation.id"] == "many"
        assert many.attributes["pose.generation.status"] == "completed"
        assert captured.pipeline.shipper.flush(10)
    with engine.connect() as connection:
        assert sorted(connection.execute(text("select id from pose_generations")).scalars()) == ["many", "next"]
    engine.dispose()


def test_a_span_that_user_code_ends_is_exported_once_and_with_its_operation():
    # An application's own SDK lets its span end: that is its affair.
    with testing.capture(sink="journal", disabled_instrumentations=("*",)) as captured:
        with posemon.generation("g1"):
            trace.get_current_span().end()
        (span,) = captured.spans
        assert span.attributes["pose.generation.status"] == "completed"
        assert sum(captured.metrics()["pose.generations"].values()) == 1


def test_a_generation_that_ends_after_the_shutdown_is_not_called_dead(tmp_path):
    with otel_globals.set_aside(), Receiver() as receiver:
        handle = posemon.configure("worker", otlp_endpoint=receiver.url, journal_dir=str(tmp_path), **QUIET)
        generation = posemon.generation("g1")
        generation.__enter__()
        time.sleep(0.8)  # long enough for its start to be journalled
        handle.shutdown(5.0)
        generation.__exit__(None, None, None)
        assert generation.status == "completed"
        again = posemon.configure("worker", otlp_endpoint=receiver.url, journal_dir=str(tmp_path), **QUIET)
        with posemon.generation("g2"):
            pass
        assert again.force_flush(10)
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            assert not [s for _, _, s in receiver.spans() if attributes(s.attributes)["pose.outcome"] == "interrupted"]
            time.sleep(0.2)
        again.shutdown(5.0)


def test_a_healthy_exporter_gets_a_batch_once_while_another_refuses_it():
    class Exporter:
        def __init__(self, name):
            self.answer, self.got = name, []

        def export(self, batch):
            self.got += batch
            return self.answer

    class Answer:
        def __init__(self, name):
            self.name = name

    class Span:
        def __init__(self, number):
            self.context = trace.SpanContext(1, number, is_remote=False)

    batch = [Span(1), Span(2)]
    healthy, refusing, silent = Exporter(Answer("SUCCESS")), Exporter(Answer("FAILURE")), Exporter(None)
    tee = Tee([healthy, refusing, silent])
    assert tee.export(batch).name == "FAILURE"
    assert tee.export(batch[:1]).name == "FAILURE"
    assert (healthy.got, silent.got) == (batch, batch)
    refusing.answer = Answer("SUCCESS")
    assert tee.export(batch) is None
    assert healthy.got == batch


def test_a_processor_of_the_application_that_raises_takes_nothing_else_with_it(tmp_path, monkeypatch):
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    from posemon_otel import faults

    class Raises(SpanProcessor):
        def on_start(self, span, parent_context=None):
            if span.name == "pose.render":
                raise RuntimeError("on_start")

        def on_end(self, span):
            raise RuntimeError("on_end")

    monkeypatch.setattr(faults, "strict", False)
    path = tmp_path / "rows.db"
    engine = connect(f"sqlite:///{path}")
    upgrade(engine)
    with otel_globals.set_aside():
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(Raises())
        trace.set_tracer_provider(provider)
        handle = posemon.configure(
            "worker", journal_dir=str(tmp_path / "journal"), database_url=f"sqlite:///{path}", **QUIET
        )
        assert handle.mode == "direct"
        with posemon.generation("g1", expected_poses=1) as generation, generation.pose("p1"):
            pass
        assert handle.force_flush(10)
        handle.shutdown(5.0)
    with engine.connect() as connection:
        assert connection.execute(text("select id, status from pose_generations")).all() == [("g1", "completed")]
        assert connection.execute(text("select status from generated_poses")).all() == [("completed",)]
    engine.dispose()


def test_a_job_that_is_not_to_be_tried_again_has_a_terminal_generation(captured):
    from posemon_otel.operation import Operation
    from posemon_otel.semconv import operations as o

    class UnrecoverableError(Exception):
        pass

    job = Operation(o.PROCESS, {})
    job.last_attempt = False
    with pytest.raises(UnrecoverableError), job, posemon.generation("g1"):
        raise UnrecoverableError("bad order")
    failed = {dict(key).get("error.type"): n for key, n in captured.metrics()["pose.generations"].items() if n}
    assert list(failed.values()) == [1]


def test_an_append_within_the_opening_of_the_journal_does_not_hang(tmp_path, monkeypatch):
    from posemon_otel.delivery import own_journal

    real, within = own_journal.Writer, []

    def opens(*args, **kwargs):
        if not within:
            within.append(True)
            posemon.worker_logger.info("from a signal handler")  # on this thread, in the middle of the opening
        return real(*args, **kwargs)

    monkeypatch.setattr(own_journal, "Writer", opens)
    with testing.capture(sink="journal", disabled_instrumentations=("*",), fixed=False) as captured:
        posemon.worker_logger.info("first")
        posemon.worker_logger.info("second")
        assert sorted(record.log_record.body for record in captured.logs) == [
            "first",
            "from a signal handler",
            "second",
        ]


def test_a_dead_process_s_unreadable_entry_is_left_out_and_its_open_operations_end(tmp_path):
    from posemon_otel.delivery import wire
    from posemon_otel.delivery.recovery import interrupt_open
    from posemon_otel.journal import Journal, Writer, afterwards

    writer = Writer(tmp_path, head={"resource": {}}, consumers=["traces"])
    start = entries.Start(b"1" * 16, 7, 0, False, 1, "", 0, "generation", 0, "g", 5, {}, [], {}, 1)
    writer.append(wire.START, ["not", "a", "start"])
    writer.append(wire.START, start._replace(span_id=8, kind="of a newer version"))
    writer.append(wire.START, start)
    writer.close()
    journal = Journal.open(writer.folder)
    assert journal.try_ship()
    from posemon_otel import faults

    strict, faults.strict = faults.strict, False
    try:
        assert interrupt_open(journal) == 1
    finally:
        faults.strict = strict
    assert afterwards.is_completed(journal)
    journal.release_ship()


def test_dead_processes_journals_are_taken_a_few_at_a_time(tmp_path, monkeypatch):
    from posemon_otel.delivery import shipper, wire
    from posemon_otel.journal import Writer

    class Away:
        name, batch_entries, dead_only = "traces", 10, False

        def deliver(self, journal, taken):
            return False

        def close(self):
            pass

    for _ in range(5):
        writer = Writer(tmp_path, head={"resource": {}}, consumers=["traces"])
        writer.append(wire.LOG, ["anything"])
        writer.close()
    monkeypatch.setattr(shipper, "_MOST_ADOPTED", 2)
    made = shipper.Shipper(
        [Away()],
        roots=lambda: [tmp_path],
        own=lambda: None,
        housekeeping=lambda: None,
        recover=lambda _: None,
        interval=1,
    )
    assert made.adopt() == 2
    assert made.adopt() == 2
    made.stop(1)
