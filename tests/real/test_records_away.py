"""Rows on a real PostgreSQL that is away, locked, slow, hanging, or refuses a row."""

import os
import secrets
import signal
import time

import pytest
from sqlalchemy import make_url

import posemon_otel as posemon
from posemon_otel.delivery import drops, quarantine
from posemon_otel.records import database as db
from tests.delivery.test_records import NONE, QUIET, fresh, generate, lines, until  # noqa: F401 - a fixture

psycopg = pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'posemon-otel[postgres]'")
from tests.real.test_records_postgres import database, engine, server  # noqa: E402, F401 - fixtures


@pytest.fixture
def url(database, engine):  # noqa: F811 - the fixtures
    """A database with our tables."""
    return database.format(user="postgres")


@pytest.fixture
def direct(url):
    """A connection past everything of ours."""
    with psycopg.connect(url.partition("&schema")[0], autocommit=True) as connection:
        yield connection


def configure(url, folder):
    return posemon.configure("worker", database_url=url, journal_dir=str(folder / "journal"), **(NONE | QUIET))


def ids(connection):
    return [row[0] for row in connection.execute("select id from pose_generations order by id")]


def test_a_lock_delays_rows(tmp_path, url, direct, fresh, caplog, monkeypatch):  # noqa: F811
    monkeypatch.setattr(db, "LOCK_SECONDS", 0.3)
    handle = configure(url, tmp_path)
    with direct.transaction():
        direct.execute("lock table pose_generations in access exclusive mode")
        began = time.monotonic()
        generate("g1", "g2")
        assert time.monotonic() - began < 0.5
        assert handle.force_flush(0.5) is False
        until(lambda: lines(caplog))
        assert "lock timeout" in lines(caplog)[0]
    assert handle.force_flush(20.0)
    assert ids(direct) == ["g1", "g2"]
    until(lambda: len(lines(caplog)) == 2)


def test_a_slow_statement_is_ended_and_tried_again(tmp_path, url, direct, fresh, caplog, monkeypatch):  # noqa: F811
    monkeypatch.setitem(db.writing.__wrapped__.__kwdefaults__, "seconds", 0.3)
    direct.execute(
        "create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(3); return new; end';"
        "create trigger slow before insert on pose_generations for each row execute function slow()"
    )
    handle = configure(url, tmp_path)
    generate("g1")
    assert handle.force_flush(0.8) is False
    until(lambda: lines(caplog))
    assert "took longer than" in lines(caplog)[0]
    direct.execute("drop trigger slow on pose_generations")
    assert handle.force_flush(20.0)
    assert ids(direct) == ["g1"]


def test_a_server_that_throws_everybody_out_and_lets_nobody_in(tmp_path, url, server, fresh, caplog):  # noqa: F811
    handle = configure(url, tmp_path)
    generate("g1")
    assert handle.force_flush(20.0)
    name = make_url(url).database
    with psycopg.connect(f"host={server} user=postgres dbname=postgres", autocommit=True) as admin:
        admin.execute(f'alter database "{name}" allow_connections false')
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        generate("g2", "g3")
        assert handle.force_flush(0.5) is False
        until(lambda: lines(caplog))
        assert "not currently accepting connections" in lines(caplog)[0]
        admin.execute(f'alter database "{name}" allow_connections true')
    assert handle.force_flush(20.0)
    with psycopg.connect(url.partition("&schema")[0]) as connection:
        assert ids(connection) == ["g1", "g2", "g3"]


def test_a_server_that_hangs_holds_nobody(tmp_path, url, direct, fresh):  # noqa: F811
    handle = configure(url, tmp_path)
    generate("g1")
    assert handle.force_flush(20.0)
    mine = direct.info.backend_pid
    others = direct.execute("select pid from pg_stat_activity where datname = current_database()").fetchall()
    stopped = [pid for (pid,) in others if pid != mine]
    assert stopped
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        generate("g2")
        assert time.monotonic() - began < 0.5
        assert handle.force_flush(0.5) is False
        assert time.monotonic() - began < 1.2
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert handle.force_flush(20.0)
    assert ids(direct) == ["g1", "g2"]


def test_a_row_that_only_postgresql_refuses_is_set_aside(tmp_path, url, direct, fresh):  # noqa: F811
    handle = configure(url, tmp_path)
    with direct.transaction():
        direct.execute("lock table pose_generations in access exclusive mode")
        generate(*(f"g{number:02}" for number in range(20)))
        with posemon.generation("too-large", user_id=secrets.token_urlsafe(9000)):  # for the index on users
            pass
        with posemon.generation("nul\0inside"):
            pass
        generate(*(f"h{number:02}" for number in range(20)))
    assert handle.force_flush(20.0)
    assert ids(direct) == sorted(
        [f"{letter}{number:02}" for letter in "gh" for number in range(20)] + ["nul\ufffdinside"]
    )
    (aside,) = quarantine.quarantined(handle.pipeline._journal.journal().folder, "records")
    assert "index row" in aside.status
    assert drops.counts() == {("records", "rejected"): 1}
