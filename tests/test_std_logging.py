"""Records of the standard logging module reach the pipeline, and nothing of what the application sees changes."""

import io
import logging
import logging.config
import logging.handlers
import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from posemon_otel import entries, faults, std_logging
from posemon_otel.operation import Operation
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o
from posemon_otel.std_logging import PipelineHandler, severity
from tests.support import Recording

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _attached() -> Iterator[None]:
    std_logging.attach()
    yield
    std_logging.detach()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("application.worker")
    made.setLevel(logging.DEBUG)
    yield made
    made.handlers.clear()
    made.propagate = True
    made.filters.clear()


def test_a_record(recording: Recording, logger: logging.Logger) -> None:
    with Operation(o.GENERATION, {a.GENERATION_ID: "g1"}) as around:
        logger.info("Rendered %d of %s", 3, "4", extra={"pose_id": "p1", "colour": "red"})
    (log,) = recording.logs
    assert (log.body, log.severity, log.severity_text) == ("Rendered 3 of 4", 9, "INFO")
    assert log.attributes == {a.POSE_ID: "p1", "pose.data.colour": "red", a.GENERATION_ID: "g1"}
    assert log.span_id == around.span.get_span_context().span_id
    assert entries.scopes[log.scope].name == "application.worker"


def test_an_exception(recording: Recording, logger: logging.Logger) -> None:
    try:
        raise TimeoutError("too slow")
    except TimeoutError:
        logger.exception("Failed")
    (log,) = recording.logs
    assert log.attributes[a.EXCEPTION_TYPE] == "TimeoutError"
    assert log.attributes[a.ERROR_TYPE] == "TIMEOUT_ERROR"
    assert "test_an_exception" in log.attributes[a.EXCEPTION_STACKTRACE]


@pytest.mark.parametrize(
    ("level", "number"),
    [(5, 1), (10, 5), (15, 8), (20, 9), (21, 10), (25, 12), (30, 13), (40, 17), (50, 21), (59, 24), (1000, 24)],
)
def test_levels(recording: Recording, logger: logging.Logger, level: int, number: int) -> None:
    assert severity(level) == number
    logger.setLevel(1)
    logger.log(level, "said")
    assert recording.logs[0].severity == number


def test_names_of_levels(recording: Recording, logger: logging.Logger) -> None:
    logger.warning("said")
    logger.critical("said")
    assert [log.severity_text for log in recording.logs] == ["WARN", "CRITICAL"]


def test_levels_and_filters_of_the_application_hold(recording: Recording, logger: logging.Logger) -> None:
    logger.setLevel(logging.WARNING)
    logger.info("unsaid")
    logger.addFilter(lambda record: "secret" not in record.getMessage())
    logger.warning("a secret")
    logger.warning("said")
    assert [log.body for log in recording.logs] == ["said"]


def test_what_does_not_reach_the_root_is_not_taken(recording: Recording, logger: logging.Logger) -> None:
    logger.propagate = False
    logger.warning("private")
    assert recording.logs == []


@pytest.mark.parametrize("name", ["posemon_otel", "posemon_otel.x", "opentelemetry.exporter.otlp", "opentelemetry"])
def test_diagnostics_of_the_telemetry_stay_out(recording: Recording, name: str) -> None:
    logging.getLogger(name).warning("export failed")
    assert recording.logs == []


def test_attached_twice_is_attached_once(recording: Recording, logger: logging.Logger) -> None:
    std_logging.attach()
    logger.warning("said")
    assert len(recording.logs) == 1


def test_detached(recording: Recording, logger: logging.Logger) -> None:
    original = std_logging._original
    std_logging.detach()
    std_logging.detach()
    assert logging.Logger.callHandlers is original
    logger.warning("said")
    assert recording.logs == []


def test_detached_beneath_somebody_elses_wrapper(
    recording: Recording, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = logging.Logger.callHandlers
    seen: list[str] = []

    def theirs(self: logging.Logger, record: logging.LogRecord) -> None:
        seen.append(record.getMessage())
        ours(self, record)

    monkeypatch.setattr(logging.Logger, "callHandlers", theirs)
    logger.warning("one")
    std_logging.detach()
    logger.warning("two")
    std_logging.attach()
    logger.warning("three")
    std_logging.detach()
    assert seen == ["one", "two", "three"]
    assert [log.body for log in recording.logs] == ["one", "three"]


def test_not_twice_with_opentelemetrys_own_handler(recording: Recording, logger: logging.Logger) -> None:
    from opentelemetry.instrumentation.logging.handler import LoggingHandler

    class Own(LoggingHandler):
        def __init__(self) -> None:
            logging.Handler.__init__(self)
            self.seen: list[str] = []

        def emit(self, record: logging.LogRecord) -> None:
            self.seen.append(record.getMessage())

    handler = Own()
    logger.addHandler(handler)
    logger.warning("said")
    assert handler.seen == ["said"]
    assert recording.logs == []


def test_a_handler_added_by_hand(recording: Recording, logger: logging.Logger) -> None:
    logger.addHandler(PipelineHandler())
    logger.warning("said")
    std_logging.detach()
    logger.warning("said again")
    assert [log.body for log in recording.logs] == ["said", "said again"]


def test_handlers_of_the_application_see_what_they_saw(recording: Recording, logger: logging.Logger) -> None:
    stream = io.StringIO()
    logger.addHandler(logging.StreamHandler(stream))
    logger.warning("for anna@example.org")
    assert stream.getvalue() == "for anna@example.org\n"
    assert "anna@example.org" not in recording.logs[0].body


def test_a_queue_of_the_applications_makes_no_second_record(recording: Recording, logger: logging.Logger) -> None:
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    logger.addHandler(logging.handlers.QueueHandler(waiting))
    listener = logging.handlers.QueueListener(waiting, logging.NullHandler())
    listener.start()
    logger.warning("said")
    listener.stop()
    assert len(recording.logs) == 1


def test_arguments_that_do_not_fit(
    recording: Recording, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger.warning("%d poses", "four")
    assert recording.logs[0].body == "%d poses"


def test_a_fault_of_ours_is_nobodys_trouble(
    recording: Recording, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("posemon_otel.operation.log", broken)
    faults.strict = False
    logger.warning("said")
    assert faults.counts["taking a record of the standard logging module"] >= 1


APPLICATION = """
import logging, logging.config, sys
from posemon_otel import operation, std_logging
from tests.support import Recording

recording = Recording()
operation.use(recording)
std_logging.attach()
{body}
print([log.body for log in recording.logs])
"""


def run(body: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", APPLICATION.format(body=body)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip(), done.stderr


def test_without_any_configuration_warnings_still_reach_stderr() -> None:
    assert run("logging.getLogger('x').warning('careful')") == ("['careful']", "careful\n")


def test_basic_config_afterwards_still_works() -> None:
    body = "logging.basicConfig(format='%(levelname)s|%(message)s', level='INFO'); logging.getLogger('x').info('said')"
    assert run(body) == ("['said']", "INFO|said\n")


def test_dict_config_afterwards_does_not_end_it() -> None:
    body = (
        "logging.config.dictConfig({'version': 1, 'root': {'level': 'INFO', 'handlers': []}}); "
        "logging.getLogger('x').info('said')"
    )
    assert run(body)[0] == "['said']"
