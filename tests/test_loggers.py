"""Component loggers: one record, one line; and nothing that stderr or a value does reaches the caller."""

import io
import json
import math
import sys
import threading
from typing import Any

import pytest

import posemon_otel as posemon
from posemon_otel import clock, entries, operation, settings
from posemon_otel.loggers import get_logger, worker_logger
from posemon_otel.operation import Operation
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o
from posemon_otel.settings import Settings
from tests.support import Recording

MOMENT = 1_767_323_045_678_000_000  # 2026-01-02T03:04:05.678Z


def use(**chosen: Any) -> None:
    settings.use(Settings(chosen, environ={}))


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""  # the console is stderr
    return err.splitlines()


def test_one_call_is_one_record(recording: Recording) -> None:
    clock.use(lambda: MOMENT)
    use(log_format="none")
    with Operation(o.GENERATION, {a.GENERATION_ID: "g1"}) as around:
        worker_logger.info("Processing generation", pose_count=4, colour="red", prompt="a secret prompt")
    (log,) = recording.logs
    assert log == entries.Log(
        MOMENT,
        around.span.get_span_context().trace_id.to_bytes(16, "big"),
        around.span.get_span_context().span_id,
        1,
        log.scope,
        9,
        "INFO",
        "Processing generation",
        {
            a.POSE_COUNT: 4,
            "pose.data.colour": "red",
            a.PROMPT_LENGTH: 15,
            a.COMPONENT: "worker",
            a.GENERATION_ID: "g1",
        },
    )
    assert entries.scopes[log.scope].name == "posemon_otel.worker"


@pytest.mark.parametrize(
    ("name", "severity", "text"),
    [
        ("debug", 5, "DEBUG"),
        ("info", 9, "INFO"),
        ("warning", 13, "WARN"),
        ("error", 17, "ERROR"),
        ("exception", 17, "ERROR"),
    ],
)
def test_levels(recording: Recording, name: str, severity: int, text: str) -> None:
    getattr(worker_logger, name)("said")
    (log,) = recording.logs
    assert (log.severity, log.severity_text, log.body) == (severity, text, "said")


def test_the_five_components(recording: Recording) -> None:
    for logger in (
        posemon.worker_logger,
        posemon.storage_logger,
        posemon.flux_logger,
        posemon.controlnet_logger,
        posemon.metrics_logger,
    ):
        logger.info("said")
    assert [log.attributes[a.COMPONENT] for log in recording.logs] == [
        "worker",
        "storage",
        "flux",
        "controlnet",
        "metrics",
    ]
    assert [entries.scopes[log.scope].name.rpartition(".")[2] for log in recording.logs] == [
        log.attributes[a.COMPONENT] for log in recording.logs
    ]


def test_another_component(recording: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    get_logger("Export").info("said")
    assert recording.logs[0].attributes[a.COMPONENT] == "Export"
    assert entries.scopes[recording.logs[0].scope].name == "posemon_otel.Export"
    assert " Export " in lines(capsys)[0]
    assert get_logger("").component == "app"
    assert "\n" not in get_logger("two\nlines").component
    assert len(get_logger("x" * 5000).component) == 64


def test_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    clock.use(lambda: MOMENT)
    worker_logger.info("Processing generation", generation_id="g1", pose_count=4, note='two "words"', width=None)
    (line,) = lines(capsys)
    assert line == (
        "2026-01-02T03:04:05.678Z INFO    worker     Processing generation "
        'generation_id=g1 pose_count=4 note="two \\"words\\""'
    )


def test_a_line_as_json(recording: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    clock.use(lambda: MOMENT)
    use(log_format="json")
    with Operation(o.MEASURE, {a.OPERATION_NAME: "x"}):
        worker_logger.warning("Slow", generation_id="g1", seconds=1.5, colour="red")
    worker_logger.info("Outside")
    inside, outside = map(json.loads, lines(capsys))
    assert inside == {
        "timestamp": "2026-01-02T03:04:05.678Z",
        "level": "WARNING",
        "component": "worker",
        "message": "Slow",
        "metadata": {"generation_id": "g1", "seconds": 1.5, "colour": "red"},
        "traceId": "000000000000000000000000000003e9",
        "spanId": "0000000000000001",
    }
    assert set(outside) == {"timestamp", "level", "component", "message"}


def test_json_stays_json_with_numbers_that_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    use(log_format="json")
    worker_logger.info("odd", loss=math.nan, bound=math.inf)
    (line,) = lines(capsys)
    assert json.loads(line, parse_constant=pytest.fail)["metadata"] == {"loss": "nan", "bound": "inf"}


def test_no_line(recording: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    use(log_format="none")
    worker_logger.error("said")
    assert lines(capsys) == []
    assert len(recording.logs) == 1


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_lines_from_a_level_up(
    recording: Recording, capsys: pytest.CaptureFixture[str], level: str, count: int
) -> None:
    use(log_level=level)
    for name in ("debug", "info", "warning", "error"):
        getattr(worker_logger, name)("said")
    assert len(lines(capsys)) == count
    assert len(recording.logs) == 4  # the level is the console's alone


def test_before_configure_only_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    operation.use(None)
    worker_logger.info("said")
    worker_logger.debug("unsaid")
    assert len(lines(capsys)) == 1


def raised(text: str = "bad width") -> ValueError:
    try:
        raise ValueError(text)
    except ValueError as exc:
        return exc


def test_an_exception_is_attached(recording: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    worker_logger.error("Failed", error=raised())
    attributes = recording.logs[0].attributes
    assert attributes[a.EXCEPTION_TYPE] == "ValueError"
    assert attributes[a.EXCEPTION_MESSAGE] == "bad width"
    assert "in raised" in attributes[a.EXCEPTION_STACKTRACE]
    assert attributes[a.ERROR_TYPE] == "VALIDATION_ERROR"
    assert attributes[a.ERROR_REASON] == "bad_request"
    (line,) = lines(capsys)
    assert "error=VALIDATION_ERROR/" in line
    assert "ValueError: bad width (test_loggers.py:" in line


def test_an_exception_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    use(log_format="json")
    worker_logger.error("Failed", error=raised())
    (line,) = lines(capsys)
    error = json.loads(line)["error"]
    assert set(error) == {"name", "message", "stack", "type", "reason"}
    assert (error["name"], error["message"], error["type"]) == ("ValueError", "bad width", "VALIDATION_ERROR")


def test_an_error_type_without_an_exception_is_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    worker_logger.error("Failed", error_type="FLUX_API_ERROR", error_reason="quota")
    assert lines(capsys)[0].endswith("Failed error_type=FLUX_API_ERROR error_reason=quota")


@pytest.mark.parametrize("form", [True, "exception", "tuple"])
def test_forms_of_exc_info(recording: Recording, form: object) -> None:
    try:
        raise KeyError("k")
    except KeyError as exc:
        given: Any = {"exception": exc, "tuple": sys.exc_info()}.get(str(form), True)
        worker_logger.warning("handled", exc_info=given)
        worker_logger.exception("handled")
    assert [log.attributes[a.EXCEPTION_TYPE] for log in recording.logs] == ["KeyError", "KeyError"]


@pytest.mark.parametrize("given", [None, False, (None, None, None), True])
def test_no_exception_to_attach(recording: Recording, given: Any) -> None:
    worker_logger.error("said", exc_info=given)
    assert a.EXCEPTION_TYPE not in recording.logs[0].attributes


def test_the_component_helps_to_classify(recording: Recording) -> None:
    posemon.storage_logger.error("Failed", error=OSError(28, "No space left on device"))
    assert recording.logs[0].attributes[a.ERROR_TYPE] == "STORAGE_ERROR"
    assert recording.logs[0].attributes[a.ERROR_REASON] == "quota"


def test_an_error_that_is_a_text_is_a_word(recording: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    worker_logger.error("Failed", error="no pose map")
    assert recording.logs[0].attributes["pose.data.error"] == "no pose map"
    assert 'error="no pose map"' in lines(capsys)[0]


SECRET = "hf_" + "aBcDeFgHiJ" * 3 + "kLmN"


@pytest.mark.parametrize("form", ["console", "json"])
def test_secrets_go_nowhere(recording: Recording, capsys: pytest.CaptureFixture[str], form: str) -> None:
    use(log_format=form)
    url = "https://bucket.example/a.png?X-Amz-Signature=0123456789abcdef"
    worker_logger.error(
        f"GET {url} with Bearer {SECRET} for anna@example.org",
        error=raised(f"401 for {SECRET}"),
        url=url,
        prompt="a very private prompt",
        mail="anna@example.org",
        token=SECRET,
    )
    (line,) = lines(capsys)
    for text in (line, repr(recording.logs)):
        for secret in (SECRET, "anna@example.org", "X-Amz-Signature=0", "private prompt"):
            assert secret not in text


def test_a_line_stays_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("console", "json"):
        use(log_format=form)
        worker_logger.info("one\ntwo\r\x1b[31mred\u202egnp.exe\u2028", note="a\nb", name="\x9b31m")
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        assert text.endswith("\n")
        assert not any(mark in text for mark in "\r\x1b\u202e\u2028\x9b")


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def test_any_message_and_any_value(recording: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    loop: list[object] = []
    loop.append(loop)
    worker_logger.info(Hostile(), thing=Hostile(), loop=loop, huge=2**70, half="\ud83d", raw=b"\x00" * 9)
    worker_logger.info(None)
    worker_logger.info("100 %", self="a", message="b", component="mine", level=1)
    assert len(recording.logs) == 3
    assert len(lines(capsys)) == 3
    assert recording.logs[2].attributes == {
        "pose.data.self": "a",
        "pose.data.message": "b",
        "pose.data.level": 1,
        a.COMPONENT: "worker",
    }


class Stderr(io.StringIO):
    def __init__(self, fault: Exception | None = None) -> None:
        super().__init__()
        self.fault = fault
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        if self.fault is not None:
            raise self.fault
        self.writes.append(text)
        return super().write(text)


@pytest.mark.parametrize("fault", [OSError(5, "EIO"), BrokenPipeError(), ValueError("closed"), RuntimeError("odd")])
def test_a_broken_stderr_is_nobodys_trouble(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr(sys, "stderr", Stderr(fault))
    worker_logger.info("said")
    assert len(recording.logs) == 1


@pytest.mark.parametrize("stream", [None, object()])
def test_no_stderr_at_all(recording: Recording, monkeypatch: pytest.MonkeyPatch, stream: object) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    worker_logger.info("said")
    assert len(recording.logs) == 1


def test_a_stderr_that_knows_ascii_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, "ascii", errors="strict"))
    worker_logger.info("Grüße")
    assert b"Gr\\xfc\\xdfe" in raw.getvalue()


def test_one_write_a_line_from_any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stderr()
    monkeypatch.setattr(sys, "stderr", stream)

    def talk(number: int) -> None:
        for _ in range(50):
            worker_logger.info("said", number=number)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(stream.writes) == 200
    assert all(text.count("\n") == 1 and text.endswith("\n") for text in stream.writes)
