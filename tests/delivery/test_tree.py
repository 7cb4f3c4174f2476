"""A trace as a tree for people: ``POSEMON_VIEW=tree`` in any worker, and the drawing itself."""

import re

import pytest

import posemon_otel as posemon
from posemon_otel import testing
from posemon_otel.delivery.tree import draw
from tests.support import Recording


def work(tick=lambda _seconds: None):
    with posemon.generation("g1", user_id="u1", expected_poses=2) as generation:
        with generation.pose("p1", name="Warrior"), posemon.flux_call("flux-dev", provider="bfl", steps=28):
            tick(1.5)
        with (
            pytest.raises(TimeoutError),
            generation.pose("p2", name="Tree"),
            posemon.flux_call("flux-dev", provider="bfl"),
        ):
            tick(0.25)
            raise TimeoutError("no answer")


def test_every_finished_generation_is_printed(capfd):
    with testing.capture(view="tree", disabled_instrumentations=("*",)) as captured:
        work(captured.clock.tick)
        assert captured.pipeline.shipper.flush(10)
    lines = capfd.readouterr().err.splitlines()
    assert re.fullmatch(r"trace [0-9a-f]{32}", lines[0])
    plain = [" ".join(line.replace("█", "").split()) for line in lines[1:]]
    assert plain == [
        "pose.generation 1.75 s generation_id=g1 status=partial provider=bfl",
        "├─ pose.render 1.50 s pose_name=Warrior provider=bfl",
        "│ └─ generate_content flux-dev 1.50 s provider=bfl steps=28",
        "└─ pose.render 250.0 ms ✗ TIMEOUT_ERROR timeout pose_name=Tree provider=bfl",
        "└─ generate_content flux-dev 250.0 ms ✗ TIMEOUT_ERROR timeout provider=bfl",
    ]


def test_colours_only_where_asked(recording: Recording):
    work()
    assert "\x1b[" not in draw(recording.finishes, colour=False)
    coloured = draw(recording.finishes, colour=True)
    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[[0-9]*m", "", coloured) == draw(recording.finishes, colour=False)


def test_a_trace_without_its_root_and_an_empty_one(recording: Recording):
    work()
    orphans = [finish for finish in recording.finishes if finish.kind != "generation"]
    assert draw(orphans, colour=False).count("pose.render") == 2
    assert draw([], colour=False) == ""
