"""Rows under fault: a database that is away, slow or locked delays them; one that refuses a row gets the others."""

import sqlite3
import threading
import time

import pytest
from sqlalchemy import text

import posemon_otel as posemon
from posemon_otel import bootstrap, records
from posemon_otel.delivery import drops, quarantine, quiet
from posemon_otel.delivery import globals as otel_globals
from posemon_otel.delivery.records import Blame, Records, blame_of
from posemon_otel.journal import Journal, Writer
from posemon_otel.records import database
from tests.delivery.test_metrics import run

NONE = {"traces_exporter": "none", "metrics_exporter": "none", "logs_exporter": "none"}
QUIET = {"ship_interval": 0.05, "log_format": "none", "disabled_instrumentations": ("*",)}


@pytest.fixture
def fresh():
    drops.reset()
    quiet.reset()
    with otel_globals.set_aside():
        yield
        handle = bootstrap.handle()
        if handle is not None:
            handle.shutdown(2.0)
    drops.reset()
    quiet.reset()


@pytest.fixture
def path(tmp_path):
    """A database with our tables."""
    path = tmp_path / "rows.db"
    engine = records.connect(f"sqlite:///{path}")
    records.upgrade(engine)
    engine.dispose()
    return path


def configure(path, folder, **more):
    return posemon.configure(
        "worker", database_url=f"sqlite:///{path}", journal_dir=str(folder / "journal"), **(NONE | QUIET | more)
    )


def generate(*names):
    for name in names:
        with posemon.generation(name):
            pass


def ids(path):
    connection = sqlite3.connect(path)
    try:
        return [row[0] for row in connection.execute("select id from pose_generations order by id")]
    finally:
        connection.close()


def lines(caplog):
    return [record.message for record in caplog.records if record.message.startswith("records ")]


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


# Delays


def test_a_locked_database_delays_rows_and_not_the_worker(tmp_path, path, fresh, caplog, monkeypatch):
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.2)
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("begin exclusive")
    handle = configure(path, tmp_path)
    slowest = 0.0
    for number in range(50):
        began = time.monotonic()
        generate(f"g{number:02}")
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1.0
    began = time.monotonic()
    assert handle.force_flush(0.5) is False
    assert time.monotonic() - began < 0.9
    until(lambda: lines(caplog))
    assert "database is locked" in lines(caplog)[0]
    assert str(path) in lines(caplog)[0]
    lock.execute("rollback")
    lock.close()
    assert handle.force_flush(20.0)
    assert ids(path) == [f"g{number:02}" for number in range(50)]
    until(lambda: len(lines(caplog)) == 2)
    time.sleep(0.6)
    assert lines(caplog)[1] == "records are delivered again"
    assert len(lines(caplog)) == 2
    assert drops.counts() == {}


def test_a_database_that_is_away_at_exit_gets_its_rows_from_the_next_process(tmp_path, path, fresh):
    away = path.with_suffix(".away")
    path.rename(away)
    path.mkdir()  # no file can be opened there
    body = """
        handle = configure()
        generate(5)
        began = time.monotonic()
        assert not handle.shutdown(1.0)
        print(time.monotonic() - began)
    """
    variables = {"POSEMON_DATABASE_URL": f"sqlite:///{path}"} | {
        f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")
    }
    done = run(tmp_path, "http://127.0.0.1:9", body, **variables)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.5
    path.rmdir()
    away.rename(path)
    configure(path, tmp_path)
    until(lambda: len(ids(path)) == 5)


def test_exit_keeps_its_budget_while_the_database_is_locked(tmp_path, path, fresh):
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("begin exclusive")
    handle = configure(path, tmp_path)
    generate("g1")
    time.sleep(0.3)  # its thread waits for the lock
    began = time.monotonic()
    assert handle.shutdown(1.0) is False
    assert time.monotonic() - began < 1.3
    lock.execute("rollback")
    lock.close()


def test_a_slow_database_delays_nothing_else(tmp_path, path, fresh):
    """A lock that is held most of the time: each transaction waits for it, all go through."""
    stop = threading.Event()

    def hold():
        connection = sqlite3.connect(path, isolation_level=None, timeout=5)
        while not stop.is_set():
            connection.execute("begin immediate")
            stop.wait(0.2)
            connection.execute("rollback")
            stop.wait(0.02)
        connection.close()

    holding = threading.Thread(target=hold)
    holding.start()
    try:
        handle = configure(path, tmp_path)
        began = time.monotonic()
        generate(*(f"g{number:02}" for number in range(30)))
        assert time.monotonic() - began < 1.0
        assert handle.force_flush(20.0)
    finally:
        stop.set()
        holding.join(10)
    assert len(ids(path)) == 30


def test_a_database_without_our_tables_waits_for_them(tmp_path, fresh, caplog):
    path = tmp_path / "late.db"
    handle = configure(path, tmp_path)
    generate("g1")
    assert handle.force_flush(0.3) is False
    until(lambda: lines(caplog))
    engine = records.connect(f"sqlite:///{path}")
    records.upgrade(engine)
    engine.dispose()
    assert handle.force_flush(20.0)
    assert ids(path) == ["g1"]


# Refusals


def refuse(path, condition):
    """Has the database itself refuse rows, as a constraint of its owner's would."""
    connection = sqlite3.connect(path)
    connection.execute(
        f"create trigger refuses before insert on pose_generations when {condition}"
        " begin select raise(abort, 'this one never'); end"
    )
    connection.commit()
    connection.close()


def test_a_row_that_the_database_refuses_is_found_and_set_aside(tmp_path, path, fresh, caplog):
    refuse(path, "new.id in ('g037', 'g100')")
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("begin exclusive")
    handle = configure(path, tmp_path)
    generate(*(f"g{number:03}" for number in range(200)))
    lock.execute("rollback")  # all of them in one batch
    lock.close()
    assert handle.force_flush(20.0)
    assert ids(path) == [f"g{number:03}" for number in range(200) if number not in (37, 100)]
    folder = handle.pipeline._journal.journal().folder
    aside = quarantine.quarantined(folder, "records")
    assert [one.name for one in aside] == ["pose.generation"] * 2
    assert all("this one never" in one.status and one.trace_id and one.payload for one in aside)
    assert all(str(path) in one.endpoint for one in aside)
    assert drops.counts() == {("records", "rejected"): 2}
    assert len([r for r in caplog.records if "takes other rows but not some" in r.message]) == 1


def test_a_refused_row_alone_in_its_batch_is_set_aside_where_the_database_is_known_to_live(tmp_path, path, fresh):
    refuse(path, "new.id like 'bad%'")
    handle = configure(path, tmp_path)
    for name in ("g1", "bad1", "g2", "bad2", "g3"):
        generate(name)
        assert handle.force_flush(20.0)
    assert ids(path) == ["g1", "g2", "g3"]
    assert drops.counts() == {("records", "rejected"): 2}


def test_a_database_that_refuses_everything_is_waited_for_and_loses_nothing(tmp_path, path, fresh, caplog):
    refuse(path, "1")
    handle = configure(path, tmp_path)
    generate(*(f"g{number:02}" for number in range(40)))
    assert handle.force_flush(1.0) is False
    until(lambda: lines(caplog))
    assert "this one never" in lines(caplog)[0]
    assert drops.counts() == {}
    connection = sqlite3.connect(path)
    connection.execute("drop trigger refuses")
    connection.commit()
    connection.close()
    assert handle.force_flush(20.0)
    assert len(ids(path)) == 40
    assert drops.counts() == {}


def test_an_entry_that_cannot_be_a_row_harms_no_other(tmp_path, path, fresh):
    from posemon_otel.delivery import wire

    handle = configure(path, tmp_path)
    generate("g1")
    sink = handle.pipeline.sink
    assert handle.force_flush(20.0)
    finish = next(
        wire.decoder(tag).decode(payload)
        for _, tag, payload in handle.pipeline._journal.journal().entries()
        if tag == wire.FINISH
    )
    sink.finished(finish._replace(attributes={}))
    generate("g2")
    assert handle.force_flush(20.0)
    assert ids(path) == ["g1", "g2"]
    assert drops.counts() == {("records", "rejected"): 1}


class Fake:
    """A writer whose ``write`` does as it is told."""

    address = "fake"

    def __init__(self, does):
        self.does = does
        self.calls = 0

    def write(self, generations, poses, events):
        self.calls += 1
        self.does([row.id for row in (*generations, *poses, *events)])

    def close(self):
        pass


@pytest.fixture
def journal(tmp_path):
    from posemon_otel.delivery import wire
    from posemon_otel.entries import Event

    writer = Writer(tmp_path / "journal", head={}, consumers=["records"])
    for number in range(64):
        writer.append(wire.EVENT, Event(f"e{number:02}", 1, b"", 0, 0, 0, "t", "n", None, None, {}))
    opened = Journal.open(writer.folder)
    yield opened
    writer.close()


def test_an_error_that_blames_nobody_is_the_row_s_where_others_go_through(journal, fresh):
    def does(rows):
        if "e11" in rows:
            raise OverflowError("Python int too large to convert to SQLite INTEGER")

    writer = Fake(does)
    outcome = Records(lambda: writer, 512).deliver(journal, journal.read("records").entries)
    assert outcome.delivered
    assert outcome.rejected == ((11, "Python int too large to convert to SQLite INTEGER"),)
    assert writer.calls < 16
    assert [one.name for one in quarantine.quarantined(journal.folder, "records")] == ["n"]


def test_an_error_that_blames_nobody_is_waited_for_where_nothing_goes_through(journal, fresh):
    def does(_rows):
        raise OverflowError("everything")

    writer = Fake(does)
    outcome = Records(lambda: writer, 512).deliver(journal, journal.read("records").entries)
    assert not outcome.delivered
    assert outcome.status == "everything"
    assert writer.calls < 24  # and not two for each row
    assert quarantine.quarantined(journal.folder, "records") == []
    assert drops.counts() == {}


def test_who_is_to_blame(tmp_path):
    engine = records.connect(f"sqlite:///{tmp_path / 'x.db'}")

    def of(statement):
        with pytest.raises(records.DatabaseError) as caught, records.writing(engine) as connection:
            connection.execute(text("create table if not exists t (n integer not null check (n < 5))"))
            connection.execute(text(statement))
        return blame_of(caught.value)

    assert of("insert into t values (7)") is Blame.ROW
    assert of("insert into t values (null)") is Blame.ROW
    assert of("insert into nowhere values (1)") is Blame.DATABASE
    assert blame_of(records.DatabaseError("the tables are missing")) is Blame.DATABASE
    assert blame_of(TypeError("what is that?")) is Blame.UNKNOWN
    engine.dispose()


# Processes that die


def test_a_killed_generation_is_failed_and_a_later_attempt_that_completes_wins(tmp_path, path, fresh):
    body = """
        handle = configure()
        posemon.generation("g1").__enter__()
        time.sleep(0.8)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    variables = {"POSEMON_DATABASE_URL": f"sqlite:///{path}"} | {
        f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")
    }
    killed = run(tmp_path, "http://127.0.0.1:9", body, **variables)
    assert killed.returncode == -9, killed.stderr
    handle = configure(path, tmp_path)

    def status():
        connection = sqlite3.connect(path)
        try:
            return connection.execute('select status, "errorMessage" from pose_generations').fetchone()
        finally:
            connection.close()

    until(lambda: (status() or "")[0:1] == ("failed",))
    assert "died" in status()[1]
    generate("g1")
    assert handle.force_flush(20.0)
    assert status() == ("completed", None)
