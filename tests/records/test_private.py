"""Who may read an SQLite database that posemon makes by itself: its user alone."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from posemon_otel import records


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def make(path: Path, *, private: bool) -> dict[str, int]:
    """Modes of the database's files while it is written."""
    engine = records.connect(f"sqlite:///{path}", private=private)
    records.upgrade(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO sample_generations VALUES ('g')")
        found = {file.name: mode(file) for file in path.parent.iterdir()}
    engine.dispose()
    return found


def test_a_private_one_is_read_by_its_user_alone(tmp_path, umask):
    found = make(tmp_path / "state" / "x.db", private=True)
    assert found == {"x.db": 0o600, "x.db-wal": 0o600, "x.db-shm": 0o600}
    assert mode(tmp_path / "state") == 0o700


def test_what_is_there_keeps_its_mode(tmp_path, umask):
    (tmp_path / "state").mkdir(mode=0o750)
    (tmp_path / "state" / "x.db").touch(mode=0o640)
    assert set(make(tmp_path / "state" / "x.db", private=True).values()) == {0o640}
    assert mode(tmp_path / "state") == 0o750


def test_of_one_that_somebody_names_the_umask_decides(tmp_path, umask):
    assert make(tmp_path / "state" / "x.db", private=False)["x.db"] == 0o644
    assert mode(tmp_path / "state") == 0o755


def test_nothing_is_made_before_it_is_used_and_a_folder_that_is_missing_is_one_line(tmp_path):
    engine = records.connect(f"sqlite:///{tmp_path / 'state' / 'x.db'}", private=True)
    assert not (tmp_path / "state" / "x.db").exists()
    (tmp_path / "state").rmdir()
    with pytest.raises(records.DatabaseError, match="cannot open the file; check its path and rights"):
        records.ping(engine)
    engine.dispose()


def test_the_commands_make_theirs_so(tmp_path, umask):
    environ = {"XDG_STATE_HOME": str(tmp_path), "PATH": ""}
    command = [sys.executable, "-m", "posemon_otel.cli", "db", "upgrade"]
    subprocess.run(command, env=environ, check=True, capture_output=True, timeout=60)
    assert mode(tmp_path / "posemon") == 0o700
    assert {mode(file) for file in (tmp_path / "posemon").glob("posemon.db*")} == {0o600}
    mine = tmp_path / "mine.db"
    subprocess.run(
        command,
        env=environ | {"POSEMON_DATABASE_URL": f"sqlite:///{mine}"},
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert mode(mine) == 0o644
