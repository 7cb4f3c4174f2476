"""A stand-in of the paid FLUX service at the network's far edge: real sockets, real pictures, failures on demand.

It runs in a thread of its own (`FluxServer`) or as a process of its own (`python -m posemon_otel.demo.flux --help`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from posemon_otel.demo import flux_api
from posemon_otel.demo.faults import Failure, Plan
from posemon_otel.demo.flux_api import DEFAULT_MODEL, ImageRequest, RefusedError
from posemon_otel.demo.flux_http import Answer, Call, ThreadedServer, UnreadableError, read_call, send

_DRIPS: Final = 10


class Counts(NamedTuple):
    """What the stand-in has seen so far.

    Attributes:
        requests: calls for a picture.
        lookups: questions to the Hub's API that it could answer; `huggingface_hub` asks them before it calls a model
            by name.
        answers: `image` (a good one), a `Failure`'s value, or `refused` (a bad request or unknown model, no doing of
            the plan) to how many; they sum to `requests` when no call is under way.
    """

    requests: int
    lookups: int
    answers: Mapping[str, int]


class FluxServer(ThreadedServer):
    """The stand-in, in a thread of its own; a context manager.

    The root, `url`, stands for huggingface.co and router.huggingface.co and is a dedicated endpoint, too.

    Args:
        latency: seconds before a picture is sent, drawing not included; may be set at any time.
        jitter: seconds by which the latency varies at most, up and down, drawn by the plan's seed; may be set too.
        plan: what fails; without one, nothing does. Change it through its own methods while the server runs.
        host: where to listen.
        port: where to listen; 0 takes a free one. Once started, a server keeps its port through stop and start, so
            that it can be away for a while (connections are refused) and be back.
    """

    def __init__(
        self,
        *,
        latency: float = 0.0,
        jitter: float = 0.0,
        plan: Plan[ImageRequest] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(host, port, "flux-stand-in")
        self.latency = latency
        self.jitter = jitter
        self.plan: Plan[ImageRequest] = plan if plan is not None else Plan()
        self._lock = threading.Lock()
        self._requests = 0
        self._lookups = 0
        self._answers: Counter[str] = Counter()

    def model_url(self, model: str = DEFAULT_MODEL) -> str:
        """A model's address, for `InferenceClient(model=...)`."""
        return f"{self.url}/models/{model}"

    @property
    def counts(self) -> Counts:
        """A snapshot of what was asked and answered."""
        with self._lock:
            return Counts(self._requests, self._lookups, dict(self._answers))

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a connection's calls, one after the other, until one of the two sides has enough."""
        try:
            while (call := await read_call(reader)) is not None:
                if call.method == "POST":
                    await self._image(call, reader, writer)
                else:
                    await send(writer, self._lookup(call))
                if writer.is_closing() or call.headers.get("connection", "").lower() == "close":
                    return
        except UnreadableError as unreadable:
            writer.write(unreadable.answer.head(closing=True) + unreadable.answer.body)
            await writer.drain()

    async def _image(self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a call for a picture, well or as the plan says."""
        with self._lock:
            self._requests += 1
            number = self._requests
        request_id = {"x-request-id": call.headers.get("x-amzn-trace-id") or str(uuid.uuid4())}
        try:
            model = flux_api.model_of(call.target)
            request = flux_api.image_request(model, call.headers.get("content-type", ""), call.body)
        except RefusedError as refused:
            self._count("refused")
            await send(writer, _with(refused.answer, request_id))
            return
        failure = self.plan.decide(request)
        if failure is Failure.HANG:
            self._count(failure)
            await reader.read()  # until the client gives up
            writer.close()
            return
        error = self.plan.answer(failure, model) if failure is not None else None
        if failure is not None and error is not None:
            self._count(failure)
            await send(writer, _with(error, request_id))
            return
        started = time.perf_counter()
        await self._wait(number)
        png = request.draw()
        took = {"x-compute-time": f"{time.perf_counter() - started:.3f}"}
        self._count(failure or "image")
        await self._deliver(Answer(200, "image/png", png, request_id | took), failure, request, writer)

    async def _deliver(
        self, answer: Answer, failure: Failure | None, request: ImageRequest, writer: asyncio.StreamWriter
    ) -> None:
        """Send a picture, spoilt on the way if the plan says so."""
        png = answer.body
        match failure:
            case Failure.CORRUPT:
                await send(writer, answer._replace(body=random.Random(request.seed).randbytes(len(png))))
            case Failure.TRUNCATED:
                await send(writer, answer._replace(body=png[: len(png) // 2]))
            case Failure.DROP:
                writer.write(answer.head() + png[: len(png) // 2])
                await writer.drain()
                writer.close()
            case Failure.SLOW:
                writer.write(answer.head())
                size = -(-len(png) // _DRIPS)
                for start in range(0, len(png), size):
                    await asyncio.sleep(self.plan.slow_for / _DRIPS)
                    writer.write(png[start : start + size])
                    await writer.drain()
            case _:
                await send(writer, answer)

    def _lookup(self, call: Call) -> Answer:
        if call.method != "GET":
            return Answer.of_json(405, {"error": f"{call.method} is not allowed"})
        if call.target == "/stats":
            return Answer.of_json(200, self.counts._asdict())
        try:
            known = flux_api.hub_answer(call.target)
        except RefusedError as refused:
            return refused.answer
        with self._lock:
            self._lookups += 1
        return Answer.of_json(200, known)

    def _count(self, answer: str) -> None:
        with self._lock:
            self._answers[str(answer)] += 1

    async def _wait(self, number: int) -> None:
        swing = random.Random(f"{self.plan.seed}:latency:{number}").uniform(-self.jitter, self.jitter)
        await asyncio.sleep(max(0.0, self.latency + swing))


def _with(answer: Answer, headers: Mapping[str, str]) -> Answer:
    return answer._replace(headers={**headers, **answer.headers})


def main(arguments: list[str] | None = None) -> int:
    """Run the stand-in as a process: its root URL on the first line of stdout, its counts as JSON on the last.

    It ends, with exit code 0, on SIGINT or SIGTERM, and where asked so when its stdin closes: a parent that dies in
    whatever way then leaves no server behind.
    """
    options = _options(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = FluxServer(
        latency=options.latency,
        jitter=options.jitter,
        plan=Plan(dict(options.fail), seed=options.seed),
        host=options.host,
        port=options.port,
    )
    try:
        with suppress(KeyboardInterrupt), server:
            print(server.url, flush=True)
            if options.exit_with_stdin:
                sys.stdin.buffer.read()
            else:
                threading.Event().wait()
    except (OSError, OverflowError) as error:
        print(f"Cannot listen on {options.host}:{options.port} ({error}): choose another --port", file=sys.stderr)
        return 1
    print(json.dumps(server.counts._asdict()), flush=True)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m posemon_otel.demo.flux", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--jitter", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=0, help="of failures and jitter")
    parser.add_argument(
        "--fail",
        type=_rate,
        action="append",
        default=[],
        metavar="KIND=RATE",
        help=f"a share of the requests, 0 to 1; kinds: {', '.join(Failure)}",
    )
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when stdin is closed")
    options = parser.parse_args(arguments)
    try:
        Plan(dict(options.fail))
    except ValueError as error:
        parser.error(str(error))
    return options


def _rate(text: str) -> tuple[Failure, float]:
    kind, _, rate = text.partition("=")
    return Failure(kind), float(rate)


if __name__ == "__main__":
    sys.exit(main())
