"""record_event and on_event."""

import threading
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

import posemon_otel as posemon
from posemon_otel import _events, clock, entries, events, faults, operation
from posemon_otel.events import Happening
from posemon_otel.semconv import operations as o
from tests.support import Recording

MOMENT = 1_767_323_045_678_000_000
HAPPENING = Happening("generation_started", "g1", "u1", datetime(2026, 1, 2, tzinfo=UTC), {})


def event(recording: Recording) -> entries.Event:
    (made,) = recording.events
    return made


def test_an_event(recording: Recording) -> None:
    clock.use(lambda: MOMENT)
    posemon.record_event("export_generated", "g1", "u1", format="zip", pose_count=4, prompt="private")
    made = event(recording)
    assert UUID(made.id).version == 4
    assert made._replace(id="") == entries.Event(
        "",
        MOMENT,
        b"",
        0,
        0,
        entries.DEFAULT_SCOPE,
        "export_generated",
        "pose.export.generated",
        "g1",
        "u1",
        {"pose.data.format": "zip", "pose.count": 4, "pose.prompt.length": 7},
    )


@pytest.mark.parametrize(("kind", "name"), list(o.EVENT_NAMES.items()))
def test_known_types(recording: Recording, kind: str, name: str) -> None:
    posemon.record_event(kind)
    assert (event(recording).type, event(recording).name) == (kind, name)


@pytest.mark.parametrize("kind", ["shop.credits.bought", "a.b", "my-app.thing_2.x"])
def test_dotted_names_of_ones_own(recording: Recording, kind: str) -> None:
    posemon.record_event(kind)
    assert (event(recording).type, event(recording).name) == (kind, kind)
    assert recording.logs == []


@pytest.mark.parametrize("kind", ["", "bought", "a..b", ".a", "a b.c", 7, None, "x" * 500])
def test_other_types_are_kept_with_one_warning(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    monkeypatch.setattr(_events, "_warned", set())
    posemon.record_event(kind)
    posemon.record_event(kind)
    assert {made.name for made in recording.events} == {"pose.event"}
    assert {made.type for made in recording.events} == {str(kind)[:128]}
    (warning,) = recording.said("WARN")
    assert "expected one of generation_started, generation_completed" in warning.body


def test_ids_come_from_the_running_generation(recording: Recording) -> None:
    with posemon.generation("g1", user_id="u1") as gen, gen.pose(), posemon.performance_tracker.measure("x") as inner:
        posemon.record_event("recovery_triggered")
        posemon.record_event("recovery_triggered", "g2", "u2")
    first, second = recording.events
    assert (first.generation_id, first.user_id) == ("g1", "u1")
    assert (second.generation_id, second.user_id) == ("g2", "u2")
    assert first.span_id == inner.span.get_span_context().span_id
    assert first.trace_id == inner.span.get_span_context().trace_id.to_bytes(16, "big")


def test_outside_there_are_no_ids(recording: Recording) -> None:
    posemon.record_event("recovery_triggered")
    assert (event(recording).generation_id, event(recording).user_id) == (None, None)


def test_metadata_may_be_called_anything(recording: Recording) -> None:
    posemon.record_event("a.b", None, None, kind=1, metadata=2, self=3, width=512)
    assert event(recording).attributes == {
        "pose.data.kind": 1,
        "pose.data.metadata": 2,
        "pose.data.self": 3,
        "pose.image.width": 512,
    }


def test_before_configure() -> None:
    operation.use(None)
    posemon.record_event("generation_started", "g1")


def test_a_broken_sink_is_nobodys_trouble() -> None:
    class Broken(Recording):
        def event(self, event: entries.Event) -> None:
            raise OSError("full")

    operation.use(Broken())
    faults.strict = False
    posemon.record_event("generation_started", "g1")
    assert faults.counts["recording an event"] >= 1


def test_callbacks_hear_in_order_until_they_are_taken_away() -> None:
    heard: list[tuple[str, Happening]] = []
    remove = posemon.on_event(lambda happening: heard.append(("first", happening)))
    posemon.on_event(lambda happening: heard.append(("second", happening)))
    assert events.listening()
    events.dispatch(HAPPENING)
    remove()
    remove()
    events.dispatch(HAPPENING)
    assert heard == [("first", HAPPENING), ("second", HAPPENING), ("second", HAPPENING)]


def test_one_callback_twice_hears_twice() -> None:
    heard: list[Happening] = []
    remove = posemon.on_event(heard.append)
    posemon.on_event(heard.append)
    events.dispatch(HAPPENING)
    remove()
    events.dispatch(HAPPENING)
    assert len(heard) == 3


def test_nobody_listens() -> None:
    assert not events.listening()
    events.dispatch(HAPPENING)


@pytest.mark.parametrize("raised", [ValueError("bad"), SystemExit(1), KeyboardInterrupt()])
def test_a_callback_that_raises_is_counted_and_the_others_hear(raised: BaseException) -> None:
    heard: list[Happening] = []

    def failing(_: Happening) -> None:
        raise raised

    posemon.on_event(failing)
    posemon.on_event(heard.append)
    faults.strict = False
    before = dict(faults.counts)
    events.dispatch(HAPPENING)
    assert heard == [HAPPENING]
    (where,) = [place for place, count in faults.counts.items() if count != before.get(place, 0)]
    assert where.startswith(f"the on_event callback {__name__}.test_a_callback_that_raises")


def test_a_callback_may_take_itself_away_or_add_another() -> None:
    heard: list[str] = []

    def once(_: Happening) -> None:
        heard.append("once")
        remove()
        posemon.on_event(lambda _: heard.append("later"))

    remove = posemon.on_event(once)
    events.dispatch(HAPPENING)
    events.dispatch(HAPPENING)
    assert heard == ["once", "later"]


def test_registration_from_many_threads() -> None:
    heard: list[int] = []

    def register(number: int) -> None:
        remove = posemon.on_event(lambda _: heard.append(number))
        if number % 2:
            remove()

    threads = [threading.Thread(target=register, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    events.dispatch(HAPPENING)
    assert sorted(heard) == list(range(0, 20, 2))
