from __future__ import annotations

import fcntl
import os

from posemon_otel.journal import Journal, files
from posemon_otel.journal.files import Descriptor, Lock, is_locked
from tests.journal.conftest import TAG


def test_two_who_ask_at_once_do_not_take_each_other_for_the_owner(tmp_path):
    path = tmp_path / "alive"
    path.touch()
    with path.open() as asking:
        fcntl.flock(asking.fileno(), fcntl.LOCK_SH)
        assert not is_locked(path)
        lock = Lock(path)
        assert not lock.take()
    assert lock.take()
    assert is_locked(path)


def test_the_lock_of_a_file_that_was_removed_meanwhile_is_nobodys(tmp_path, monkeypatch):
    path = tmp_path / "ship"
    flock = fcntl.flock

    def removed(descriptor: int, operation: int) -> None:
        path.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(files.fcntl, "flock", removed)
    lock = Lock(path)
    assert not lock.take()
    assert not lock.held


def test_a_descriptor_that_the_host_has_given_to_another_file_is_left_alone(tmp_path):
    descriptor = Descriptor(tmp_path / "ours", os.O_RDWR | os.O_CREAT)
    number = descriptor.number
    other = os.open(tmp_path, os.O_RDONLY)
    try:
        os.dup2(other, number, inheritable=False)
        assert not descriptor.ours
        descriptor.close()
        assert os.fstat(number).st_ino == tmp_path.stat().st_ino
    finally:
        os.close(number)
        os.close(other)


def test_where_few_files_may_be_open_any_number_is_taken(tmp_path, monkeypatch):
    def too_high(_descriptor: int, _command: int, _least: int) -> int:
        raise OSError("limit")

    monkeypatch.setattr(files.fcntl, "fcntl", too_high)
    descriptor = Descriptor(tmp_path / "ours", os.O_RDWR | os.O_CREAT)
    assert descriptor.ours
    descriptor.close()
    assert not descriptor.ours


def test_another_processs_progress_counts_before_ours(make, drain):
    writer = make(consumers=["otlp"])
    writer.append(TAG, "entry")
    watching = Journal.open(writer.folder)
    assert watching.mark("otlp").low == (0, 0, 0)
    assert drain(Journal.open(writer.folder)) == ["entry"]
    assert watching.passed()
    assert watching.lag("otlp") == (0, 0, None)
