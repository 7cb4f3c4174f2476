"""Values that nobody expects, in every place that takes one: nothing raises, and everything else arrives."""

import datetime as dt
import decimal
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.trace import Link, SpanContext, StatusCode

import posemon_otel as posemon
from posemon_otel import faults, testing
from posemon_otel.delivery import drops

HALF = "\ud83d"
LONG = "all of it "
OTHER = SpanContext(1, 2, is_remote=False)


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("of the user's object")

    __repr__ = __str__


class HostileList(list[int]):
    def __len__(self) -> int:
        raise RuntimeError("of the user's object")

    __iter__ = __len__  # type: ignore[assignment]


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("of the user's object")

    __repr__ = __str__


class Scalar:  # what a NumPy scalar is known by
    shape, dtype = (), "float32"

    def __init__(self, item: Callable[[], Any]) -> None:
        self.item = item

    def __str__(self) -> str:
        return "a scalar"


def endless() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def deep() -> list[Any]:
    made = inner = []  # type: list[Any]
    for _ in range(5000):
        inner.append([])
        inner = inner[0]
    return made


def cycle() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["self"] = made
    return made


def fail() -> Any:
    raise RuntimeError("of the user's object")


VALUES: dict[str, Callable[[], Any]] = {
    "an object that cannot be printed": Hostile,
    "a list that cannot be measured": lambda: HostileList([1]),
    "a list in itself": endless,
    "a mapping in itself": cycle,
    "a deep list": deep,
    "a scalar": lambda: Scalar(lambda: 1.5),
    "a scalar that fails": lambda: Scalar(fail),
    "2**70": lambda: 2**70,
    "-(2**70)": lambda: -(2**70),
    "10**5000": lambda: 10**5000,
    "half an emoji": lambda: HALF,
    "halves": lambda: [HALF, {HALF: HALF}],
    "100 MB": lambda: LONG * 10_000_000,
    "100 MB of bytes": lambda: b"x" * 100_000_000,
    "a nul": lambda: "a\0b",
    "nan": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "a decimal": lambda: decimal.Decimal("1e400"),
    "a date": lambda: dt.datetime.max,
    "a complex number": lambda: 1j,
    "a generator": lambda: (number for number in range(3)),
    "a class": lambda: Hostile,
    "none": lambda: None,
}
every_value = pytest.mark.parametrize("name", VALUES)


@pytest.fixture(autouse=True)
def _as_users_have_it() -> Iterator[None]:
    faults.strict = False
    drops.reset()
    yield
    drops.reset()


def through_the_api(value: Any) -> tuple[int, int]:
    """Every place of OpenTelemetry's API; returns how many spans and log records that makes."""
    text = value if isinstance(value, str) else "text"
    tracer = trace.get_tracer("scope " + HALF, HALF, schema_url=HALF, attributes={HALF: HALF})
    with tracer.start_as_current_span("good", attributes={"v": value}, links=[Link(OTHER, {"v": value})]) as span:
        span.set_attribute("good", 1)
        span.set_attribute("w", value)
        span.set_attribute(HALF, value)
        span.set_attributes({"x": value, HALF: 1})
        span.add_event("e " + HALF, {"v": value})
        span.add_link(OTHER, {"v": value})
        span.set_status(StatusCode.ERROR, text)
        span.record_exception(ValueError(text), {"v": value})
        span.record_exception(UnprintableError(value))
    with tracer.start_as_current_span(value, value, value, value, value, value) as span:  # each of a wrong type
        span.update_name(value)
        span.set_attribute(value, 1)
        span.set_attributes(value)
        span.add_event(value, value, value)
        span.add_link(value)
        span.add_link(OTHER, value)
        span.set_status(value)
        span.set_status(StatusCode.ERROR, value)
        span.record_exception(value)
        span.record_exception(ValueError(), value, value)
        span.end(value)
    logger = get_logger("scope " + HALF)
    logger.emit(LogRecord(timestamp=time.time_ns(), body="good", attributes={"v": value, HALF: 1}))
    logger.emit(LogRecord(body=value, severity_text=HALF, event_name=HALF, severity_number=SeverityNumber.INFO))
    logger.emit(body=value, attributes={"v": value}, exception=UnprintableError(value))
    logger.emit(LogRecord(timestamp=value, attributes=value, severity_text=value, severity_number=value))
    return 2, 4


def through_ours(value: Any) -> tuple[int, int]:
    """Every place of our own."""
    with posemon.generation("good", user_id=value, expected_poses=1, odd=value, model=value) as generation:
        generation.set(more=value, width=value, prompt=value)
        with generation.pose("p1", name=value, variation=value):
            with posemon.flux_call("m", provider=value, odd=value, seed=value, width=value, prompt=value) as call:
                call.set(image_count=value, cost_usd=value, odd2=value)
            with posemon.storage_write("s3", value, bytes=value), posemon.storage_write(value, "key"):
                pass
        generation.refund(1, reason=value)
    with posemon.generation(value, expected_poses=value, credits_charged=value):
        pass
    with pytest.raises(UnprintableError), posemon.flux_call(value, provider=value, operation=value):
        raise UnprintableError(value)
    with posemon.performance_tracker.measure(value if isinstance(value, str) else "measured", odd=value):
        pass
    posemon.worker_logger.info("good", odd=value, width=value)
    posemon.worker_logger.info(value)
    posemon.worker_logger.error("an error", error=UnprintableError(value))
    posemon.worker_logger.error("no error", error=value)
    logging.getLogger("std " + HALF).warning(HALF, extra={"v": value})
    posemon.record_event("export_generated", "g1", odd=value)
    posemon.record_event("export_generated", value, value)
    return 8, 6


def arrived(captured: testing.Captured, spans: int, logs: int) -> dict[str, Any]:
    """Asserts that all came and that the stock encoders take it; returns the span that all went well for."""
    found = captured.spans
    encode_spans(found).SerializeToString()
    encode_logs(captured.logs).SerializeToString()
    metrics = captured._reader.get_metrics_data()
    assert metrics is not None
    encode_metrics(metrics).SerializeToString()
    assert len(found) == spans
    bodies = [record.log_record.body for record in captured.logs]
    assert len([body for body in bodies if body != "measured"]) >= logs
    assert "good" in bodies
    assert {signal for signal, _ in drops.counts()} <= {"metrics"}, drops.counts()
    good = next(span for span in found if (span.attributes or {}).get("pose.generation.id", span.name) == "good")
    return dict(good.attributes or {})


@every_value
def test_through_opentelemetry_s_api(name: str) -> None:
    value = VALUES[name]()
    with testing.capture(fixed=False, sink="journal", disabled_instrumentations=("*",)) as captured:
        attributes = arrived(captured, *through_the_api(value))
    assert attributes["good"] == 1
    if name in EXPECTED:
        assert attributes["w"] == EXPECTED[name]


@every_value
@pytest.mark.parametrize("sink", ["journal", "direct"])
def test_through_ours(name: str, sink: testing.Sink) -> None:
    value = VALUES[name]()
    with testing.capture(fixed=False, sink=sink, disabled_instrumentations=("*",)) as captured:
        attributes = arrived(captured, *through_ours(value))
        generations = captured.metrics()["pose.generations"]
    assert sum(generations.values()) == 2, "metrics go on after a value that is no number"
    if name in EXPECTED:  # text that is given as a prompt too goes as one
        assert attributes["pose.data.odd"] in (EXPECTED[name], "[prompt]")


EXPECTED = {
    "a scalar": 1.5,
    "2**70": hex(2**70),
    "-(2**70)": hex(-(2**70)),
    "half an emoji": "?",
    "100 MB": (LONG * 2000)[:16_384],
    "100 MB of bytes": "<100000000 bytes>",
}
"""What becomes of some of them."""
