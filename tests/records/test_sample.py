"""A month of history: marked, ended before now, whole in every number, and gone at once."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from posemon_otel import records
from posemon_otel.records import sample, tables
from posemon_otel.semconv.errors import VALID_REASONS, ErrorType
from posemon_otel.semconv.operations import TERMINAL_STATUSES

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def rows(engine, table):
    with records.reading(engine) as connection:
        return connection.execute(select(table)).mappings().all()


def test_a_month(engine):
    summary = sample.write_sample(engine, now=NOW)
    generations = rows(engine, tables.pose_generations)
    assert 3000 < summary.generations == len(generations) < 6000
    assert summary.poses == len(rows(engine, tables.generated_poses)) == len(rows(engine, tables.pose_facts))
    assert {row["id"] for row in generations} == {
        row["generation_id"] for row in rows(engine, tables.sample_generations)
    }
    assert {row["id"] for row in generations} == {row["generation_id"] for row in rows(engine, tables.generation_facts)}

    times = [row[name] for row in generations for name in ("createdAt", "startedAt", "completedAt") if row[name]]
    assert summary.end == max(times) < NOW - sample.ENDS_BEFORE
    assert NOW - sample.ENDS_BEFORE - timedelta(days=30) < summary.start == min(times)
    hours = [row["createdAt"].hour for row in generations]
    night, day = (sum(hour in span for hour in hours) for span in (range(2, 7), range(14, 19)))
    assert day > 3 * night

    assert {*TERMINAL_STATUSES, "pending"} == set(summary.by_status)
    for row in generations:
        if row["status"] in TERMINAL_STATUSES:
            assert row["createdAt"] < row["startedAt"] < row["completedAt"]
            assert row["posesCompleted"] + row["posesFailed"] == row["totalExpectedPoses"]
            assert 0 <= row["creditRefunded"] <= row["creditCharged"]
    causes = {(row["error_type"], row["error_reason"]) for row in rows(engine, tables.pose_facts) if row["error_type"]}
    assert {kind for kind, _ in causes} == set(ErrorType)
    assert all(reason in VALID_REASONS[ErrorType(kind)] for kind, reason in causes)

    service = records.MetricsService(engine)
    numbers = service.get_system_metrics(None, NOW)
    assert numbers.total_generations == summary.generations
    assert numbers.active_generations == 0
    assert 85 < numbers.settled_success_rate < 99
    assert 0 < numbers.refund_rate < 15
    assert {e.error_type for e in service.get_error_analysis(None, NOW).errors} == set(ErrorType)
    assert len({row["model"] for row in rows(engine, tables.generation_facts) if row["model"]}) == 3
    assert all(row.sample for row in service.latest_generations(5))
    popular = service.get_popular_poses(100).poses
    assert len(popular) == len(sample.LIBRARY)
    assert sum(pose.usage_count for pose in popular) == summary.poses
    assert {pose.category for pose in popular} == {pose.category for pose in sample.LIBRARY}
    assert all(service.get_user(user.user_id).password == "!" for user in service.get_top_users(100).users)


def test_the_same_seed_is_the_same_history_and_another_replaces_it(engine):
    first = sample.write_sample(engine, now=NOW, days=3, seed=5)
    before = rows(engine, tables.pose_generations)
    assert sample.write_sample(engine, now=NOW, days=3, seed=5) == first
    assert rows(engine, tables.pose_generations) == before
    other = sample.write_sample(engine, now=NOW + timedelta(hours=1), days=3, seed=6)
    assert other != first
    assert len(rows(engine, tables.pose_generations)) == other.generations
    assert len(rows(engine, tables.pose_facts)) == other.poses


def test_it_goes_and_the_rest_stays(engine):
    mine = [sample.LibraryPose("mine", "Mine", "own")]
    sample.add_library(engine, mine)
    records.add_user(engine, "admin", email="a@example.com", password_hash="x", role="admin")
    ended = records.GenerationRow(
        "real", "completed", terminal=True, started_at=NOW, completed_at=NOW, poses_completed=1
    )
    pose = records.PoseRow("pose", "real", "completed", pose_library_id="mine")
    records.RecordWriter(engine).write([ended], [pose])
    sample.write_sample(engine, now=NOW, days=2, library=mine)
    service = records.MetricsService(engine)
    assert not service.latest_generations(1)[0].sample
    assert service.get_system_metrics(None, NOW).total_generations > 20
    sample.remove_sample(engine)
    assert [row.id for row in service.latest_generations(5)] == ["real"]
    assert [(pose.pose_id, pose.usage_count) for pose in service.get_popular_poses(5).poses] == [("mine", 1)]
    assert [row["id"] for row in rows(engine, tables.users)] == ["admin"]
    with records.reading(engine) as connection:
        left = select(func.count()).select_from(tables.generation_facts)
        assert connection.execute(left).scalar() == 1
