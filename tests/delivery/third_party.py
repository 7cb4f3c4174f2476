"""A program that has other people's instrumentations write spans, behind the SDK's provider or one of our sinks.

    python -m tests.delivery.third_party sdk|journal|direct LIBRARY...

It prints JSON: to each library what its instrumentation wrote. Ids are counted, ports are made equal.
"""

import asyncio
import contextlib
import http.server
import json
import logging
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from posemon_otel import testing
from tests.delivery.side_by_side import plain

Play = Callable[[], Any]
SECRET = "token=s3cr3t-value-0123456789"


class Answers(http.server.BaseHTTPRequestHandler):
    """`/status/404` answers 404, `/to/PATH` redirects to it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        status = int(path.rpartition("/")[2]) if path.startswith("/status/") else 200
        if path.startswith("/to"):
            self.send_response(302)
            self.send_header("Location", path[3:])
        else:
            self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_GET  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@contextlib.contextmanager
def serving() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


def addresses(base: str) -> list[str]:
    """What the HTTP clients ask for: the last one refuses."""
    return [
        f"{base}/plain",
        f"{base}/status/404",
        f"{base}/status/500?page=2",
        f"{base}/query?{SECRET}&page=2",
        f"http://user:pass@{base.removeprefix('http://')}/credentials",
        "http://127.0.0.1:1/refused",
    ]


def play_httpx() -> None:
    import httpx
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    async def ask(url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(url)

    HTTPXClientInstrumentor().instrument()
    try:
        with serving() as base, httpx.Client(trust_env=False) as client, around("httpx"):
            for url in addresses(base):
                with contextlib.suppress(httpx.ConnectError):
                    client.get(url)
                with contextlib.suppress(httpx.ConnectError):
                    asyncio.run(ask(url))
            client.get(f"{base}/to/plain", follow_redirects=True)
            client.post(f"{base}/posted", content=b"body", headers={"Authorization": "Bearer abc"})
    finally:
        HTTPXClientInstrumentor().uninstrument()


def play_requests() -> None:
    import requests
    from opentelemetry.instrumentation.requests import RequestsInstrumentor

    RequestsInstrumentor().instrument()
    try:
        with serving() as base, requests.Session() as session, around("requests"):
            session.trust_env = False
            for url in addresses(base):
                with contextlib.suppress(requests.ConnectionError):
                    session.get(url, timeout=5)
            session.get(f"{base}/to/plain", timeout=5)
            session.post(f"{base}/posted", data=b"body", headers={"Authorization": "Bearer abc"}, timeout=5)
    finally:
        RequestsInstrumentor().uninstrument()


def play_redis() -> None:
    import redis
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    from posemon_otel.demo.valkey import Valkey

    async def ask(url: str) -> None:
        async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
            await client.set("async", "s3cr3t")
            async with client.pipeline() as pipeline:
                await pipeline.get("async").get("other").execute()
            with contextlib.suppress(redis.ResponseError):
                await client.lpop("async")

    with tempfile.TemporaryDirectory() as folder, Valkey(Path(folder)) as server:
        RedisInstrumentor().instrument()
        try:
            with redis.Redis.from_url(server.url) as client, around("redis"):
                client.set("key", "s3cr3t")
                client.hset("hash", mapping={"field": "value", "other": 3})
                client.pipeline().get("key").incr("count").execute()
                with contextlib.suppress(redis.ResponseError):
                    client.lpop("key")
                asyncio.run(ask(server.url))
        finally:
            RedisInstrumentor().uninstrument()


def play_logging() -> None:
    from opentelemetry.instrumentation.logging import LoggingInstrumentor

    LoggingInstrumentor().instrument()
    try:
        log = logging.getLogger("tests.third_party")
        log.setLevel(logging.INFO)
        with around("logging"):
            log.info("Plain %s", "text", extra={"job": 7})
            log.warning("Beware")
            try:
                raise ValueError("wrong")
            except ValueError:
                log.exception("Failed")
        log.info("Outside of a span")
    finally:
        LoggingInstrumentor().uninstrument()


def play_starlette() -> None:
    from opentelemetry.instrumentation.starlette import StarletteInstrumentor
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Mount, Route
    from starlette.testclient import TestClient

    async def plain_text(request: Request) -> PlainTextResponse:
        trace.get_current_span().set_attribute("set.by.handler", request.path_params.get("name", "none"))
        return PlainTextResponse("ok")

    async def failing(request: Request) -> PlainTextResponse:
        raise ValueError("the handler failed")

    async def streamed(request: Request) -> StreamingResponse:
        async def parts() -> Any:
            for number in range(3):
                yield str(number)

        return StreamingResponse(parts())

    app = Starlette(
        routes=[
            Route("/plain/{name}", plain_text),
            Route("/failing", failing),
            Mount("/mounted", routes=[Route("/streamed", streamed)]),
        ]
    )
    StarletteInstrumentor.instrument_app(app)
    try:
        client = TestClient(app, raise_server_exceptions=False)
        traceparent = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        assert client.get("/plain/one").status_code == 200
        assert client.get("/plain/two", headers=traceparent).status_code == 200
        assert client.get(f"/plain/three?{SECRET}&page=2").status_code == 200
        assert client.get("/nowhere").status_code == 404
        assert client.post("/plain/four").status_code == 405
        assert client.get("/failing").status_code == 500
        assert client.get("/mounted/streamed").text == "012"
    finally:
        StarletteInstrumentor.uninstrument_app(app)


def play_sqlalchemy() -> None:
    import sqlalchemy
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
    from sqlalchemy import text

    engine = sqlalchemy.create_engine("sqlite://")
    # Without the check: the package does not know SQLAlchemy 2.1 yet.
    SQLAlchemyInstrumentor().instrument(engine=engine, skip_dep_check=True)
    try:
        with around("sqlalchemy"), engine.begin() as connection:
            connection.execute(text("create table poses (id integer, name text)"))
            connection.execute(text("insert into poses values (:id, :name)"), {"id": 1, "name": "s3cr3t"})
            connection.execute(text("select name from poses where name = 'jane@example.org' and id = 1")).all()
            with contextlib.suppress(sqlalchemy.exc.OperationalError):
                connection.execute(text("select 1 from nowhere"))
    finally:
        SQLAlchemyInstrumentor().uninstrument()
        engine.dispose()


def around(name: str) -> Any:
    """A span of the application around the calls: the instrumentation's are its children."""
    return trace.get_tracer("application").start_as_current_span(f"around {name}")


_PORTS = re.compile(r"(?<=127\.0\.0\.1:)\d{4,5}|(?<=port\": )\d{4,5}")
"""Of servers on loopback, in URLs and in attributes of their own."""


# What was written ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def behind_the_sdk() -> Iterator[tuple[Callable[[], Any], Callable[[], Any]]]:
    spans, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    resource = Resource({"service.name": "test"})
    tracers = sdk.TracerProvider(resource=resource, id_generator=testing.FixedIds(), shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(tracers)
    loggers = LoggerProvider(resource, shutdown_on_exit=False)
    loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
    set_logger_provider(loggers)
    yield spans.get_finished_spans, logs.get_finished_logs


@contextlib.contextmanager
def behind(sink: str) -> Iterator[tuple[Callable[[], Any], Callable[[], Any]]]:
    if sink == "sdk":
        with behind_the_sdk() as read:
            yield read
        return
    with testing.capture(sink=sink, disabled_instrumentations=("*",)) as captured:  # type: ignore[arg-type]
        yield lambda: captured.spans, lambda: captured.logs


def of_span(span: sdk.ReadableSpan) -> dict[str, Any]:
    told = plain(span)
    (started, ended), events = told.pop("times"), told.pop("events")
    assert ended >= started > 0
    for left_out in ("json", "resource"):
        told.pop(left_out)
    return told | {
        "attributes": dict(told["attributes"]),
        "kind": span.kind.name,
        "status": (span.status.status_code.name, span.status.description),
        "events": [(name, dict(attributes), dropped) for name, _, attributes, dropped in events],
    }


def of_log(log: Any) -> dict[str, Any]:
    record, scope = log.log_record, log.instrumentation_scope
    attributes = {
        key: value.splitlines()[-1:] if key == "exception.stacktrace" else value
        for key, value in (record.attributes or {}).items()
    }
    return {
        "body": record.body,
        "severity": (record.severity_number.value, record.severity_text),
        "span": (record.trace_id or 0, record.span_id or 0, int(record.trace_flags or 0)),
        "attributes": attributes,
        "event": record.event_name,
        "scope": scope.name,
    }


PLAYS: dict[str, Play] = {
    name.removeprefix("play_"): play for name, play in list(globals().items()) if name.startswith("play_")
}


def main(sink: str, *libraries: str) -> None:
    written: dict[str, Any] = {}
    with behind(sink) as (spans, logs):
        for library in libraries:
            before = len(spans()), len(logs())
            PLAYS[library]()
            written[library] = {
                "spans": [of_span(span) for span in spans()[before[0] :]],
                "logs": [of_log(log) for log in logs()[before[1] :]],
            }
    sys.stdout.write(_PORTS.sub("0", json.dumps(written)))


if __name__ == "__main__":
    main(*sys.argv[1:])
