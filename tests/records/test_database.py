"""Addresses, transactions, faults: one line each that says what to do."""

import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, text

from posemon_otel import records
from posemon_otel.records import tables, urls
from posemon_otel.records.tables import pose_generations

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "got nothing; set it"),
        ("   ", "got nothing; set it"),
        ("not an address", "something that is no address"),
        ("postgresql://user:secret@host:port/db", "something that is no address"),
        ("mysql://user:secret@host/db", "got mysql://…; only these two"),
        ("prisma+postgres://accelerate?api_key=secret", "got prisma://…; only these two"),
        ("file:./dev.db", "something that is no address"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite://folder/file.db", "write four slashes"),
        ("postgresql://user:secret@host", "no database name"),
    ],
)
def test_addresses_that_cannot_be_used(url, message):
    with pytest.raises(records.DatabaseError) as caught:
        records.connect(url, setting="DATABASE_URL")
    line = str(caught.value)
    assert line.startswith("DATABASE_URL: ")
    assert message in line
    assert "\n" not in line
    assert "secret" not in line


def test_what_prisma_writes_is_understood():
    url = urls.parse(
        "postgres://u:p%40ss@h:6432/app?schema=shop&connection_limit=5&pgbouncer=true&sslmode=require", "DATABASE_URL"
    )
    address, arguments = urls.postgres_arguments(url)
    assert address.render_as_string(hide_password=False) == "postgresql+psycopg://u:p%40ss@h:6432/app?sslmode=require"
    assert arguments == {"connect_timeout": 5, "prepare_threshold": None, "options": '-csearch_path="shop"'}
    plain = urls.parse("postgresql://h/app?schema=public&connect_timeout=2", "X")
    assert urls.postgres_arguments(plain)[1] == {}


def test_a_server_that_is_away():
    engine = records.connect("postgresql://user:secret@127.0.0.1:1/app")
    with pytest.raises(records.DatabaseError, match="expected a reachable database") as caught:
        records.ping(engine)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "postgresql+psycopg://user:***@127.0.0.1:1/app" in str(caught.value)
    engine.dispose()


def test_a_driver_that_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(records.DatabaseError, match=r"pip install 'posemon-otel\[postgres\]'"):
        records.connect("postgresql://h/app")


def test_a_file_that_is_something_else(tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("these are notes, not a database; " * 40)
    engine = records.connect(f"sqlite:///{path}")
    with pytest.raises(records.DatabaseError, match="expected an SQLite file"):
        records.ping(engine)
    engine.dispose()


def test_folders(tmp_path):
    engine = records.connect(f"sqlite:///{tmp_path}/a/b/posemon.db")
    records.ping(engine)
    engine.dispose()
    assert (tmp_path / "a/b/posemon.db").is_file()
    with pytest.raises(records.DatabaseError, match="cannot make the folder"):
        records.connect(f"sqlite:///{tmp_path}/a/b/posemon.db/c/posemon.db")
    folder = records.connect(f"sqlite:///{tmp_path}/a")
    with pytest.raises(records.DatabaseError, match="cannot open the file"):
        records.ping(folder)
    folder.dispose()


def test_a_reader_makes_no_file_and_writes_nothing(tmp_path, url, engine):
    with pytest.raises(records.DatabaseError, match="there is none at"):
        records.connect(f"sqlite:///{tmp_path}/other.db", read_only=True)
    reader = records.connect(url, setting="DATABASE_URL", read_only=True)
    with pytest.raises(records.DatabaseError, match="never writes into it"), records.writing(reader):
        pass
    with pytest.raises(records.DatabaseError, match="readonly"), records.reading(reader) as connection:
        connection.execute(text("DELETE FROM users"))
    reader.dispose()


def test_paths_with_odd_characters(tmp_path):
    url = f"sqlite:///{tmp_path}/a b%25c#é.db"  # in an address a percent sign is %25
    engine = records.connect(url)
    records.upgrade(engine)
    engine.dispose()
    assert (tmp_path / "a b%c#é.db").is_file()
    reader = records.connect(url, read_only=True)
    assert records.check(reader).current
    reader.dispose()


def test_all_connections_in_use(engine, monkeypatch):
    monkeypatch.setattr(engine.pool, "_timeout", 0.05)
    with ExitStack() as held:
        for _ in range(engine.pool.size() + 10):
            held.enter_context(engine.connect())
        with pytest.raises(records.DatabaseError, match="all connections are in use; try again"):
            records.ping(engine)
    records.ping(engine)


def test_a_reader_sees_one_moment(engine):
    def add(key):
        with records.writing(engine) as connection:
            connection.execute(insert(pose_generations), {"id": key, "createdAt": NOW})

    count = select(func.count()).select_from(pose_generations)
    add("a")
    with records.reading(engine) as connection:
        assert connection.execute(count).scalar() == 1
        thread = threading.Thread(target=add, args=("b",))
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        assert connection.execute(count).scalar() == 1
    with records.reading(engine) as connection:
        assert connection.execute(count).scalar() == 2


def test_a_query_that_takes_too_long_is_ended(engine):
    endless = text("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n")
    began = time.monotonic()
    with (
        pytest.raises(records.DatabaseError, match=r"took longer than 0\.2 s"),
        records.reading(engine, seconds=0.2) as connection,
    ):
        connection.execute(endless)
    assert time.monotonic() - began < 5
    records.ping(engine)  # the connection is good again


def test_an_error_inside_leaves_nothing(engine):
    def fail():
        with records.writing(engine) as connection:
            connection.execute(insert(pose_generations), {"id": "a", "createdAt": NOW})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with records.reading(engine) as connection:
        assert connection.execute(select(pose_generations)).all() == []


def test_times_keep_their_milliseconds(engine):
    odd = NOW + timedelta(microseconds=999_999)
    with records.writing(engine) as connection:
        connection.execute(
            insert(pose_generations), {"id": "a", "createdAt": odd, "startedAt": odd.replace(tzinfo=None)}
        )
        row = connection.execute(
            select(pose_generations.c.createdAt, pose_generations.c.startedAt, pose_generations.c.completedAt)
        ).one()
    assert tuple(row) == (NOW + timedelta(milliseconds=999), NOW + timedelta(milliseconds=999), None)


def test_readers_do_not_wait_for_a_writer(engine):
    with records.writing(engine) as connection:
        connection.execute(insert(pose_generations), {"id": "a", "createdAt": NOW})
        began = time.monotonic()
        with records.reading(engine) as other:
            assert other.execute(select(func.count()).select_from(tables.pose_generations)).scalar() == 0
        assert time.monotonic() - began < 2
