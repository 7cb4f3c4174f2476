"""Rows come twice, late and in any order; the end is the same."""

import threading
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from posemon_otel import records
from posemon_otel.records import EventRow, GenerationRow, PoseRow, tables
from posemon_otel.records.merge import generation_key

T0 = datetime(2026, 3, 10, 12, 0, 0, 123456, tzinfo=UTC)


def at(seconds):
    return T0 + timedelta(seconds=seconds)


def running(attempt=1, start=0, **more):
    return GenerationRow("g", "processing", terminal=False, attempt=attempt, started_at=at(start), **more)


def ended(status="completed", attempt=1, start=0, end=9, **more):
    return GenerationRow(
        "g",
        status,
        terminal=True,
        attempt=attempt,
        started_at=at(start),
        completed_at=at(end),
        poses_completed=4,
        **more,
    )


def killed(attempt=1, start=0, **more):
    row = {"interrupted": True, "error_type": "UNKNOWN_ERROR", **more}
    return GenerationRow(
        "g", "failed", terminal=True, attempt=attempt, started_at=at(start), completed_at=at(start + 5), **row
    )


def dump(engine):
    """All that the writer wrote."""
    with records.reading(engine) as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in (
                tables.pose_generations,
                tables.generation_facts,
                tables.generated_poses,
                tables.pose_facts,
                tables.generation_events,
            )
        }


def empty(engine):
    with records.writing(engine) as connection:
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(table.delete())


def latest(engine):
    (row,) = records.MetricsService(engine).latest_generations()
    return row


def write(engine, *rows):
    records.RecordWriter(engine).write(rows)


def test_a_generation_from_start_to_end(engine):
    write(engine, running(user_id="u1", expected_poses=5, trace_id="ab" * 16, model="m", provider="p"))
    row = latest(engine)
    assert (row.status, row.user_id, row.expected_poses, row.trace_id) == ("processing", "u1", 5, "ab" * 16)
    assert row.created_at == row.started_at == T0.replace(microsecond=123000)
    end = ended(
        "partial", poses_failed=1, credits_charged=150, credits_refunded=30, error_type="FLUX_API_ERROR",
        error_reason="rate_limited", error_message="slow down", avg_generation_time=2.25, total_processing_time=9.0,
        user_id="u1", expected_poses=5, trace_id="ab" * 16, model="m", provider="p",
    )  # fmt: skip
    write(engine, end)
    row = latest(engine)
    assert (row.status, row.poses_completed, row.poses_failed, row.credits_charged, row.credits_refunded) == (
        "partial",
        4,
        1,
        150,
        30,
    )
    assert (row.error_type, row.avg_generation_time, row.total_processing_time, row.attempt) == (
        "FLUX_API_ERROR",
        2.25,
        9.0,
        1,
    )
    assert (row.model, row.provider, row.completed_at) == ("m", "p", at(9).replace(microsecond=123000))
    with records.reading(engine) as connection:
        stored = connection.execute(select(tables.pose_generations)).one()
    assert (stored.progress, stored.errorMessage) == (100, "slow down")


def test_what_the_application_wrote_stays(engine):
    made = {
        "id": "g", "projectId": "p1", "userId": "owner", "generationType": "TEXT_DESCRIPTION", "textPrompt": "a knight",
        "batchSize": 4, "totalExpectedPoses": 4, "creditCharged": 120, "createdAt": at(-60), "queueJobId": "j7",
        "exportFormats": ["png"], "status": "pending",
    }  # fmt: skip
    with records.writing(engine) as connection:
        connection.execute(insert(tables.pose_generations), made)
    write(engine, running(user_id="other", expected_poses=9), ended(credits_charged=0, credits_refunded=30))
    with records.reading(engine) as connection:
        row = connection.execute(select(tables.pose_generations)).mappings().one()
    kept = {**made, "status": "completed", "createdAt": at(-60).replace(microsecond=123000)}
    assert {name: row[name] for name in kept} == kept
    assert row["creditRefunded"] == 30


@pytest.mark.parametrize(
    ("rows", "status", "attempt"),
    [
        ((ended(), running()), "completed", 1),
        ((ended(), killed()), "completed", 1),
        ((ended("failed"), killed()), "failed", 1),
        ((running(), killed()), "failed", 1),
        ((killed(), running(attempt=2, start=20)), "processing", 2),
        ((running(attempt=2, start=20), ended("failed", attempt=1)), "processing", 1),
        ((ended("failed"), ended("completed", attempt=2, start=20, end=30)), "completed", 2),
        ((ended("completed", attempt=1, start=20, end=30), ended("failed", attempt=1)), "completed", 1),
        ((ended("completed"), killed(attempt=2, start=20)), "completed", 1),
        ((ended("completed"), running(attempt=2, start=20), killed(attempt=2, start=20)), "completed", 1),
        ((killed(attempt=2, start=20), ended("partial", attempt=3, start=40, end=50)), "partial", 3),
    ],
)
def test_who_is_right(engine, rows, status, attempt):
    states = []
    for order in permutations(rows):
        empty(engine)
        for row in order:
            write(engine, row)
        states.append(dump(engine))
        shown = latest(engine)
        assert (shown.status, shown.attempt) == (status, attempt), order
    assert all(state == states[0] for state in states)


def test_an_attempt_with_others_to_come_ends_nothing(engine):
    failed = GenerationRow("g", "failed", terminal=False, started_at=T0, completed_at=at(3), error_type="TIMEOUT_ERROR")
    write(engine, running(), failed)
    row = latest(engine)
    assert (row.status, row.completed_at, row.error_type) == ("processing", None, None)
    with records.reading(engine) as connection:
        assert connection.execute(select(tables.generation_facts.c.error_type)).scalar() == "TIMEOUT_ERROR"


_ROWS = st.lists(
    st.builds(
        lambda kind, attempt, start, count: kind(
            attempt, start, user_id="u", expected_poses=4, credits_charged=30 * count, trace_id=str(count)
        ),
        st.sampled_from(
            (
                running,
                killed,
                lambda *a, **k: ended("completed", *a, **k),
                lambda *a, **k: ended("failed", *a, **k),
                lambda *a, **k: ended("partial", *a, **k),
            )
        ),
        st.integers(1, 3),
        st.sampled_from((0, 20)),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=6,
    unique_by=generation_key,  # one attempt has one last word
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=_ROWS, data=st.data())
def test_any_order_with_duplicates_ends_alike(engine, rows, data):
    empty(engine)
    write(engine, *rows)
    once = dump(engine)
    again = data.draw(st.permutations([*rows, *data.draw(st.lists(st.sampled_from(rows), max_size=4))]))
    cut = data.draw(st.integers(0, len(again)))
    empty(engine)
    write(engine, *again[:cut])
    write(engine, *again[cut:])
    assert dump(engine) == once
    write(engine, *rows)
    assert dump(engine) == once
    real = [row for row in rows if row.terminal and not row.interrupted]
    if real and max(rows, key=generation_key).terminal:
        assert latest(engine).status == max(real, key=generation_key).status


def pose(key="p", status="completed", attempt=1, start=0, **more):
    return PoseRow(key, "g", status, attempt=attempt, created_at=at(start), **more)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)), repeats=st.lists(st.integers(0, 5), max_size=4))
def test_poses_in_any_order(engine, order, repeats):
    empty(engine)
    rows = [
        pose("p", "processing"),
        pose("p", "failed", error_type="TIMEOUT_ERROR", error_message="late"),
        pose("p", "completed", attempt=2, start=9, pose_library_id="kick", generation_time=3.5, seed=2**32),
        pose("q", "failed", error_type="STORAGE_ERROR", error_reason="quota", name="Jump", variation_key="v1"),
        pose("q", "processing"),
        pose("r", "completed", seed=2**70, controlnet_weight=float("nan")),
    ]
    for index in (*order, *repeats):
        records.RecordWriter(engine).write(poses=[rows[index]])
    with records.reading(engine) as connection:
        found = connection.execute(
            select(tables.generated_poses, tables.pose_facts.c.error_type, tables.pose_facts.c.attempt)
            .join(tables.pose_facts, tables.pose_facts.c.pose_id == tables.generated_poses.c.id)
            .order_by(tables.generated_poses.c.id)
        ).all()
    assert [(r.id, r.status, r.error_type, r.attempt, r.seedUsed) for r in found] == [
        ("p", "completed", None, 2, 2**32),
        ("q", "failed", "STORAGE_ERROR", 1, None),
        ("r", "completed", None, 1, None),
    ]
    assert (found[0].poseLibraryId, found[0].generationTime, found[0].errorMessage) == ("kick", 3.5, None)
    assert found[2].controlnetWeight is None


def test_one_batch_of_everything_twice(engine):
    generations = [ended()._replace(id=f"g{n}") for n in range(1200)]
    poses = [pose(records.pose_row_id(f"g{n}", 0, variation="v"))._replace(generation_id=f"g{n}") for n in range(1200)]
    events = [EventRow(f"e{n}", "generation_completed", f"g{n}", None, T0, {"n": n}) for n in range(1200)]
    writer = records.RecordWriter(engine)
    writer.write(generations, poses, events)
    once = dump(engine)
    writer.write(generations, poses, events)
    assert dump(engine) == once
    assert [len(rows) for rows in once.values()] == [1200] * 5
    writer.write()
    assert dump(engine) == once


def test_values_that_a_database_would_refuse(engine):
    odd = ended(
        "failed", error_message="nul \0 and half an emoji \ud83d", expected_poses=2**70, poses_failed=-1,
        credits_charged=2**40, avg_generation_time=float("inf"), total_processing_time=float("nan"), user_id="u\0",
    )  # fmt: skip
    metadata = {"n": float("nan"), "t": "a\0\ud800b", "d": {"x": (1, 2**70), 5: T0}, "s": {7}, "o": UTC, "b": True}
    records.RecordWriter(engine).write([odd], events=[EventRow("e", "x", None, None, T0, metadata)])
    (event,) = dump(engine)["generation_events"]
    assert event[-1] == {
        "n": None,
        "t": "a\ufffd?b",
        "d": {"x": [1, str(2**70)], "5": T0.isoformat()},
        "s": [7],
        "o": "UTC",
        "b": True,
    }
    row = latest(engine)
    assert (row.user_id, row.expected_poses, row.poses_failed) == ("u\ufffd", 2**31 - 1, 0)
    assert (row.credits_charged, row.avg_generation_time, row.total_processing_time) == (2**31 - 1, None, None)


def test_ids_of_poses_are_the_same_in_every_attempt_and_each_pose_has_its_own():
    told = [
        {},
        *({"pose_id": pose, "variation": side} for pose in ("p1", "p2", None) for side in ("front", "back")),
        {"pose_id": "front"},
        {"name": "front"},
        {"variation": 1},
        {"variation": "1"},
        {"variation": "\ud800"},
    ]
    ids = [records.pose_row_id("g", 1, **words) for words in told]
    assert len(set(ids)) == len(told)
    assert ids[1:] == [records.pose_row_id("g", 7, **words) for words in told[1:]]  # its place does not matter then
    assert not set(ids) & {records.pose_row_id("h", 1), records.pose_row_id("g", 2), records.pose_row_id("g", 0)}
    assert records.pose_row_id("g", 1) == "19cb34f5-84a7-5730-b998-cc10db3539a0"


def test_a_failed_batch_leaves_nothing(engine):
    bad = EventRow("e", "x", None, None, None, {})
    with pytest.raises(records.DatabaseError, match="NOT NULL"):
        records.RecordWriter(engine).write([ended()], [pose()], [bad])
    assert not any(dump(engine).values())


def test_somebody_elses_database_is_not_written(url):
    other = records.connect(url)
    tables.pose_generations.create(other)
    with pytest.raises(records.DatabaseError, match="was not made by posemon"):
        records.RecordWriter(other).write([ended()])
    other.dispose()


def test_a_database_without_tables_says_what_to_do_and_is_tried_again(url):
    engine = records.connect(url)
    writer = records.RecordWriter(engine)
    with pytest.raises(records.DatabaseError, match="posemon db upgrade"):
        writer.write([ended()])
    records.upgrade(engine)
    writer.write([ended()])
    assert latest(engine).status == "completed"
    engine.dispose()


def test_many_writers_at_once(url, engine):
    """Each with an engine of its own, as processes have; all about the same generations."""
    faults = []

    def work(number):
        own = records.connect(url)
        try:
            for round_number in range(5):
                rows = [running(start=number)._replace(id=f"g{n}") for n in range(20)]
                rows += [ended(start=number)._replace(id=f"g{n}") for n in range(20) if number == 3]
                records.RecordWriter(own).write(rows, [pose(f"p{n}", start=round_number) for n in range(20)])
        except Exception as error:
            faults.append(error)
        finally:
            own.dispose()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    rows = records.MetricsService(engine).latest_generations(100)
    assert [row.status for row in rows] == ["completed"] * 20
    assert {row.created_at for row in rows} == {T0.replace(microsecond=123000)}
