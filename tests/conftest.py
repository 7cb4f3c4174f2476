"""What every test gets: faults of ours are raised, and process-wide state is put back."""

import os
from collections.abc import Generator, Iterator
from typing import cast, get_args

import pytest

from posemon_otel import clock, events, faults, operation, settings, testing
from posemon_otel.tracker import performance_tracker
from tests.support import Recording

faults.strict = True

# Taken out of the environment, where a `POSEMON_` variable that is no setting is reported.
SINK = os.environ.pop("POSEMON_TEST_SINK", testing.default_sink)
if SINK not in get_args(testing.Sink):
    raise pytest.UsageError(f"POSEMON_TEST_SINK: expected {' or '.join(get_args(testing.Sink))}, got {SINK!r}")
testing.default_sink = cast("testing.Sink", SINK)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Makes what a test has printed fit for the wire between test processes: half an emoji is among our test data."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(autouse=True)
def _process_state() -> Iterator[None]:
    """Puts back what a test has changed; what fixtures of a wider scope have set stays."""
    chosen, sink, clocks = settings._current, operation.sink(), (clock.wall_ns, clock.monotonic_ns)
    callbacks, strict = list(events._callbacks), faults.strict
    yield
    settings.use(chosen)
    operation.use(sink)
    clock.use(*clocks)
    events._callbacks[:] = callbacks
    faults.strict = strict


@pytest.fixture
def recording() -> Iterator[Recording]:
    """A sink in memory, in use for the length of the test."""
    sink, before = Recording(), operation.sink()
    operation.use(sink)
    performance_tracker.reset()
    yield sink
    operation.use(before)
    performance_tracker.reset()
