"""Values that nobody expects."""

import logging
import threading
import time
from pathlib import Path
from typing import Any

import time_machine
from opentelemetry import trace

from tests.faults.backend import ACCEPTS, Answer, Backend, Behaviour
from tests.faults.child import Run
from tests.faults.scenario import Measured, Scenario, plainly
from tests.receiver import attributes

_RECEIVER_LIMIT = 20 * 1024 * 1024
"""What a collector's OTLP receiver takes at most by default."""
SECRETS = {
    "the query of a URL": "signature=5ecre7s1gnatur3",
    "the password in a URL": "p4ssw0rd-of-the-store",
    "an e-mail address in a statement": "ada.lovelace@example.org",
    "a token in an exception's text": "hf_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
}


class _Clock(Scenario):
    shift = 0.0

    def script(self, run: Run) -> None:
        run.set_up()
        span = run.tracer.start_span("item")
        with time_machine.travel(time.time() + self.shift):
            span.end()
        run.ended()
        run.flush_traces(3.0)

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        found = [(s.end_time_unix_nano - s.start_time_unix_nano) / 1e9 for _, _, s in backend.spans()]
        return {"duration": round(found[0]) if found else None}

    def cell(self, measured: Measured) -> str:
        return f"a duration of {measured['duration']} s"

    def survived(self, measured: Measured) -> list[str]:
        return super().survived(measured) + ([self.cell(measured)] if measured["duration"] != 0 else [])


class ClockBack(_Clock):
    """The clock is set back 1 h during a span"""

    key = "clock-back"
    shift = -3600.0


class ClockForward(_Clock):
    """The clock is set forward 1 h during a span"""

    key = "clock-forward"
    shift = 3600.0


class HugeAttribute(Scenario):
    """One attribute of 100 MB among 200 spans; the backend takes 20 MiB, as a collector does"""

    key = "huge-attribute"

    def behaviour(self) -> Behaviour:
        return lambda _path, body: Answer(413, taken=False) if len(body) > _RECEIVER_LIMIT else ACCEPTS

    def script(self, run: Run) -> None:
        run.set_up()
        done, longest = threading.Event(), [0.0]

        def tick() -> None:
            last = time.monotonic()
            while not done.is_set():
                time.sleep(0.001)
                now = time.monotonic()
                longest[0], last = max(longest[0], now - last), now

        huge = "x" * 100_000_000
        ticking = threading.Thread(target=tick)
        ticking.start()
        run.items(100)
        run.item(note=huge)
        run.items(100)
        run.flush_traces(5.0)
        done.set()
        ticking.join(5)
        run.tell(stall=round(longest[0], 3))

    def cell(self, measured: Measured) -> str:
        return f"{super().cell(measured)}; other threads stood still for {plainly(measured['stall'])}"


class LoneSurrogate(Scenario):
    """Half an emoji in a span's name, an attribute and a log message, among 200 spans"""

    key = "surrogate"

    def script(self, run: Run) -> None:
        run.set_up()
        run.items(100)
        run.attempt("raised", lambda: run.item("item \ud83d", note="half \ud83d"))
        logging.getLogger("application").warning("log good")
        run.attempt("raised_log", lambda: logging.getLogger("application").warning("log \ud83d"))
        run.items(100)
        run.flush(5.0)

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        return {"logs": sum(record.body.string_value.startswith("log") for _, _, record in backend.logs())}

    def cell(self, measured: Measured) -> str:
        return f"{super().cell(measured)}, {measured['logs']} of 2 log records"

    def survived(self, measured: Measured) -> list[str]:
        raised = {measured["raised"], measured["raised_log"]} != {"nothing"}
        return super().survived(measured) + ([self.cell(measured)] if raised or measured["logs"] != 2 else [])


class HugeNumber(Scenario):
    """2**70 in an attribute, 10**30 in a counter beside another"""

    key = "huge-number"

    def script(self, run: Run) -> None:
        run.set_up()
        run.attempt("raised", lambda: run.item(size=2**70))
        run.meter.create_counter("other").add(1)
        run.attempt("raised_count", lambda: run.meter.create_counter("huge").add(10**30))
        run.flush(5.0)

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        found = [attributes(s.attributes).get("size") for _, _, s in backend.spans() if s.name.startswith("item")]
        return {"size": str(found[0]) if found and found[0] is not None else None, "other": backend.total("other")}

    def cell(self, measured: Measured) -> str:
        size = f"kept as {measured['size']}" if measured["size"] else "lost"
        return f"attribute {size}; the other counter {'arrived' if measured['other'] else 'is lost'}"

    def survived(self, measured: Measured) -> list[str]:
        lost = measured["size"] is None or not measured["other"]
        return super().survived(measured) + ([self.cell(measured)] if lost else [])


class _Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("cannot be printed")

    __repr__ = __str__


class StrangeObjects(Scenario):
    """A list that holds itself and an object whose `__str__` raises, as attributes and in a log record"""

    key = "strange-objects"

    def script(self, run: Run) -> None:
        run.set_up()
        recursive: list[Any] = []
        recursive.append(recursive)
        logger = logging.getLogger("application")
        run.attempt("recursive", lambda: run.item(value=recursive))
        run.attempt("unprintable", lambda: run.item(value=_Unprintable()))
        run.attempt("recursive_log", lambda: logger.warning("log", extra={"value": recursive}))
        run.attempt("unprintable_log", lambda: logger.warning("log", extra={"value": _Unprintable()}))
        run.items(10)
        run.flush(5.0)

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        told = ("recursive", "unprintable", "recursive_log", "unprintable_log")
        raised = sorted({measured[what] for what in told} - {"nothing"})
        logs = sum(record.body.string_value == "log" for _, _, record in backend.logs())
        return {"raised": raised, "logs": logs}

    def cell(self, measured: Measured) -> str:
        raised = ", ".join(measured["raised"]) or "nothing"
        return f"raised into user code: {raised}; {super().cell(measured)}, {measured['logs']} of 2 log records"

    def survived(self, measured: Measured) -> list[str]:
        well = not measured["raised"] and measured["logs"] == 2 and measured["ended"] == 12
        return super().survived(measured) + ([] if well else [self.cell(measured)])


class _UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot be printed")


class StrangeException(Scenario):
    """An exception whose `__str__` raises, passing through a span"""

    key = "strange-exception"

    def script(self, run: Run) -> None:
        run.set_up()

        def fails() -> None:
            with run.tracer.start_as_current_span("item"):
                raise _UnprintableError

        run.attempt("seen", fails)
        run.ended()
        run.flush_traces(5.0)

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        return {"status": next((s.status.code for _, _, s in backend.spans()), None)}

    def cell(self, measured: Measured) -> str:
        own = measured["seen"] == _UnprintableError.__name__
        seen = "its own exception" if own else f"a {measured['seen']} instead of its own exception"
        status = {None: "no span", 0: "status unset", 1: "status OK", 2: "status ERROR"}[measured["status"]]
        return f"user code sees {seen}; {status}"

    def survived(self, measured: Measured) -> list[str]:
        well = measured["seen"] == _UnprintableError.__name__ and measured["status"] == 2
        return super().survived(measured) + ([] if well else [self.cell(measured)])


class Secrets(Scenario):
    """Four secrets in another library's span: URL, statement, exception text"""

    key = "secrets"
    tests = ("tests/test_secrets.py",)

    def script(self, run: Run) -> None:
        run.set_up()
        query, password, address, token = SECRETS.values()
        url = f"https://user:{password}@store.example.org/a.png?{query}"

        def fetch() -> None:
            with run.tracer.start_as_current_span("item", kind=trace.SpanKind.CLIENT) as span:
                span.set_attribute("url.full", url)
                span.set_attribute("db.query.text", f"select * from users where email = '{address}'")
                raise ValueError(f"refused: Authorization: Bearer {token}")

        run.attempt("raised", fetch)
        run.ended()
        run.flush(5.0)

    def look(self, backend: Backend, folder: Path, measured: Measured) -> dict[str, Any]:
        left = b"".join(body for _, body in backend.requests)
        return {"leaked": sum(secret.encode() in left for secret in SECRETS.values())}

    def cell(self, measured: Measured) -> str:
        return f"{measured['leaked']} of {len(SECRETS)} leave the process"

    def survived(self, measured: Measured) -> list[str]:
        return super().survived(measured) + ([self.cell(measured)] if measured["leaked"] else [])


SCENARIOS: tuple[type[Scenario], ...] = (
    ClockBack,
    ClockForward,
    HugeAttribute,
    LoneSurrogate,
    HugeNumber,
    StrangeObjects,
    StrangeException,
    Secrets,
)
