"""Every number against a reader of every row, on random histories, in both kinds of database."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from posemon_otel import records
from posemon_otel.records import tables
from tests.records.histories import NOON, PRISMA, History, assert_numbers_agree


@pytest.fixture
def prisma(url):
    """The application's tables in a file, and a connection that may only read."""
    maker = records.connect(url)
    tables.metadata.create_all(maker, tables=PRISMA)
    yield maker
    maker.dispose()


@pytest.mark.parametrize("seed", range(4))
def test_in_our_own_database(engine, seed):
    history = History(seed, ours=True)
    history.insert(engine)
    assert_numbers_agree(engine, history)


@pytest.mark.parametrize("seed", range(4, 7))
def test_in_the_applications_database(prisma, url, seed):
    history = History(seed, ours=False)
    history.insert(prisma)
    reader = records.connect(url, setting="DATABASE_URL", read_only=True)
    assert_numbers_agree(reader, history)
    with pytest.raises(records.DatabaseError, match="application's is never written"):
        records.MetricsService(reader).record_event("generation_started")
    reader.dispose()


def test_an_empty_database_has_zeros_and_gaps(engine):
    service = records.MetricsService(engine)
    start, end = NOON - timedelta(hours=1), NOON
    answer = service.get_system_metrics(start, end)
    assert (answer.total_generations, answer.success_rate, answer.refund_rate, answer.avg_poses_per_generation) == (
        0,
        0,
        0,
        0,
    )
    assert answer.settled_success_rate is None
    assert answer.avg_generation_time is None
    assert answer.warnings == ()
    assert service.get_top_users().users == ()
    assert service.get_popular_poses().poses == ()
    assert service.get_error_analysis().errors == ()
    assert service.latest_generations() == ()
    assert service.timeseries().buckets == ()
    assert len(service.timeseries(start, end).buckets) == 60


def test_the_period_ends_now_unless_it_is_said(engine):
    writer = records.RecordWriter(engine)
    now = datetime.now(UTC)
    writer.write([records.GenerationRow("g", "completed", terminal=True, started_at=now - timedelta(seconds=5))])
    service = records.MetricsService(engine)
    assert service.get_system_metrics().total_generations == 1
    assert service.get_system_metrics(now - timedelta(hours=1)).end_time >= now
    assert service.get_system_metrics(end=now - timedelta(hours=1)).total_generations == 0


def test_times_without_zone_are_utc(engine):
    service = records.MetricsService(engine)
    naive = datetime(2026, 3, 10, 12)
    records.RecordWriter(engine).write([records.GenerationRow("g", "processing", terminal=False, started_at=naive)])
    assert service.latest_generations(1)[0].started_at == NOON
    assert service.get_system_metrics(naive, naive + timedelta(seconds=1)).total_generations == 1
    plus_two = NOON.astimezone(__import__("zoneinfo").ZoneInfo("Europe/Berlin"))
    assert service.get_system_metrics(plus_two, plus_two + timedelta(seconds=1)).total_generations == 1


def test_names_of_users_only_when_asked_for(engine):
    History(1, ours=True).insert(engine)
    service = records.MetricsService(engine)
    assert {(user.name, user.email) for user in service.get_top_users(3).users} == {(None, None)}
    assert {user.email for user in service.get_top_users(3, names=True).users} <= {
        f"u{n}@{host}" for n in (*range(6), 10) for host in ("example.com", "more.example.com")
    } | {"U4@more.example.com"}


def test_top_users_since_a_time(engine):
    history = History(3, ours=True)
    history.insert(engine)
    start = NOON - timedelta(hours=30)
    found = records.MetricsService(engine).get_top_users(10, start).users
    assert [(u.user_id, u.generation_count, u.total_poses, u.success_rate) for u in found] == history.top_users(
        10, start, NOON + timedelta(days=1)
    )
    everything = records.MetricsService(engine).get_top_users(10).users
    assert sum(user.generation_count for user in everything) == len(history.generations)


def test_what_the_source_lacks_is_named(url):
    maker = records.connect(url)
    tables.pose_generations.create(maker)
    service = records.MetricsService(maker)
    assert not service.has_users
    assert service.get_user("u0") is None
    assert service.get_popular_poses().poses is None
    assert "pose_library" in service.get_popular_poses().warnings[0]
    assert "generated_poses" in service.get_error_analysis().warnings[0]
    assert "users" in service.get_top_users(names=True).warnings[0]
    tables.pose_library.create(maker)
    with records.writing(maker) as connection:
        connection.execute(
            tables.pose_library.insert(), {"id": "p", "name": "Kick", "categoryId": "c", "usageCount": 4}
        )
    answer = records.MetricsService(maker).get_popular_poses()
    assert [(pose.name, pose.usage_count, pose.category) for pose in answer.poses] == [("Kick", 4, None)]
    assert "pose_categories" in answer.warnings[0]
    maker.dispose()


def test_a_database_without_generations_says_what_to_do(url):
    empty = records.connect(url)
    with pytest.raises(records.DatabaseError, match="posemon db upgrade"):
        records.MetricsService(empty).get_system_metrics()
    # ... and is asked again once it is mended
    service = records.MetricsService(empty)
    with pytest.raises(records.DatabaseError):
        service.latest_generations()
    records.upgrade(empty)
    assert service.latest_generations() == ()
    empty.dispose()


def test_users(engine):
    service = records.MetricsService(engine)
    records.add_user(engine, "u1", email="a@example.com", password_hash="$2b$12$x", name="A", role="admin")
    records.add_user(engine, "u1", email="a@example.com", password_hash="$2b$12$y", name="A", role="user")
    user = service.get_user_by_email("a@example.com")
    assert (user.id, user.name, user.role, user.password) == ("u1", "A", "user", "$2b$12$y")
    assert "$2b$" not in repr(user)
    assert service.get_user("u1") == user
    assert service.get_user("u2") is None
    assert service.get_user_by_email("A@example.com") is None
    with pytest.raises(records.DatabaseError, match="taken"):
        records.add_user(engine, "u2", email="a@example.com", password_hash="x")


def test_events(engine):
    service = records.MetricsService(engine)
    key = service.record_event("export.done", "g1", "u1", size=3, width=64, prompt="a knight", mail="ada@example.com")
    with records.reading(engine) as connection:
        row = connection.execute(tables.generation_events.select()).one()
    assert (row.id, row.type, row.generation_id, row.user_id) == (key, "export.done", "g1", "u1")
    assert abs((datetime.now(UTC) - row.at).total_seconds()) < 60
    assert row.metadata["pose.data.size"] == 3
    assert (row.metadata["pose.image.width"], row.metadata["pose.prompt.length"]) == (64, 8)
    assert "knight" not in str(row.metadata)
    assert "ada@" not in str(row.metadata)


@pytest.mark.parametrize("limit", [0, -1])
def test_limits_below_one_are_refused(engine, limit):
    service = records.MetricsService(engine)
    for question in (service.get_top_users, service.get_popular_poses, service.latest_generations):
        with pytest.raises(ValueError, match="at least 1"):
            question(limit)


def test_too_many_steps_are_refused(engine):
    service = records.MetricsService(engine)
    with pytest.raises(ValueError, match="take a longer one"):
        service.timeseries(NOON - timedelta(days=365), NOON, timedelta(minutes=1))
    with pytest.raises(ValueError, match="whole seconds"):
        service.timeseries(NOON - timedelta(days=1), NOON, timedelta(milliseconds=5))


def test_the_queue_is_filled_from_outside(engine):
    answer = records.MetricsService(engine).get_system_metrics()
    assert (
        answer.queue_depth,
        answer.queue_waiting,
        answer.queue_active,
        answer.queue_delayed,
        answer.queue_failed,
    ) == (None,) * 5
    assert replace(answer, queue_depth=7).queue_depth == 7


def test_the_index_serves_a_period(engine, url):
    """Cost follows the period: no question about one reads the whole table."""
    History(2, ours=True, generations=20).insert(engine)
    seen = []

    def trace(statement):
        seen.append(statement)

    with records.reading(engine) as connection:
        connection.connection.driver_connection.set_trace_callback(trace)
    service = records.MetricsService(engine)
    service.get_system_metrics(NOON - timedelta(hours=1), NOON)
    service.get_top_users(3, NOON - timedelta(hours=1), NOON)
    service.get_error_analysis(NOON - timedelta(hours=1), NOON)
    service.timeseries(NOON - timedelta(hours=1), NOON)
    service.latest_generations(3)
    with records.reading(engine) as connection:
        connection.connection.driver_connection.set_trace_callback(None)
    queries = [query for query in seen if "FROM pose_generations" in query and "createdAt" in query]
    assert len(queries) > 5
    plain = sqlite3.connect(url.removeprefix("sqlite:///"))
    for query in queries:
        plan = " ".join(row[3] for row in plain.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "SCAN pose_generations" not in plan, (query, plan)
        assert "pose_generations_status_createdAt_idx" in plan, (query, plan)
    plain.close()
