"""The database side on a real PostgreSQL: our own tables, and the application's through a role that may only read.

Not part of the default run; ``python -m pytest tests/real/test_records_postgres.py``. The server's binaries are looked
for in PATH and where Debian puts them; as root the server runs as the user ``postgres``.
"""

import os
import shutil
import subprocess
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text

from posemon_otel import records
from posemon_otel.records import sample, tables
from tests.records.histories import History, assert_numbers_agree

psycopg = pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'posemon-otel[postgres]'")

PRISMA = """
CREATE TABLE users (
  id text PRIMARY KEY, email text NOT NULL UNIQUE, password text NOT NULL, name text,
  role text NOT NULL DEFAULT 'user', "accountType" text NOT NULL DEFAULT 'payg',
  "subscriptionTier" text NOT NULL DEFAULT 'free',
  "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" timestamp(3) NOT NULL);
CREATE TABLE pose_categories (
  id text PRIMARY KEY, name text NOT NULL, "displayName" text NOT NULL, description text, slug text NOT NULL UNIQUE,
  "parentId" text REFERENCES pose_categories(id) ON DELETE CASCADE, "isActive" boolean NOT NULL DEFAULT true,
  "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" timestamp(3) NOT NULL);
CREATE TABLE pose_library (
  id text PRIMARY KEY, name text NOT NULL, description text,
  "categoryId" text NOT NULL REFERENCES pose_categories(id) ON DELETE RESTRICT, "previewImageUrl" text NOT NULL,
  "referenceImageUrl" text NOT NULL, "controlnetImageUrl" text NOT NULL, difficulty text NOT NULL DEFAULT 'medium',
  tags text[], "usageCount" integer NOT NULL DEFAULT 0, "favoriteCount" integer NOT NULL DEFAULT 0,
  "isPublic" boolean NOT NULL DEFAULT true, "isFeatured" boolean NOT NULL DEFAULT false,
  "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" timestamp(3) NOT NULL,
  UNIQUE ("categoryId", name));
CREATE TABLE pose_generations (
  id text PRIMARY KEY, "projectId" text NOT NULL, "userId" text NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  "generationType" text NOT NULL, "textPrompt" text, "avatarId" text, "avatarAttributes" text,
  "batchSize" integer NOT NULL, "totalExpectedPoses" integer NOT NULL,
  "useBackgroundChanger" boolean NOT NULL DEFAULT false, "exportFormats" text[],
  status text NOT NULL DEFAULT 'pending', progress integer NOT NULL DEFAULT 0,
  "posesCompleted" integer NOT NULL DEFAULT 0, "posesFailed" integer NOT NULL DEFAULT 0,
  "creditCharged" integer NOT NULL, "creditRefunded" integer NOT NULL DEFAULT 0, "queueJobId" text,
  "errorMessage" text, "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "startedAt" timestamp(3),
  "completedAt" timestamp(3), "avgGenerationTime" double precision, "totalProcessingTime" double precision,
  "recoveryAttempts" integer NOT NULL DEFAULT 0, "lastRecoveryAt" timestamp(3));
CREATE INDEX "pose_generations_userId_createdAt_idx" ON pose_generations ("userId", "createdAt" DESC);
CREATE INDEX "pose_generations_status_createdAt_idx" ON pose_generations (status, "createdAt");
CREATE TABLE generated_poses (
  id text PRIMARY KEY, "generationId" text NOT NULL REFERENCES pose_generations(id) ON DELETE CASCADE,
  "poseLibraryId" text REFERENCES pose_library(id) ON DELETE SET NULL, "outputImageUrl" text NOT NULL,
  "thumbnailUrl" text NOT NULL, "promptUsed" text NOT NULL, "seedUsed" integer,
  "controlnetWeight" double precision NOT NULL DEFAULT 0.75, "generationTime" double precision,
  status text NOT NULL DEFAULT 'completed', "errorMessage" text, "variationKey" text,
  "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, UNIQUE ("generationId", "variationKey"));
CREATE INDEX "generated_poses_generationId_idx" ON generated_poses ("generationId");
CREATE ROLE reader LOGIN;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
"""
"""The production layout; only indexes that no question needs are left out."""

T0 = datetime(2026, 3, 10, 12, tzinfo=UTC)


def _binaries():
    found = [
        path
        for path in (shutil.which("pg_ctl"), *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))))
        if path
    ]
    return Path(found[-1]).parent if found else None


@pytest.fixture(scope="module")
def server():
    """A server of its own, on a Unix socket; the folder that holds it."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's server binaries (initdb, pg_ctl) are missing: install the package postgresql")
    as_other = []
    # pytest's own folders are closed to the other user, and closed again by every new run.
    folder = Path(tempfile.mkdtemp(prefix="posemon-pg-"))
    if os.geteuid() == 0:
        as_other = ["runuser", "-u", "postgres", "--"]
        try:
            shutil.chown(folder, "postgres")
        except LookupError:
            folder.rmdir()
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")

    def call(program, *arguments):
        command = [*as_other, str(binaries / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60, cwd="/")

    call("initdb", "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
    options = f"-k {folder} -h '' -c fsync=off -c timezone=Asia/Tokyo -c max_connections=40"
    call("pg_ctl", "-o", options, "-l", str(folder / "log"), "-w", "start")
    yield folder
    call("pg_ctl", "-m", "immediate", "-w", "stop")
    shutil.rmtree(folder)


@pytest.fixture
def database(server, request):
    """A database for one test; its URL, with the user to fill in."""
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name.lower())
    with psycopg.connect(f"host={server} user=postgres dbname=postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"postgresql://{{user}}@/{name}?host={server}&schema=public&connection_limit=5"


@pytest.fixture
def engine(database):
    engine = records.connect(database.format(user="postgres"))
    records.upgrade(engine)
    yield engine
    engine.dispose()


def test_the_migrations(database):
    engine = records.connect(database.format(user="postgres"))
    assert records.check(engine).state == "empty"
    threads = [threading.Thread(target=records.upgrade, args=(engine,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert records.check(engine).current
    with records.reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    engine.dispose()


@pytest.mark.parametrize("seed", range(3))
def test_numbers_of_our_own(engine, seed):
    history = History(seed, ours=True)
    history.insert(engine)
    assert_numbers_agree(engine, history)


@pytest.mark.parametrize("seed", range(3, 6))
def test_numbers_of_the_application_by_a_role_that_may_only_read(database, seed):
    maker = records.connect(database.format(user="postgres"))
    with records.writing(maker) as connection:
        connection.execute(text(PRISMA) if seed == 3 else text(PRISMA.replace("CREATE ROLE reader LOGIN;", "")))
    history = History(seed, ours=False)
    history.insert(maker)
    state = records.check(maker)
    assert state.state == "foreign"
    with pytest.raises(records.DatabaseError, match="was not made by posemon"):
        records.upgrade(maker)
    maker.dispose()
    reader = records.connect(database.format(user="reader"), setting="DATABASE_URL", read_only=True)
    assert_numbers_agree(reader, history)
    with pytest.raises(records.DatabaseError, match="read-only transaction"), records.reading(reader) as connection:
        connection.execute(text("DELETE FROM users"))
    reader.dispose()


def test_rows_in_any_order_by_many_writers(engine, database):
    faults = []

    def row(key, status, start, **more):
        began = T0 + timedelta(seconds=start)
        return records.GenerationRow(key, status, started_at=began, **more)

    def work(number):
        own = records.connect(database.format(user="postgres"))
        try:
            for _ in range(5):
                rows = [row(f"g{n}", "processing", number, terminal=False) for n in range(20)]
                if number == 2:
                    rows += [row(f"g{n}", "completed", 9, terminal=True, attempt=2) for n in range(20)]
                poses = [records.PoseRow(f"p{n}", f"g{n}", "completed", seed=2**40) for n in range(20)]
                events = [records.EventRow(f"e{n}", "x", None, None, T0, {"text": "a\0b"}) for n in range(20)]
                records.RecordWriter(own).write(rows[:: -1 if number % 2 else 1], poses, events)
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
    assert [(row.status, row.attempt, row.created_at) for row in rows] == [("completed", 2, T0)] * 20


def test_the_sample_history(engine):
    now = datetime.now(UTC)
    summary = sample.write_sample(engine, now=now)
    service = records.MetricsService(engine)
    assert service.get_system_metrics(None, now).total_generations == summary.generations
    assert summary.end < now
    sample.remove_sample(engine)
    assert service.get_system_metrics(None, now).total_generations == 0


def test_text_lists_and_local_time(engine):
    with records.writing(engine) as connection:
        row = {"id": "g", "createdAt": T0 + timedelta(microseconds=1900), "exportFormats": ["png", "zip"]}
        connection.execute(insert(tables.pose_generations), row)
    with records.reading(engine) as connection:
        table = tables.pose_generations.c
        stored = connection.execute(select(table.createdAt, table.exportFormats)).one()
        raw = connection.execute(text('SELECT "createdAt"::text FROM pose_generations')).scalar()
    assert (stored.createdAt, stored.exportFormats) == (T0 + timedelta(milliseconds=1), ["png", "zip"])
    assert raw == "2026-03-10 12:00:00.001"


def test_one_moment_and_a_limit_to_its_length(engine):
    writer = records.RecordWriter(engine)
    count = text("SELECT count(*) FROM pose_generations")
    with records.reading(engine) as connection:
        assert connection.execute(count).scalar() == 0
        writer.write([records.GenerationRow("g", "completed", terminal=True, started_at=T0)])
        assert connection.execute(count).scalar() == 0
    with (
        pytest.raises(records.DatabaseError, match=r"took longer than 0\.2 s"),
        records.reading(engine, seconds=0.2) as connection,
    ):
        connection.execute(text("SELECT pg_sleep(20)"))
    with records.reading(engine) as connection:
        assert connection.execute(count).scalar() == 1


def test_a_missing_right_and_a_missing_database(server, database):
    maker = records.connect(database.format(user="postgres"))
    with records.writing(maker) as connection:
        connection.execute(text("CREATE ROLE nobody LOGIN"))
    tables.pose_generations.create(maker)
    maker.dispose()
    nobody = records.connect(database.format(user="nobody"), setting="DATABASE_URL", read_only=True)
    with pytest.raises(records.DatabaseError, match="permission denied for table pose_generations; grant the right"):
        records.MetricsService(nobody).latest_generations()
    nobody.dispose()
    missing = records.connect(f"postgresql://postgres@/missing?host={server}", setting="DATABASE_URL")
    with pytest.raises(records.DatabaseError, match=r'^DATABASE_URL: .*"missing" does not exist'):
        records.ping(missing)
    missing.dispose()
