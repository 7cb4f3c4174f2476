"""Our own database from nothing to the newest revision, and what is not ours left alone."""

import subprocess
import sys
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from posemon_otel import records
from posemon_otel.records import tables
from posemon_otel.records.migrations import revisions


@pytest.fixture
def bare(url):
    engine = records.connect(url)
    yield engine
    engine.dispose()


def execute(engine, *statements):
    with records.writing(engine) as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_up_from_nothing(bare):
    before = records.check(bare)
    assert (before.state, before.current, before.revision) == ("empty", False, None)
    assert before.problem == "there are no tables yet: run `posemon db upgrade`"
    assert records.upgrade(bare) == before
    after = records.check(bare)
    assert (after.state, after.current, after.revision, after.problem) == ("current", True, revisions()[0], None)
    assert records.upgrade(bare) == after
    with records.reading(bare) as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
        assert set(inspect(connection).get_table_names()) == {*tables.metadata.tables, "alembic_version"}


def test_a_stale_database_says_so_and_is_upgraded(bare, monkeypatch):
    records.upgrade(bare)
    from posemon_otel.records import migrations

    newest = revisions()[0]
    monkeypatch.setattr(migrations, "revisions", lambda: ("posemon_9999", newest))
    state = records.check(bare)
    assert (state.state, state.revision, state.head) == ("stale", newest, "posemon_9999")
    assert state.problem == f"it is at revision {newest}: run `posemon db upgrade`"
    with pytest.raises(records.DatabaseError, match="posemon db upgrade"):
        records.RecordWriter(bare).write()
    with pytest.raises(records.DatabaseError, match="posemon db upgrade"):
        records.MetricsService(bare).latest_generations()


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (["CREATE TABLE users (id TEXT)"], "its table users was not made by posemon"),
        (
            ["CREATE TABLE alembic_version (version_num TEXT)", "INSERT INTO alembic_version VALUES ('3f2a')"],
            "its revision 3f2a is not of this version",
        ),
    ],
)
def test_what_is_not_ours_is_left_alone(bare, statements, problem):
    execute(bare, *statements)
    state = records.check(bare)
    assert state.state == "foreign"
    assert problem in state.problem
    with pytest.raises(records.DatabaseError, match=problem):
        records.upgrade(bare)
    with records.reading(bare) as connection:
        assert len(inspect(connection).get_table_names()) == 1


def test_other_tables_do_not_disturb(bare):
    execute(bare, "CREATE TABLE something_else (id TEXT)")
    assert records.check(bare).state == "empty"
    records.upgrade(bare)
    assert records.check(bare).current


def test_an_upgrade_that_was_broken_off_before_its_first_table(bare):
    execute(bare, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    assert records.check(bare).state == "empty"
    records.upgrade(bare)
    assert records.check(bare).current


def test_several_at_once(url):
    """Workers that start together upgrade together; the second finds it done."""
    engines = [records.connect(url) for _ in range(4)]
    found = []
    threads = [threading.Thread(target=lambda e=engine: found.append(records.upgrade(e).state)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for engine in engines:
        engine.dispose()
    assert sorted(found) == ["current", "current", "current", "empty"]


def test_a_failed_upgrade_leaves_nothing(bare, monkeypatch):
    from alembic import command

    def fail(config, revision):
        config.attributes["connection"].execute(text("CREATE TABLE half_done (id TEXT)"))
        raise RuntimeError

    monkeypatch.setattr(command, "upgrade", fail)
    with pytest.raises(RuntimeError):
        records.upgrade(bare)
    with records.reading(bare) as connection:
        assert inspect(connection).get_table_names() == []


def test_the_migrations_are_packaged_and_need_no_working_directory(tmp_path):
    code = (
        "import sys; from posemon_otel import records; e = records.connect(sys.argv[1]); records.upgrade(e);"
        "print(records.check(e).state); e.dispose()"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, f"sqlite:///{tmp_path}/x.db"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("current\n", "", 0)


def test_no_opentelemetry_and_no_http():
    code = (
        "import sys, posemon_otel.records, posemon_otel.records.sample, posemon_otel.health as h;"
        "print(sorted(m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'starlette', 'uvicorn'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_a_missing_library_is_named():
    code = "import sys; sys.modules['alembic'] = None\nimport posemon_otel.records"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "pip install 'posemon-otel[admin]'" in done.stderr.splitlines()[-1]
