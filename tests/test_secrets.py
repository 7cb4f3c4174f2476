"""Secrets planted wherever telemetry can pick them up: none is in the bytes that leave, none on disk."""

import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from opentelemetry import _logs, trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

import posemon_otel as posemon
from posemon_otel import bootstrap
from posemon_otel.delivery import globals as otel_globals
from tests.receiver import Receiver

PROMPT = "a portrait of Ada Lovelace on a red bicycle"
SECRETS = {
    "hf token": "hf_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
    "openai key": "sk-proj-ABCDEFGHIJKLMNOPQRSTUVWX0123456789abcdef",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJ1MSJ9.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg",
    "bearer": "Bearer 0123456789abcdef0123456789abcdef",
    "e-mail": "ada.lovelace@example.org",
    "query": "signature=5ecre7s1gnatur3",
    "password": "p4ssw0rd-of-the-database",
}
ALL = " ".join(secret for what, secret in SECRETS.items() if what not in ("query", "password"))
URL = f"https://user:{SECRETS['password']}@images.example.org/a.png?{SECRETS['query']}"


@pytest.fixture
def service():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(5)


def plant(service: str) -> None:
    tracer = trace.get_tracer("third.party")
    linked = tracer.start_span("linked")
    linked.end()
    with tracer.start_as_current_span(
        f"fetch {URL}",
        links=[trace.Link(linked.get_span_context(), {"url": URL, "note": ALL})],
        attributes={
            "url.full": URL,
            "http.request.header.authorization": SECRETS["bearer"],
            "db.query.text": f"select * from users where email = '{SECRETS['e-mail']}' and key = '{SECRETS['jwt']}'",
            "app.note": ALL,
            "api_key": "short",
        },
    ) as span:
        span.add_event(f"event {SECRETS['hf token']}", {"detail": ALL, "url": URL})
        span.set_status(trace.Status(trace.StatusCode.ERROR, f"failed for {ALL} at {URL}"))
    with pytest.raises(RuntimeError), tracer.start_as_current_span("raises"):
        key = SECRETS["openai key"]
        raise RuntimeError(f"refused {key} for {SECRETS['e-mail']} at {URL}")
    HTTPXClientInstrumentor().instrument()
    try:
        httpx.get(f"{service}/image.png?{SECRETS['query']}", headers={"authorization": SECRETS["bearer"]})
    finally:
        HTTPXClientInstrumentor().uninstrument()
    _logs.get_logger("third.party").emit(body=f"log {ALL}", attributes={"url": URL, "password": SECRETS["password"]})
    logging.getLogger("app").warning("standard log %s %s", ALL, URL, extra={"token": SECRETS["hf token"]})
    with pytest.raises(ValueError), posemon.generation("g1", user_id="u1", note=ALL) as generation:
        generation.set(callback_url=URL)
        with (
            posemon.performance_tracker.measure("upload"),
            posemon.flux_call("flux-dev", provider="bfl", prompt=PROMPT, negative_prompt=PROMPT, endpoint=URL),
        ):
            try:
                raise RuntimeError(f"inner {ALL}")
            except RuntimeError as exc:
                raise ValueError(f"outer {ALL} {URL}") from exc
    posemon.worker_logger.error(f"could not reach {URL}", error=RuntimeError(ALL), reply=ALL, prompt=PROMPT)
    posemon.record_event("export_generated", "g1", link=URL, note=ALL)


def test_no_secret_leaves_the_process_or_touches_the_disk(tmp_path, service, monkeypatch, capfd):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", f"deployment.note={SECRETS['e-mail']},api_key={SECRETS['hf token']}")
    with otel_globals.set_aside(), Receiver() as receiver:
        handle = posemon.configure(
            "worker",
            otlp_endpoint=receiver.url,
            journal_dir=str(tmp_path / "journal"),
            log_format="json",
            log_level="debug",
            ship_interval=0.05,
            disabled_instrumentations=("*",),
        )
        try:
            plant(service)
            assert handle.force_flush(20.0)
            assert {"linked", "raises", "GET", "pose.generation", "generate_content flux-dev", "upload"} <= set(
                receiver.names()
            )
            exported = b"".join(body for _, body in receiver.requests)
            on_disk = b"".join(path.read_bytes() for path in (tmp_path / "journal").rglob("*.seg"))
        finally:
            handle.shutdown(5.0)
    assert bootstrap.handle() is None
    assert b"third.party" in exported
    assert b"pose.prompt.length" in exported
    console = capfd.readouterr().err.encode()
    assert console.count(b"\n") >= 3
    for where, found in {"exported": exported, "on disk": on_disk, "on the console": console}.items():
        for what, secret in {**SECRETS, "prompt": PROMPT}.items():
            bare = secret.removeprefix("Bearer ").encode()
            assert bare not in found, f"the {what} is {where}: {context(found, bare)}"


def context(found: bytes, secret: bytes) -> bytes:
    at = found.index(secret)
    return found[max(at - 120, 0) : at + len(secret) + 40]
