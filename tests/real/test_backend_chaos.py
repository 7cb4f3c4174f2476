"""A backend that does something else at each request, while spans keep coming: all arrive, the poison is set aside."""

import random
import time

import pytest
from opentelemetry import trace

import posemon_otel as posemon
from posemon_otel.delivery import drops, quiet
from posemon_otel.delivery import globals as otel_globals
from posemon_otel.delivery.quarantine import quarantined
from posemon_otel.journal import journals
from tests.backends import BACKENDS, OK, Reply, spans_of

MISBEHAVIOURS = [Reply(503), Reply(500), Reply(401), Reply(429, retry_after="1"), Reply(lost=True), Reply(hang=True)]
WAVES, SPANS = 12, 200


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", BACKENDS)
def test_whatever_it_answers_every_span_arrives_or_is_set_aside(tmp_path, monkeypatch, kind, seed):
    chance = random.Random(seed)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.4")
    drops.reset()
    quiet.reset()
    calm = False

    def answer(_signal, message):
        if not calm and chance.random() < 0.4:
            return chance.choice(MISBEHAVIOURS)
        if message.ByteSize() > 30_000:
            return Reply(413)
        if any(span.name.startswith("poison") for span in spans_of(message)):
            return Reply(400)
        return OK

    with BACKENDS[kind]() as backend, otel_globals.set_aside():
        backend.answer = answer
        handle = posemon.configure(
            "worker",
            otlp_endpoint=backend.url,
            otlp_protocol=backend.protocol,
            journal_dir=str(tmp_path),
            metrics_exporter="none",
            logs_exporter="none",
            ship_interval=0.05,
            log_format="none",
            disabled_instrumentations=("*",),
        )
        try:
            tracer = trace.get_tracer("chaos")
            good, poison = [], []
            for wave in range(WAVES):
                for number in range(SPANS):
                    bad = chance.random() < 0.01
                    name = f"{'poison' if bad else 'span'} {wave} {number}"
                    (poison if bad else good).append(name)
                    tracer.start_span(name, attributes={"text": "x" * 100}).end()
                handle.force_flush(0.3)
            calm = True
            deadline = time.monotonic() + 40
            while not handle.force_flush(2.0):
                assert time.monotonic() < deadline
                tracer.start_span("good, later").end()  # a tail of poison waits until something else has gone through
        finally:
            handle.shutdown(2.0)
        spans = {(span.name, span.span_id) for span in backend.spans() if span.name != "good, later"}
    received = {name for name, _ in spans}
    assert len(spans) == len(received)  # what came twice has the same id
    assert sorted(set(good) - received) == []
    assert {name for name in received if name.startswith("poison")} <= set(poison)  # only where a reply was lost
    (journal,) = journals(tmp_path / "worker")
    aside = {one.name for one in quarantined(journal.folder, "traces")}
    assert aside | received == set(good) | set(poison)
    assert aside & set(good) == set()
    assert drops.counts().get(("traces", "rejected"), 0) == len(quarantined(journal.folder, "traces"))
