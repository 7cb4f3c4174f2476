from __future__ import annotations

import errno
import itertools
import os
import signal
import stat
import struct
import threading
import zlib
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

import posemon_otel.journal.appender as writer_module
import posemon_otel.journal.segment as segment_module
from posemon_otel.journal import Journal, JournalError, Writer, adoptable, own
from posemon_otel.journal.segment import MAX_ENTRY, frame, scan
from tests.journal.conftest import CONSUMERS, HEAD, TAG


class Step(NamedTuple):
    name: str
    seconds: float
    sizes: list[int]


def test_what_is_appended_is_read_back_in_order_under_its_tag(make):
    writer = make()
    writer.append(2, {"name": "put poses", "size": 2**63, "none": None})
    writer.append(3, Step("render", 0.25, [1, 2]))
    writer.append_encoded(255, msgspec.msgpack.encode("ready made"))

    batch = Journal.open(writer.folder).read("otlp")

    assert [tag for tag, _ in batch.entries] == [2, 3, 255]
    assert msgspec.msgpack.decode(batch.entries[0][1]) == {"name": "put poses", "size": 2**63, "none": None}
    assert msgspec.msgpack.decode(batch.entries[1][1], type=Step) == Step("render", 0.25, [1, 2])
    assert msgspec.msgpack.decode(batch.entries[2][1]) == "ready made"


def test_every_segment_begins_with_head_and_prelude(make, drain):
    scopes: list[str] = []
    writer = make(prelude=lambda: [(9, scope) for scope in scopes], segment_bytes=300)
    scopes.append("scope of the worker")
    for index in range(20):
        writer.append(TAG, "x" * 40 + str(index))

    journal = Journal.open(writer.folder)
    numbers = [segment.number for segment in journal.segments()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 3
    for number in numbers[1:]:
        data = (writer.folder / f"{number:08d}.seg").read_bytes()
        assert segment_module.read_head(writer.folder / f"{number:08d}.seg").head == HEAD
        assert scan(data, 1).entries == [(9, msgspec.msgpack.encode("scope of the worker"))]
    assert [record for record in drain(journal) if record not in scopes] == ["x" * 40 + str(i) for i in range(20)]


def test_a_prelude_may_append_and_may_be_longer_than_a_segment(make, drain):
    def prelude():
        if writers and not writers[0].closed:
            writers[0].append(TAG, "from inside")
        yield 9, "p" * 1000

    writers: list[Writer] = []
    writers.append(make(prelude=prelude, segment_bytes=200))
    for index in range(10):
        writers[0].append(TAG, f"{index}" + "y" * 90)

    journal = Journal.open(writers[0].folder)
    assert len(journal.segments()) < 15
    records = drain(journal)
    assert [record for record in records if record.endswith("y")] == [f"{i}" + "y" * 90 for i in range(10)]
    assert records.count("from inside") == len(journal.segments()) - 1


def test_a_prelude_that_fails_is_heard_of_once_and_stops_nothing(make, drain):
    def prelude():
        if broken:
            raise broken[0]
        return ()

    broken: list[Exception] = []
    writer = make(prelude=prelude)
    broken.append(PermissionError("not mine"))
    with pytest.raises(RuntimeError, match="prelude"):
        writer.rotate()
    writer.append(TAG, "after")
    assert drain(Journal.open(writer.folder)) == ["after"]


@pytest.mark.parametrize("value", [object(), "\ud800", 2**70, {"deep": {1, object()}}])
def test_what_cannot_be_encoded_raises_before_anything_is_written(make, value):
    writer = make()
    size = Journal.open(writer.folder).segments()[0].size
    with pytest.raises((TypeError, ValueError, OverflowError, msgspec.EncodeError)):
        writer.append(TAG, value)
    assert Journal.open(writer.folder).segments()[0].size == size


def test_an_entry_that_is_too_large_is_refused(make):
    with pytest.raises(JournalError) as refused:
        make().append_encoded(TAG, bytes(MAX_ENTRY))
    assert refused.value.errno == errno.EMSGSIZE


def test_entries_of_several_threads_stand_whole(make, drain):
    writer = make(segment_bytes=20_000)

    def work(name: int) -> None:
        for index in range(500):
            writer.append(TAG, (name, index))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    records = drain(Journal.open(writer.folder))
    for name in range(4):
        assert [record[1] for record in records if record[0] == name] == list(range(500))


def test_a_signal_handler_that_appends_re_enters_and_loses_nothing(make, drain):
    writer = make(segment_bytes=4_000, prelude=lambda: [(9, "scope")] * 5)
    handled = threading.Event()
    sent = itertools.count()
    numbers: list[int] = []

    def handler(_number, _frame):
        number = next(sent)
        writer.append(TAG, ("signal", number))
        numbers.append(number)
        handled.set()

    def send() -> None:  # one at a time: a slow machine must not drown in its own signals
        while not done.wait(0.0002):
            handled.clear()
            signal.pthread_kill(main, signal.SIGUSR1)
            handled.wait(10)

    done, main = threading.Event(), threading.main_thread().ident
    before = signal.signal(signal.SIGUSR1, handler)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        for index in range(5_000):
            writer.append(TAG, ("main", index))
    finally:
        done.set()
        sender.join(20)
        signal.signal(signal.SIGUSR1, before)
    records = [record for record in drain(Journal.open(writer.folder)) if record != "scope"]
    assert [index for name, index in records if name == "main"] == list(range(5_000))
    assert [index for name, index in records if name == "signal"] == numbers
    assert len(numbers) > 10


class Interrupted:
    """`os.write` that appends once more at a chosen moment, as a handler or finaliser would."""

    def __init__(self, writer: Writer, moment: str, short: bool) -> None:
        self.writer, self.moment, self.short, self.depth = writer, moment, short, 0

    def __call__(self, descriptor: int, data: bytes) -> int:
        self.depth += 1
        if self.depth > 1:
            return os.write(descriptor, data)
        if self.moment == "before":
            self.writer.append(TAG, "nested")
            # what CPython loads after the handler, not what was loaded before it
            descriptor = self.writer._fd
        written = os.write(descriptor, data[: len(data) // 2] if self.short else data)
        if self.moment == "after":
            self.writer.append(TAG, "nested")
        return written


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("short", [False, True])
def test_an_append_within_an_append_is_never_behind_half_an_entry(make, drain, monkeypatch, moment, short):
    writer = make()
    writer.append(TAG, "first")
    monkeypatch.setattr(writer_module, "_write", Interrupted(writer, moment, short))
    writer.append(TAG, "outer" * 20)  # a short write is tried again
    monkeypatch.undo()
    writer.append(TAG, "last")

    records = drain(Journal.open(writer.folder))
    assert sorted(records) == sorted(["first", "nested", "outer" * 20, "last"])
    assert records[-1] == "last"


def test_a_short_write_is_cut_back_and_tried_in_a_new_segment(make, drain, monkeypatch):
    writer = make()
    writer.append(TAG, "first")
    calls: list[int] = []

    def short_once(descriptor: int, data: bytes) -> int:
        calls.append(len(data))
        return os.write(descriptor, data[:5] if len(calls) == 1 else data)

    monkeypatch.setattr(writer_module, "_write", short_once)
    writer.append(TAG, "second")
    journal = Journal.open(writer.folder)
    assert [segment.number for segment in journal.segments()] == [1, 2]
    batch = journal.read("otlp")
    assert (len(batch.entries), batch.damaged) == (2, 0)


def test_a_full_disk_raises_and_the_next_append_tries_again(make, drain, monkeypatch):
    writer = make()
    writer.append(TAG, "first")

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no space")

    def no_segment(_path: Path, _head: bytes) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patched:
        patched.setattr(writer_module, "_write", full)
        patched.setattr(own, "begin", no_segment)
        for _ in range(3):
            with pytest.raises(OSError, match="no space"):
                writer.append(TAG, "lost")
    writer.append(TAG, "second")
    assert drain(Journal.open(writer.folder)) == ["first", "second"]


def test_a_full_disk_does_not_make_a_segment_for_each_attempt(make, monkeypatch):
    writer = make(prelude=lambda: [(9, "scope")])
    writer.append(TAG, "first")

    def full(descriptor: int, data: bytes) -> int:
        if b"large" in data:
            raise OSError(errno.ENOSPC, "no space")
        return os.write(descriptor, data)

    monkeypatch.setattr(writer_module, "_write", full)
    for _ in range(20):
        with pytest.raises(OSError, match="no space"):
            writer.append(TAG, "large")
    writer.append(TAG, "small")
    assert len(Journal.open(writer.folder).segments()) == 2


def test_an_exception_from_a_signal_handler_does_not_spoil_the_segment(make, drain, monkeypatch):
    writer = make()
    writer.append(TAG, "first")

    def torn(descriptor: int, data: bytes) -> int:
        os.write(descriptor, data[:7])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(writer_module, "_write", torn)
        with pytest.raises(KeyboardInterrupt):
            writer.append(TAG, "lost")
    writer.append(TAG, "second")
    assert drain(Journal.open(writer.folder)) == ["first", "second"]


def test_descriptors_closed_by_the_host_close_the_writer(make, root):
    writer = make()
    writer.append(TAG, "first")
    os.close(writer._fd)
    with pytest.raises(OSError):
        writer.append(TAG, "second")
    assert writer.closed
    assert not Journal.open(writer.folder).alive
    again = make()
    again.append(TAG, "third")
    assert Journal.open(again.folder).alive


def test_a_low_descriptor_is_never_held(make):
    writer = make()
    assert writer._fd >= 256
    with Path(os.devnull).open() as file:
        assert file.fileno() < 256


def test_a_folder_that_was_removed_is_put_back_at_the_next_rotation(make, drain):
    import shutil

    writer = make()
    writer.append(TAG, "before")
    shutil.rmtree(writer.folder)
    writer.append(TAG, "unseen")
    writer.rotate()
    writer.append(TAG, "after")
    journal = Journal.open(writer.folder)
    assert journal.alive
    assert drain(journal) == ["before", "unseen", "after"]


def test_a_closed_writer_refuses_and_may_be_closed_again(make):
    writer = make()
    writer.close()
    writer.close()
    with pytest.raises(JournalError, match="closed"):
        writer.append(TAG, "late")
    with pytest.raises(JournalError, match="closed"):
        writer.rotate()


def test_everything_is_this_users_alone(make, root):
    writer = make()
    for folder in (root, writer.folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in writer.folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 or file.name == "ship"


def test_another_users_folder_is_refused(root):
    root.mkdir(parents=True, mode=0o700)
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(root, 12345, 12345)
    with pytest.raises(JournalError, match="another user"):
        Writer(root, head=HEAD, consumers=CONSUMERS)
    assert list(root.iterdir()) == []


def test_a_link_of_another_user_to_a_folder_of_ours_is_refused(root, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a link away")
    (tmp_path / "mine").mkdir(mode=0o700)
    root.parent.mkdir()
    root.symlink_to(tmp_path / "mine")
    os.lchown(root, 12345, 12345)
    with pytest.raises(JournalError, match="another user"):
        Writer(root, head=HEAD, consumers=CONSUMERS)


def test_a_folder_that_others_may_write_to_is_refused(root):
    root.mkdir(parents=True)
    root.chmod(0o777)
    with pytest.raises(JournalError, match="chmod"):
        Writer(root, head=HEAD, consumers=CONSUMERS)


def test_a_file_in_the_folders_place_is_refused(root):
    root.parent.mkdir()
    root.touch()
    with pytest.raises(JournalError, match="no folder"):
        Writer(root, head=HEAD, consumers=CONSUMERS)


@pytest.mark.parametrize("name", ["", "Otlp", "../otlp", "a b"])
def test_a_consumers_name_must_be_one(root, name):
    with pytest.raises(ValueError, match="consumer"):
        Writer(root, head=HEAD, consumers=[name])
    assert not root.exists()


def test_a_writer_that_cannot_begin_leaves_nothing_behind(root):
    with pytest.raises(TypeError):
        Writer(root, head={"resource": object()}, consumers=CONSUMERS)
    assert list(root.iterdir()) == []


def test_ids_sort_by_time(make):
    ids = [make().id for _ in range(5)]
    assert ids == sorted(ids)


def test_sealed_segments_are_forced_to_the_disk_on_request(make, monkeypatch):
    synced: list[int] = []
    monkeypatch.setattr(writer_module.os, "fsync", synced.append)
    make().rotate()
    assert synced == []
    make(fsync_sealed=True).rotate()
    assert len(synced) == 1


def test_a_frame_is_length_checksum_tag_and_messagepack():
    body = b"\x02\xc0"
    assert frame(2, b"\xc0") == struct.pack("<II", len(body), zlib.crc32(body)) + body


def test_a_fork_in_the_middle_of_an_append_leaves_the_entry_whole_and_once(make, root, drain, monkeypatch):
    writer = make()
    writer.append(TAG, "first")
    children: list[int] = []

    def fork_within(descriptor: int, data: bytes) -> int:
        if not children:
            children.append(os.fork())
            if children[0] == 0:
                # the child's own frames are inside the append too, of a writer that is none any more
                code = 3
                try:
                    own = Writer(root, head=HEAD, consumers=CONSUMERS)
                    own.append(TAG, "child")
                    code = 0 if writer.closed else 4
                finally:
                    os._exit(code)
        return os.write(descriptor, data)

    monkeypatch.setattr(writer_module, "_write", fork_within)
    writer.append(TAG, "second")
    monkeypatch.undo()
    _, status = os.waitpid(children[0], 0)
    assert os.waitstatus_to_exitcode(status) == 0
    writer.append(TAG, "third")
    assert drain(Journal.open(writer.folder)) == ["first", "second", "third"]
    (orphan,) = adoptable(root, consumers=["otlp"])
    assert drain(orphan) == ["child"]
    orphan.release_ship()


@pytest.mark.parametrize("error", [errno.EIO, errno.EDQUOT, errno.EROFS, errno.ENOSPC])
def test_an_entry_that_a_segment_does_not_take_goes_into_the_next(make, drain, monkeypatch, error):
    writer = make()
    writer.append(TAG, "first")
    refused: list[int] = []

    def refuse_once(descriptor: int, data: bytes) -> int:
        if not refused:
            refused.append(descriptor)
            raise OSError(error, os.strerror(error))
        return os.write(descriptor, data)

    monkeypatch.setattr(writer_module, "_write", refuse_once)
    writer.append(TAG, "second")
    journal = Journal.open(writer.folder)
    assert drain(journal) == ["first", "second"]
    assert writer.dropped == {"otlp": 0, "records": 0}
